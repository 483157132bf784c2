"""Moves messages between the parties over a transport, and asks many devices at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from zkfed.errors import LimitExceeded, TransportError
from zkfed.orchestrator.client import Client
from zkfed.orchestrator.notes import fault_of
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport

__all__ = ["WAIT_S", "ask", "federation_name", "send"]

WAIT_S = 10.0
"""How long a transport that can wait is asked to, at a time."""


def federation_name(policy: RoundPolicy) -> str:
    """Returns the first segment of a federation's channels: 32 digits of its pinned policy's digest."""
    return policy.digest.hex()[:32]


def send(transport: Transport, channel: str, message: bytes) -> bytes:
    """Moves one message through a transport and returns what arrived under its address.

    Raises:
        TransportError: It did not arrive.
    """
    address = transport.publish(channel, message)
    for arrived in reversed(transport.fetch(channel)):  # it is among the last to come
        if hashlib.sha256(arrived).hexdigest() == address:
            return arrived
    raise TransportError(f"a message published to {channel} did not arrive")


def ask(
    clients: Sequence[Client], call: Callable[[Client], bytes], publish: Callable[[bytes], object], *, workers: int
) -> Iterator[tuple[Client, bytes, tuple[str, str] | None]]:
    """Asks devices in threads, publishes what they answer, and yields (device, answer, fault).

    One device that fails, or answers what no transport carries, does not stop the others.
    """

    def answer(client: Client) -> tuple[bytes, Exception | None]:
        try:
            return call(client), None
        except Exception as error:  # noqa: BLE001 - a device runs other people's training code
            return b"", error

    with ThreadPoolExecutor(workers) as pool:
        for client, (message, error) in zip(clients, pool.map(answer, clients), strict=True):
            fault = None if error is None else fault_of(error)
            try:
                if message:
                    publish(message)
            except (LimitExceeded, TypeError) as refused:
                fault = fault_of(refused)
            yield client, message, fault
