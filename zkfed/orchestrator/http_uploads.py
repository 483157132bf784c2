"""The bodies that come in at an HTTP node: all of them together below one limit, and each key within its room.

Whoever may write could otherwise fill a channel, and every channel that it may write to, with bytes that
nobody asked for: the memory of the node, and the room of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from zkfed.errors import DecodeError, LimitExceeded, TransportError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["IN_FLIGHT_BYTES_MAX", "UPLOAD_BYTES_MAX", "Busy", "Uploads"]

UPLOAD_BYTES_MAX, IN_FLIGHT_BYTES_MAX = 1 << 24, 1 << 25
BODY_S_MAX = 60.0
MESSAGE_COST_BYTES = 1024
"""What keeping a message costs besides its bytes: else a million empty ones are free."""


class Busy(Exception):
    """All uploads together are above their limit."""


class Uploads:
    """Reads bodies, and remembers what each key has put where.

    Args:
        upload_bytes_max: The limit of one body.
        key_bytes_max: By channel, the most that one key may put there in all; None for no such limit.

    Attributes:
        in_flight: Bytes of the bodies that are not published yet.
    """

    def __init__(self, upload_bytes_max: int, key_bytes_max: Callable[[str], int] | None) -> None:
        self._upload_bytes_max, self._key_bytes_max = upload_bytes_max, key_bytes_max
        self._kept: dict[tuple[str, bytes], dict[str, int]] = {}
        self.in_flight = 0

    def room(self, channel: str, key: bytes | None, address: str) -> int:
        """Returns how long the message with an address may be, before a byte of it is read.

        Raises:
            LimitExceeded: The key has no room left in the channel.
        """
        if self._key_bytes_max is None or key is None:
            return self._upload_bytes_max
        kept = self._kept.get((channel, key), {})
        if address in kept:  # sent again, since the answer was lost: it takes no more room
            return kept[address] - MESSAGE_COST_BYTES
        maximum = self._key_bytes_max(channel)
        left = maximum - sum(kept.values()) - MESSAGE_COST_BYTES
        if left < 0:
            raise LimitExceeded(f"this key has put {len(kept)} messages into the channel, {maximum} bytes are its room")
        return min(left, self._upload_bytes_max)

    @contextlib.contextmanager
    def keeping(self, channel: str, key: bytes | None, address: str, size: int) -> Iterator[None]:
        """Counts a message for its key while it is published, and from then on if that did not fail.

        Raises:
            LimitExceeded: Others that came at the same time have taken the room.
        """
        if size > self.room(channel, key, address):
            raise LimitExceeded("this key's messages that come at once are more than its room in the channel")
        if self._key_bytes_max is None or key is None:
            yield
            return
        kept = self._kept.setdefault((channel, key), {})
        is_new = address not in kept
        kept[address] = size + MESSAGE_COST_BYTES
        try:
            yield
        except BaseException:
            if is_new:
                kept.pop(address, None)
            raise

    async def body(self, request: Request, limit: int) -> bytes:
        """Returns a body of at most a limit, and adds its size to what is in flight.

        Raises:
            LimitExceeded: It is longer, or says that it is.
            DecodeError: Its length is no number, or another one than it says.
            TransportError: It did not end in time.
            Busy: All bodies together are too long now.
        """
        declared = request.headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared[:20]) > limit:
            raise LimitExceeded(f"a message of {declared[:20]} bytes, at most {limit} are carried")
        body, taken = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_S_MAX):
                async for piece in request.stream():
                    if len(body) + len(piece) > limit:
                        raise LimitExceeded(f"a message above {limit} bytes")
                    if self.in_flight + len(piece) > IN_FLIGHT_BYTES_MAX:
                        raise Busy
                    self.in_flight += len(piece)
                    taken += len(piece)
                    body += piece
            if int(declared) not in (0, len(body)):
                raise DecodeError(f"a body of {len(body)} bytes where {declared} were announced")
        except TimeoutError:
            self.in_flight -= taken
            raise TransportError(f"the body did not end within {BODY_S_MAX:g} s") from None
        except BaseException:
            self.in_flight -= taken
            raise
        return bytes(body)
