"""Messages that are cut for a broker with a size limit, and joined again from what strangers mixed in.

An item is what a broker carries: a whole message, a piece of one, or the list of its pieces.

    00 message
    01 address of the message (32), index (4), bytes
    02 address of the message (32), its size (8), SHA-256 of each piece item (32 each)

A list names its pieces by content, and the joined bytes must have the address that both name. So
whatever else a stranger writes, under the same address too, an honest list finds its own pieces;
items that fit nothing are passed over. They take room in the channel, as a stranger's messages do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from zkfed.errors import LimitExceeded

__all__ = ["Joiner", "cut"]

_WHOLE, _PIECE, _LIST = b"\x00", b"\x01", b"\x02"
_PIECE_HEAD, _LIST_HEAD, _DIGEST = 1 + 32 + 4, 1 + 32 + 8, 32


def cut(message: bytes, item_bytes_max: int) -> list[bytes]:
    """Returns the items to send, in order; the last one completes the message.

    Args:
        message: What to send.
        item_bytes_max: What the broker carries at once, in bytes.

    Raises:
        LimitExceeded: The list of pieces would itself be too large for the broker.
    """
    if 1 + len(message) <= item_bytes_max:
        return [_WHOLE + message]
    size = item_bytes_max - _PIECE_HEAD
    count = -(-len(message) // size) if size > 0 else 0
    if count == 0 or _LIST_HEAD + count * _DIGEST > item_bytes_max:
        raise LimitExceeded(
            f"a message of {len(message)} bytes in pieces of {item_bytes_max} needs too long a list: "
            "raise the broker's message limit, 1 MiB is enough for every message"
        )
    address = hashlib.sha256(message).digest()
    pieces = [
        _PIECE + address + index.to_bytes(4, "big") + message[index * size : (index + 1) * size]
        for index in range(count)
    ]
    digests = b"".join(hashlib.sha256(piece).digest() for piece in pieces)
    return [*pieces, _LIST + address + len(message).to_bytes(8, "big") + digests]


@dataclass
class _Open:
    """What has come of one message: pieces by their digest, and by list what it still lacks."""

    pieces: dict[bytes, bytes] = field(default_factory=dict)
    lists: dict[bytes, set[bytes]] = field(default_factory=dict)


class Joiner:
    """The messages of one channel, in the order in which they became complete.

    Args:
        message_bytes_max: Items of a larger message are passed over.
        channel_bytes_max: The limit of all different items together.

    Attributes:
        messages: By address, 64 hexadecimal digits.
        size: Bytes of the different items so far.
    """

    def __init__(self, message_bytes_max: int, channel_bytes_max: int) -> None:
        self.messages: dict[str, bytes] = {}
        self.size = 0
        self._message_bytes_max, self._channel_bytes_max = message_bytes_max, channel_bytes_max
        self._open: dict[str, _Open] = {}

    def add(self, item: bytes) -> tuple[str, bool] | None:
        """Takes one item.

        Returns:
            The address of its message and whether this item completed it; None for garbage.

        Raises:
            LimitExceeded: The channel is full; nothing changed.
        """
        kind = item[:1]
        if kind == _WHOLE:
            message = item[1:]
            if len(message) > self._message_bytes_max:
                return None
            address = hashlib.sha256(message).hexdigest()
            if address in self.messages:
                return address, False
            self._count(item)
            self._complete(address, message)
            return address, True
        if (kind == _PIECE and _PIECE_HEAD < len(item) <= _PIECE_HEAD + self._message_bytes_max) or (
            kind == _LIST and self._is_list(item)
        ):
            address = item[1:33].hex()
            return address, address not in self.messages and self._add_part(address, item)
        return None

    def _is_list(self, item: bytes) -> bool:
        count, rest = divmod(len(item) - _LIST_HEAD, _DIGEST)
        size = int.from_bytes(item[33:_LIST_HEAD], "big")
        return rest == 0 and 1 <= count <= size <= self._message_bytes_max

    def _add_part(self, address: str, item: bytes) -> bool:
        parts = self._open.get(address, _Open())
        if item[:1] == _PIECE:
            digest = hashlib.sha256(item).digest()
            if digest in parts.pieces:
                return False
            self._count(item)
            parts.pieces[digest] = item
            for lacks in parts.lists.values():
                lacks.discard(digest)
        elif item not in parts.lists:
            self._count(item)
            parts.lists[item] = {digest for digest in _digests(item) if digest not in parts.pieces}
        self._open[address] = parts
        for ready in [listed for listed, lacks in parts.lists.items() if not lacks]:
            message = _joined(ready, parts.pieces)
            if message is not None:
                self._complete(address, message)
                return True
            parts.lists[ready] = {b""}  # it lies: nothing will ever complete it
        return False

    def _count(self, item: bytes) -> None:
        if self.size + len(item) > self._channel_bytes_max:
            raise LimitExceeded(f"the channel holds more than {self._channel_bytes_max} bytes")
        self.size += len(item)

    def _complete(self, address: str, message: bytes) -> None:
        self.messages[address] = message
        self._open.pop(address, None)


def _digests(listed: bytes) -> list[bytes]:
    return [listed[at : at + _DIGEST] for at in range(_LIST_HEAD, len(listed), _DIGEST)]


def _joined(listed: bytes, pieces: dict[bytes, bytes]) -> bytes | None:
    """Returns what a list describes, or None if sizes, order or address are not as it says."""
    chosen = [pieces[digest] for digest in _digests(listed)]
    if sum(len(piece) - _PIECE_HEAD for piece in chosen) != int.from_bytes(listed[33:_LIST_HEAD], "big"):
        return None
    if any(int.from_bytes(piece[33:_PIECE_HEAD], "big") != index for index, piece in enumerate(chosen)):
        return None
    message = b"".join(piece[_PIECE_HEAD:] for piece in chosen)
    return message if hashlib.sha256(message).digest() == listed[1:33] else None
