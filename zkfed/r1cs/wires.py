"""What a builder knows of each wire: bounds, unproven claims, and when its value is fixed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["FULL_SIZE", "Bounds", "WireTable"]

Bounds = tuple[int, int] | None

FULL_SIZE = 255
"""Magnitude of a wire without bounds: any scalar."""
_LATE = np.iinfo(np.int64).max
_EMPTY = {"low": 0, "high": 0, "is_bounded": False, "claim": -1, "fixed_at": _LATE, "magnitudes": FULL_SIZE}


class WireTable:
    """Columns that grow by doubling.

    Attributes:
        low: Lowest integer, where `is_bounded`.
        high: Highest integer, where `is_bounded`.
        claim: Which witness tensor claims unproven bounds; -1 for none.
        fixed_at: The stage whose challenge comes after the wire is committed.
        magnitudes: Bits of the largest absolute value, for costs only; FULL_SIZE for any scalar.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low = np.zeros(1024, dtype=object)
        self.high = np.zeros(1024, dtype=object)
        self.is_bounded = np.zeros(1024, dtype=bool)
        self.claim = np.full(1024, -1, np.int64)
        self.fixed_at = np.full(1024, _LATE)
        self.magnitudes = np.full(1024, FULL_SIZE, np.uint8)

    def extend(self, size: int, bounds: Bounds) -> slice:
        """Adds `size` wires and returns their place."""
        span = slice(self.count, self.count + size)
        while span.stop > len(self.low):
            for name, fill in _EMPTY.items():
                old = getattr(self, name)
                new = np.full(2 * len(old), fill, dtype=old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
        self.count = span.stop
        if bounds is not None:
            self.set_bounds(span, bounds)
        return span

    def set_bounds(self, wires: slice | npt.NDArray[np.int64], bounds: tuple[int, int]) -> None:
        """Records that wires are integers in [lowest, highest]."""
        self.low[wires], self.high[wires], self.is_bounded[wires] = bounds[0], bounds[1], True
        self.expect(wires, bounds)

    def expect(self, wires: slice | npt.NDArray[np.int64], bounds: tuple[int, int]) -> None:
        """Records the size of wires for the cost model alone: nothing relies on it."""
        self.magnitudes[wires] = min(max(abs(b) for b in bounds).bit_length(), FULL_SIZE)
