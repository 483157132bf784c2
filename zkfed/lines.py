"""Straight lines that bound convex functions of a logit, with integer coefficients.

A logit is an integer v, of which `one` are 1.0. A line is slope v + intercept, in units of which
`one` * 2^16 are 1.0. `Chords` are never below the function, each within its interval; `Tangents`
never above it, everywhere. Both follow from convexity alone, so a prover may choose the line.

The real function is evaluated by `decimal` with 60 digits, whose exp and ln are correctly rounded
(General Decimal Arithmetic, IBM), and moved outwards by 10^-30, far more than all roundings add up
to, before it becomes an integer: the tables are exact bounds, and the same ones on every platform.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "SLOPE_BITS",
    "Chords",
    "Tangents",
    "entropies",
    "exponential_chords",
    "logistic_chords",
    "logistic_tangents",
]

SLOPE_BITS = 16
"""Slopes are integers of which 2^16 are 1.0."""
LOGIT_BITS_MAX = 60
"""Logits are below 2^60, so that differences of two fit a machine word."""

Integers = npt.NDArray[np.int64]

_CONTEXT = decimal.Context(prec=60, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, rounding=decimal.ROUND_HALF_EVEN)
_MARGIN = Decimal(10) ** -30


@dataclass(frozen=True)
class Chords:
    """Upper bounds: line k is not below the function for starts_k <= v <= starts_k + 2^width_bits_k.

    Attributes:
        starts: Ascending; each interval ends where the next one starts.
        width_bits: Of each interval.
        slopes: At scale 2^16.
        intercepts: At scale `one` * 2^16.
    """

    starts: Integers
    width_bits: Integers
    slopes: Integers
    intercepts: Integers

    def choose(self, v: npt.NDArray[np.int64]) -> Integers:
        """Returns the number of the interval of each v."""
        return np.asarray(np.searchsorted(self.starts, v, side="right") - 1, dtype=np.int64)

    def values(self, v: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Returns the bound at each v, Python integers."""
        return _values(self.slopes, self.intercepts, self.choose(v), v)

    def total(self, v: npt.NDArray[np.int64]) -> int:
        """Returns the sum of the bounds."""
        return int(self.values(v).sum())


