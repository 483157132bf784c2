"""exp of a fraction between two integers: interval arithmetic on Python integers, nothing else.

An oracle of its own: it shares no code with the library, and no digit of `decimal`. Logarithms are
not needed, since U >= log(1 + exp x) says exp U >= 1 + exp x.
"""

from __future__ import annotations

from fractions import Fraction

__all__ = ["BITS", "exponential"]

BITS = 192
"""Results are in units of 2^-192."""
ONE = 1 << BITS


def exponential(x: Fraction) -> tuple[int, int]:
    """Returns (low, high) with low <= 2^192 exp(x) <= high."""
    if x < -BITS:  # exp x < 2^-BITS
        return 0, 1
    halvings = max((abs(x.numerator) // x.denominator).bit_length() + 8, 0)
    low, high = _series((x.numerator << BITS) // (x.denominator << halvings))
    for _ in range(halvings):
        low, high = low * low >> BITS, -(-high * high >> BITS)
    return low, high


def _series(y: int) -> tuple[int, int]:
    """Returns the same for y in units of 2^-192 that was rounded down, |y| <= 2^-8."""
    total = term = ONE
    k = 1
    while abs(term) > 1:
        term = term * y // (k * ONE)
        total, k = total + term, k + 1
    # Each of the k terms is less than k units off, what is left out is less than 2 units, and y is
    # less than one unit too small, which exp makes less than 2.
    return total - k * k - 4, total + k * k + 4
