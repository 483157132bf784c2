"""Comparison of bounded integers by the range of their difference."""

from __future__ import annotations

from zkfed.gadgets.boolean import Ranges
from zkfed.r1cs.linear import Linear

__all__ = ["at_most", "slack_bits"]


def slack_bits(ranges: Ranges, small: Linear, large: Linear) -> int:
    """Returns the bits of the largest possible large - small.

    Raises:
        ValueError: One of them is not integer-typed, or the difference could wrap.
    """
    bounds = ranges.builder.bounds(large - small)
    if bounds is None:
        raise ValueError("only integer-typed wires can be compared")
    return max(bounds[1], 1).bit_length()


def at_most(ranges: Ranges, name: str, small: Linear, large: Linear) -> None:
    """Enforces small <= large by 0 <= large - small < 2^bits.

    The bit budget has shown |large - small| < r/2, so a negative difference is a scalar
    above r/2 and is in no range of at most (bits of r) - 2 bits.
    """
    ranges.in_range(name, large - small, slack_bits(ranges, small, large))
