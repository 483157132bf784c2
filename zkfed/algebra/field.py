"""Vectors over the scalar field, as Python integers in numpy object arrays, and as limbs.

Inside Python a vector is an object array of integers in [0, r): numpy drives the loop, the
integers do the arithmetic. Across the backend seam a vector is an array of *limbs*: shape
(n, 4), dtype uint64, little-endian, canonical (below r). A compiled backend reads limbs
without touching a Python object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError

__all__ = [
    "Ints",
    "Limbs",
    "as_ints",
    "batch_inverse",
    "centred",
    "check_limbs",
    "from_limbs",
    "integer_product",
    "powers",
    "to_limbs",
]

Ints = npt.NDArray[Any]
"""Object array of Python integers."""
Limbs = npt.NDArray[np.uint64]
"""Shape (n, 4), little-endian limbs of canonical scalars."""


def as_ints(values: Iterable[int] | npt.NDArray[Any], order: int | None = None) -> Ints:
    """Returns an object array of Python integers, reduced into [0, order) if it is given."""
    source = values.tolist() if isinstance(values, np.ndarray) else list(values)
    array = np.empty(np.shape(np.asarray(source, dtype=object)), dtype=object)
    array[...] = np.asarray(source, dtype=object)
    return array if order is None else array % order


def to_limbs(values: Iterable[int]) -> Limbs:
    """Returns limbs of integers in [0, 2^256); the caller has reduced them below r.

    Raises:
        OverflowError: A value is negative or needs more than 256 bits.
    """
    data = b"".join([v.to_bytes(32, "little") for v in values])
    return np.frombuffer(data, dtype="<u8").reshape(-1, 4)


def from_limbs(limbs: Limbs) -> Ints:
    """Returns the integers of limbs as an object array."""
    data = np.ascontiguousarray(limbs, dtype="<u8").tobytes()
    out = np.empty(len(limbs), dtype=object)
    out[:] = [int.from_bytes(data[i : i + 32], "little") for i in range(0, len(data), 32)]
    return out


def check_scalars(values: Sequence[int], order: int) -> None:
    """Refuses everything that is not a canonical scalar.

    Raises:
        DecodeError: A value is not an int (`True` and 1.0 are not), or outside [0, order).
    """
    for position, value in enumerate(values):
        if type(value) is not int or not 0 <= value < order:
            raise DecodeError(f"scalar {position} is not an integer in [0, r)")


def check_limbs(limbs: Limbs, order: int) -> None:
    """Raises ValueError unless every scalar is canonical, that is below `order`."""
    is_below = np.zeros(len(limbs), dtype=bool)
    is_open = np.ones(len(limbs), dtype=bool)
    for i, bound in reversed(list(enumerate(to_limbs([order])[0]))):
        is_below |= is_open & (limbs[:, i] < bound)
        is_open &= limbs[:, i] == bound
    if not is_below.all():
        raise ValueError(f"scalar {int(np.argmin(is_below))} of {len(limbs)} is not below r; reduce it first")


def powers(base: int, count: int, order: int) -> Ints:
    """Returns (1, x, x^2, ..., x^(count-1)) modulo `order`."""
    out, value = np.empty(count, dtype=object), 1
    for i in range(count):
        out[i] = value
        value = value * base % order
    return out


def batch_inverse(values: Ints, order: int) -> Ints:
    """Returns 1/v for every v with one modular inversion; 0 stays 0.

    Source: Montgomery, "Speeding the Pollard and elliptic curve methods", section 10.3.1.
    """
    flat = values.ravel().tolist()
    prefix, running = [], 1
    for value in flat:
        prefix.append(running)
        if value:
            running = running * value % order
    inverse = pow(running, -1, order)
    out: list[int] = [0] * len(flat)
    for i in range(len(flat) - 1, -1, -1):
        if flat[i]:
            out[i] = inverse * prefix[i] % order
            inverse = inverse * flat[i] % order
    array = np.empty(len(flat), dtype=object)
    array[:] = out
    return array.reshape(values.shape)


def integer_product(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> Ints:
    """Returns left @ right over the integers, exactly, for integers of any size and sign.

    Both are cut into limbs of w bits with (inner length) 2^(2 w) <= 2^53, and limbs are multiplied
    as floats: every partial sum is an integer that a float holds. That is some hundred times
    faster than Python's integers.

    Args:
        left: Integers, shape (m, n).
        right: Integers, shape (n, c).
    """
    inner = left.shape[1]
    if inner != right.shape[0]:
        raise ValueError(f"{left.shape} times {right.shape} does not fit")
    width = (53 - inner.bit_length()) // 2
    total = np.zeros((left.shape[0], right.shape[1]), dtype=object)
    if not total.size or not inner:
        return total
    rights = _float_limbs(right, width)
    for i, a in enumerate(_float_limbs(left, width)):
        for j, b in enumerate(rights):
            total += (a @ b).astype(np.int64).astype(object) << width * (i + j)
    return total


def _float_limbs(values: npt.NDArray[Any], width: int) -> list[npt.NDArray[np.float64]]:
    """Cuts integers into limbs of `width` bits, of which the top one carries the sign."""
    largest = max(int(values.max()), -int(values.min()) - 1)
    limbs = []
    for _ in range((largest.bit_length() - 1) // width):
        limbs.append((values & ((1 << width) - 1)).astype(np.float64))
        values = values >> width
    return [*limbs, values.astype(np.float64)]


def centred(values: Ints, order: int) -> Ints:
    """Returns representatives in (-r/2, r/2]."""
    return np.where(values > order // 2, values - order, values)
