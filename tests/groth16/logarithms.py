"""A "backend" of discrete logarithms: the real setup, evaluated in the exponent.

A point is its logarithm modulo a 31-bit prime, a hashed generator is a random number that nobody
can relate to others. Drawing many keys this way turns "which elements of the key satisfy this
equation, whatever the trapdoors are" into linear algebra (review section 6, fifth row).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Group, Points
from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Limbs, centred, from_limbs
from zkfed.commitments.pedersen import generators
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.setup import _setup
from zkfed.r1cs.system import SparseMatrix, System

__all__ = ["TOY", "Draw", "LogBackend", "draw_key", "rank", "shrunk"]

TOY = Curve("toy-31", 15 * 2**27 + 1, 15 * 2**27 + 1, 8, 27, 31, 0)
"""2013265921 is prime, r - 1 has the factor 2^27, and 31 generates its multiplicative group."""
Matrix = npt.NDArray[np.int64]


class LogBackend:
    """The part of the `Backend` protocol that a setup needs."""

    name, curve = "logarithms", TOY

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, group: Group, scalars: Limbs) -> Points:
        return Points(group, from_limbs(scalars) % TOY.order)

    def scale(self, points: Points, scalars: Limbs) -> Points:
        return Points(points.group, points.raw * (from_limbs(scalars) % TOY.order) % TOY.order)

    def add(self, left: Points, right: Points) -> Points:
        return Points(left.group, (left.raw + right.raw) % TOY.order)

    def negate(self, points: Points) -> Points:
        return Points(points.group, -points.raw % TOY.order)

    def take(self, points: Points, index: npt.NDArray[np.intp]) -> Points:
        return Points(points.group, points.raw[index])

    def concat(self, group: Group, parts: Sequence[Points]) -> Points:
        return Points(group, np.concatenate([np.zeros(0, dtype=object), *[p.raw for p in parts]]))

    def compiled(self, *_: Any) -> None:
        return None

    def encode(self, points: Points) -> bytes:
        size = TOY.point_bytes(points.group)
        return b"".join(int(v).to_bytes(size, "big") for v in points.raw)

    def is_identity(self, points: Points) -> npt.NDArray[np.bool_]:
        return np.asarray(points.raw == 0, dtype=bool)

    def hash_to_g1(self, messages: Sequence[bytes], domain: bytes) -> Points:
        free = [hashlib.sha256(b"%d|%b|%b" % (self.seed, domain, m)).digest() for m in messages]
        return Points("G1", np.array([int.from_bytes(h, "big") % TOY.order for h in free], dtype=object))


def shrunk(system: System) -> System:
    """Returns the same constraints with their integer coefficients modulo the toy prime."""

    def reduced(m: SparseMatrix) -> SparseMatrix:
        return replace(m, coefficients=centred(m.coefficients, system.curve.order) % TOY.order)

    return replace(system, curve=TOY, a=reduced(system.a), b=reduced(system.b), c=reduced(system.c))


@dataclass(frozen=True)
class Draw:
    """One key in the exponent.

    Attributes:
        published: Logarithms of every element of G1 that anyone can see.
        k: The scalars of the link's rows, two for each link.
        rows: For each link the elements of row 1 (basis) and of row 2 (generators, blinder).
    """

    key: ProvingKey
    published: list[int]
    k: list[int]


def draw_key(system: System, seed: int, k_of: Any = None) -> Draw:
    """Runs the real setup with fresh random trapdoors.

    Args:
        system: Already shrunk.
        seed: Of everything random.
        k_of: Changes the drawn k (a list), for setups that are wrong on purpose.
    """
    source, backend = random.Random(seed), LogBackend(seed)
    layout, drawn = system.layout, [0]
    before = 4 + len(layout.unlinked)
    numbers = [source.randrange(2, TOY.order) for _ in range(before + 2 * len(layout.links))]
    if k_of is not None:
        numbers[before:] = k_of(numbers[before:])

    def rand() -> int:
        drawn[0] += 1
        return numbers[drawn[0] - 1]

    key = _setup(system, backend, rand)  # type: ignore[arg-type]  # the part of the protocol that it uses
    vk = key.verifying
    sets = [p.raw for p in (vk.alpha, vk.ic, *key._parts()) if p.group == "G1"]
    sizes = {s.name: s.stop - s.start - 1 for s in layout.segments}
    for spec in layout.links:
        g = generators(backend, spec.use, sizes[spec.segment], spec.lanes)  # type: ignore[arg-type]
        sets += [g.lanes.raw, g.blinder.raw]
    # The generator itself is published too.
    published = [1, *(int(v) for part in sets for v in part.tolist())]
    return Draw(key, published, numbers[before:])


def rank(matrix: Matrix) -> int:
    """Returns the rank modulo the toy prime, by elimination."""
    m, order, row = matrix % TOY.order, TOY.order, 0
    for column in range(m.shape[1]):
        nonzero = np.flatnonzero(m[row:, column])
        if not len(nonzero):
            continue
        pivot = row + int(nonzero[0])
        m[[row, pivot]] = m[[pivot, row]]
        m[row, column:] = m[row, column:] * pow(int(m[row, column]), -1, order) % order
        below = row + 1 + np.flatnonzero(m[row + 1 :, column])
        m[below, column:] = (m[below, column:] - m[below, column, None] * m[row, column:]) % order
        row += 1
        if row == len(m):
            break
    return row
