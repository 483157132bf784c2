"""Pedersen vector commitments with seven coordinates to a lane scalar, or one.

    Com(D; rho) = sum_j L_j G_j + rho H,   L_j = sum_{l<7} D_{7j+l} 2^(32 l)   or   L_j = D_j

Commitments add up like their openings. Unpacking a sum is unique while every coordinate
lies in [-2^31, 2^31) (protocol.md section 4). G_j and H are hashed to the curve, so nobody
knows a relation between them; the commitment is perfectly hiding for uniform rho and
binding if discrete logarithms are hard.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.field import Ints, as_ints, to_limbs
from zkfed.errors import CommitmentMismatch
from zkfed.fixedpoint import LANE_BITS, LANES, pack_lanes

__all__ = ["COORDINATE_MAX", "Generators", "generators"]

COORDINATE_MAX = 1 << (LANE_BITS - 1)


@dataclass(frozen=True)
class Generators:
    """The generators of one use for a fixed number of coordinates.

    Attributes:
        use: Such as "update"; enters every hash.
        count: P, the number of coordinates.
        lanes: G_0 .. G_(ceil(P/7)-1); with one coordinate to a generator, G_0 .. G_(P-1).
        blinder: H.
        width: Coordinates to a generator, 7 or 1.
    """

    backend: Backend
    use: str
    count: int
    lanes: Points
    blinder: Points
    width: int = LANES

    def commit(self, values: Sequence[int] | Ints, blinder: int) -> Points:
        """Returns Com(values; blinder).

        Args:
            values: P integers in [-2^31, 2^31).
            blinder: rho in [0, r).

        Raises:
            ValueError: Wrong number, or a value outside its range.
        """
        order = self.backend.curve.order
        flat = as_ints(np.asarray(values, dtype=object))
        if flat.shape != (self.count,):
            raise ValueError(f"coordinates of shape {flat.shape}, the generators are for {self.count}")
        if any(type(v) is not int for v in [*flat.tolist(), blinder]):
            raise ValueError("a coordinate or the blinder is no integer")
        if any(not -COORDINATE_MAX <= v < COORDINATE_MAX for v in flat.tolist()) or not 0 <= blinder < order:
            raise ValueError("a coordinate or the blinder is outside its range")
        packed = flat.tolist() if self.width == 1 else pack_lanes(flat)
        scalars = to_limbs([v % order for v in packed] + [blinder])
        return self.backend.msm(self.backend.concat("G1", [self.lanes, self.blinder]), scalars)

    def open(self, commitment: Points, values: Sequence[int] | Ints, blinder: int) -> None:
        """Checks that (values; blinder) opens `commitment`.

        Raises:
            CommitmentMismatch: It does not, or a value is outside its range.
        """
        try:
            expected = self.commit(values, blinder)
        except ValueError as error:
            raise CommitmentMismatch(f"no canonical opening: {error}") from None
        if not bool(self.backend.is_equal(expected, commitment)[0]):
            raise CommitmentMismatch("the opening does not fit the commitment")

    def coordinates(self) -> Points:
        """Returns 2^(32 l) G_j for each coordinate 7 j + l (G_j where the width is 1): the link's columns."""
        if self.width == 1:
            return self.lanes
        index = np.arange(self.count)
        shifts = to_limbs([1 << (LANE_BITS * (i % LANES)) for i in index.tolist()])
        return self.backend.scale(self.backend.take(self.lanes, index // LANES), shifts)


@functools.lru_cache(maxsize=64)
def generators(backend: Backend, use: str, count: int, width: int = LANES) -> Generators:
    """Returns the generators of `use` for `count` coordinates, `width` to each; equal for everybody.

    Domain "zkfed/v1/generator/{use}", message the index as 8 bytes big-endian; the blinder
    has the domain "zkfed/v1/generator/H-{use}" and index 0.

    Raises:
        ValueError: The use starts with "H-": its first lane would be the blinder of another; or
            the width is neither 7 nor 1.
    """
    if width not in (1, LANES):
        raise ValueError(f"{width} coordinates to a generator, expected {LANES} or 1")
    if use.startswith("H-"):
        raise ValueError(f"the use {use!r}: names that start with H- are those of blinders")
    lanes = -(-count // width)
    indices = [j.to_bytes(8, "big") for j in range(lanes)]
    return Generators(
        backend,
        use,
        count,
        backend.hash_to_g1(indices, f"zkfed/v1/generator/{use}".encode()),
        backend.hash_to_g1([bytes(8)], f"zkfed/v1/generator/H-{use}".encode()),
        width,
    )
