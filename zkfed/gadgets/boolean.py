"""Bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zkfed.algebra.field import Ints
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant

__all__ = ["BitRanges", "Ranges", "boolean", "in_range_by_bits", "to_bits"]


def boolean(builder: Builder, name: str, bits: Linear) -> None:
    """Enforces b (b - 1) = 0 for each entry, single wires. Cost: one row an entry."""
    builder.enforce(name, bits, bits - 1, constant(0))
    builder.justify(bits.reshape(bits.size), (0, 1))


def to_bits(builder: Builder, name: str, value: Linear, count: int, *, segment: str | None = None) -> Linear:
    """Returns the `count` bits, least significant first, of each entry of a vector.

    value_i = sum_j 2^j b_ij with b_ij boolean, so 0 <= value_i < 2^count. Cost:
    count + 1 rows an entry.

    Raises:
        ValueError: 2^count is not far enough below r for the sum to be unique.
    """
    if count + 2 > builder.curve.order.bit_length():
        raise ValueError(f"{count} bits do not fit the field")

    shifts = np.arange(count, dtype=object)

    def hint(values: Values) -> Ints:
        return np.asarray((values.reduced(value)[:, None] >> shifts) % 2, dtype=object)

    bits = builder.witness(f"{name}/bits", (value.size, count), hint, segment=segment, bounds=(0, 1))
    boolean(builder, f"{name}/boolean", bits)
    weights = [1 << j for j in range(count)]
    weighted = bits * weights
    total = Linear((value.size,), weighted.indptr[::count], weighted.wires, weighted.coefficients)
    builder.enforce(f"{name}/sum", total - value, constant(1), constant(0))
    return bits


def in_range_by_bits(builder: Builder, name: str, value: Linear, bits: int, *, segment: str | None = None) -> None:
    """Enforces 0 <= value_i < 2^bits by decomposition into bits.

    The strategy for few values: bits + 1 rows a value and no table. `lookup.in_range` is
    the one for many.
    """
    flat = value.reshape(value.size)
    to_bits(builder, name, flat, bits, segment=segment)


class Ranges(Protocol):
    """A strategy for range checks: `BitRanges`, or `lookup.RangeTable`.

    Attributes:
        segment: Where witnesses of a gadget are committed that are range-checked; None
            leaves them private.
        limb_bits: Ranges of a multiple of it cost the same for every value, an integer or not.
    """

    @property
    def builder(self) -> Builder: ...
    @property
    def segment(self) -> str | None: ...
    @property
    def limb_bits(self) -> int: ...
    def in_range(self, name: str, value: Linear, bits: int) -> None:
        """Enforces 0 <= value_i < 2^bits for each entry."""

    def integer_in_range(self, name: str, value: Linear, bits: int) -> None:
        """Enforces the same of entries that other constraints prove to be integers, at fewer rows."""


@dataclass(frozen=True)
class BitRanges:
    """Range checks by bits: no table and no challenge, for circuits with few of them."""

    builder: Builder
    segment: str | None = None
    limb_bits: int = 1

    def in_range(self, name: str, value: Linear, bits: int) -> None:
        """Enforces 0 <= value_i < 2^bits for each entry; see `in_range_by_bits`."""
        self.builder.bounds(value)
        in_range_by_bits(self.builder, name, value, bits, segment=self.segment)

    def integer_in_range(self, name: str, value: Linear, bits: int) -> None:
        """Enforces the same: bits of an integer are not cheaper."""
        self.builder.proven_bounds(value)
        self.in_range(name, value, bits)
