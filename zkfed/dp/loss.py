"""A privacy loss as exact rationals, and what it is at a delta.

    rho        zCDP; adds up over releases, whatever was chosen in view of earlier ones
    epsilon    pure differential privacy; adds up, and exists while every release is pure
    delta      what threshold releases add: with that probability nothing is promised

A pure release counts as rho = epsilon^2 / 2 beside Gaussian ones. Losses of many releases hold for
both rules at once: a filter that admits a release if *either* bound stays below the budget is
sound even if the rule that binds depends on earlier answers, because paths that end under the pure
bound exceed it with probability `delta` alone, and the others are covered by the zCDP filter.

Source: Bun and Steinke 2016 (eprint 2016/816); Whitehouse et al. 2023 (arXiv 2203.05481), filters.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from zkfed.dp.noise import charge_of
from zkfed.errors import shown

__all__ = ["PrivacyLoss", "epsilon_of", "exact"]

RHO_MAX = 10_000
"""From here on nothing is promised: epsilon is above every budget, and OpenDP's conversion overflows."""


@functools.lru_cache(maxsize=4096)
def epsilon_of(rho: Fraction, delta: float) -> float:
    """Returns epsilon at delta for a zCDP charge, by OpenDP's conversion, rounded up; infinite above `RHO_MAX`.

    Args:
        rho: At least 0.
        delta: In (0, 1).
    """
    if rho <= 0:
        return 0.0
    if rho > RHO_MAX:
        return math.inf
    # A Gaussian of sigma 1 costs rho at the sensitivity sqrt(2 rho).
    sensitivity = math.sqrt(2 * float(rho))
    while True:
        charged, epsilon = charge_of(1.0, sensitivity, delta)
        if Fraction(charged) >= rho:
            return epsilon
        sensitivity = math.nextafter(sensitivity, math.inf)


@functools.lru_cache(maxsize=4096)
def _rho_within(epsilon: Fraction, delta: float) -> Fraction:
    """Returns the largest rho that converts to at most epsilon at delta, to 2^-50 of itself, rounded down."""
    low, high = Fraction(0), Fraction(1)
    while epsilon_of(high, delta) <= epsilon:
        low, high = high, 2 * high
    for _ in range(60):
        middle = Fraction(float((low + high) / 2))
        low, high = (middle, high) if epsilon_of(middle, delta) <= epsilon else (low, middle)
    return low


def exact(name: str, value: Any, *, most: int) -> Fraction:
    """Returns a number as it is written: 0.1 is 1/10, not the binary fraction next to it.

    Args:
        name: What it is, for the error.
        value: An int, float or Fraction, above 0.
        most: The largest that is allowed.

    Raises:
        TypeError: Not a number; `True` and "0.5" are none.
        ValueError: NaN, infinite, not above 0, or above `most`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a number")
    if not 0 < value <= most:  # refuses NaN too
        raise ValueError(f"{name} is {shown(value)}, expected a number in (0, {most}]")
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


@dataclass(frozen=True, slots=True)
class PrivacyLoss:
    """What one release, or many, cost one person.

    Attributes:
        rho: zCDP.
        epsilon: Pure loss; None as soon as one part is not pure.
        delta: The additive part of threshold releases; from 1 on nothing is promised.
    """

    rho: Fraction
    epsilon: Fraction | None = None
    delta: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        parts = [self.rho, self.delta, *([] if self.epsilon is None else [self.epsilon])]
        if any(type(x) is not Fraction for x in parts):
            raise TypeError("a privacy loss holds Fractions")
        if min(parts) < 0:
            raise ValueError("a privacy loss is at least 0")

    @classmethod
    def zero(cls) -> PrivacyLoss:
        """Returns the loss of nothing."""
        return cls(Fraction(0), Fraction(0))

    @classmethod
    def pure(cls, epsilon: float | Fraction) -> PrivacyLoss:
        """Returns the loss of a pure release, rho = epsilon^2 / 2; raises as `exact`."""
        loss = exact("epsilon", epsilon, most=100)
        return cls(loss * loss / 2, loss)

    @classmethod
    def gaussian(cls, rho: float | Fraction, *, delta: Fraction = Fraction(0)) -> PrivacyLoss:
        """Returns the loss of a Gaussian release; rho is OpenDP's map, exactly as it says it."""
        if not 0 < rho < math.inf:
            raise ValueError(f"rho is {shown(rho)}, expected a finite number above 0: such noise protects nothing")
        return cls(Fraction(rho), None, delta)

    def __add__(self, other: PrivacyLoss) -> PrivacyLoss:
        is_pure = self.epsilon is not None and other.epsilon is not None
        epsilon = (self.epsilon or Fraction(0)) + (other.epsilon or Fraction(0)) if is_pure else None
        return PrivacyLoss(self.rho + other.rho, epsilon, self.delta + other.delta)

    def __sub__(self, other: PrivacyLoss) -> PrivacyLoss:
        """Returns what is left of a sum that `other` is a part of; a bound that was lost stays lost."""
        is_pure = self.epsilon is not None and other.epsilon is not None
        epsilon = (self.epsilon or Fraction(0)) - (other.epsilon or Fraction(0)) if is_pure else None
        return PrivacyLoss(self.rho - other.rho, epsilon, self.delta - other.delta)

    def times(self, count: int) -> PrivacyLoss:
        """Returns the loss of `count` such releases."""
        epsilon = None if self.epsilon is None else self.epsilon * count
        return PrivacyLoss(self.rho * count, epsilon, self.delta * count)

    def at(self, delta: float) -> float:
        """Returns epsilon at delta, rounded up: the smaller of both bounds; infinite if delta is used up.

        Args:
            delta: In (0, 1).
        """
        rest = Fraction(str(delta)) - self.delta
        if rest <= 0:
            return math.inf
        # The smaller delta gives the larger epsilon, so rounding has to go down.
        converted = epsilon_of(self.rho, math.nextafter(float(rest), 0) if self.delta else delta)
        return converted if self.epsilon is None else min(converted, float(self.epsilon))

    def is_within(self, epsilon_max: Fraction, delta: float) -> bool:
        """Returns whether the loss is at most a budget, exactly: 0.1 fits ten times into 1.0, and not eleven."""
        if self.delta >= Fraction(str(delta)):
            return False
        if self.epsilon is not None and self.epsilon <= epsilon_max:
            return True
        rest = math.nextafter(float(Fraction(str(delta)) - self.delta), 0) if self.delta else delta
        return self.rho <= _rho_within(epsilon_max, rest)
