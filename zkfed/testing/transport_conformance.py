"""What every transport must do, as a suite of pytest that anybody runs over an adapter of their own.

    from zkfed.testing.transport_conformance import Medium, TransportConformance

    class TestMine(TransportConformance):
        @pytest.fixture
        def medium(self):
            server = start_it()
            yield Medium(open=lambda: MyTransport(server.address), restart=server.restart)
            server.stop()

`open` is called many times and connects each time anew to the same medium. The suite writes into
channels of its own only. It needs nothing but pytest and zkfed; a test whose hook is missing is
skipped and says which.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from zkfed.errors import LimitExceeded, TransportError, ZkfedError
from zkfed.layers.bridge import check_release
from zkfed.orchestrator.events import Released, RoundAbandoned
from zkfed.orchestrator.federation import Federation
from zkfed.policy import Improvement, LinearModel, RoundPolicy
from zkfed.ports import CHANNEL_CHARACTERS_MAX, Transport

__all__ = ["Medium", "TransportConformance"]


@dataclass(frozen=True)
class Medium:
    """How the suite reaches a transport.

    Attributes:
        open: Returns a transport to the medium, each time a new connection where there is one.
        restart: Takes the server down and up again with what it stored; None skips that test.
        message_bytes_max: The limit of one message that `open`'s transports have.
        close: Ends a connection.
        patience_s: How long a message may take to be seen by another reader.
    """

    open: Callable[[], Transport]
    restart: Callable[[], None] | None = None
    message_bytes_max: int = 1 << 26
    close: Callable[[Transport], None] = lambda transport: None
    patience_s: float = 10.0


def _expect(got: object, expected: object, what: str) -> None:
    if got != expected:
        pytest.fail(f"{what}: got {str(got)[:300]}, expected {str(expected)[:300]}")


class _Hostile:
    """A transport on which a stranger writes garbage, beside and before every honest message."""

    def __init__(self, honest: Transport, stranger: Transport) -> None:
        self.honest, self.stranger = honest, stranger

    def publish(self, channel: str, message: bytes) -> str:
        """Publishes garbage, a cut copy, and then the message."""
        for garbage in (secrets.token_bytes(40), message[: len(message) // 2], message + b"\0"):
            self.stranger.publish(channel, garbage)
        return self.honest.publish(channel, message)

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns all of it."""
        return self.honest.fetch(channel, start=start)


