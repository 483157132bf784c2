"""Fixed-point rescaling: q = floor(x / 2^f)."""

from __future__ import annotations

import numpy as np

from zkfed.algebra.field import Ints
from zkfed.gadgets.boolean import Ranges
from zkfed.r1cs.builder import Values
from zkfed.r1cs.linear import Linear, constant

__all__ = ["rescale"]


def rescale(ranges: Ranges, name: str, value: Linear, fraction_bits: int) -> Linear:
    """Returns q = floor(x / 2^f) for each entry of a vector: x = 2^f q + rem, 0 <= rem < 2^f.

    q is unique: both q and rem are range-checked, and the bit budget has shown that
    2^f q + rem cannot wrap. Cost: R(bits of q) + R(f) lookups and one row an entry.

    Raises:
        ValueError: The value is not integer-typed.
    """
    builder = ranges.builder
    bounds = builder.bounds(value)
    if bounds is None:
        raise ValueError(f"{name}: only integer-typed wires can be rescaled")
    low, high = bounds[0] >> fraction_bits, bounds[1] >> fraction_bits
    bits = max(high - low, 1).bit_length()
    top = low + (1 << bits) - 1

    def quotient(values: Values) -> Ints:
        return np.asarray(values(value) >> fraction_bits, dtype=object)

    def remainder(values: Values) -> Ints:
        return np.asarray(values(value) % (1 << fraction_bits), dtype=object)

    q = builder.witness(f"{name}/quotient", value.shape, quotient, segment=ranges.segment, bounds=(low, top))
    rem = builder.witness(
        f"{name}/remainder",
        value.shape,
        remainder,
        segment=ranges.segment,
        bounds=(0, (1 << fraction_bits) - 1),
    )
    ranges.in_range(f"{name}/quotient", q - low, bits)
    builder.justify(q - low, (0, (1 << bits) - 1))
    ranges.in_range(f"{name}/remainder", rem, fraction_bits)
    builder.justify(rem, (0, (1 << fraction_bits) - 1))
    builder.enforce(f"{name}/sum", q * (1 << fraction_bits) + rem - value, constant(1), constant(0))
    return q
