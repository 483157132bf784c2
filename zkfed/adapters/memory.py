"""A transport inside one process: dictionaries behind a lock.

For tests, and for a whole federation in one process. It is gone with the process.
"""

from __future__ import annotations

import itertools
import threading

from zkfed.errors import LimitExceeded
from zkfed.ports import CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX, check_channel, check_start, message_digest

__all__ = ["MemoryTransport"]


class MemoryTransport:
    """Implements `zkfed.ports.Transport`; any number of threads may share it."""

    __slots__ = ("_channels", "_lock", "_sizes", "channel_bytes_max", "message_bytes_max")

    def __init__(
        self, *, message_bytes_max: int = MESSAGE_BYTES_MAX, channel_bytes_max: int = CHANNEL_BYTES_MAX
    ) -> None:
        self.message_bytes_max = message_bytes_max
        self.channel_bytes_max = channel_bytes_max
        self._channels: dict[str, dict[str, bytes]] = {}  # a dict keeps the order of arrival
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def publish(self, channel: str, message: bytes) -> str:
        """Puts one message into a channel and returns its address; see `Transport.publish`."""
        check_channel(channel)
        address = message_digest(message, self.message_bytes_max)
        with self._lock:
            messages = self._channels.get(channel, {})
            if address in messages:
                return address
            total = self._sizes.get(channel, 0) + len(message)
            if total > self.channel_bytes_max:
                raise LimitExceeded(
                    f"channel {channel!r} would hold {total} bytes, at most {self.channel_bytes_max} are kept"
                )
            messages[address] = message
            self._channels[channel], self._sizes[channel] = messages, total
        return address

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns the messages of a channel in the order of arrival; see `Transport.fetch`."""
        check_channel(channel)
        check_start(start)
        with self._lock:
            return tuple(itertools.islice(self._channels.get(channel, {}).values(), start, None))
