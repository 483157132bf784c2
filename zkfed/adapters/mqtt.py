"""A transport over an MQTT broker, on retained messages.

    pip install 'zkfed[mqtt]'

MQTT keeps no history, but it keeps the last retained message of each topic. So every item has a
topic of its own, PREFIX/WRITER/CHANNEL/SHA-256, and a reader that comes late gets them all when it
subscribes. Messages above 1 MiB travel in pieces; see `zkfed.orchestrator.pieces`.

What MQTT does not promise, and what is done about it:

- An order over several writers. Each item carries its writer's clock; whatever has come when a
  reader fetches is put in the order of these clocks, behind what this reader was given before. Two
  readers may see two orders, and a wrong clock moves its own messages only.
- That a topic stays: whoever may write to it can replace or empty it. The level WRITER is there for
  the broker's rules, so that every user writes below its own name only.
- That what was acknowledged is on the broker's disk; that is the broker's configuration.
- That a refusal by such a rule is told (MQTT 3.1.1): each new connection checks that it may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zkfed.errors import LimitExceeded, TransportError, excerpt
from zkfed.orchestrator.background import Background, read_url
from zkfed.orchestrator.pieces import Joiner, cut
from zkfed.ports import CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX, check_channel, check_start, message_digest

if TYPE_CHECKING:
    import aiomqtt

__all__ = ["MqttTransport"]

_ITEM_BYTES_MAX = (1 << 20) - 1024  # with its topic below 1 MiB, the limit of common brokers
_CLOCK_BYTES = 8
_ECHO_S_MAX = 5.0
_KEEPALIVE_S = 5  # paho also waits that long for a TLS handshake, and nothing can interrupt it
_NOT_THIS_USER = (4, 5, 134, 135)  # as MQTT 3.1.1 and 5 number it
_REFUSED = 128  # a subscription's answer from here on


@dataclass
class _Session:
    client: aiomqtt.Client
    lost: asyncio.Future[None]  # the task that takes what arrives
    echoes: dict[bytes, asyncio.Future[None]]
    channels: set[str] = field(default_factory=set)


@dataclass
class _Log:
    """What came of a channel; `order` is what `fetch` has returned, `clocks` what it has not."""

    joiner: Joiner
    order: list[str] = field(default_factory=list)
    clocks: dict[str, int] = field(default_factory=dict)
    full: LimitExceeded | None = None

    def take(self, clock: int, item: bytes) -> None:
        try:
            taken = self.joiner.add(item)
        except LimitExceeded as error:
            self.full = error
            return
        if taken is not None and taken[0] in self.joiner.messages:
            address, completed = taken
            if completed or address in self.clocks:  # the earliest of several writers of the same
                self.clocks[address] = min(clock, self.clocks.get(address, clock))

    def messages(self, start: int) -> tuple[bytes, ...]:
        if self.full is not None:
            raise self.full
        self.order += sorted(self.clocks, key=lambda address: (self.clocks[address], address))
        self.clocks.clear()
        return tuple(self.joiner.messages[address] for address in self.order[start:])


class MqttTransport:
    """Implements `zkfed.ports.Transport` on an MQTT broker; threads may share it.

    It keeps the channels that it fetched in memory.

    Args:
        url: mqtt://HOST:PORT or mqtts://HOST:PORT, with USER:PASSWORD@ before the host. The user is
            the level WRITER of what is published; without one it is drawn.
        prefix: The first level of every topic; a-z, 0-9, "_" and "-".
        tls: What certificates are trusted; with it, or with mqtts://, nothing is sent in the clear.
        timeout_s: How long one call may take in all, new connections included.
        message_bytes_max: The limit of one message.

    Attributes:
        channel_bytes_max: The limit of all messages of one channel, for this reader.

    Raises:
        TransportError: The URL or the prefix is malformed, or aiomqtt is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "zkfed",
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 30.0,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        try:
            import aiomqtt
        except ImportError:
            raise TransportError("MQTT needs aiomqtt: pip install 'zkfed[mqtt]'") from None
        self._url = read_url(url, {"mqtt": 1883, "mqtts": 8883})
        if re.fullmatch(r"[a-z0-9_-]{1,100}", prefix) is None:
            raise TransportError(f"prefix {excerpt(prefix, 80)!r}: expected 1 to 100 of a-z, 0-9, '_' and '-'")
        self._writer = secrets.token_hex(8) if self._url.user is None else self._url.user
        if re.fullmatch(r"[A-Za-z0-9_.@=-]{1,100}", self._writer) is None:
            raise TransportError("the user is a level of topics: expected 1 to 100 of A-Z, a-z, 0-9, '_.@=-'")
        self.prefix, self.message_bytes_max, self.channel_bytes_max = prefix, message_bytes_max, CHANNEL_BYTES_MAX
        self._tls = ssl.create_default_context() if tls is None and self._url.scheme == "mqtts" else tls
        self._timeout_s = timeout_s
        self._logs: dict[str, _Log] = {}  # touched in the loop's thread only, as are the clocks
        self._clock, self._clocks = 0, dict[str, int]()  # of what was published: repeating it is the same bytes
        self._background: Background[_Session] = Background(
            self._url, self._connect, self._disconnect, faults=(aiomqtt.MqttError,), timeout_s=timeout_s
        )

    def __repr__(self) -> str:
        return f"MqttTransport({str(self._url)!r}, prefix={self.prefix!r})"

    def close(self) -> None:
        """Closes the connection and ends its thread."""
        self._background.close()

    def publish(self, channel: str, message: bytes) -> str:
        """Puts one message into a channel and returns its address; see `Transport.publish`."""
        check_channel(channel)
        address = message_digest(message, self.message_bytes_max)
        items = cut(message, _ITEM_BYTES_MAX - _CLOCK_BYTES)

        async def put(session: _Session) -> None:
            key = f"{channel}/{address}"
            if key not in self._clocks:
                self._clock = self._clocks[key] = max(time.time_ns(), self._clock + 1)
            clock = self._clocks[key].to_bytes(_CLOCK_BYTES, "big")
            for item in items:
                topic = f"{self.prefix}/{self._writer}/{channel}/{hashlib.sha256(item).hexdigest()}"
                await session.client.publish(topic, clock + item, qos=1, retain=True, timeout=self._timeout_s)

        self._background.call(put)
        return address

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns the messages of a channel, ordered as the module says; see `Transport.fetch`."""
        check_channel(channel)
        check_start(start)

        async def read(session: _Session) -> tuple[bytes, ...]:
            if channel not in self._logs:
                self._logs[channel] = _Log(Joiner(self.message_bytes_max, self.channel_bytes_max))
            if channel not in session.channels:
                await self._subscribe(session, f"{self.prefix}/+/{channel}/+")
                session.channels.add(channel)
            await self._echo(session)  # what the broker had before comes before
            return self._logs[channel].messages(start)

        return self._background.call(read)

    async def _subscribe(self, session: _Session, topics: str) -> None:
        codes = await session.client.subscribe(topics, qos=1, timeout=self._timeout_s)
        if _number(next(iter(codes), _REFUSED)) >= _REFUSED:
            raise TransportError(f"{self._url} refuses to let this user read {topics}; its rules have to allow it")

    async def _echo(self, session: _Session) -> None:
        """Waits until the broker has sent back a message of ours, and so all that was due before it."""
        mark = secrets.token_bytes(16)
        echo = session.echoes[mark] = asyncio.get_running_loop().create_future()
        try:
            await session.client.publish(f"{self.prefix}/{self._writer}/~", mark, qos=1, timeout=self._timeout_s)
            await echo
        finally:
            session.echoes.pop(mark, None)

    async def _take(self, client: aiomqtt.Client, echoes: dict[bytes, asyncio.Future[None]]) -> None:
        """Sorts what arrives into channels, until the connection ends."""
        import aiomqtt

        with contextlib.suppress(aiomqtt.MqttError):
            async for message in client.messages:
                levels, payload = message.topic.value.split("/"), message.payload
                log, echo = self._logs.get("/".join(levels[2:-1])), echoes.get(payload)
                if len(levels) == 3 and echo is not None and not echo.done():
                    echo.set_result(None)
                elif log is not None and len(payload) > _CLOCK_BYTES:
                    log.take(int.from_bytes(payload[:_CLOCK_BYTES], "big"), payload[_CLOCK_BYTES:])

    async def _connect(self) -> _Session:
        import aiomqtt

        quick = min(_ECHO_S_MAX, self._timeout_s / 2)
        client = aiomqtt.Client(
            self._url.host, self._url.port, username=self._url.user, password=self._url.password,
            tls_context=self._tls, timeout=quick, keepalive=_KEEPALIVE_S, identifier=f"zkfed-{secrets.token_hex(8)}",
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # else an answer waits 40 ms
        )  # fmt: skip
        try:
            await client.__aenter__()
        except (aiomqtt.MqttError, asyncio.CancelledError) as fault:
            client._client._sock_close()  # aiomqtt leaves it open when a broker does not answer
            if _number(getattr(fault, "rc", None)) in _NOT_THIS_USER:
                raise TransportError(f"{self._url} refuses this user or password; check them") from None
            if "CERTIFICATE_VERIFY_FAILED" in str(fault):
                raise TransportError(f"{self._url} has no certificate that fits: {excerpt(str(fault), 160)}") from None
            raise
        echoes: dict[bytes, asyncio.Future[None]] = {}
        session = _Session(client, asyncio.ensure_future(self._take(client, echoes)), echoes)
        try:
            async with asyncio.timeout(quick):
                await self._subscribe(session, f"{self.prefix}/{self._writer}/~")
                await self._echo(session)
        except BaseException as fault:
            await self._disconnect(session)  # leaves nothing behind
            if not isinstance(fault, TimeoutError):
                raise
            raise TransportError(
                f"{self._url} sends nothing back that is written to {self.prefix}/{self._writer}/~; its rules "
                f"have to let this user write {self.prefix}/{self._writer}/# and read {self.prefix}/#"
            ) from None
        return session

    async def _disconnect(self, session: _Session) -> None:
        import aiomqtt

        with contextlib.suppress(aiomqtt.MqttError):
            await session.client.__aexit__(None, None, None)
        session.lost.cancel()
        await asyncio.gather(session.lost, return_exceptions=True)


def _number(code: object) -> int:
    """Returns a broker's answer as a number; paho has a class for it, and brokers may say nothing."""
    value = getattr(code, "value", code)
    return value if isinstance(value, int) else 0
