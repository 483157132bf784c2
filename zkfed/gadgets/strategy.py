"""Which range strategy costs a prover least: bits, or a table with limbs of b bits.

Rows are the wrong measure. The wires of bits are nearly free in a sum, and those of LogUp are
full-size scalars, but a row of bits fills the domain like any other. So strategies are
compared by the time of the sums and transforms that their wires and rows add:

    bits   (B + 1) rows, B bits in A, B and K
    table  R(B) rows and inverses in A and K, ceil(B/b) - 1 limbs in B and committed;
           2^b rows and quotients in A and K, 2^b multiplicities committed

The prices are pinned and whole numbers: prover and verifier must build one circuit, on every
machine and in every release. Another price is another circuit: raise the statements' VERSION.
Padding of the domain to a power of two is left out, since other parts of a circuit share it.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.lookup import RangeTable, lookups_per_value
from zkfed.r1cs.builder import Builder

__all__ = ["best_limb_bits", "bits_cost", "choose_ranges", "table_cost"]

# Nanoseconds on one thread, native backend, BLS12-381, sums of 2^12 to 2^16 terms: rounded once
# from what benches/calibrate.py printed, and kept when costs.py is measured anew.
_BIT, _BYTE, _WORD, _FULL = 130, 280, 510, 5800  # a term in G1: 0 or 1, 8 bits, 16 bits, full-size
_BIT_G2, _BYTE_G2, _WORD_G2 = 320, 670, 1310
_ROW = _FULL + 1160  # its point of H, and its part of the quotient's transforms
_LIMB_BITS = range(2, 17)

Ranges = Sequence[tuple[int, int]]
"""(how many values, of how many bits) for each tensor that will be range-checked."""


def bits_cost(ranges: Ranges) -> int:
    """Returns the cost of checking all ranges by bits, in ns of one proof."""
    bit = 3 * _BIT + _BIT_G2  # A, B1, K; B2
    return sum(count * ((bits + 1) * _ROW + bits * bit) for count, bits in ranges)


def table_cost(ranges: Ranges, limb_bits: int) -> int:
    """Returns the cost of checking all ranges by one table of 2^limb_bits entries, in ns of one proof."""
    small, small_g2 = (_BYTE, _BYTE_G2) if limb_bits <= 8 else (_WORD, _WORD_G2)
    inverse = _ROW + 2 * _FULL
    limb = 3 * small + small_g2  # its segment and that one's proof of knowledge, B1; B2
    total = (1 << limb_bits) * (_ROW + 2 * _FULL + 2 * small) + 2 * _ROW
    for count, bits in ranges:
        limbs = -(-bits // limb_bits) - 1
        # The value itself stands in B.
        total += count * (lookups_per_value(bits, limb_bits) * inverse + limbs * limb + _WORD + _WORD_G2)
    return total


def best_limb_bits(ranges: Ranges) -> int:
    """Returns the b in [2, 14] whose table is the cheapest one for the ranges."""
    return min(_LIMB_BITS, key=lambda b: table_cost(ranges, b))


def choose_ranges(builder: Builder, ranges: Ranges, segment: str) -> BitRanges | RangeTable:
    """Returns the cheaper strategy for all ranges of a circuit: bits for few values, a table for many.

    A table has to be closed after a challenge:

        checks = choose_ranges(builder, [(600, 16)], builder.segment("s"))
        checks.in_range("x", x, 16)
        if isinstance(checks, RangeTable):
            checks.commit()
            (alpha,) = builder.challenge("alpha")
            checks.close(alpha)

    Args:
        builder: At stage 0.
        ranges: Everything that will be checked; the choice depends on nothing else.
        segment: Of stage 0, for what the strategy commits.
    """
    limb_bits = best_limb_bits(ranges)
    if bits_cost(ranges) <= table_cost(ranges, limb_bits):
        return BitRanges(builder, segment)
    return RangeTable(builder, limb_bits, segment)
