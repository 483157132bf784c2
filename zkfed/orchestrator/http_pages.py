"""The pages that wait for their readers at an HTTP node: those that are copies together stay below one limit."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator

from zkfed.orchestrator.http_uploads import Busy
from zkfed.orchestrator.http_wire import in_slices

__all__ = ["Pages"]

HELD_BYTES_MAX = 1 << 28


class Pages:
    """Counts what was read for answers that are not over.

    Attributes:
        held: Bytes of all of them.
    """

    def __init__(self) -> None:
        self.held = 0

    def slices(self, pieces: list[bytes]) -> AsyncIterator[bytes]:
        """Returns a page in slices, and counts it until its answer is gone, however that ended.

        Raises:
            Busy: All pages together are too long now.
        """
        size = sum(map(len, pieces))
        if self.held + size > HELD_BYTES_MAX:
            raise Busy
        self.held += size
        out = in_slices(pieces)
        weakref.finalize(out, self._release, size)  # an answer that never began is never ended
        return out

    def _release(self, size: int) -> None:
        self.held -= size
