"""An HTTP client's connections under one deadline a call.

httpx has a timeout for each read and none for all of them: a server that sends a byte now and then
holds a caller for as long as it likes, in the head of its answer before anybody sees a piece of it.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["Deadline", "timed_transport"]


class Deadline(threading.local):
    """When the calling thread's call ends, on the monotonic clock."""

    ends_s = float("inf")

    def left_s(self, timeout_s: float | None, fault: type[Exception]) -> float:
        """Returns how long one step may take; raises `fault` if the time is over."""
        left_s = self.ends_s - time.monotonic()
        if left_s <= 0:
            raise fault("the time of the whole call is over")
        return left_s if timeout_s is None else min(timeout_s, left_s)


def timed_transport(tls: ssl.SSLContext, deadline: Deadline) -> httpx.HTTPTransport:
    """Returns httpx's transport, each of whose steps ends with the deadline."""
    import httpcore
    import httpx

    class Stream(httpcore.NetworkStream):
        def __init__(self, inner: httpcore.NetworkStream) -> None:
            self._inner = inner

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return self._inner.read(max_bytes, deadline.left_s(timeout, httpcore.ReadTimeout))

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._inner.write(buffer, deadline.left_s(timeout, httpcore.WriteTimeout))

        def close(self) -> None:
            self._inner.close()

        def start_tls(
            self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
        ) -> httpcore.NetworkStream:
            return Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

        def get_extra_info(self, info: str) -> Any:
            return self._inner.get_extra_info(info)

    class Backend(httpcore.SyncBackend):
        def connect_tcp(
            self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.NetworkStream:  # fmt: skip
            return Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))

    transport = httpx.HTTPTransport(verify=tls, trust_env=False)
    transport.close()
    # httpx takes no backend; its pool does.
    transport._pool = httpcore.ConnectionPool(
        ssl_context=tls,
        network_backend=Backend(),
        max_connections=100,
        max_keepalive_connections=20,
        keepalive_expiry=5.0,
    )
    return transport
