"""Cheats with the ledger, each with the check that stops it, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["LEDGER_CHEATS"]

_LEDGER, _FILE, _ENTRIES = "dp/ledger.py", "dp/ledger_file.py", "dp/entries.py"
_REVIEW, _EDITS, _SPENT = "attacks/test_ledger_review.py", "dp/test_ledger_edits.py", "dp/test_ledger.py"
_EDITED = f"{_EDITS}::test_an_edited_ledger_does_not_open"
_FORGED = f"{_REVIEW}::test_a_well_chained_entry_that_could_not_be_is_found"
_TRIGGER = f"{_REVIEW}::test_a_ledger_with_a_trigger_or_another_table_does_not_open"

LEDGER_CHEATS = (
    Check(
        "spends more than the budget, from 64 threads at once", "everybody's loss with this release", _LEDGER,
        "if not (before + loss).is_within(self.epsilon_max, self.delta):", "if False:",
        f"{_SPENT}::test_64_threads_never_exceed_the_budget",
    ),
    Check(
        "turns the clock back into a period that is over", "time does not go back", _LEDGER,
        "now = max(whole_seconds(now_s), self._time)", "now = whole_seconds(now_s)",
        f"{_SPENT}::test_a_clock_that_goes_back_stays_in_the_later_period", "LedgerCorrupt",
    ),
    Check(
        "raises the budget of a ledger", "the header holds it", _LEDGER, "if made_for != wanted:", "if False:",
        f"{_EDITS}::test_a_budget_is_not_changed",
    ),
    Check(
        "answers once the release is over", "its slot is closed", _LEDGER,
        "self._is_inside, slot._charge = False, None", "self._is_inside = False",
        f"{_REVIEW}::test_an_answer_after_the_end_is_refused_and_the_ledger_opens", "LedgerCorrupt",
    ),
    Check(
        "releases within a release", "one at a time", _LEDGER,
        "        if self._is_inside:\n", "        if False:\n", f"{_SPENT}::test_releases_do_not_nest",
    ),
    Check(
        "settles more attempts than were reserved", "0 <= failed <= begun <= attempts", _LEDGER,
        "if of is None or not 0 <= failed <= begun <= attempts:", "if of is None:",
        f"{_SPENT}::test_a_settlement_that_cannot_be_is_refused", "LedgerCorrupt",
    ),
    Check(
        "goes on with the ledger in a fork", "the process that opened it", _FILE,
        "if os.getpid() != self._pid:", "if False:", f"{_SPENT}::test_a_fork_does_not_go_on_with_an_open_ledger",
    ),
    Check(
        "opens one file under two names", "one gate for the file behind them", _FILE,
        "os.path.realpath(path)", "str(path)", f"{_REVIEW}::test_two_names_of_one_file_have_one_gate",
        "UNIQUE constraint failed",
    ),
    Check(
        "rewrites an entry", "the chain", _LEDGER,
        "(entry.index, entry.previous) != (self._count, self._head)", "False", _EDITED,
    ),
    Check(
        "appends an earlier entry with a true chain", "time does not go back", _LEDGER,
        "            or entry.time_s < self._time\n", "", _FORGED,
    ),
    Check(
        "appends an entry of a period that is over", "periods do not go back", _LEDGER,
        "            or entry.period < self._totals.period\n", "", _FORGED,
    ),
    Check(
        "rewrites who was charged", "a cohort is named by its digest", _LEDGER,
        "if people.digest != name:", "if False:", _EDITED, "KeyError",
    ),
    Check(
        "rewrites a stored answer", "an answer is named by its digest", _FILE,
        "if body is None or answer_digest(body) != name:", "if body is None:", _EDITED,
    ),
    Check(
        "lets a trigger delete what is written", "the schema is the ledger's", _FILE,
        'if sorted(sql for (sql,) in found) != sorted(_SCHEMA.split("\\n")[1:-1]):', "if False:", _TRIGGER,
    ),
    Check(
        "restores an old copy", "the checkpoint knows more entries", _ENTRIES,
        "if self.index >= len(digests):", "if False:", f"{_EDITS}::test_the_last_entries_are_missed_by_a_checkpoint",
        "IndexError",
    ),
    Check(
        "spends anew on an old copy", "the checkpoint's digest", _ENTRIES,
        "if digests[self.index] != self.digest:", "if False:",
        f"{_EDITS}::test_another_history_of_equal_length_is_found",
    ),
    Check(
        "begins a fresh ledger", "the checkpoint names its ledger", _ENTRIES,
        "if self.ledger != ledger:", "if False:", f"{_EDITS}::test_a_fresh_ledger_is_no_continuation",
        "are not those of the checkpoint",
    ),
    Check(
        "names a person twice in a cohort", "a set has one form", "dp/people.py",
        "if any(a >= b for a, b in pairwise(self.pseudonyms())):", "if False:",
        f"{_REVIEW}::test_a_cohort_has_one_form",
    ),
)  # fmt: skip
