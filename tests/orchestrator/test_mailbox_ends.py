"""What a host's loop sees at the end, when it comes too late, and when its device refuses."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.orchestrator.hosting import federation
from tests.orchestrator.mailing import run_over
from tests.orchestrator.test_holding import Apart
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import NotAuthorised, PolicyError, StoreFault
from zkfed.orchestrator.kit import open_node, open_provers
from zkfed.orchestrator.mailbox import MemberMailbox, NodeMailbox
from zkfed.orchestrator.member import Member
from zkfed.updates.signing import SigningKey


class Patient(MemoryTransport):
    """Waits as a long poll does: until there is a message, or its time is over."""

    def wait(self, channel: str, *, start: int, timeout_s: float) -> None:
        end_s = time.monotonic() + timeout_s
        while len(self.fetch(channel, start=start)) == 0 and time.monotonic() < end_s:
            time.sleep(0.005)


def test_the_plainest_loop_ends_with_its_node() -> None:
    """`poll() or wait()`: nobody waits for an ask after the last one, which nobody will make."""
    node, members = federation()
    store = Patient()
    mailbox = MemberMailbox(members[0], store, policy=node.policy, key=members[0]._key)
    with pytest.raises(PolicyError):
        list(NodeMailbox(node, store, devices=3, window_s=0).run(1))
    apart = Apart(transport=store)
    holder = apart.mailbox()
    apart.node.end()
    started = time.monotonic()
    for waiting in (mailbox, holder):
        while not waiting.is_over:
            waiting.poll()
            waiting.wait()
    assert time.monotonic() - started < 5


def test_who_comes_after_the_enrolment_learns_it() -> None:
    node, members = federation()
    store = MemoryTransport()
    late = Member(members[0]._provers, None, key=SigningKey.generate())
    box = MemberMailbox(late, store, policy=node.policy, key=late._key)
    seen: list[bool] = []

    def look() -> None:
        while not box.is_over:
            box._number = max(box._number, 1)  # the enrolment was before
            box.poll()
            seen.append(box.is_late)
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    run_over(node, members, store, lambda: store)
    thread.join(10)
    assert True in seen


def test_a_device_that_refuses_says_why_to_its_own_host() -> None:
    node, members = federation()
    store = MemoryTransport()
    refusing = members[0]
    refusing._train = lambda *_: 1 / 0  # type: ignore[assignment, return-value]
    faults: list[str] = []

    class Noting(MemberMailbox):
        def poll(self) -> str:
            kind = super().poll()
            if kind and self.member is refusing:
                faults.append(self.fault)
            return kind

    run_over(node, members, store, lambda: store, mailbox_of=Noting)
    assert faults[0] == ""
    assert faults[1].startswith("device-failed: the device raised ZeroDivisionError")


def test_a_state_of_another_federation_or_key_is_named() -> None:
    """Who comes back with last week's file learns what it is, and not that the node's policy is wrong."""
    node, members = federation()
    store = MemoryTransport()
    run_over(node, members, store, lambda: store)
    state, (other, others) = members[0].state(), federation()
    others[0]._provers.policy = other.policy  # pinned, as the command line has it
    with pytest.raises(PolicyError, match="belongs to one federation and one signing key"):
        Member(others[0]._provers, None, key=members[0]._key, state=state)
    with pytest.raises(NotAuthorised, match="belongs to one federation and one signing key"):
        Member(members[0]._provers, None, key=SigningKey.generate(), state=state)


def test_a_folder_that_is_no_kit_is_named(tmp_path: Path) -> None:
    """A path that was mistyped in a framework's configuration, on one machine of many."""
    for opened in (open_node, open_provers):
        with pytest.raises(StoreFault, match=r"nowhere is no kit: expected a folder with a file policy\.bin"):
            opened(tmp_path / "nowhere")
