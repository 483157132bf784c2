"""Canonical bytes: one value, one encoding, and digests over it.

A message is a sequence of *items*; an item is its length (4 bytes, big-endian) and its
bytes. Integers are 8 bytes big-endian (`u64`, `i64`) or minimal signed big-endian
(`integer`). A message starts with its tag, such as "zkfed/v1/commit". There is exactly
one encoding of each value: `Reader` refuses everything else and trailing bytes.

    digest(tag, item_1, ..., item_n) = SHA-256(item(tag) | item(item_1) | ... | item(item_n))
"""

from __future__ import annotations

import builtins
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from zkfed.errors import DecodeError, LimitExceeded, excerpt

__all__ = ["DIGEST_BYTES", "ITEM_BYTES_MAX", "Reader", "Writer", "decode_json", "digest", "item"]

DIGEST_BYTES = 32
ITEM_BYTES_MAX = 1 << 30
JSON_DEPTH_MAX = 32
_STRING, _BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL), re.compile(rb"[\[\]{}]")


def item(data: bytes) -> bytes:
    """Returns `data` behind its 4-byte big-endian length."""
    if len(data) > ITEM_BYTES_MAX:
        raise LimitExceeded(f"an item of {len(data)} bytes is above the limit of {ITEM_BYTES_MAX}")
    return len(data).to_bytes(4, "big") + data


def digest(tag: str, *items: bytes) -> bytes:
    """Returns SHA-256 over the length-prefixed tag and items (32 bytes)."""
    state = hashlib.sha256(item(tag.encode("ascii")))
    for data in items:
        state.update(len(data).to_bytes(4, "big"))
        state.update(data)
    return state.digest()


def decode_json(data: bytes) -> Any:
    """Reads JSON from outside: UTF-8, no name twice in an object, no NaN or Infinity, nested at most 32 deep.

    The depth is counted before Python's parser sees the text. That parser recurses on the stack of C, and
    whoever raises `sys.setrecursionlimit`, as py_ecc does, takes its only guard: deep text would end the process.

    Raises:
        DecodeError: Anything else. Readers differ in which of two equal names they take.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    depth = 0
    for found in _BRACKET.finditer(_STRING.sub(b"", data)):
        depth += 1 if found[0] in b"[{" else -1
        if depth > JSON_DEPTH_MAX:
            raise DecodeError(f"JSON that is nested more than {JSON_DEPTH_MAX} deep")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_number)
    except (ValueError, RecursionError):
        raise DecodeError(f"expected JSON with unique names, got {excerpt(data[:64])!r}") from None


class Writer:
    """Builds one canonical message. Each method appends one item and returns the writer."""

    __slots__ = ("_parts",)

    def __init__(self, tag: str) -> None:
        self._parts: builtins.list[builtins.bytes] = [item(tag.encode("ascii"))]

    def bytes(self, data: builtins.bytes) -> Writer:
        self._parts.append(item(data))
        return self

    def text(self, value: str) -> Writer:
        return self.bytes(value.encode("utf-8"))

    def u64(self, value: int) -> Writer:
        if type(value) is not int or not 0 <= value < 1 << 64:
            raise ValueError("u64 takes an int in [0, 2^64)")
        return self.bytes(value.to_bytes(8, "big"))

    def integer(self, value: int) -> Writer:
        """Appends a signed integer of any size, minimal two's complement, big-endian."""
        if type(value) is not int:
            raise ValueError("integer takes an int")
        return self.bytes(value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True))

    def list(self, values: Iterable[builtins.bytes]) -> Writer:
        """Appends the count and then each value as an item."""
        parts = [*values]
        self.u64(len(parts))
        self._parts.extend(item(p) for p in parts)
        return self

    def finish(self) -> builtins.bytes:
        return b"".join(self._parts)


class Reader:
    """Reads one canonical message and refuses anything that `Writer` would not write.

    Raises (from every method):
        DecodeError: The bytes are not canonical, too short, too long, or another kind.
        LimitExceeded: A declared length or count is above the given limit.
    """

    __slots__ = ("_at", "_data", "_tag")

    def __init__(self, data: builtins.bytes, tag: str, limit: int = ITEM_BYTES_MAX) -> None:
        if not isinstance(data, builtins.bytes):
            raise DecodeError(f"{tag}: expected bytes, got {type(data).__name__}")
        if len(data) > limit:
            raise LimitExceeded(f"{tag}: {len(data)} bytes, at most {limit} are accepted")
        self._data, self._at, self._tag = data, 0, tag
        got = self.bytes(limit=64)
        if got != tag.encode("ascii"):
            raise DecodeError(f"expected a message {tag}, got {excerpt(got, 64)!r}")

    def bytes(self, exact: int | None = None, limit: int = ITEM_BYTES_MAX) -> builtins.bytes:
        end = self._at + 4
        if end > len(self._data):
            raise DecodeError(f"{self._tag}: ends at byte {len(self._data)} inside a length")
        size = int.from_bytes(self._data[self._at : end], "big")
        if size > limit:
            raise LimitExceeded(f"{self._tag}: an item of {size} bytes, at most {limit} are accepted")
        if exact is not None and size != exact:
            raise DecodeError(f"{self._tag}: an item of {size} bytes where {exact} are expected")
        if end + size > len(self._data):
            raise DecodeError(f"{self._tag}: an item of {size} bytes, {len(self._data) - end} are left")
        self._at = end + size
        return self._data[end : self._at]

    def text(self, limit: int = 4096) -> str:
        raw = self.bytes(limit=limit)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise DecodeError(f"{self._tag}: text that is not UTF-8: {excerpt(raw)}") from None

    def u64(self, maximum: int = (1 << 64) - 1) -> int:
        value = int.from_bytes(self.bytes(exact=8), "big")
        if value > maximum:
            raise LimitExceeded(f"{self._tag}: the number {value}, at most {maximum} is accepted")
        return value

    def integer(self, limit: int = 64) -> int:
        raw = self.bytes(limit=limit)
        value = int.from_bytes(raw, "big", signed=True)
        if len(raw) != (value + (value < 0)).bit_length() // 8 + 1:
            raise DecodeError(f"{self._tag}: an integer that is not minimal")
        return value

    def list(
        self, maximum: int, exact: int | None = None, limit: int = ITEM_BYTES_MAX
    ) -> builtins.list[builtins.bytes]:
        """Returns a counted list; `exact` is the size of each item, if it is fixed."""
        count = self.u64(maximum)
        if count * 4 > len(self._data) - self._at:
            raise DecodeError(f"{self._tag}: {count} items announced, {len(self._data) - self._at} bytes left")
        return [self.bytes(exact, limit) for _ in range(count)]

    def finish(self) -> None:
        if self._at != len(self._data):
            raise DecodeError(f"{self._tag}: {len(self._data) - self._at} bytes too many")
