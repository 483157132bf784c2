"""An HTTP server's connections that nobody uses, and how they end.

uvicorn closes a connection that is idle after a request. It waits for ever for a first request, for the
rest of a half one, and for a reader who does not take the answer, of which a part stays in memory meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["impatient"]


def impatient(idle_s: float) -> type[asyncio.Protocol]:
    """Returns uvicorn's protocol, with an end for what hangs.

    Args:
        idle_s: How often a connection is looked at; it is cut off if no request has come meanwhile, or if the
            answer that had begun at the last look is still the last one: complete, or not taken.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        _look: asyncio.TimerHandle | None = None
        _answered: object = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._look = self.loop.call_later(idle_s, self._cut_if_idle)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._look is not None:
                self._look.cancel()
            super().connection_lost(exc)

        def _cut_if_idle(self) -> None:
            cycle: Any = self.cycle  # None before the first request
            if cycle is None or (cycle.response_started and cycle is self._answered):
                self.transport.abort()  # to close it would wait for the reader
                return
            self._answered = cycle if cycle.response_started else None
            self._look = self.loop.call_later(idle_s, self._cut_if_idle)

    return Impatient
