"""A host in its smallest form: it carries a node's asks to members in this process, and their answers back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.layers.counts import count_keys, count_policy
from tests.layers.own_rows import interpolating, own_keys, own_policy, own_shards
from tests.layers.parties import ROWS, make_policy, proving_keys
from zkfed.errors import TransportError, ZkfedError
from zkfed.orchestrator.calls import Ask, Fault, Replies, Steps
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.events import Event
from zkfed.orchestrator.holding import HolderMailbox
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.updates.signing import SigningKey

Change = Callable[[Ask, list[bytes]], list[bytes]]


def as_is(ask: Ask, messages: list[bytes]) -> list[bytes]:
    return messages


def carry(steps: Steps, members: Sequence[Member], change: Change = as_is) -> list[Event]:
    """Runs a node's generator to its end; `change` stands for whoever sits on the way back."""
    events, replies = [], None
    while True:
        try:
            step = steps.send(replies)
        except StopIteration:
            return events
        replies = None
        if isinstance(step, Ask):
            replies = answers(step, members, change)
        else:
            events.append(step)


def answers(ask: Ask, members: Sequence[Member], change: Change) -> Replies:
    messages, faults = [], []
    for member in members:
        name = member.public_key.hex()
        if ask.clients and name not in ask.clients:
            continue
        try:
            messages.append(member.handle(ask.request, ask.own.get(name, b"")))
        except ZkfedError as error:
            faults.append(Fault(name, error.code, str(error)))
    return Replies(tuple(change(ask, [m for m in messages if m])), tuple(faults))


@contextlib.contextmanager
def held(mailbox: HolderMailbox, end: Callable[[], None]) -> Iterator[list[TransportError]]:
    """Runs a key holder in a thread until `end` has told it that the node goes; yields what its transport raised."""
    failures: list[TransportError] = []

    def hold() -> None:
        while not mailbox.is_over:
            try:
                if not mailbox.poll():
                    mailbox.wait(0.001)
            except TransportError as error:
                failures.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield failures
    finally:
        end()
        thread.join(30)
        assert not thread.is_alive()


def ingredients(kind: str, devices: int) -> tuple[Any, Any, list[Any], Any, Any]:
    """Returns policy, keys, shards, benchmark and training of a small federation of one statement."""
    if kind == "S1":
        return own_policy(), own_keys(), own_shards(devices), None, interpolating
    if kind == "S4":
        policy = count_policy()
        shards = list(np.identity(policy.model.parameters, dtype=np.int64)[np.arange(devices) % 2])
        return policy, count_keys(), shards, None, proximal_least_squares
    policy = make_policy()
    shards, benchmark = synthetic_cohort(policy.model, devices, ROWS)
    return policy, proving_keys(), shards, benchmark, proximal_least_squares


def federation(kind: str = "S2", devices: int = 3, **options: Any) -> tuple[Node, list[Member]]:
    """Returns a node and members of one statement, small, with shared development keys."""
    policy, keys, shards, benchmark, train = ingredients(kind, devices)
    provers = Provers(policy, keys)
    members = [Member(provers, shard, key=SigningKey.generate(), train=train) for shard in shards]
    return Node(policy, benchmark, options=Options(keys=keys, **options)), members
