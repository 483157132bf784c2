"""What a community node asks of devices, and what comes back: bytes for whatever host carries them.

    Ask      node -> devices   one request for all, and a few bytes for each one
    Replies  devices -> node   messages, from anybody, in the order of arrival

A host that can carry a request to a device and an answer back can carry a federation. It decides
nothing and is trusted with nothing: every message is signed, sealed or public.

    enrol      who takes part                          -> a signature under the device's key
    register   S1: the rows that it may be asked about -> a signed registration
    join       train and commit                        -> a signed commit, or "sits out"
    round      train, commit, prove and seal at once   -> both; for hosts with one exchange a round
    look       S1: the rows that the beacon drew       -> nothing, or "sits out"
    seal       prove and encrypt                       -> a sealed update
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, excerpt
from zkfed.orchestrator.events import Event
from zkfed.updates.messages import MESSAGE_BYTES_MAX

__all__ = ["ASKS", "Answer", "Ask", "Fault", "Replies", "Step", "Steps", "asked_kind", "drive"]

ASKS: dict[str, tuple[str, ...]] = {
    "enrol": ("policy",),
    "register": ("policy", "enrolled", "registration_key"),
    "join": ("head", "announcement", "encryption_key", "base", "previous"),
    "round": ("head", "announcement", "encryption_key", "base", "previous"),
    "look": ("reveals",),
    "seal": ("announcement", "encryption_key"),
}
"""The parts of each kind of request, in the order of their bytes."""


@dataclass(frozen=True)
class Ask:
    """What a node wants from devices now.

    Attributes:
        kind: One of `ASKS`.
        clients: Public keys (hex) of who is asked; empty for "enrol": everybody whom the host knows.
        parts: What the request says, by name; lists are encoded already.
        own: By client, a few bytes for it alone: the adders' receipt for its commit.
        round: Counted from 1; 0 before the first.
        attempt: Of the round, counted from 1.
        group: Of a repeated attempt, counted from 0.
        channel: Where a transport collects the answers.
    """

    kind: str
    clients: tuple[str, ...]
    parts: Mapping[str, bytes] = field(repr=False)
    own: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    round: int = 0
    attempt: int = 1
    group: int = 0
    channel: str = ""

    @property
    def request(self) -> bytes:
        """The same bytes for every device; `Member.handle` takes them."""
        w = Writer(f"zkfed/v1/ask-{self.kind}")
        for name in ASKS[self.kind]:
            w.bytes(self.parts[name])
        return w.finish()

    @classmethod
    def decode(cls, data: bytes) -> Ask:
        """Reads a request; who was asked, and what was for one device alone, is not in it.

        Raises:
            DecodeError, LimitExceeded: Not a canonical request.
        """
        kind = asked_kind(data)
        r = Reader(data, f"zkfed/v1/ask-{kind}", MESSAGE_BYTES_MAX)
        parts = {name: r.bytes() for name in ASKS[kind]}
        r.finish()
        return cls(kind, (), parts)


def asked_kind(data: bytes) -> str:
    """Returns the kind of a request from its first bytes.

    Raises:
        DecodeError: It is none.
    """
    for kind in ASKS:
        tag = f"zkfed/v1/ask-{kind}".encode()
        if data.startswith(len(tag).to_bytes(4, "big") + tag):
            return kind
    raise DecodeError(f"expected a node's request, got {excerpt(data[:64])}")


@dataclass(frozen=True)
class Fault:
    """A device that could not be asked, or that failed.

    Attributes:
        client: Its public key (hex), or the name by which the host knows it.
        code: Of the error; "no-answer", "host-failed" and "device-failed" are of no error.
        reason: For people; holds nothing of the device's data.
    """

    client: str
    code: str
    reason: str


@dataclass(frozen=True)
class Replies:
    """What came back; nothing in it is trusted.

    Attributes:
        messages: Answers of `Member.handle`, from anybody, in the order of arrival.
        faults: Devices that could not be asked, or that failed.
    """

    messages: tuple[bytes, ...] = field(default=(), repr=False)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A commit and the sealed update to it, in one message."""

    commit: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    def encode(self) -> bytes:
        return Writer("zkfed/v1/answer").bytes(self.commit).bytes(self.sealed).finish()

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Reads an answer; raises DecodeError or LimitExceeded."""
        r = Reader(data, "zkfed/v1/answer", MESSAGE_BYTES_MAX)
        out = cls(r.bytes(limit=4096), r.bytes())
        r.finish()
        return out


Step: TypeAlias = Event | Ask
Steps: TypeAlias = Generator[Step, Replies | None, None]
"""Events to show, and asks to answer by `send(Replies(...))`; after an event, `send(None)`."""


def drive(steps: Steps, carry: Callable[[Ask], Generator[Event, None, Replies]]) -> Iterator[Event]:
    """Runs a node's steps to their end and yields their events, and those of `carry`, which answers the asks."""
    replies = None
    try:
        while True:
            step = steps.send(replies)
            if isinstance(step, Ask):
                replies = yield from carry(step)
            else:
                replies = None
                yield step
    except StopIteration:
        return
    finally:
        steps.close()
