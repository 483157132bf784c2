"""A transport over NATS with JetStream, which keeps messages and one order for all readers.

    pip install 'zkfed[nats]'

One stream per prefix holds every channel; "round/7/commits" is the subject PREFIX.round.7.commits.
Messages above the server's `max_payload` travel in pieces; see `zkfed.orchestrator.pieces`. Two
writers of the same bytes are told apart from two messages by `Nats-Msg-Id`, which anybody may set: so
when the server calls an item a duplicate, the transport looks at what is stored instead.

Whoever may use the server's JetStream API can delete the stream: its permissions decide.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import ssl
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zkfed.errors import LimitExceeded, TransportError, excerpt
from zkfed.orchestrator.background import Background, read_url
from zkfed.orchestrator.pieces import Joiner, cut
from zkfed.ports import CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX, check_channel, check_start, message_digest

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

__all__ = ["NatsTransport"]

_ITEM_BYTES_MAX = 1 << 20
_HEADERS_BYTES = 512
_PAYLOAD_BYTES_MIN = 4096
_KEPT_BYTES_MAX = 1 << 28
"""Of all channels that were fetched; beyond it, those used least recently are read anew next time."""


@dataclass
class _Session:
    client: Client
    jetstream: JetStreamContext
    direct: bool
    item_bytes_max: int
    lost: asyncio.Future[None]


@dataclass
class _Log:
    """What was read of a channel."""

    joiner: Joiner
    last: int = 0  # place in the stream of the last item that was read
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class NatsTransport:
    """Implements `zkfed.ports.Transport` on a NATS server; threads may share it.

    Args:
        url: nats://HOST:PORT or tls://HOST:PORT, with USER:PASSWORD@ or TOKEN@ before the host.
        prefix: Names the stream and begins every subject; a-z, 0-9, "_" and "-".
        tls: What certificates are trusted; with it, or with tls://, nothing is sent in the clear.
        timeout_s: How long one call may take in all, new connections included.
        message_bytes_max: The limit of one message.

    Attributes:
        channel_bytes_max: The limit of all messages of one channel, for this reader.

    Raises:
        TransportError: The URL or the prefix is malformed, or nats-py is not installed.
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
            import nats.errors
        except ImportError:
            raise TransportError("NATS needs nats-py: pip install 'zkfed[nats]'") from None
        self._url = read_url(url, {"nats": 4222, "tls": 4222})
        if re.fullmatch(r"[a-z0-9_-]{1,100}", prefix) is None:
            raise TransportError(f"prefix {excerpt(prefix, 80)!r}: expected 1 to 100 of a-z, 0-9, '_' and '-'")
        self.prefix, self.message_bytes_max, self.channel_bytes_max = prefix, message_bytes_max, CHANNEL_BYTES_MAX
        self._tls = ssl.create_default_context() if tls is None and self._url.scheme == "tls" else tls
        self._timeout_s = timeout_s
        self._logs: OrderedDict[str, _Log] = OrderedDict()  # touched in the loop's thread only
        self._created: object = None
        self._background: Background[_Session] = Background(
            self._url, self._connect, self._disconnect, faults=(nats.errors.Error,), timeout_s=timeout_s
        )

    def __repr__(self) -> str:
        return f"NatsTransport({str(self._url)!r}, prefix={self.prefix!r})"

    def close(self) -> None:
        """Closes the connection."""
        self._background.close()

    def publish(self, channel: str, message: bytes) -> str:
        """Puts one message into a channel and returns its address; see `Transport.publish`."""
        subject = self._subject(channel)
        address = message_digest(message, self.message_bytes_max)

        async def put(session: _Session) -> None:
            for item in cut(message, session.item_bytes_max):
                await self._put(session, subject, item)

        self._background.call(put)
        return address

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns the messages of a channel in the order of arrival; see `Transport.fetch`."""
        subject = self._subject(channel)
        check_start(start)
        return self._background.call(lambda session: self._read(session, subject, start))

    def _subject(self, channel: str) -> str:
        return ".".join((self.prefix, *check_channel(channel)))

    async def _put(self, session: _Session, subject: str, item: bytes) -> None:
        from nats.js.errors import APIError, NotFoundError

        name, jetstream = hashlib.sha256(subject.encode() + b"\0" + item).hexdigest(), session.jetstream
        try:
            answer = await jetstream.publish(subject, item, stream=self.prefix, headers={"Nats-Msg-Id": name})
            if answer.duplicate:
                try:
                    stored = await jetstream.get_msg(self.prefix, answer.seq, direct=session.direct)
                except NotFoundError:
                    stored = None
                if stored is None or stored.subject != subject or stored.data != item:
                    # Somebody used our name for something else, to have this refused.
                    await jetstream.publish(subject, item, stream=self.prefix)
        except APIError as fault:
            if "maximum" in (fault.description or ""):  # the stream's own limits, set by who runs it
                raise LimitExceeded(f"{self._url} is full: {excerpt(fault.description or '', 100)}") from None
            raise

    async def _read(self, session: _Session, subject: str, start: int) -> tuple[bytes, ...]:
        from nats.js.errors import NotFoundError

        log = self._logs.get(subject)
        if log is None:
            log = self._logs[subject] = _Log(Joiner(self.message_bytes_max, self.channel_bytes_max))
        self._logs.move_to_end(subject)
        async with log.lock:
            while True:
                try:
                    item = await session.jetstream.get_msg(
                        self.prefix, log.last + 1, subject, direct=session.direct, next=True
                    )
                except NotFoundError:
                    break
                if type(item.seq) is not int or item.seq <= log.last or item.subject != subject:
                    raise TransportError(f"{self._url} answers with another message than the next: is it NATS?")
                log.joiner.add(item.data or b"")
                log.last = item.seq
            messages = tuple(itertools.islice(log.joiner.messages.values(), start, None))
        while len(self._logs) > 1 and sum(kept.joiner.size for kept in self._logs.values()) > _KEPT_BYTES_MAX:
            self._logs.popitem(last=False)
        return messages

    async def _connect(self) -> _Session:
        from nats.errors import Error

        async def quiet(fault: Exception) -> None:
            """Faults reach the caller through the call that met them."""

        options: dict[str, Any] = {} if self._tls is None else {"tls": self._tls}
        if self._url.password is not None:
            options |= {"user": self._url.user, "password": self._url.password}
        elif self._url.user is not None:
            options["token"] = self._url.user
        client, lost = _client_class()(self._tls is not None), asyncio.get_running_loop().create_future()

        async def gone() -> None:
            lost.cancel()

        try:
            await client.connect(
                f"nats://{self._url.where.split('://')[1]}", allow_reconnect=False, error_cb=quiet, closed_cb=gone,
                connect_timeout=max(1, int(self._timeout_s)), **options,
            )  # fmt: skip
            return await self._open(client, lost)
        except BaseException as fault:
            if client._transport is not None:
                client._transport.close()  # `client.close` waits for an answer
            if isinstance(fault, Error) and "authorization" in str(fault).lower():
                raise TransportError(f"{self._url} refuses this user or token; check them") from None
            raise

    async def _open(self, client: Client, lost: asyncio.Future[None]) -> _Session:
        from nats.js.api import DiscardPolicy, StreamConfig
        from nats.js.errors import NotFoundError

        jetstream = client.jetstream(timeout=self._timeout_s)
        try:
            info = await jetstream.stream_info(self.prefix)
        except NotFoundError:
            # A full stream refuses new messages; it never drops old ones.
            wanted = StreamConfig(
                name=self.prefix, subjects=[f"{self.prefix}.>"], discard=DiscardPolicy.NEW, allow_direct=True
            )  # fmt: skip
            info = await jetstream.add_stream(wanted)
        if f"{self.prefix}.>" not in (info.config.subjects or []):
            raise TransportError(
                f"stream {self.prefix!r} does not take the subjects {self.prefix}.>; use another prefix"
            )
        if info.created != self._created:  # a new stream counts from 1 again
            self._logs.clear()
            self._created = info.created
        size = client.max_payload
        if type(size) is not int or size < _PAYLOAD_BYTES_MIN:
            raise TransportError(
                f"{self._url} carries {size!r} bytes at once, at least {_PAYLOAD_BYTES_MIN} are needed"
            )
        size = min(size, _ITEM_BYTES_MAX) - _HEADERS_BYTES
        return _Session(client, jetstream, bool(info.config.allow_direct), size, lost)

    async def _disconnect(self, session: _Session) -> None:
        await session.client.close()


def _client_class() -> Any:
    """Returns nats-py's client, which then sends no password in the clear where TLS was asked for."""
    from nats.aio.client import Client

    class Guarded(Client):
        """By itself, nats-py goes on without TLS if the server, or somebody between, says so."""

        def __init__(self, needs_tls: bool) -> None:  # noqa: FBT001
            super().__init__()
            self._needs_tls = needs_tls

        async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002
            if self._needs_tls and initial_connection and info.get("tls_required") is not True:
                raise TransportError("the server offers no TLS, which was asked for; nothing was sent to it")
            await super()._process_info(info, initial_connection=initial_connection)

    return Guarded
