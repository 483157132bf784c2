"""A key holder of its own and its node: what either says is checked, and an ask or a stranger's message costs once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import Cohort
from tests.orchestrator.test_holding import Apart
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import IntegrityError, LimitExceeded, TransportError, ZkfedError
from zkfed.layers.transcript import RoundRecord
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.holding import ASK, HolderMailbox
from zkfed.updates.messages import Aggregate, Failure, Release
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import decode_ints, encode_ints


def test_a_release_beside_another_list_of_clients_is_not_settled() -> None:
    """The adders sign a second list for the sum that was opened: the key holder's model would move by S/2, not S/3."""
    cohort = Cohort()
    opened = cohort.ready()
    cohort.open(opened)
    honest = Aggregate.decode(Signed.decode(opened.aggregation, "aggregation", limit=1 << 20).body)
    shorter = replace(honest, members=honest.members[:-1])
    forged = cohort.adder._key.sign("aggregation", shorter.encode()).encode()
    with pytest.raises(IntegrityError, match="exactly the 1 outcomes"):
        cohort.holder.settle(RoundRecord(cohort.adder.commits, (replace(opened.attempt, aggregation=forged),)))
    cohort.close([opened])
    cohort.honest_round()


def lied_about(apart: Apart, change: Any) -> HolderMailbox:
    """Returns a key holder that changes what it says of a sum, at every asking."""
    mailbox = apart.mailbox()
    honest = mailbox._handle

    def handle(kind: str, parts: list[bytes]) -> list[bytes]:
        answer = honest(kind, parts)
        return [change(answer[0])] if kind in ("open", "said") and answer[0] else answer

    mailbox._handle = handle  # type: ignore[method-assign]
    return mailbox


@pytest.mark.parametrize("lie", ["another sum", "another signer", "another attempt's failure", "garbage"])
def test_an_outcome_that_does_not_hold_moves_no_model(lie: str) -> None:
    """A key holder elsewhere may lie: its answer is checked before the model moves or the record has it."""
    apart = Apart()

    def change(outcome: bytes) -> bytes:
        if lie == "garbage":
            return b"\x80\x04."
        if lie == "another attempt's failure":
            return apart.key.sign("failure", Failure(bytes(32), bytes(32)).encode()).encode()
        release = Release.decode(Signed.decode(outcome, "release", limit=1 << 20).body)
        if lie == "another signer":
            return SigningKey.generate().sign("release", release.encode()).encode()
        sums = decode_ints(release.sums)
        sums[0] += 1
        return apart.key.sign("release", replace(release, sums=encode_ints(sums)).encode()).encode()

    before = apart.node.base
    with apart.held(lied_about(apart, change)), pytest.raises(ZkfedError) as caught:
        apart.run()
    assert caught.value.code == {
        "another sum": "commitment-mismatch", "another signer": "not-authorised",
        "another attempt's failure": "integrity", "garbage": "decode",
    }[lie]  # fmt: skip
    assert np.array_equal(apart.node.base, before)
    assert not apart.node.transcript.rounds


class Doubtful(MemoryTransport):
    """Every ask of the node arrives or is lost, and the first sending fails either way."""

    def __init__(self, *, arrives: bool) -> None:
        super().__init__()
        self._arrives, self.tried = arrives, set[str]()

    def publish(self, channel: str, message: bytes) -> str:
        if "/holder/asks/" in channel and channel not in self.tried:
            self.tried.add(channel)
            if self._arrives:
                super().publish(channel, message)
            raise TransportError("lost")
        return super().publish(channel, message)


@pytest.mark.parametrize("arrives", [True, False])
def test_an_ask_whose_sending_failed_keeps_its_number(arrives: bool) -> None:
    """Given to another ask, the key holder would wait for a number that has passed, or never comes."""
    apart = Apart(transport=Doubtful(arrives=arrives))
    remote = apart.node._remote
    assert remote is not None
    with apart.held(apart.mailbox()):
        for _ in range(3):
            with pytest.raises(TransportError, match="lost"):
                remote.said(bytes(32))
        apart.transport.tried |= {f"{apart.name}/holder/asks/{n}" for n in range(200)}
        assert any(isinstance(e, Released) for e in apart.run())


def test_what_strangers_wrote_is_read_once() -> None:
    """Else each look at the channel costs a signature check for each of them, and no wait ever waits."""

    class Counted(MemoryTransport):
        def __init__(self) -> None:
            super().__init__()
            self.starts, self.waits = list[int](), list[int]()

        def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
            self.starts.append(start)
            return super().fetch(channel, start=start)

        def wait(self, channel: str, *, start: int, timeout_s: float) -> None:
            self.waits.append(start)

    apart = Apart(transport=Counted())
    mailbox, stranger = apart.mailbox(), SigningKey.generate()
    for number in range(5):
        apart.transport.publish(f"{apart.name}/holder/asks/0", stranger.sign(ASK, bytes([number])).encode())
    for _ in range(3):
        assert mailbox.poll() == ""
        mailbox.wait()
    assert apart.transport.starts == [0, 5, 5]
    assert apart.transport.waits == [5, 5, 5]


def test_an_ask_that_no_transport_takes_blocks_no_other() -> None:
    """A record above the transport's limit is refused each time it is sent; what comes after it has its number."""

    class Small(MemoryTransport):
        def publish(self, channel: str, message: bytes) -> str:
            if "/holder/asks/" in channel and len(message) > 1 << 20:
                raise LimitExceeded("too long")
            return super().publish(channel, message)

    apart = Apart(transport=Small())
    remote = apart.node._remote
    assert remote is not None
    with apart.held(apart.mailbox()):
        with pytest.raises(LimitExceeded):
            remote.said(bytes(2 << 20))
        assert any(isinstance(e, Released) for e in apart.run())
