"""One device has one place in one attempt, whatever it says, and whoever carries it: it is taken, or refused once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.orchestrator.hosting import Change, carry, federation
from zkfed.layers.agreement import Announced
from zkfed.layers.bridge import check_release
from zkfed.orchestrator.calls import Answer, Ask, Fault, Replies
from zkfed.orchestrator.events import Event, Refused, Released
from zkfed.orchestrator.member import Member
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.notes import SITS_OUT
from zkfed.updates.sealed import SealedUpdate

WAYS = [("S2", 1), ("S2", 2), ("S4", 1), ("S4", 2)]


def counted(node: Node, events: list[Event]) -> tuple[int, int, Counter[str]]:
    """Returns how many were summed and refused as the release says, and how often each device was shown as refused."""
    (released,) = (e for e in events if isinstance(e, Released))
    check_release(node.transcript)
    return released.accepted, released.refused, Counter(e.verdict.client for e in events if isinstance(e, Refused))


def run(kind: str, exchanges: int, change: Callable[[list[Member]], Change]) -> tuple[int, int, Counter[str], str]:
    node, members = federation(kind, devices=4, exchanges=exchanges)
    carry(node.enrol(), members)
    said = counted(node, carry(node.run(1), members, change(members)))
    return *said, members[0].public_key.hex()


def sits_out(member: Member, ask: Ask) -> bytes:
    return member._key.sign(SITS_OUT, Announced.decode(ask.parts["announcement"]).digest).encode()


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "exchanges"), WAYS)
def test_who_sits_out_and_commits_has_committed(kind: str, exchanges: int, first: bool) -> None:
    def both(members: list[Member]) -> Change:
        def change(ask: Ask, messages: list[bytes]) -> list[bytes]:
            if ask.kind not in ("join", "round"):
                return messages
            also = [sits_out(members[0], ask)] * 2
            return [*also, *messages] if first else [*messages, *also]

        return change

    accepted, refused, shown, _ = run(kind, exchanges, both)
    assert (accepted, refused, shown) == (4, 0, Counter())


@pytest.mark.parametrize(("kind", "exchanges"), WAYS)
def test_who_sits_out_twice_and_says_nonsense_is_refused_once(kind: str, exchanges: int) -> None:
    def twice(members: list[Member]) -> Change:
        def change(ask: Ask, messages: list[bytes]) -> list[bytes]:
            if ask.kind not in ("join", "round"):
                return messages[-3:]
            other = members[0]._key.sign(SITS_OUT, bytes(32)).encode()
            return [other, *[sits_out(members[0], ask)] * 2, other, *messages[1:]]

        return change

    accepted, refused, shown, client = run(kind, exchanges, twice)
    assert (accepted, refused, shown) == (3, 1, Counter({client: 1}))


@pytest.mark.parametrize(("kind", "exchanges"), WAYS)
def test_what_comes_twice_or_changed_refuses_nobody(kind: str, exchanges: int) -> None:
    """Whoever sees an honest device's message may send it again, or its signed part with another ciphertext."""

    def again(members: list[Member]) -> Change:
        def change(ask: Ask, messages: list[bytes]) -> list[bytes]:
            if ask.kind == "round":
                answer = Answer.decode(messages[0])
                update = SealedUpdate.decode(answer.sealed)
                changed = Answer(answer.commit, SealedUpdate(update.signed, bytes(len(update.outer))).encode()).encode()
            elif ask.kind == "seal":
                changed = SealedUpdate(SealedUpdate.decode(messages[0]).signed, bytes(100)).encode()
            else:
                changed = messages[0]
            return [changed, *messages, messages[0], changed]

        return change

    accepted, refused, shown, _ = run(kind, exchanges, again)
    assert (accepted, refused, shown) == (4, 0, Counter())


@pytest.mark.parametrize(("kind", "exchanges"), WAYS)
def test_who_commits_and_seals_nothing_is_refused_by_name(kind: str, exchanges: int) -> None:
    def half(members: list[Member]) -> Change:
        def change(ask: Ask, messages: list[bytes]) -> list[bytes]:
            if ask.kind == "round":
                return [Answer(Answer.decode(messages[0]).commit, b"").encode(), *messages[1:]]
            return messages[1:] if ask.kind == "seal" else messages

        return change

    accepted, refused, shown, client = run(kind, exchanges, half)
    assert (accepted, refused, shown) == (3, 1, Counter({client: 1}))


def test_who_sits_out_of_its_drawn_rows_and_seals_is_not_counted() -> None:
    node, members = federation("S1", devices=4)
    carry(node.enrol(), members)

    def both(ask: Ask, messages: list[bytes]) -> list[bytes]:
        if ask.kind == "look":
            first = members[0]._current().device.first.digest
            return [members[0]._key.sign(SITS_OUT, first).encode(), *messages]
        if ask.kind == "seal":
            return [*messages, members[0].handle(ask.request)]
        return messages

    accepted, refused, shown = counted(node, carry(node.run(1), members, both))
    assert (accepted, refused, shown) == (3, 1, Counter({members[0].public_key.hex(): 1}))


@pytest.mark.parametrize("kind", ["S2", "S1"])
def test_who_enrols_or_registers_and_also_fails_is_taken(kind: str) -> None:
    """A host may report a failure and deliver an answer, and a device may answer twice, once with nonsense."""
    node, members = federation(kind, devices=3)
    steps, replies, events = node.enrol(), None, list[Event]()
    while True:
        try:
            step = steps.send(replies)
        except StopIteration:
            break
        replies = None
        if isinstance(step, Ask):
            said = [m.handle(step.request) for m in members]
            nonsense = [members[0]._key.sign(k, bytes(32)).encode() for k in ("enrol", "registration")] * 2
            fault = Fault(members[0].public_key.hex(), "host-failed", "")
            replies = Replies((*nonsense, *said, *nonsense), (fault, fault))
        else:
            events.append(step)
    named = {e.verdict.client for e in events if isinstance(e, Refused)}
    assert named <= {"unknown"}
    assert len(node.agreement.enrolled) == 3
    assert len(node.rounds.clients) == 3
