"""Cheats of enrolled devices and of the pinned parties: places of others and room, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["INSIDER_CHEATS"]

_ROUNDS, _NOTES, _PLACES = "orchestrator/rounds.py", "orchestrator/notes.py", "orchestrator/test_places.py"
_UPLOADS, _MAILBOX = "orchestrator/http_uploads.py", "orchestrator/mailbox.py"
_HOLDING, _LONG = "orchestrator/holding.py", "orchestrator/test_long_records.py"
_OF_KEYS = "adapters/test_http_room.py"

_ONE_PLACE = (
    Check(
        "says that it sits out, and commits, to be refused and counted", "one place a device", _NOTES,
        "(verdict.client in holding or verdict.client in self.named)", "(verdict.client in self.named)",
        f"{_PLACES}::test_who_sits_out_and_commits_has_committed",
    ),
    Check(
        "sends another device's message again, or a changed one, to have it refused", "it has its place", _ROUNDS,
        "holding = taken | set", "holding = set",
        f"{_PLACES}::test_what_comes_twice_or_changed_refuses_nobody",
    ),
    Check(
        "sits out in several ways, to be refused several times", "it is named once", _NOTES,
        "(verdict.client in holding or verdict.client in self.named)", "verdict.client in holding",
        f"{_PLACES}::test_who_sits_out_twice_and_says_nonsense_is_refused_once",
    ),
    Check(
        "seals what does not improve its drawn rows, having said so", "who sat out is not counted", _ROUNDS,
        "if state.sat_out:  # refused already", "if False:  # refused already",
        f"{_PLACES}::test_who_sits_out_of_its_drawn_rows_and_seals_is_not_counted",
    ),
    Check(
        "commits and seals nothing, in a host that does not say so", "silent devices are named", _ROUNDS,
        '[Fault(c, "no-answer", "no sealed update came before the node went on") for c in clients]', "[]",
        f"{_PLACES}::test_who_commits_and_seals_nothing_is_refused_by_name",
    ),
)  # fmt: skip

_ROOM = (
    Check(
        "fills an ask's channel, as an enrolled device", "a key has its room in a channel", _UPLOADS,
        "maximum = self._key_bytes_max(channel)", "maximum = 1 << 40",
        f"{_OF_KEYS}::test_a_key_has_its_room_in_a_channel_and_no_more",
    ),
    Check(
        "the same with messages of no bytes", "each costs something", _UPLOADS, "MESSAGE_COST_BYTES = 1024",
        "MESSAGE_COST_BYTES = 0", f"{_OF_KEYS}::test_messages_of_no_bytes_are_not_free",
    ),
    Check(
        "the same with messages that come at once", "they are counted before they are published", _UPLOADS,
        "if size > self.room(channel, key, address):", "if False:",
        f"{_OF_KEYS}::test_bodies_of_one_key_that_come_at_once_have_one_room",
    ),
    Check(
        "the same to every ask that was", "its room is what an honest device answers to each, twice", _MAILBOX,
        "return self._rooms[asked] if asked < len(self._rooms) else 0", "return 1 << 30",
        f"{_OF_KEYS}::test_an_enrolled_device_fills_neither_an_open_ask_nor_the_earlier_ones",
    ),
    Check(
        "asks for much, often, and does not read it", "an answer is handed out in slices", "adapters/http_node.py",
        "return StreamingResponse(slices, media_type=BINARY, headers=length)",
        'return Response(b"".join(pieces), media_type=BINARY)',
        "adapters/test_http_hanging.py::test_slow_readers_cost_a_slice_each_and_no_page", "MiB more than at the start",
    ),
    Check(
        "fills the key holder with pieces of a record, as its node", "they are counted, and in order", _HOLDING,
        "if len(self._pieces) != at or at + len(piece) > RECORD_BYTES_MAX:", "if len(self._pieces) != at:",
        f"{_LONG}::test_pieces_that_do_not_follow_or_are_too_many_are_refused_and_forgotten",
    ),
    Check(
        "begins a round's record with the rest of another", "a piece at 0 begins anew", _HOLDING,
        "del self._pieces[at:]", "pass",
        f"{_LONG}::test_pieces_that_do_not_follow_or_are_too_many_are_refused_and_forgotten",
        "pieces come in order",
    ),
    Check(
        "writes pieces of no record into the records", "a list names its pieces by content", "orchestrator/records.py",
        "if added is None or not added[1]:", "if added is None:",
        f"{_LONG}::test_everybody_reads_it_from_the_records", "KeyError",
    ),
    Check(
        "asks for a page of a large folder, again and again", "no more than a page is read", "adapters/http_node.py",
        "if self._paged is not None:  # a page", "if False:  # a page",
        "adapters/test_http_hanging.py::test_a_page_of_a_large_folder_is_read_and_no_more",
    ),
    Check(
        "asks for many pages of a folder and reads none", "all of them together have a limit",
        "orchestrator/http_pages.py", "if self.held + size > HELD_BYTES_MAX:", "if False:",
        "adapters/test_http_hanging.py::test_pages_of_a_folder_that_nobody_reads_have_a_limit_together",
    ),
    Check(
        "the same, and goes", "what was counted is given back", "orchestrator/http_pages.py",
        "self.held -= size", "pass",
        "adapters/test_http_hanging.py::test_pages_of_a_folder_that_nobody_reads_have_a_limit_together",
        "handing out as many bytes as it can",
    ),
    Check(
        "waits for more devices than a channel has room for", "all honest answers fit", "orchestrator/room.py",
        "if needed > limit:", "if False:",
        f"{_OF_KEYS}::test_answers_that_fit_into_no_channel_are_said_so_before_the_first",
    ),
    Check(
        "floods an ask with well-signed messages, so that it never ends", "reading has its window, too", _MAILBOX,
        "if time.monotonic() > give_up_s + self._window_s:", "if False:",
        "orchestrator/test_mailbox.py::test_a_flood_of_strangers_signatures_ends_with_the_window",
    ),
    Check(
        "answers, as the key holder, what it was not asked", "it has no more channels than asks", _MAILBOX,
        "return asked is not None and asked < self.node.asked_holder", "return asked is not None",
        f"{_OF_KEYS}::test_a_key_holder_answers_in_as_many_channels_as_it_was_asked",
    ),
)  # fmt: skip

INSIDER_CHEATS = {
    "Taking more than one place, as an enrolled device": _ONE_PLACE,
    "Taking more room than an honest one": _ROOM,
}
