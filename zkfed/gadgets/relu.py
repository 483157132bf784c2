"""ReLU with the rescaling of fixed-point numbers.

    q = floor(z / 2^f),   a = max(q, 0),   |q| < 2^b

One row and two range checks an entry, no bit:

    a (a - q) = 0            a is 0 or q
    2 a - q in [0, 2^b)      that is -q or q: so a >= 0, a >= q, and q is an integer below 2^b
    z - 2^f q in [0, 2^f)    z is an integer by the matrix product that it comes from, so q is its floor
"""

from __future__ import annotations

import numpy as np

from zkfed.algebra.field import Ints
from zkfed.gadgets.boolean import Ranges
from zkfed.r1cs.builder import Values
from zkfed.r1cs.linear import Linear, constant

__all__ = ["relu"]


def relu(ranges: Ranges, name: str, pre: Linear, *, fraction_bits: int, bits: int) -> Linear:
    """Returns a = max(floor(z / 2^f), 0) for each entry.

    Args:
        ranges: The circuit's strategy; all wires are committed in its segment.
        name: Of the constraints.
        pre: z, integer-typed committed wires of any shape.
        fraction_bits: f.
        bits: b; a witness with |q| >= 2^b does not satisfy the circuit.

    Raises:
        ValueError: z is not integer-typed.
    """
    builder = ranges.builder
    if builder.bounds(pre) is None:
        raise ValueError(f"{name}: only integer-typed wires have a sign")
    top = (1 << bits) - 1

    def quotient(values: Values) -> Ints:
        return np.asarray(values(pre) >> fraction_bits, dtype=object)

    q = builder.witness(f"{name}/quotient", pre.shape, quotient, segment=ranges.segment, bounds=(-top, top))

    def positive(values: Values) -> Ints:
        return np.asarray(np.maximum(values(q), 0), dtype=object)

    a = builder.witness(f"{name}/activation", pre.shape, positive, segment=ranges.segment, bounds=(0, top))
    builder.enforce(f"{name}/either", a - q, a, constant(0))
    ranges.in_range(f"{name}/magnitude", a * 2 - q, bits)
    builder.justify(q.reshape(q.size), (-top, top))
    builder.justify(a.reshape(a.size), (0, top))
    ranges.integer_in_range(f"{name}/remainder", pre - q * (1 << fraction_bits), fraction_bits)
    return a
