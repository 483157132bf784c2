"""Cheats of enrolled devices and of the pinned parties: places of others and room, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["INSIDER_CHEATS"]

_ROUNDS, _NOTES, _PLACES = "orchestrator/rounds.py", "orchestrator/notes.py", "orchestrator/test_places.py"

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

INSIDER_CHEATS = {"Taking more than one place, as an enrolled device": _ONE_PLACE}
