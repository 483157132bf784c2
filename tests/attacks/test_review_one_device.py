"""Review: one device, or one impatient caller, does not stop a federation for good.

Before, a device whose training failed, or that answered with more than a transport carries, ended
the round in an exception, and every later `run` said that a round was open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import make_policy, proving_keys
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import TransportError
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.layers.transcript import released_sums
from zkfed.local import LocalFederation
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.events import Progress, Refused, Released
from zkfed.orchestrator.federation import Options

LIMIT = 1 << 20
ROW = 0.123456789


class TooLong(Client):
    def join(self, *args: Any, **kwargs: Any) -> bytes:
        return bytes(LIMIT + 1)


class TooLongSeal(Client):
    def seal(self, *args: Any, **kwargs: Any) -> bytes:
        return bytes(LIMIT + 1)


class NoBytes(Client):
    def seal(self, *args: Any, **kwargs: Any) -> Any:
        return "an update"


class Nothing(Client):
    def seal(self, *args: Any, **kwargs: Any) -> bytes:
        return b""


class Talkative(Client):
    def join(self, *args: Any, **kwargs: Any) -> bytes:
        raise ArithmeticError(f"diverged at the row {ROW}")


class Diverged(Client):
    def __init__(self, device: Device, shard: Shard) -> None:
        super().__init__(device, Shard(np.full_like(shard.features, np.nan), shard.labels))


def federation(make: Callable[[int, Device, Shard], Client] | None = None) -> LocalFederation:
    transport = MemoryTransport(message_bytes_max=LIMIT)
    return LocalFederation(make_policy(), 3, transport=transport, options=Options(make, proving_keys()))


@pytest.mark.parametrize("kind", [TooLong, TooLongSeal, NoBytes, Nothing, Talkative, Diverged])
def test_the_others_go_on_and_the_device_is_named(kind: type[Client]) -> None:
    fed = federation(lambda i, device, shard: kind(device, shard) if i == 1 else Client(device, shard))
    for number in (1, 2):
        events = list(fed.run(1))
        refused = [e.verdict for e in events if isinstance(e, Refused)]
        assert [fed.index_of(v.client) for v in refused] == [1]
        assert str(ROW) not in "".join(map(str, events))
        assert isinstance(events[-1], Released)
        assert (events[-1].round, events[-1].accepted) == (number, 2)
    check_release(fed.transcript)


@pytest.mark.parametrize("stage", ["commit", "seal", "check", None])
def test_a_federation_that_was_stopped_goes_on_with_the_next_round(stage: str | None) -> None:
    fed = federation()
    for event in fed.run(1):
        if stage is None or (isinstance(event, Progress) and event.stage == stage):
            break
    # Nothing was opened yet, so nothing is spent; what was announced stays on record as broken off.
    assert fed.spending.view("holder").attempts == 0
    assert len(fed.transcript.rounds) == (stage is not None)
    before = fed.base.copy()
    assert isinstance([*fed.run(1)][-1], Released)
    assert (fed.base != before).any()
    assert fed.spending.view("holder").attempts == 1
    check_release(fed.transcript)


def test_an_attempt_that_was_opened_is_spent_even_if_its_outcome_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = federation()
    honest = fed._holder.open

    def opened_and_lost(*args: Any, **kwargs: Any) -> bytes:
        honest(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(fed._holder, "open", opened_and_lost)
    with pytest.raises(KeyboardInterrupt):
        list(fed.run(1))
    assert fed.spending.view("holder").attempts == 1
    # The key holder knows what it released: it stands in the record, and the model has moved.
    assert len(list(released_sums(fed.transcript.rounds[0]))) == 1
    monkeypatch.undo()
    assert isinstance([*fed.run(1)][-1], Released)
    assert fed.spending.view("holder").attempts == 2
    check_release(fed.transcript)


class BreaksAfter(MemoryTransport):
    """Delivers the sum to the key holder, and fails when it is asked whether it arrived."""

    def fetch(self, channel: str) -> tuple[bytes, ...]:
        if channel.endswith("to-key-holder"):
            raise TransportError("the cable is cut")
        return super().fetch(channel)


def test_a_sum_that_the_key_holder_may_have_is_charged() -> None:
    fed = LocalFederation(make_policy(), 3, transport=BreaksAfter(), options=Options(keys=proving_keys()))
    for number in (1, 2):
        with pytest.raises(TransportError):
            list(fed.run(1))
        assert fed.spending.view("holder").attempts == number
    check_release(fed.transcript)
