"""Shows that the fused prover of the native core makes the keys and proofs that Python makes.

Random constraint systems, assignments that satisfy them and assignments that do not: equal keys
from equal trapdoors, equal A, B and C from equal r and s, the same row named when one does not hold.
The reference backend computes every part with Python integers and py_ecc; larger systems are
compared with Python's rows over the native backend's vectors.
"""

from __future__ import annotations

import importlib
import random
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed.algebra.backend import Backend, backends
from zkfed.algebra.curve import BLS12_381, BN254, CURVES, Curve
from zkfed.algebra.field import as_ints, to_limbs
from zkfed.algebra.native import NativeBackend
from zkfed.algebra.reference import ReferenceBackend
from zkfed.errors import UnsatisfiedConstraint
from zkfed.groth16.assembly import Assembler, _CompiledAssembler, _VectorAssembler, assembler_of
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.setup import _setup
from zkfed.r1cs.system import Input, Label, SparseMatrix, System

pytestmark = pytest.mark.skipif(not backends()[0].is_available, reason="zkfed_native is not built here")
importlib.import_module("py_ecc")  # now: it raises the recursion limit, which hypothesis forbids inside a test
each_curve = pytest.mark.parametrize("curve", [BLS12_381.name, BN254.name])
SEEDS = st.integers(0, 1 << 32)
Row = dict[int, int]


def scalar(chance: random.Random, order: int) -> int:
    kind = chance.randrange(8)
    if kind < 3:
        return (0, 1, order - 1)[kind]
    if kind == 3:
        return chance.randrange(order)
    return chance.randrange(1 << chance.choice((4, 8, 16, 32, 64, 140))) * chance.choice((1, -1)) % order


def random_rows(chance: random.Random, order: int, z: list[int], count: int) -> list[tuple[Row, Row, Row]]:
    """Returns rows that z satisfies: in each, the coefficient of the wire 1 in C makes up for the rest."""

    def terms() -> Row:
        wires = sorted(chance.sample(range(len(z)), chance.randrange(min(4, len(z) + 1))))
        return {w: scalar(chance, order) for w in wires}

    rows = []
    for _ in range(count):
        a, b, c = terms(), terms(), terms()
        c.pop(0, None)
        at_z = [sum(v * z[w] for w, v in side.items()) for side in (a, b, c)]
        rows.append((a, b, {0: (at_z[0] * at_z[1] - at_z[2]) % order, **c}))
    return rows


def random_system(curve: Curve, seed: int, wires: int, count: int) -> tuple[System, list[int]]:
    """Returns a plain circuit and an assignment that satisfies it; each wire has a row of its own, too."""
    chance = random.Random(seed)
    public = chance.randrange(wires)
    z = [1, *(scalar(chance, curve.order) for _ in range(wires - 1))]
    rows = random_rows(chance, curve.order, z, count) + [({w: 1}, {}, {}) for w in range(wires)]

    def matrix(side: int) -> SparseMatrix:
        each = [row[side] for row in rows]
        indptr = np.cumsum([0, *map(len, each)]).astype(np.int64)
        columns = np.array([w for row in each for w in row], np.int64)
        return SparseMatrix(indptr, columns, as_ints([v for row in each for v in row.values()]))

    inputs = (Input("public", (public,), 1, 0, False, None),)
    labels = (Label("random", (count,), 0), Label("isolated", (wires,), count))
    matrices = (matrix(0), matrix(1), matrix(2))
    system = System("random", 1, curve, inputs, (), (), wires, *matrices, labels, (), np.arange(wires))
    return system, z


def key_of(system: System, backend: Backend, seed: int) -> ProvingKey:
    return _setup(system, backend, partial(random.Random(seed).randrange, 2, 1 << 250))


Outcome = bytes | tuple[str, tuple[int, ...]]


def outcome(core: Assembler, backend: Backend, z: list[int], blinding: tuple[int, int]) -> Outcome:
    """Returns the bytes of A, B and C, or the constraint that does not hold."""
    try:
        proof = core.assemble(to_limbs(z), blinding, is_checked=True, report=None)
    except UnsatisfiedConstraint as error:
        return f"{error.constraint}: {error}", error.position
    return b"".join(backend.encode(p) for p in proof)


def changed(z: list[int], seed: int, order: int) -> list[int]:
    """Returns z with one value other; it may still satisfy the rows."""
    chance, other = random.Random(seed + 1), list(z)
    other[chance.randrange(1, len(z))] += chance.randrange(1, order)
    return [v % order for v in other]


@each_curve
@settings(max_examples=15)
@given(seed=SEEDS, wires=st.integers(2, 6), count=st.integers(0, 5))
def test_the_fused_prover_equals_the_reference(curve: str, seed: int, wires: int, count: int) -> None:
    system, z = random_system(CURVES[curve], seed, wires, count)
    order = system.curve.order
    every: list[Backend] = [ReferenceBackend(system.curve), NativeBackend(system.curve, threads=2)]
    keys = [key_of(system, backend, seed) for backend in every]
    assert keys[0].encode() == keys[1].encode()
    cores = [assembler_of(key, system) for key in keys]
    assert [type(core) for core in cores] == [_VectorAssembler, _CompiledAssembler]
    blinding = (scalar(random.Random(seed), order), scalar(random.Random(~seed), order))
    for values in (z, changed(z, seed, order)):
        first, second = (outcome(*pair, values, blinding) for pair in zip(cores, every, strict=True))
        assert first == second
        assert isinstance(first, bytes) or values is not z


@each_curve
@settings(max_examples=60)
@given(seed=SEEDS, wires=st.integers(2, 80), count=st.integers(0, 120), threads=st.integers(1, 4))
def test_the_fused_prover_equals_the_vectors(curve: str, seed: int, wires: int, count: int, threads: int) -> None:
    system, z = random_system(CURVES[curve], seed, wires, count)
    backend = NativeBackend(system.curve, threads=threads)
    key = key_of(system, backend, seed)
    cores = [_VectorAssembler(key, system), assembler_of(key, system)]
    for values in (z, changed(z, seed, system.curve.order)):
        first, second = (outcome(core, backend, values, (seed, 1)) for core in cores)
        assert first == second
        assert isinstance(first, bytes) or values is not z


@each_curve
def test_a_row_far_down_is_named(curve: str) -> None:
    """More rows than one task evaluates; one wire alone makes exactly one row wrong."""
    system, z = random_system(CURVES[curve], 5, 40, 5000)
    backend = NativeBackend(system.curve, threads=2)
    key = key_of(system, backend, 5)
    cores = [_VectorAssembler(key, system), assembler_of(key, system)]
    assert len({outcome(core, backend, z, (3, 4)) for core in cores}) == 1
    system.c.coefficients[system.c.indptr[4321]] += 1
    cores = [_VectorAssembler(key, system), assembler_of(key, system)]
    named = [outcome(core, backend, z, (3, 4)) for core in cores]
    assert named[0] == named[1]
    assert named[0][1] == (4321,)
