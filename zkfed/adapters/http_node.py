"""A transport over HTTP: the node's side, a small ASGI application over any other transport.

    pip install 'zkfed[http]'

It stores messages and hands them out; it opens none. Bodies are counted while they come, all of
them together stay below one limit, a body that stops coming is dropped, and so is a connection on
which nothing is asked, or whose answers nobody reads. Against somebody who fills the channels that may
be written to, give `may_write` the enrolled keys and `key_bytes_max` their room; put the usual reverse
proxy in front for TLS, rates and logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from zkfed.errors import DecodeError, LimitExceeded, NotAuthorised, SignatureInvalid, TransportError, ZkfedError
from zkfed.orchestrator.http_idle import impatient
from zkfed.orchestrator.http_pages import Pages
from zkfed.orchestrator.http_uploads import UPLOAD_BYTES_MAX, Busy, Uploads
from zkfed.orchestrator.http_wire import BINARY, JSON, PAGE_BYTES, encode_page, in_slices, page_pieces, request_signer
from zkfed.ports import Counted, Paged, Transport

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["HttpNode", "serving"]

IDLE_S_MAX, END_S_MAX, WAIT_S_MAX, LOOK_S = 60.0, 3, 20, 0.05
MayWrite = Callable[[str, bytes | None], bool]
_STATUS: dict[type[ZkfedError], int] = {
    LimitExceeded: 413, DecodeError: 400, SignatureInvalid: 401, NotAuthorised: 403, TransportError: 400,
}  # fmt: skip


class _WrongType(Exception):
    """The body is not of the type that is taken."""


class HttpNode:
    """The application: `HttpNode(store, may_write=...).app` runs under any ASGI server.

    Args:
        store: Where messages are kept; also what the node's own roles use.
        may_write: (channel, key that signed the request or None) -> whether it may be published.
        upload_bytes_max: The limit of one body.
        key_bytes_max: By channel, the most that one key may put there in all (`NodeMailbox.room`); None for no limit.

    Raises:
        TransportError: Starlette is not installed.
    """

    def __init__(
        self,
        store: Transport,
        *,
        may_write: MayWrite,
        upload_bytes_max: int = UPLOAD_BYTES_MAX,
        key_bytes_max: Callable[[str], int] | None = None,
    ) -> None:
        try:
            import starlette  # noqa: F401 - says early what is missing
        except ImportError:
            raise TransportError("an HTTP node needs starlette and uvicorn: pip install 'zkfed[http]'") from None
        self._store, self._may_write = store, may_write
        self._uploads = Uploads(upload_bytes_max, key_bytes_max)
        self._counted = store if isinstance(store, Counted) else None
        self._paged, self._pages = store if isinstance(store, Paged) else None, Pages()
        self._waiting = 0
        self._news: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()  # as long as somebody waits

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(routes=[Route("/v1/{channel:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        from starlette.requests import ClientDisconnect
        from starlette.responses import Response

        try:
            publish = request.method == "POST"
            return await (self._publish(request) if publish else self._fetch(request))
        except _WrongType as error:
            return _refusal(415, TransportError(str(error)))
        except Busy:
            busy = TransportError("the node is taking or handing out as many bytes as it can; try again")
            return _refusal(503, busy, {"retry-after": "1"})
        except ZkfedError as error:
            status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 500)
            return _refusal(status, error)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:  # noqa: BLE001 - nothing of a fault's text leaves the node
            return _refusal(500, TransportError("the node failed; the message was not taken"))

    async def _publish(self, request: Request) -> Response:
        channel, headers = request.path_params["channel"], request.headers
        if headers.get("content-type", "").split(";")[0].strip().lower() != BINARY:
            raise _WrongType(f"a message is sent as {BINARY}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise _WrongType("a message is sent as it is, without content-encoding")
        # The path as the server read it: a URL put together again depends on the Host that the sender wrote. Who may
        # not write is refused before the body is read: it would take the place of bodies that are welcome.
        key = request_signer(headers, "POST", request.scope["path"], now_s=int(time.time()))
        if not self._may_write(channel, key):
            raise NotAuthorised("this key may not write to that channel" if key else "sign the request")
        named = headers.get("idempotency-key", "").lower()
        body = await self._uploads.body(request, self._uploads.room(channel, key, named))
        try:
            if named not in ("", hashlib.sha256(body).hexdigest()):
                raise DecodeError("the body is not the message of its idempotency key, its SHA-256")
            with self._uploads.keeping(channel, key, named, len(body)):
                address = await asyncio.to_thread(self._store.publish, channel, body)
            news = self._news.pop(channel, None)
            if news is not None:
                news.set()
        finally:
            self._uploads.in_flight -= len(body)
        return _json(200, {"address": address})

    async def _fetch(self, request: Request) -> Response:
        from starlette.responses import Response, StreamingResponse

        channel, start = request.path_params["channel"], _number(request, "start")
        if "wait" in request.query_params:
            await self._wait(channel, start, min(_number(request, "wait"), WAIT_S_MAX))
            return Response(encode_page(()), media_type=BINARY)
        pieces = page_pieces(await asyncio.to_thread(self._read, channel, start))
        length = {"content-length": str(sum(map(len, pieces)))}
        # What comes from a disk is a copy of its own for every reader; what is in memory is not.
        slices = self._pages.slices(pieces) if self._paged is not None else in_slices(pieces)
        return StreamingResponse(slices, media_type=BINARY, headers=length)

    def _read(self, channel: str, start: int) -> tuple[bytes, ...]:
        if self._paged is not None:  # a page of a gigabyte on a disk is read, and not the gigabyte
            return self._paged.page(channel, start=start, bytes_max=PAGE_BYTES)
        return self._store.fetch(channel, start=start)

    def _has_more(self, channel: str, start: int) -> bool:
        if self._counted is not None:  # hundreds wait for one message: none of them needs to read it now
            return self._counted.count(channel) > start
        return bool(self._store.fetch(channel, start=start))

    async def _wait(self, channel: str, start: int, wait_s: float) -> None:
        """Returns when the channel has more than `start` messages, or after `wait_s`."""
        ends_s, news = time.monotonic() + wait_s, self._news.setdefault(channel, asyncio.Event())
        self._waiting += 1
        try:
            while not await asyncio.to_thread(self._has_more, channel, start):
                left_s = ends_s - time.monotonic()
                if left_s <= 0:
                    return
                # The node's own roles write into the store directly: looked at now and then besides,
                # the less often the more are waiting.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), min(left_s, LOOK_S * (1 + self._waiting / 16)))
                news = self._news.setdefault(channel, asyncio.Event())
        finally:
            self._waiting -= 1


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DecodeError(f"{name} is a number")
    return int(text)


def _json(status: int, value: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response

    return Response(json.dumps(value), status_code=status, media_type=JSON, headers=headers)


def _refusal(status: int, error: ZkfedError, headers: dict[str, str] | None = None) -> Response:
    # The connection is closed: what is left of a body that was not read must not be taken for a request.
    return _json(status, {"code": error.code, "text": str(error)}, {"connection": "close", **(headers or {})})


@contextlib.contextmanager
def serving(
    node: HttpNode, *, host: str = "127.0.0.1", port: int = 0, tls: tuple[str, str] | None = None
) -> Iterator[str]:
    """Runs a node under uvicorn in a thread, and yields its URL.

    Args:
        node: The node.
        host: Address to listen on.
        port: 0 takes a free one.
        tls: Files of certificate and private key; None listens without TLS.

    Raises:
        TransportError: The address cannot be used, or uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError:
        raise TransportError("an HTTP node needs uvicorn: pip install 'zkfed[http]'") from None
    certificate, private = tls or (None, None)
    config = uvicorn.Config(
        node.app, log_level="critical", access_log=False, timeout_keep_alive=30, server_header=False, lifespan="off",
        ssl_certfile=certificate, ssl_keyfile=private, limit_concurrency=4096, http=impatient(IDLE_S_MAX), ws="none",
        timeout_graceful_shutdown=END_S_MAX,
    )  # fmt: skip
    try:
        config.load()  # reads the certificate here, and not in the thread
    except (OSError, ValueError):
        raise TransportError("TLS: expected two PEM files, a certificate and the key that belongs to it") from None
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as fault:
        listener.close()
        raise TransportError(f"cannot listen on {host}:{port}: {fault.strerror}") from None
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="zkfed-http", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