@dataclass(frozen=True)
class Tangents:
    """Lower bounds: no line is above the function anywhere.

    Attributes:
        slopes: At scale 2^16, descending.
        intercepts: At scale `one` * 2^16.
    """

    slopes: Integers
    intercepts: Integers

    @functools.cached_property
    def _crossings(self) -> Integers:
        """The first v for which line k is not lower than line k + 1, ascending from the last k."""
        return -(np.diff(self.intercepts) // np.diff(self.slopes))[::-1]

    def choose(self, v: npt.NDArray[np.int64]) -> Integers:
        """Returns the number of the highest line at each v."""
        passed = np.searchsorted(self._crossings, v, side="right")
        return np.asarray(len(self.slopes) - 1 - passed, dtype=np.int64)

    def total(self, v: npt.NDArray[np.int64]) -> int:
        """Returns the sum of the bounds."""
        return int(_values(self.slopes, self.intercepts, self.choose(v), v).sum())


def _values(slopes: Integers, intercepts: Integers, k: Integers, v: Integers) -> npt.NDArray[Any]:
    return np.asarray(slopes[k].astype(object) * v.astype(object) + intercepts[k].astype(object), dtype=object)


# -- the functions ---------------------------------------------------------------------------------


def _log_loss(x: Decimal) -> Decimal:
    """log(1 + exp(-x)): convex, slopes in (-1, 0)."""
    return max(-x, Decimal(0)) + (1 + (-abs(x)).exp()).ln()


def _log_loss_at(slope: Decimal) -> Decimal:
    """Where the log loss has a slope."""
    p = -slope
    return Decimal("-Infinity") if p >= 1 else Decimal("Infinity") if p <= 0 else ((1 - p) / p).ln()


def _exponential_at(slope: Decimal) -> Decimal:
    """Where exp has a slope."""
    return slope.ln() if slope > 0 else Decimal("-Infinity")


@dataclass(frozen=True)
class _Convex:
    value: Callable[[Decimal], Decimal]
    at_slope: Callable[[Decimal], Decimal]
    one: int
    ceiling: int
    """No interval ends beyond it: what grows exponentially is evaluated near 0 only."""

    def chord(self, start: int, width: int) -> tuple[int, int, Decimal]:
        """Returns (slope, intercept, largest distance from the function) on an interval.

        The slope is rounded, and the intercept rounded up so that the line is above the function at
        both ends; then it is, by convexity, in between.
        """
        unit, ends = self.one << SLOPE_BITS, (start, start + width)
        highs = [(self.value(Decimal(end) / self.one) + _MARGIN) * unit for end in ends]
        slope = int(((highs[1] - highs[0]) / width).to_integral_value())
        intercept = max(math.ceil(high - slope * end) for high, end in zip(highs, ends, strict=True))
        touching = self.at_slope(Decimal(slope) / (1 << SLOPE_BITS)) * self.one
        at = min(max(touching, Decimal(ends[0])), Decimal(ends[1]))
        return slope, intercept, (slope * at + intercept) / unit - self.value(at / self.one)

    def chords(self, low: int, high: int, tolerance: Decimal) -> Chords:
        """Returns chords for low <= v <= high, each interval as wide as the tolerance allows.

        Raises:
            ValueError: The interval does not fit machine words.
        """
        if high - low >= 1 << (LOGIT_BITS_MAX + 2):
            raise ValueError(f"logits of {(high - low).bit_length()} bits are too wide for the tables of lines")
        start, bits, rows = low, (high - low).bit_length(), []
        while start <= high:
            while 1 << bits > self.ceiling - start:
                bits -= 1
            while True:
                slope, intercept, distance = self.chord(start, 1 << bits)
                if distance <= tolerance or not bits:
                    break
                bits -= 1
            rows.append((start, bits, slope, intercept))
            start, bits = start + (1 << bits), bits + 1
        return Chords(*np.array(rows, dtype=np.int64).T)


def _tolerance(precision: int) -> Decimal:
    return Decimal(1) / (1 << precision)


@functools.lru_cache(maxsize=32)
def logistic_chords(one: int, logit_max: int, precision: int) -> Chords:
    """Returns chords of log(1 + exp(-v/one)) for |v| <= logit_max, at most 2^-precision above it."""
    with decimal.localcontext(_CONTEXT):
        return _Convex(_log_loss, _log_loss_at, one, 4 * logit_max).chords(-logit_max, logit_max, _tolerance(precision))


@functools.lru_cache(maxsize=32)
def exponential_chords(one: int, low: int, precision: int) -> Chords:
    """Returns chords of exp(v/one) for low <= v <= 0, at most 2^-precision above it."""
    with decimal.localcontext(_CONTEXT):
        return _Convex(Decimal.exp, _exponential_at, one, one).chords(low, 0, _tolerance(precision))


@functools.lru_cache(maxsize=32)
def logistic_tangents(one: int, lines: int) -> Tangents:
    """Returns lines below log(1 + exp(-v/one)), one more than `lines`.

    log(1 + exp(-x)) = max over p in [0, 1] of -p x + H(p), H(p) = -p ln p - (1 - p) ln (1 - p): each p
    gives a lower bound for all x. At p_k = k^2/(k^2 + (K - k)^2) the best of them is about K^-2 below
    the function at the ends and 4 K^-2 in the middle.
    """
    top = 1 << SLOPE_BITS
    found = {top * k * k // (k * k + (lines - k) ** 2) for k in range(lines + 1)}
    with decimal.localcontext(_CONTEXT):
        shares = sorted(found)
        intercepts = [_entropy(p, top, one) + _entropy(top - p, top, one) for p in shares]
    return Tangents(-np.array(shares, dtype=np.int64), np.array(intercepts, dtype=np.int64))


@functools.lru_cache(maxsize=32)
def entropies(one: int, bits: int) -> Integers:
    """Returns -p ln p for p = k/2^bits, k = 0 .. 2^bits, rounded down at scale `one` * 2^16."""
    with decimal.localcontext(_CONTEXT):
        return np.array([_entropy(k, 1 << bits, one) for k in range((1 << bits) + 1)], dtype=np.int64)


def _entropy(numerator: int, denominator: int, one: int) -> int:
    if numerator in (0, denominator):
        return 0
    p = Decimal(numerator) / denominator
    return math.floor((-p * p.ln() - _MARGIN) * (one << SLOPE_BITS))
