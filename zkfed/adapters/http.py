"""A transport over HTTP: the client side. `http_node.py` is the other side.

    pip install 'zkfed[http]'

Every answer is taken for hostile: its status, type, encoding and size are checked before it is
read, a redirect is not followed, nothing is decompressed, and no server makes a client wait longer
than the client's own patience. Publishing repeats safely, since a message's address is its content.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zkfed.errors import DecodeError, LimitExceeded, TransportError, excerpt
from zkfed.orchestrator.http_deadline import Deadline, timed_transport
from zkfed.orchestrator.http_wire import (
    BINARY,
    ERROR_BYTES_MAX,
    JSON,
    PAGE_BYTES,
    decode_error,
    decode_page,
    error_of,
    parse_json,
    signature_headers,
)
from zkfed.ports import CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX, check_channel, check_start, message_digest
from zkfed.updates.signing import SigningKey

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpTransport"]

_PAUSE_S, _PAUSE_S_MAX = 0.1, 2.0
_RETRIED = {429, 502, 503, 504}


class HttpTransport:
    """Implements `zkfed.ports.Transport` against an HTTP node; threads may share it.

    Args:
        url: Of the node, such as "https://node.example/federations".
        key: Signs what is published; None for nodes that ask for no signature.
        timeout_s: How long one call may take in all, retries included.
        tls: What certificates are trusted; None is the system's choice.
        message_bytes_max: The limit of one message.

    Raises:
        TransportError: The URL is malformed, or httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        key: SigningKey | None = None,
        timeout_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        try:
            import httpx
        except ImportError:
            raise TransportError("HTTP needs httpx: pip install 'zkfed[http]'") from None
        try:
            parts = urlsplit(url)
            if not url.isprintable():  # what cannot be seen is cut out by the line above
                raise ValueError
            (parts.hostname or "").encode("idna")  # too long a name fails where it is looked up otherwise
        except ValueError:  # UnicodeError is one
            raise TransportError("the URL is malformed: expected http://HOST or https://HOST") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise TransportError(
                f"{excerpt(parts.hostname or url, 80)!r}: expected http://HOST or https://HOST, without a password"
            )
        self.url, self._path = url.rstrip("/"), parts.path.rstrip("/")
        self._key, self._timeout_s, self.message_bytes_max = key, timeout_s, message_bytes_max
        self._deadline = Deadline()
        if tls is None:  # reading the system's certificates takes longer than a request; without TLS none is trusted
            tls = ssl.create_default_context() if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client: httpx.Client = httpx.Client(
            timeout=timeout_s, transport=timed_transport(tls, self._deadline), follow_redirects=False,
            headers={"accept-encoding": "identity"}, trust_env=False,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"HttpTransport({self.url!r})"

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def publish(self, channel: str, message: bytes) -> str:
        """Puts one message into a channel and returns its address; see `Transport.publish`."""
        check_channel(channel)
        address = message_digest(message, self.message_bytes_max)
        path = f"{self._path}/v1/{channel}"
        headers = {"content-type": BINARY, "idempotency-key": address}
        if self._key is not None:
            headers |= signature_headers(self._key, "POST", path, message, now_s=int(time.time()))
        body = self._call("POST", f"v1/{channel}", JSON, ERROR_BYTES_MAX, content=message, headers=headers)
        if parse_json(body).get("address") != address:
            raise TransportError("the node answered with another message's address: is it a zkfed node?")
        return address

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns the messages of a channel in the order of arrival; see `Transport.fetch`."""
        check_channel(channel)
        check_start(start)
        messages, room, before = list[bytes](), CHANNEL_BYTES_MAX, PAGE_BYTES + 1
        limit = PAGE_BYTES + self.message_bytes_max + (1 << 20)
        while True:
            at = start + len(messages)
            body = self._call("GET", f"v1/{channel}", BINARY, limit, params={"start": str(at)})
            try:
                page = decode_page(body, self.message_bytes_max)
            except LimitExceeded:
                raise
            except DecodeError as error:
                raise TransportError(f"the node answered with something else than messages: {error}") from None
            size = sum(map(len, page))
            room -= size
            if room < 0:
                raise LimitExceeded(f"channel {channel!r} holds more than {CHANNEL_BYTES_MAX} bytes")
            messages += page
            # Two pages that fit into one: nothing was left out of the first, and no node goes on for ever.
            if not page or before + size <= PAGE_BYTES:
                return tuple(messages)
            before = size

    def wait(self, channel: str, *, start: int, timeout_s: float) -> None:
        """Returns when a channel has more than `start` messages, or after `timeout_s`; see `Waiting.wait`."""
        check_channel(channel)
        check_start(start)
        seconds = str(int(min(timeout_s, self._timeout_s / 2)))
        self._call("GET", f"v1/{channel}", BINARY, ERROR_BYTES_MAX, params={"start": str(start), "wait": seconds})

    def _call(self, method: str, path: str, expected: str, limit: int, **request: Any) -> bytes:
        """Returns the body of a good answer; tries again what may pass, until the time is over."""
        give_up_s, pause_s = time.monotonic() + self._timeout_s, _PAUSE_S
        while True:
            left_s = max(give_up_s - time.monotonic(), 0.05)
            with _faults_as_errors(self.url):
                status, kind, body, wait_s = self._once(method, path, limit, left_s, request)
            if status == 200 and kind == expected:
                return body
            if status in _RETRIED or status == 0:
                wait_s = max(pause_s, min(wait_s, _PAUSE_S_MAX))
                if time.monotonic() + wait_s < give_up_s:
                    time.sleep(wait_s)
                    pause_s = min(2 * pause_s, _PAUSE_S_MAX)
                    continue
            raise self._error(status, kind, expected, body)

    def _once(
        self, method: str, path: str, limit: int, left_s: float, request: dict[str, Any]
    ) -> tuple[int, str, bytes, float]:
        """Returns (status, type, body, Retry-After) of one try; status 0 if there was no answer."""
        import httpx

        self._deadline.ends_s = time.monotonic() + left_s
        try:
            with self._client.stream(method, f"{self.url}/{path}", timeout=left_s, **request) as answer:
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise TransportError("the node compressed its answer, which nobody asked for: is it a zkfed node?")
                body = bytearray()
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) > limit:
                        raise LimitExceeded(f"the node's answer is longer than {limit} bytes")
                kind = answer.headers.get("content-type", "").split(";")[0].strip().lower()
                wait = answer.headers.get("retry-after", "")
                seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 9 else 0.0
                return answer.status_code, kind, bytes(body), seconds
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            raise TransportError(f"the node's answer did not end within {self._timeout_s:g} s") from None
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as fault:
            if _is_certificate(fault):
                raise
            return 0, "", _reason_of(fault).encode(), 0.0

    def _error(self, status: int, kind: str, expected: str, body: bytes) -> Exception:
        if status == 0:
            return TransportError(f"no answer from {self.url} within {self._timeout_s:g} s ({body.decode()})")
        if status >= 400 and kind == JSON:
            with contextlib.suppress(DecodeError):
                code, text = decode_error(body)
                found = error_of(code)
                if found is not None:
                    return found(f"the node refused: {text}")
        return TransportError(
            f"the node answered {status} with {excerpt(kind or 'no type', 60)}, expected 200 with {expected}: "
            f"is it a zkfed node?"
        )


def _reason_of(fault: BaseException) -> str:
    """Returns why there was no answer: in the system's words, "Connection refused", or the fault's type."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(fault).__name__


def _is_certificate(fault: Exception) -> bool:
    return "CERTIFICATE" in str(fault).upper() or "SSL" in str(fault).upper()


@contextlib.contextmanager
def _faults_as_errors(url: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.ConnectError as fault:
        raise TransportError(f"{url} has no certificate that fits: {excerpt(str(fault), 120)}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise TransportError(f"{url} cannot be reached: {type(fault).__name__}") from None
