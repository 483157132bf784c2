"""A broker's connection on an event loop of its own, for callers that wait.

Libraries of brokers are asynchronous and transports are not. One thread runs one loop; a call waits
for its result, at most as long as the caller said. A connection that breaks is made anew and the
action is done again, since whatever a transport does may be repeated.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from zkfed.errors import TransportError, ZkfedError, excerpt

__all__ = ["Background", "BrokerUrl", "Connection", "read_url"]


class Connection(Protocol):
    """What a connection is to `Background`: something that may be lost."""

    @property
    def lost(self) -> asyncio.Future[None]:
        """Done once the connection is."""
        ...


C = TypeVar("C", bound=Connection)
T = TypeVar("T")

_PAUSE_S, _PAUSE_S_MAX, _GRACE_S = 0.05, 1.0, 5.0
_FAULTS = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What a library raises when a broker sends something else than its protocol; TimeoutError is an OSError."""


class BrokerUrl:
    """Where a broker is and how to log in; its text holds no password.

    Attributes:
        where: scheme://host:port, for errors.
        secrets: What no error may hold.
    """

    def __init__(self, parts: SplitResult, port: int) -> None:
        self.scheme, self.host, self.port = parts.scheme, parts.hostname or "", port
        self.user = None if parts.username is None else unquote(parts.username)
        self.password = None if parts.password is None else unquote(parts.password)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.where = f"{self.scheme}://{host}:{self.port}"
        # A user without a password is a token.
        secret = {parts.password, self.password} if parts.password is not None else {parts.username, self.user}
        self.secrets = tuple(text for text in secret if text)

    def __repr__(self) -> str:
        return self.where


def read_url(url: str, ports: dict[str, int]) -> BrokerUrl:
    """Returns the parts of a broker's URL.

    Args:
        url: SCHEME://[USER:PASSWORD@]HOST[:PORT].
        ports: The schemes that are known, and their usual ports.

    Raises:
        TransportError: Not such a URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ports or not parts.hostname or parts.path not in ("", "/") or parts.query:
        # The URL itself is not shown: it may hold a password.
        raise TransportError(
            f"a broker's URL of {len(url)} characters with the scheme {excerpt(parts.scheme, 20)!r}; expected "
            f"{' or '.join(ports)}, as {next(iter(ports))}://USER:PASSWORD@HOST:PORT, and no path"
        )
    return BrokerUrl(parts, ports[parts.scheme] if port is None else port)


class Background(Generic[C]):
    """One connection of an asynchronous library.

    Args:
        url: Of the broker, for errors.
        connect: Makes a connection; raises `TransportError` where trying again does not help.
        disconnect: Ends one.
        faults: The library's own errors, after which the connection is made anew.
        timeout_s: How long one call may take in all.
    """

    def __init__(
        self,
        url: BrokerUrl,
        connect: Callable[[], Awaitable[C]],
        disconnect: Callable[[C], Awaitable[None]],
        *,
        faults: tuple[type[Exception], ...],
        timeout_s: float,
    ) -> None:
        self._url, self._connect, self._disconnect = url, connect, disconnect
        self._faults, self._timeout_s = faults + _FAULTS, timeout_s
        self._lock, self._closed = threading.Lock(), False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connecting = asyncio.Lock()
        self._connection: C | None = None

    def call(self, action: Callable[[C], Awaitable[T]]) -> T:
        """Does something with the connection and returns its result.

        Raises:
            TransportError: The broker could not be reached, or did not answer, in time.
            ZkfedError: What the action raised.
        """
        with self._lock:
            if self._closed:
                raise TransportError(f"the transport to {self._url} is closed; make a new one")
            if self._loop is None:
                self._loop = asyncio.SelectorEventLoop()  # the one that every library supports
                # A callback that trips over a broker's bytes is no news: the call fails or times out.
                self._loop.set_exception_handler(lambda loop, context: None)
                self._thread = threading.Thread(target=self._loop.run_forever, name="zkfed broker", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(self._patiently(action), self._loop)
        try:
            return future.result(self._timeout_s + _GRACE_S)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            raise TransportError(f"{self._url} did not answer within {self._timeout_s} s, or was closed") from None
        finally:
            future.cancel()

    async def _patiently(self, action: Callable[[C], Awaitable[T]]) -> T:
        loop, pause_s = asyncio.get_running_loop(), _PAUSE_S
        give_up = loop.time() + self._timeout_s
        reason = ""
        while True:
            connection = None
            try:
                async with asyncio.timeout_at(give_up):
                    connection = await self._connected()
                    return await _unless_lost(asyncio.ensure_future(action(connection)), connection.lost)
            except ZkfedError:
                raise
            except ssl.SSLCertVerificationError as fault:
                raise TransportError(
                    f"{self._url} has no certificate that fits: {excerpt(fault.verify_message, 120)}; "
                    "is it the right host, and does `tls` trust who signed for it?"
                ) from None
            except self._faults as fault:
                reason = reason if isinstance(fault, TimeoutError) and reason else self._reason(fault)
                if connection is not None:
                    await self._drop(connection)
            if loop.time() + pause_s > give_up:
                raise TransportError(
                    f"{self._url} failed for {self._timeout_s} s, last with {reason}; "
                    "is it up, does it speak this protocol, and may this user do that?"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    def _reason(self, fault: Exception) -> str:
        text = str(fault)
        for secret in self._url.secrets:
            text = text.replace(secret, "***")
        return f"{type(fault).__name__} {excerpt(text, 120)!r}" if text else type(fault).__name__

    async def _connected(self) -> C:
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._connect()
            return self._connection

    async def _drop(self, connection: C) -> None:
        if self._connection is connection:  # not the one that another call has made since
            self._connection = None
        with contextlib.suppress(*self._faults):
            async with asyncio.timeout(_PAUSE_S_MAX):
                await self._disconnect(connection)

    def close(self) -> None:
        """Ends the connection and the thread; whoever still waits gets `TransportError`."""
        with self._lock:
            self._closed, loop, thread = True, self._loop, self._thread
            self._loop = None
        if loop is None or thread is None:
            return

        async def end() -> None:
            if self._connection is not None:
                await self._drop(self._connection)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await loop.shutdown_default_executor()

        with contextlib.suppress(concurrent.futures.TimeoutError):
            asyncio.run_coroutine_threadsafe(end(), loop).result(_GRACE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_GRACE_S)
        if not thread.is_alive():
            loop.close()


async def _unless_lost(task: asyncio.Future[T], lost: asyncio.Future[None]) -> T:
    """Returns the task's result; libraries go on waiting for an answer on a connection that is gone."""
    try:
        both: set[asyncio.Future[T] | asyncio.Future[None]] = {task, lost}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ConnectionResetError("the connection ended")
        return task.result()
    finally:
        task.cancel()
