"""A model update and the values that come of checking it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.encoding import digest
from zkfed.errors import DecodeError

__all__ = ["ModelUpdate", "Verdict", "decode_ints", "encode_ints", "model_digest"]


@dataclass(frozen=True, slots=True)
class ModelUpdate:
    """A clipped, fixed-point update. It never leaves the device unsealed.

    Attributes:
        integers: D, flat, in [-2^15, 2^15); secret.
        base: Digest of the base model that it changes.
    """

    integers: npt.NDArray[np.int64] = field(repr=False)
    base: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one update: a value, not an error.

    Attributes:
        client: The client's key, hex.
        is_accepted: Whether it enters the sum.
        code: "accepted", or the `code` of the error that turned it down.
        reason: For people; holds nothing secret.
    """

    client: str
    is_accepted: bool
    code: str
    reason: str

    def __str__(self) -> str:
        mark = "accepted" if self.is_accepted else f"refused ({self.code})"
        return f"{self.client[:12]} {mark}: {self.reason}"


def encode_ints(values: npt.NDArray[Any]) -> bytes:
    """Returns integers as 8-byte big-endian two's complement, in order.

    Raises:
        TypeError, ValueError: Not integers, or one is outside [-2^63, 2^63); none is rounded.
    """
    return _as_int64(values).astype(">i8").tobytes()


def decode_ints(data: bytes) -> npt.NDArray[np.int64]:
    """Reads what `encode_ints` wrote; how many there must be is the caller's to check.

    Raises:
        DecodeError: Not a whole number of integers.
    """
    if len(data) % 8:
        raise DecodeError(f"integers of 8 bytes each, got {len(data)} bytes")
    return np.frombuffer(data, dtype=">i8").astype(np.int64)


def model_digest(weights: npt.NDArray[Any]) -> bytes:
    """Returns the content address of a model's integer weights and their shape.

    Raises:
        TypeError, ValueError: Not integers, or one is outside [-2^63, 2^63); none is rounded.
    """
    flat = _as_int64(weights)
    shape = np.array(flat.shape, dtype=">i8").tobytes()
    return digest("zkfed/v1/model", shape, encode_ints(flat.ravel()))


def _as_int64(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    # A cast alone would round 0.5 to 0 and wrap 2^63: two models with one digest.
    array = np.asarray(values)
    if array.dtype == object:
        if not all(type(x) is int or isinstance(x, np.integer) for x in array.flat):
            raise TypeError("expected integers, got an array of other objects")
    elif array.size and array.dtype.kind not in "iu":
        raise TypeError(f"expected integers, got an array of {array.dtype}")
    if array.size and not -(1 << 63) <= int(array.min()) <= int(array.max()) < 1 << 63:
        raise ValueError("an integer is outside [-2^63, 2^63)")
    return array.astype(np.int64)
