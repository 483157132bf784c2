"""Cheats with what a person allowed and a device observed, each with its check, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["KEPT"]

_CONSENT, _STORE = "device/consent.py", "device/store.py"
_BOOK, _DEVICE = "device/test_consent.py", "device/test_store.py"
_OTHER = "Regex pattern did not match"


_CONSENTS = (
    Check(
        "uses what was never granted", "the book", _CONSENT,
        '        if last is None:\n            return "it was never granted"',
        "        if last is None:\n            return None", f"{_BOOK}::test_granted_used_withdrawn",
    ),
    Check(
        "uses what was withdrawn", "the last word counts", _CONSENT, 'if last.action == "withdrawn":', "if False:",
        f"{_BOOK}::test_granted_used_withdrawn",
    ),
    Check(
        "uses a consent to an older text", "the version of the text", _CONSENT, "if last.version != self.version:",
        "if False:", f"{_BOOK}::test_a_consent_to_an_older_text_does_not_hold",
    ),
    Check(
        "uses an expired consent", "its end", _CONSENT,
        'if last.action == "expired" or (last.expires_s and now >= last.expires_s):', 'if last.action == "expired":',
        f"{_BOOK}::test_an_expired_consent_is_not_revived_by_a_clock_that_goes_back",
    ),
    Check(
        "turns the clock back to before the end", "an end that was seen is written down", _CONSENT,
        'if last.action == "expired" or (last.expires_s', "if (last.expires_s",
        f"{_BOOK}::test_an_expiry_that_was_seen_stays_when_the_clock_goes_back",
    ),
    Check(
        "turns the clock back to before another entry", "time does not go back in the book", _CONSENT,
        "return max(whole_seconds(now_s), self._time)", "return whole_seconds(now_s)",
        f"{_BOOK}::test_a_clock_that_goes_back_makes_no_grant_that_has_ended", "does not continue the one before",
    ),
    Check(
        "changes, takes out or puts in an entry", "the chain", _CONSENT,
        "if entry.previous != self._head or entry.time_s < self._time:", "if entry.time_s < self._time:",
        f"{_BOOK}::test_every_byte_counts_and_entries_cannot_be_taken_out",
    ),
    Check(
        "dates an entry before the one that it follows", "time does not go back in the book", _CONSENT,
        "if entry.previous != self._head or entry.time_s < self._time:", "if entry.previous != self._head:",
        f"{_BOOK}::test_a_well_chained_entry_that_is_dated_back_is_found",
    ),
    Check(
        "chains an entry that is neither a grant nor its end", "the four actions", _CONSENT,
        "if action not in ACTIONS:", "if False:", f"{_BOOK}::test_a_well_chained_entry_of_no_known_action_is_found",
    ),
    Check(
        "puts a huge file in place of the book", "its size is read first", _CONSENT,
        "if path.stat().st_size > BOOK_BYTES_MAX:", "if False:",
        f"{_BOOK}::test_a_huge_book_is_refused_before_it_is_read",
    ),
    Check(
        "restores the book from before a withdrawal", "the head that is kept elsewhere", _CONSENT,
        "if head is not None and head not in {_START, *(e.digest for e in self._entries)}:", "if False:",
        f"{_BOOK}::test_a_cut_end_is_found_by_the_head",
    ),
    Check(
        "fills the disk, to keep a consent alive", "a withdrawal holds before it is written", _CONSENT,
        "self._take(entry)  # before it is on disk: a full disk must not keep a consent alive\n"
        "            self._write(self._entries)",
        "self._write([*self._entries, entry])\n            self._take(entry)",
        f"{_BOOK}::test_a_full_disk_keeps_no_consent_alive",
    ),
    Check(
        "the same, to grant what is not written down", "a grant is written before it holds", _CONSENT,
        "            self._write([*self._entries, entry])\n            self._take(entry)",
        "            self._take(entry)\n            self._write(self._entries)",
        f"{_BOOK}::test_a_full_disk_keeps_no_consent_alive",
    ),
    Check(
        "writes over a withdrawal with a book that was opened before", "the file is the one that was read", _CONSENT,
        "            self._others.check()\n", "", f"{_BOOK}::test_two_books_on_one_file_do_not_write_over_a_withdrawal",
    ),
    Check(
        "withdraws in the middle of a use, and is written over", "one at a time", _CONSENT,
        '        with self._lock:\n            self._append("withdrawn"',
        '        if True:\n            self._append("withdrawn"',
        f"{_BOOK}::test_a_withdrawal_in_the_middle_of_a_use_is_kept", "does not continue the one before",
    ),
    Check(
        "asks a question whose name makes the book unreadable", "it is cut where it is written", _CONSENT,
        'detail.encode("utf-8", "replace")[:DETAIL_BYTES_MAX].decode("utf-8", "ignore")', "detail",
        f"{_BOOK}::test_no_detail_makes_the_book_unreadable", "IntegrityError",
    ),
    Check(
        "records a use that nothing paid for", "the digest of an entry of the ledger", _CONSENT,
        "if len(paid) != DIGEST_BYTES:", "if False:", f"{_BOOK}::test_a_use_that_nothing_paid_for_is_not_written",
    ),
    Check(
        "uses without asking", "a use requires the consent", _CONSENT,
        "            self.require(purpose, dimension, now_s=now_s)\n", "",
        f"{_BOOK}::test_a_use_without_consent_is_not_recorded",
    ),
    Check(
        "consents to what there is no word for", "the purposes and dimensions", _CONSENT,
        "if purpose not in PURPOSES or dimension not in DIMENSIONS:", "if False:",
        f"{_BOOK}::test_a_consent_is_for_one_purpose_and_dimension",
    ),
    Check(
        "cuts the file inside its last entry, or says that it is longer", "its length", _CONSENT,
        "if size > ENTRY_BYTES_MAX or len(body) != size:", "if False:", f"{_BOOK}::test_a_broken_book_is_no_book",
    ),
)  # fmt: skip
_STORED = (
    Check(
        "stores raw text", "observations only", _STORE, "if any(type(one) is not Observation for one in new):",
        "if False:", f"{_DEVICE}::test_only_observations_are_stored",
    ),
    Check(
        "stores an answer to another question", "the report's question", _STORE, "if report.question != query.digest:",
        "if False:", f"{_DEVICE}::test_only_observations_are_stored",
    ),
    Check(
        "changes or cuts the file, or brings another key", "AES-GCM", _STORE,
        "except (InvalidTag, ValueError):\n"
        '            raise IntegrityError("the device store does not open: another key, or it was changed or cut")'
        " from None",
        "except ZkfedError:\n            raise", f"{_DEVICE}::test_every_changed_byte_and_every_cut_is_found",
        "InvalidTag",
    ),
    Check(
        "takes another file for a store", "its first words", _STORE,
        "if not head.startswith(MAGIC) or len(head) != at:", "if len(head) != at:",
        f"{_DEVICE}::test_another_file_is_no_store", _OTHER,
    ),
    Check(
        "puts a huge file in place of a store", "its size is read first", _STORE,
        "if path.stat().st_size > FILE_BYTES_MAX:", "if False:",
        f"{_DEVICE}::test_a_huge_store_is_refused_before_it_is_read", "of another version",
    ),
    Check(
        "brings back with an older object what was forgotten", "the file is the one that was read", _STORE,
        "        self._others.check()\n", "",
        f"{_DEVICE}::test_two_stores_on_one_file_do_not_bring_back_what_was_forgotten",
    ),
    Check(
        "copies or pickles the key", "a store is not copied", _STORE,
        'raise TypeError("a store holds a key: it is not copied or pickled")', "return super().__reduce__()",
        f"{_DEVICE}::test_a_key_is_32_bytes_and_is_not_copied",
    ),
    Check(
        "reads the file as another user", "its permissions", _STORE,
        "cipher.encrypt(nonce, body.finish(), head)], mode=0o600)", "cipher.encrypt(nonce, body.finish(), head)])",
        f"{_DEVICE}::test_the_file_tells_nothing_without_the_key",
    ),
    Check(
        "observes without an end", "a most", _STORE, "if len(self._observations) + len(new) > OBSERVATIONS_MAX:",
        "if False:", f"{_DEVICE}::test_a_full_store_says_so_and_keeps_what_it_has",
    ),
)  # fmt: skip

KEPT = {"Using what a person did not allow": _CONSENTS, "Reading or changing what a device keeps": _STORED}