class TransportConformance:
    """Subclass it and give it a fixture `medium`."""

    @pytest.fixture
    def transport(self, medium: Medium) -> Iterator[Transport]:
        """One connection."""
        with self.connected(medium) as transport:
            yield transport

    @pytest.fixture
    def channel(self) -> str:
        """A channel that nobody has used."""
        return f"conformance/{secrets.token_hex(8)}"

    @staticmethod
    @contextlib.contextmanager
    def connected(medium: Medium) -> Iterator[Transport]:
        """Opens a connection and closes it."""
        transport = medium.open()
        try:
            yield transport
        finally:
            medium.close(transport)

    @staticmethod
    def seen(medium: Medium, transport: Transport, channel: str, count: int) -> tuple[bytes, ...]:
        """Returns a channel once it has `count` messages, or what it has when patience ends."""
        give_up_s = time.monotonic() + medium.patience_s
        while len(found := transport.fetch(channel)) < count and time.monotonic() < give_up_s:
            time.sleep(0.02)
        return found

    # -- bytes and their order --------------------------------------------------------------

    def test_it_is_a_transport(self, transport: Transport) -> None:
        """`publish` and `fetch` are there."""
        _expect(isinstance(transport, Transport), True, "isinstance(transport, Transport)")

    def test_a_channel_that_nobody_wrote_to_is_empty(self, transport: Transport, channel: str) -> None:
        """It needs no creation."""
        _expect(transport.fetch(channel), (), "an unused channel")

    def test_bytes_come_as_they_went_under_their_address(
        self, medium: Medium, transport: Transport, channel: str
    ) -> None:
        """Empty, binary and text-like messages, in the order of one writer."""
        messages = (b"", b"b", b"a", bytes(range(256)) * 3, b"\r\n.\r\n", b"\xff\xfe\x00")
        for message in messages:
            _expect(transport.publish(channel, message), hashlib.sha256(message).hexdigest(), "the address")
        _expect(self.seen(medium, transport, channel, len(messages)), messages, "the messages")

    def test_channels_do_not_mix(self, medium: Medium, transport: Transport, channel: str) -> None:
        """Neither with a channel below, nor with one whose name begins alike."""
        for name in (channel, f"{channel}/below", f"{channel}b"):
            transport.publish(name, name.encode())
        for name in (channel, f"{channel}/below", f"{channel}b"):
            _expect(self.seen(medium, transport, name, 1), (name.encode(),), name)

    def test_a_message_that_is_published_again_is_there_once(
        self, medium: Medium, transport: Transport, channel: str
    ) -> None:
        """A sender whose answer was lost repeats; so does another sender of the same bytes."""
        with self.connected(medium) as other:
            for writer in (transport, other, transport):
                for message in (b"x", b"y"):
                    writer.publish(channel, message)
            _expect(self.seen(medium, other, channel, 2), (b"x", b"y"), "two messages, published three times")

    def test_a_later_fetch_only_adds_at_the_end(self, medium: Medium, transport: Transport, channel: str) -> None:
        """What a reader has seen once stays in front, whoever writes; `start` skips exactly that."""
        with self.connected(medium) as other:
            before: tuple[bytes, ...] = ()
            for number in range(8):
                (transport, other)[number % 2].publish(channel, b"%d" % number)
                now = self.seen(medium, transport, channel, number + 1)
                _expect(now[: len(before)], before, "the front of a later fetch")
                _expect(transport.fetch(channel, start=len(before)), now[len(before) :], "fetch(start=...)")
                before = now
            _expect(transport.fetch(channel, start=100), (), "fetch beyond the end")

    def test_two_writers_at_once_lose_nothing(self, medium: Medium, transport: Transport, channel: str) -> None:
        """Threads over two connections."""
        with self.connected(medium) as other, ThreadPoolExecutor(4) as pool:
            messages = [b"%d" % number for number in range(40)]
            list(pool.map(lambda m: (transport, other)[m[-1] % 2].publish(channel, m), messages))
            _expect(sorted(self.seen(medium, other, channel, 40)), sorted(messages), "40 messages of 4 threads")

    def test_a_reader_that_starts_late_misses_nothing(self, medium: Medium, transport: Transport, channel: str) -> None:
        """It connects when everything has been said."""
        for number in range(5):
            transport.publish(channel, b"%d" % number)
        with self.connected(medium) as late:
            _expect(self.seen(medium, late, channel, 5), tuple(b"%d" % n for n in range(5)), "what a late reader sees")

    # -- limits -----------------------------------------------------------------------------

    def test_a_message_of_some_megabytes_and_one_at_the_limit(
        self, medium: Medium, transport: Transport, channel: str
    ) -> None:
        """Whatever the medium's own limit is: a transport cuts and joins."""
        sizes = {min(3 * (1 << 20) + 17, medium.message_bytes_max), min(medium.message_bytes_max, 1 << 23)}
        messages = [secrets.token_bytes(size) for size in sorted(sizes)]
        for message in messages:
            transport.publish(channel, message)
        found = self.seen(medium, transport, channel, len(messages))
        _expect([len(m) for m in found], [len(m) for m in messages], "sizes")
        _expect(list(found) == messages, True, "the same bytes")

    def test_a_message_above_the_limit_is_refused_and_leaves_nothing(
        self, medium: Medium, transport: Transport, channel: str
    ) -> None:
        """By `LimitExceeded`, before anything is sent; the next honest message goes through."""
        with pytest.raises(LimitExceeded):
            transport.publish(channel, bytes(medium.message_bytes_max + 1))
        transport.publish(channel, b"honest")
        _expect(self.seen(medium, transport, channel, 1), (b"honest",), "after a refusal")

    @pytest.mark.parametrize(
        "name", ["", "/", "a//b", "a/", "A", "a b", "..", "a/../b", "a.b", "a*", "a>", "a+", "a#", "a\n", "é", "a?x=1"]
    )
    def test_a_malformed_channel_is_refused(self, transport: Transport, name: str) -> None:
        """None of the medium's own special characters gets through."""
        for call in (lambda: transport.publish(name, b"x"), lambda: transport.fetch(name)):
            with pytest.raises(TransportError):
                call()

    def test_a_name_that_is_too_long_and_wrong_types_are_refused(self, transport: Transport, channel: str) -> None:
        """Misuse is a TypeError or ValueError."""
        with pytest.raises(TransportError):
            transport.publish("a" * (CHANNEL_CHARACTERS_MAX + 1), b"x")
        with pytest.raises(TypeError):
            transport.publish(channel, "text")  # type: ignore[arg-type]
        for start in (-1, 1.5, True):
            with pytest.raises(ValueError):
                transport.fetch(channel, start=start)  # type: ignore[arg-type]

    def test_the_longest_name_works(self, medium: Medium, transport: Transport) -> None:
        """200 characters."""
        name = (secrets.token_hex(8) + "-" * CHANNEL_CHARACTERS_MAX)[:CHANNEL_CHARACTERS_MAX]
        transport.publish(name, b"x")
        _expect(self.seen(medium, transport, name, 1), (b"x",), "a long name")

    # -- trouble ----------------------------------------------------------------------------

    def test_a_writer_that_is_faster_than_its_reader_loses_nothing(
        self, medium: Medium, transport: Transport, channel: str
    ) -> None:
        """Either everything arrives, or the writer was told by a typed error."""
        taken, size = list[bytes](), min(1 << 16, medium.message_bytes_max)

        def write() -> None:
            for number in range(100):
                message = number.to_bytes(4, "big") + bytes(size - 4)
                with contextlib.suppress(ZkfedError):
                    transport.publish(channel, message)
                    taken.append(message)

        writer = threading.Thread(target=write)
        writer.start()
        with self.connected(medium) as reader:
            while writer.is_alive():
                reader.fetch(channel)
                time.sleep(0.05)
            writer.join()
            found = self.seen(medium, reader, channel, len(taken))
        _expect(found == tuple(taken), True, f"{len(taken)} messages were taken, {len(found)} came")

    def test_a_restart_of_the_server_loses_nothing_and_connections_come_back(
        self, medium: Medium, transport: Transport, channel: str
    ) -> None:
        """The same transport object goes on; what was taken is still there."""
        if medium.restart is None:
            pytest.skip("Medium(restart=...) is not given: this medium has no server, or keeps nothing")
        transport.publish(channel, b"before")
        medium.restart()
        transport.publish(channel, b"after")
        _expect(self.seen(medium, transport, channel, 2), (b"before", b"after"), "around a restart")
        with self.connected(medium) as late:
            _expect(self.seen(medium, late, channel, 2), (b"before", b"after"), "for a reader that comes after it")

    # -- a federation over it ---------------------------------------------------------------

    def test_a_round_finishes_and_can_be_checked(self, medium: Medium, transport: Transport) -> None:
        """Every kind of message of a round crosses the transport."""
        self._round(medium, transport)

    def test_a_round_finishes_although_a_stranger_writes_into_every_channel(
        self, medium: Medium, transport: Transport
    ) -> None:
        """Garbage and cut copies beside every kind of message are refused, and keep nobody out."""
        with self.connected(medium) as stranger:
            self._round(medium, _Hostile(transport, stranger))

    @staticmethod
    def _round(medium: Medium, transport: Transport) -> None:
        if medium.message_bytes_max < 1 << 20:
            pytest.skip("an encrypted update needs about a megabyte: raise message_bytes_max")
        statement = Improvement(model=LinearModel(features=2, classes=1), rows=8, at_least="1%")
        policy = RoundPolicy(
            statement=statement, clip_norm=1.0, epsilon=2.0, delta=1e-6, min_clients=2, epsilon_max=10.0
        )  # fmt: skip
        federation = Federation(policy, 2, transport=transport)
        events = list(federation.run(rounds=1))
        _expect([e.accepted for e in events if isinstance(e, Released)], [2], "updates in the released sum")
        _expect([str(e) for e in events if isinstance(e, RoundAbandoned)], [], "abandoned rounds")
        check_release(federation.transcript)
