"""What the orchestrator needs from outside, as protocols; zkfed/adapters/ has the implementations.

A transport moves opaque bytes and is trusted with nothing. Whoever runs it, or can write into it,
may read every message, withhold it, deliver it late, in another order, or beside messages of its
own. So receivers check signatures, rounds and nullifiers themselves, and take the order as a hint.
What a transport does promise: bytes arrive as they were published, or `IntegrityError`; one
message is delivered once per channel, however often it was published.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

from zkfed.errors import LimitExceeded, TransportError, excerpt

__all__ = [
    "CHANNEL_BYTES_MAX",
    "CHANNEL_CHARACTERS_MAX",
    "MESSAGE_BYTES_MAX",
    "Counted",
    "Executor",
    "Paged",
    "Transport",
    "Waiting",
    "check_channel",
    "check_start",
    "message_digest",
    "wait_for",
]

MESSAGE_BYTES_MAX = 1 << 26
"""The default limit of one message."""
CHANNEL_BYTES_MAX = 1 << 30
"""The default limit of all messages of one channel, since `fetch` returns them together."""
CHANNEL_CHARACTERS_MAX = 200

_CHANNEL = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")


@runtime_checkable
class Transport(Protocol):
    """Moves opaque bytes between roles, by channel.

    A channel is a name such as "round/7/commits": segments of a-z, 0-9, "_" and "-", joined by
    "/", at most 200 characters. A message's address is its SHA-256.
    """

    def publish(self, channel: str, message: bytes) -> str:
        """Puts one message into a channel, durably, and returns its address.

        Publishing the same bytes again changes nothing, so a sender that is not sure repeats.

        Args:
            channel: Where to put it; it needs no creation.
            message: 0 to `message_bytes_max` bytes.

        Returns:
            SHA-256 of the message, 64 hexadecimal digits.

        Raises:
            LimitExceeded: The message, or the channel with it, is above the limit.
            TransportError: The channel's name is malformed, or the medium failed; nothing was
                published.
        """
        ...

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns the messages of a channel, each once, in the order of arrival.

        What was returned once stays at the front, as long as nobody tampers with the medium: a
        later fetch only adds at the end. A channel that nobody wrote to is empty.

        Args:
            channel: Where to look.
            start: How many messages to skip from the front: those that were fetched before.

        Raises:
            ValueError: `start` is negative.
            IntegrityError: What is stored does not match its address.
            LimitExceeded: A stored message, or the channel, is above the limit.
            TransportError: The channel's name is malformed, or the medium failed.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs works of zkfed elsewhere: in other processes, on other machines.

    A work is a name that `zkfed.orchestrator.works` knows; what goes in and comes out is bytes. An
    executor promises one answer a payload, in order, and repeats what a lost worker had not
    answered: a work has no effect but its answer, so repeating it is safe. Devices that prove in
    threads call `map` from several at once.
    """

    def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the answer to each payload, in their order.

        Args:
            work: "check" or "add"; of devices "prove" or "register", whose payloads are secret.
            payloads: What `zkfed.orchestrator.fan_out` or `zkfed.orchestrator.proving` has written.

        Raises:
            TransportError: Workers were lost more often than the executor repeats, or cannot be
                reached.
        """
        ...


@runtime_checkable
class Counted(Protocol):
    """What a transport may have besides: saying how many messages there are without reading them."""

    def count(self, channel: str) -> int:
        """Returns how many messages `fetch` would return; raises as `fetch`, but for what only reading shows."""
        ...


@runtime_checkable
class Paged(Protocol):
    """What a transport may have besides: handing out the first of many messages without reading the others."""

    def page(self, channel: str, *, start: int, bytes_max: int) -> tuple[bytes, ...]:
        """Returns what `fetch` would, but ends with the message that reaches `bytes_max`; raises as `fetch`."""
        ...


@runtime_checkable
class Waiting(Protocol):
    """What a transport may have besides: waiting for a message without asking again and again."""

    def wait(self, channel: str, *, start: int, timeout_s: float) -> None:
        """Returns when a channel may have more than `start` messages, or after `timeout_s` seconds, or before.

        Raises:
            TransportError: The channel's name is malformed, or the medium failed.
        """
        ...


def wait_for(transport: Transport, channel: str, *, start: int, timeout_s: float, pause: Callable[[], None]) -> None:
    """Waits on a transport that can, and takes a pause on one that cannot; raises as `Waiting.wait`."""
    if isinstance(transport, Waiting):
        transport.wait(channel, start=start, timeout_s=timeout_s)
    else:
        pause()


def check_channel(channel: str) -> tuple[str, ...]:
    """Returns the segments of a channel's name.

    Raises:
        TypeError: Not a string.
        TransportError: Not segments of a-z, 0-9, "_" and "-" joined by "/", or too long.
    """
    if not isinstance(channel, str):
        raise TypeError(f"a channel is a str, got {type(channel).__name__}")
    if len(channel) > CHANNEL_CHARACTERS_MAX or _CHANNEL.fullmatch(channel) is None:
        raise TransportError(
            f"{excerpt(channel, 80)!r} is no channel; expected segments of a-z, 0-9, '_' and '-' "
            f"joined by '/', at most {CHANNEL_CHARACTERS_MAX} characters"
        )
    return tuple(channel.split("/"))


def check_start(start: int) -> None:
    """Raises ValueError unless `start` is a number of messages to skip."""
    if type(start) is not int or start < 0:
        raise ValueError(f"start is {start!r}, expected an int of at least 0")


def message_digest(message: bytes, maximum: int) -> str:
    """Returns a message's address, SHA-256 in hexadecimal, after checking its size.

    Raises:
        TypeError: Not bytes.
        LimitExceeded: More than `maximum` bytes.
    """
    if not isinstance(message, bytes):
        raise TypeError(f"a message is bytes, got {type(message).__name__}")
    if len(message) > maximum:
        raise LimitExceeded(f"a message of {len(message)} bytes, at most {maximum} are carried")
    return hashlib.sha256(message).hexdigest()
