"""S0, range and norm of an update; and N, the same circuit for a noise vector.

    C_D = Com(D; rho),   D_k in [-2^(b-1), 2^(b-1)),   sum_k D_k^2 <= B2

D_k are the wires of the linked segment "update", so the link opens C_D with exactly the
integers that the ranges speak about. B2 is a static input: one key serves every clip.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import Ints
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.loss import squared_norm
from zkfed.gadgets.strategy import best_limb_bits
from zkfed.policy import NOISE_BITS, UPDATE_BITS
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear
from zkfed.r1cs.system import LinkSpec, System

__all__ = ["BoundedUpdate", "bounded_update", "noise_circuit", "squared_norm_max", "update_circuit"]

VERSION = 1
USE = "update"
"""Updates and noises share their generators: their commitments are added up."""


def squared_norm_max(count: int, value_bits: int) -> int:
    """Returns the largest possible sum of squares: P 2^(2 (b-1))."""
    return count << (2 * (value_bits - 1))


@dataclass(frozen=True)
class BoundedUpdate:
    """The part of a circuit that S0, S2 and N share: a linked update in range.

    Attributes:
        norm_max: B2, the static input.
    """

    builder: Builder
    table: RangeTable
    update: Linear
    norm_max: Linear


def bounded_update(builder: Builder, shape: tuple[int, ...], *, value_bits: int, limb_bits: int) -> BoundedUpdate:
    """Declares the update, its link, its ranges and the input B2; the norm is the caller's.

    Args:
        builder: A fresh one.
        shape: Of the update.
        value_bits: b; coordinates lie in [-2^(b-1), 2^(b-1)).
        limb_bits: Of the range table.
    """
    half, count = 1 << (value_bits - 1), int(np.prod(shape))
    norm_max = builder.input("squared-norm-max", bounds=(0, squared_norm_max(count, value_bits)))
    linked = builder.segment("update", LinkSpec("update", USE, LANES, LANE_BITS))
    committed = builder.segment("stage-0")

    def hint(values: Values) -> Ints:
        return np.asarray(values.private["update"], dtype=object).reshape(shape)

    update = builder.witness("update", shape, hint, segment=linked, bounds=(-half, half - 1))
    table = RangeTable(builder, limb_bits, committed)
    table.in_range("update/range", update + half, value_bits)
    builder.justify((update + half).reshape(count), (0, 2 * half - 1))
    return BoundedUpdate(builder, table, update, norm_max)


def ranges_of(count: int, value_bits: int) -> list[tuple[int, int]]:
    """Returns the (count, bits) ranges of `bounded_update`, for the choice of the table."""
    return [(count, value_bits), (1, squared_norm_max(count, value_bits).bit_length())]


def _circuit(name: str, count: int, value_bits: int, curve: str) -> System:
    builder = Builder(name, version=VERSION, curve=CURVES[curve])
    limb_bits = best_limb_bits(ranges_of(count, value_bits))
    part = bounded_update(builder, (count,), value_bits=value_bits, limb_bits=limb_bits)
    norm = builder.define("update/norm", squared_norm(builder, "update/squares", part.update), segment="stage-0")
    at_most(part.table, "update/norm-slack", norm, part.norm_max)
    part.table.commit()
    (alpha,) = builder.challenge("alpha")
    part.table.close(alpha)
    return builder.finish()


@functools.lru_cache(maxsize=32)
def update_circuit(count: int, curve: str = "bls12-381") -> System:
    """Returns S0 for P = `count` coordinates of 16 bits."""
    return _circuit(f"update-bound-{count}", count, UPDATE_BITS, curve)


@functools.lru_cache(maxsize=32)
def noise_circuit(count: int, curve: str = "bls12-381") -> System:
    """Returns N for P = `count` coordinates of 29 bits: eta_k in [-2^28, 2^28)."""
    return _circuit(f"noise-bound-{count}", count, NOISE_BITS + 1, curve)
