"""The heavy half of setup and proving: inside the backend where it has that, else over its vectors.

A backend that compiles circuits (`Backend.compiled`) evaluates rows, transforms and sums in one
call, on one queue of tasks. Every other one is driven from here with Python integers. Both give
the same keys and, for the same r and s, the same proofs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from zkfed.algebra.backend import Backend, Compiled, CompiledProver, Points
from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Ints, Limbs, batch_inverse, from_limbs, powers, to_limbs
from zkfed.errors import BackendFault
from zkfed.groth16.keys import ProvingKey
from zkfed.r1cs.system import SparseMatrix, System

__all__ = ["Assembler", "KeyScalars", "Report", "Trapdoors", "assembler_of", "key_scalars"]

Report = Callable[[float], None]
"""Is called with the part of a proof that is done, 0 to 1, at most ten times a second."""


class Trapdoors(NamedTuple):
    """Whoever knows them forges. Secret: its repr shows no value."""

    tau: int
    alpha: int
    beta: int
    delta: int

    def __repr__(self) -> str:
        return "Trapdoors(values hidden)"


class KeyScalars(NamedTuple):
    """What the generators are multiplied by; names as in setup.py. Secret, as the trapdoors are.

    Attributes:
        u: u_i(tau) of each wire.
        v: v_i(tau) of each wire.
        k: beta u_i + alpha v_i + w_i of each wire, over delta for private ones.
        h: L_j(tau) Z(tau) / (Z(g) delta) of each point of the coset.
    """

    u: Limbs
    v: Limbs
    k: Limbs
    h: Limbs

    def __repr__(self) -> str:
        return f"KeyScalars({len(self.u)} wires, values hidden)"


class Assembler(Protocol):
    """Makes A, B and C under one key."""

    def assemble(
        self, z: Limbs, blinding: tuple[int, int], *, is_checked: bool, report: Report | None
    ) -> tuple[Points, Points, Points]:
        """Returns A, B and C for all wires z and the blinding (r, s).

        Raises:
            UnsatisfiedConstraint: A row does not hold, and `is_checked`.
            BackendFault: The compiled backend failed inside.
        """
        ...


def assembler_of(key: ProvingKey, system: System) -> Assembler:
    """Returns the fastest assembler that the key's backend has."""
    compiled = _compiled(system, key.verifying.backend)
    return _VectorAssembler(key, system) if compiled is None else _CompiledAssembler(key, system, compiled)


def key_scalars(system: System, backend: Backend, size: int, trapdoors: Trapdoors) -> KeyScalars:
    """Returns the scalars of a key over a domain of `size` points."""
    compiled = _compiled(system, backend)
    if compiled is not None:
        return KeyScalars(*compiled.key_scalars(size, to_limbs(trapdoors), system.private_start))
    curve, r, (tau, alpha, beta, delta) = system.curve, system.curve.order, trapdoors
    lagrange = _lagrange_at(tau, size, curve)
    u, v, w = (_columns(m, lagrange, system.wire_count, r) for m in system.matrices)
    k = (beta * u + alpha * v + w) % r
    k[system.private_start :] = k[system.private_start :] * pow(delta, -1, r) % r
    # H is handed over by its values on the coset g H, so h is in Lagrange form there.
    g = curve.generator
    z_at_tau, z_on_coset = (pow(tau, size, r) - 1) % r, (pow(g, size, r) - 1) % r
    h = _lagrange_at(tau * pow(g, -1, r) % r, size, curve) * (z_at_tau * pow(z_on_coset * delta, -1, r) % r) % r
    return KeyScalars(*(to_limbs(x.tolist()) for x in (u, v, k, h)))


def _compiled(system: System, backend: Backend) -> Compiled | None:
    return backend.compiled(system.wire_count, [(m.indptr, m.columns, m.coefficients) for m in system.matrices])


def _lagrange_at(point: int, size: int, curve: Curve) -> Ints:
    """Returns L_0(point) .. L_(n-1)(point) over the domain of n-th roots of unity.

    L_i(x) = w^i (x^n - 1) / (n (x - w^i))
    """
    r = curve.order
    w = powers(curve.root_of_unity(size), size, r)
    scale = (pow(point, size, r) - 1) * pow(size, -1, r) % r
    return np.asarray(w * batch_inverse((point - w) % r, r) % r * scale % r, dtype=object)


def _columns(matrix: SparseMatrix, lagrange: Ints, wires: int, order: int) -> Ints:
    """Returns sum over rows of M[row, i] L_row(tau) for each wire i."""
    out = np.zeros(wires, dtype=object)
    terms = matrix.coefficients * lagrange[matrix.rows_of_entries()] % order
    np.add.at(out, matrix.columns, terms)
    return out % order


class _CompiledAssembler:
    """One call into the backend."""

    def __init__(self, key: ProvingKey, system: System, compiled: Compiled) -> None:
        vk, backend = key.verifying, key.verifying.backend
        first = backend.concat("G1", [vk.alpha, key.beta_g1, key.delta_g1])
        second = backend.concat("G2", [vk.beta, vk.delta])
        points = (first, second, key.a, key.b1, key.b2, key.k, key.h)
        self._system = system
        self._prover: CompiledProver = compiled.prover(points, key.a_wires, key.b_wires)

    def assemble(
        self, z: Limbs, blinding: tuple[int, int], *, is_checked: bool, report: Report | None
    ) -> tuple[Points, Points, Points]:
        proof = self._prover.prove(z, to_limbs(blinding), is_checked=is_checked, report=report)
        if proof is None:
            # Slow, but only on failure: it names the row.
            values = from_limbs(z)
            self._system.check(*self._system.evaluate(values))
            raise BackendFault(f"{self._system.name}: the backend refuses an assignment that holds")
        return proof


class _VectorAssembler:
    """Rows with Python integers, sums by the backend's vectors."""

    def __init__(self, key: ProvingKey, system: System) -> None:
        self._key, self._system = key, system

    def assemble(
        self, z: Limbs, blinding: tuple[int, int], *, is_checked: bool, report: Report | None
    ) -> tuple[Points, Points, Points]:
        key, backend, order = self._key, self._key.verifying.backend, self._system.curve.order
        sides = self._system.evaluate(from_limbs(z))
        if is_checked:
            self._system.check(*sides)
        tell = report or (lambda _: None)
        tell(0.0)
        h = backend.quotient(*[_padded(side, len(key.h)) for side in sides])
        tell(0.1)

        def with_tail(points: Points, scalars: Limbs, *tail: tuple[Points, int]) -> Points:
            every = backend.concat(points.group, [points, *(p for p, _ in tail)])
            return backend.msm(every, np.concatenate([scalars, to_limbs([v % order for _, v in tail])]))

        vk, (r, s) = key.verifying, blinding
        a = with_tail(key.a, z[key.a_wires], (vk.alpha, 1), (key.delta_g1, r))
        tell(0.3)
        b = with_tail(key.b2, z[key.b_wires], (vk.beta, 1), (vk.delta, s))
        tell(0.6)
        b1 = with_tail(key.b1, z[key.b_wires], (key.beta_g1, 1), (key.delta_g1, s))
        tell(0.7)
        scalars = np.concatenate([z[self._system.private_start :], h])
        c = with_tail(backend.concat("G1", [key.k, key.h]), scalars, (a, s), (b1, r), (key.delta_g1, -r * s))
        tell(1.0)
        return a, b, c


def _padded(values: Ints, size: int) -> Limbs:
    out = np.zeros((size, 4), dtype=np.uint64)
    out[: len(values)] = to_limbs(values.tolist())
    return out
