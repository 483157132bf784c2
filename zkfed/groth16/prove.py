"""The prover.

    symbol   paper           here
    z        a               1 | x | segments | private, final order
    A, B, C  [Groth16] 3.2   A = alpha + sum z_i u_i + r delta,  B = beta + sum z_i v_i + s delta
    h        -               (A B - C)/Z by its values on the coset
    D_k      [BSB22] 4       sum of a segment's wires over its basis, mask included
    f, PoK   [BSB22] 4       PoK = sum_k f^k sigma_k D_k over the unlinked segments
    pi       [KW15]          sum_c w_c P_c over the columns of all links

Not constant time: who can measure how long proving takes learns something about the witness.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.field import Ints, Limbs, check_limbs, from_limbs, to_limbs
from zkfed.errors import DecodeError, KeyRefused, UnsatisfiedConstraint
from zkfed.groth16.assembly import Report, assembler_of
from zkfed.groth16.challenge import Challenger
from zkfed.groth16.keys import ProvingKey, refuse
from zkfed.groth16.proof import Blinder, Instance, Proof
from zkfed.groth16.setup import external_columns
from zkfed.groth16.verify import verify
from zkfed.r1cs.system import System
from zkfed.r1cs.witness import Assignment

__all__ = ["Prover"]

Committed = tuple[Challenger, tuple[Points, ...], list[Limbs]]
"""The challenges, the commitments of the segments, the segments' scalars."""


class Prover:
    """Proves statements of one circuit under one key, which is checked once.

    Args:
        key: The proving key.
        system: The circuit; its digest must be the key's.

    Raises:
        KeyRefused: The key is for another circuit, is on the list of refused keys, or its
            parts do not satisfy the equations that zero-knowledge needs.
    """

    def __init__(self, key: ProvingKey, system: System) -> None:
        layout = key.verifying.layout
        # The whole layout, not the digest alone: a key says itself what its digest is.
        if layout.encode() != system.layout.encode():
            raise KeyRefused(f"the key is for another circuit than {system.name} version {system.version}")
        if len(key.h) != system.domain_size:
            raise KeyRefused(f"{system.name}: the key's domain has {len(key.h)} points")
        if len(key.k) != system.wire_count - system.private_start:
            raise KeyRefused(f"{system.name}: the key has {len(key.k)} private wires")
        for wires in (key.a_wires, key.b_wires):
            if len(wires) and int(wires[-1]) >= system.wire_count:
                raise KeyRefused(f"{system.name}: the key names wire {int(wires[-1])} of {system.wire_count}")
        refuse(key.verifying)
        self.key, self.system, self.backend = key, system, key.verifying.backend
        _check_equations(key)
        self._assembler = assembler_of(key, system)

    def prove(
        self,
        instance: Instance,
        private: dict[str, Any],
        blinders: tuple[Blinder, ...] = (),
        report: Report | None = None,
    ) -> Proof:
        """Proves that `private` satisfies the circuit for `instance`.

        Ctrl-C stops it within a second on a compiled backend; nothing is left behind.

        Args:
            instance: What the verifier will know.
            private: The prover's inputs, read by the circuit's hints.
            blinders: rho of each external commitment, in [0, r); of a derived one, a function of
                the challenges that returns it.
            report: Is called with the part that is done, at most ten times a second; what it
                raises stops the proof and comes out here.

        Returns:
            A proof that `verify` has accepted.

        Raises:
            UnsatisfiedConstraint: The statement is not true of `private`.
            DecodeError: The instance does not fit the circuit.
            ProofInvalid: The private inputs do not open the instance's commitments.
            ValueError: The circuit was read from a file and has no hints.
        """
        if not self.system.steps and self.system.wire_count > self.system.public_count:
            raise ValueError(f"{self.system.name}: has no hints to compute a witness by; use `prove_assignment`")
        return self._prove(instance, private, blinders, self._rand, report)

    def _rand(self) -> int:
        # 384 bits reduced modulo r are uniform up to 2^-128.
        return secrets.randbits(384) % self.system.curve.order

    def _prove(
        self,
        instance: Instance,
        private: dict[str, Any],
        blinders: tuple[Blinder, ...],
        rand: Callable[[], int],
        report: Report | None = None,
    ) -> Proof:
        """The twin of `prove` that takes its randomness, for tests and vectors."""
        challenger, assignment, d, segments = self._commit(instance, private, rand)
        z, blinding = assignment.final(), (rand(), rand())
        abc = self._assembler.assemble(to_limbs(z.tolist()), blinding, is_checked=True, report=report)
        proof = self._complete(abc, (challenger, d, segments), blinders)
        verify(self.key.verifying, instance, proof)
        return proof

    def prove_assignment(self, instance: Instance, assignment: Limbs, report: Report | None = None) -> Proof:
        """Proves a circuit without segments and challenges from its whole assignment.

        For circuits that came from elsewhere, with the witness of their own generator. A proof of
        a plain circuit is bound to its public inputs only (`Instance.context`).

        Args:
            instance: What the verifier will know.
            assignment: z = 1 | public | private in final order, shape (wires, 4), limbs in [0, r).
            report: As in `prove`.

        Returns:
            A proof that `verify` has accepted.

        Raises:
            UnsatisfiedConstraint: z does not satisfy a row, or does not begin with 1 and the
                public inputs of `instance`.
            DecodeError: The instance or the assignment's size does not fit the circuit.
            ValueError: The circuit has segments or challenges, or a limb is not below r.
        """
        layout, order = self.key.verifying.layout, self.system.curve.order
        if layout.segments or layout.stage_count:
            raise ValueError(f"{layout.name}: has segments or challenges, which only `prove` can fill")
        if assignment.shape != (self.system.wire_count, 4):
            raise DecodeError(f"{layout.name}: an assignment of {len(assignment)} wires, not {self.system.wire_count}")
        check_limbs(assignment, order)
        challenger = Challenger(self.backend, layout, self.key.verifying.digest, instance)
        if from_limbs(assignment[: layout.public_count]).tolist() != [1, *challenger.inputs]:
            raise UnsatisfiedConstraint(f"{layout.name}: the assignment does not begin with 1 and the public inputs")
        abc = self._assembler.assemble(assignment, (self._rand(), self._rand()), is_checked=True, report=report)
        proof = Proof(*abc, (), None, None)
        verify(self.key.verifying, instance, proof)
        return proof

    def assignment(self, instance: Instance, private: dict[str, Any]) -> Limbs:
        """Returns the whole assignment z in final order, shape (wires, 4): secret, for export.

        Raises:
            UnsatisfiedConstraint: The statement is not true of `private`.
            DecodeError: The instance does not fit the circuit.
        """
        z = self._commit(instance, private, self._rand)[1].final()
        self.system.check(*self.system.evaluate(z))
        return to_limbs(z.tolist())

    def _commit(
        self, instance: Instance, private: dict[str, Any], rand: Callable[[], int], *, is_strict: bool = True
    ) -> tuple[Challenger, Assignment, tuple[Points, ...], list[Limbs]]:
        """Fills the witness stage by stage and commits its segments."""
        key, layout = self.key, self.key.verifying.layout
        challenger = Challenger(self.backend, layout, key.verifying.digest, instance)
        assignment = Assignment(self.system, challenger.inputs, private)
        assignment.values.is_strict = is_strict
        d: tuple[Points, ...] = ()
        segments: list[Limbs] = []
        for stage in range(layout.stage_count + 1):
            if stage:
                assignment.set_inputs(stage, challenger.draw(stage, d))
            assignment.run(stage)
            for segment in layout.segments:
                if segment.stage == stage:
                    assignment.set_mask(segment, rand())
                    segments.append(to_limbs(assignment.segment(segment).tolist()))
                    d += (self.backend.msm(key.bases[len(d)], segments[-1]),)
        return challenger, assignment, d, segments

    def _assemble(self, committed: Committed, z: Ints, blinders: tuple[Blinder, ...], rand: Callable[[], int]) -> Proof:
        """Makes a proof of anything, true or not, for tests and demonstrations of attacks."""
        blinding = (rand(), rand())
        abc = self._assembler.assemble(to_limbs(z.tolist()), blinding, is_checked=False, report=None)
        return self._complete(abc, committed, blinders)

    def _complete(
        self, abc: tuple[Points, Points, Points], committed: Committed, blinders: tuple[Blinder, ...]
    ) -> Proof:
        challenger, d, segments = committed
        return Proof(*abc, d, self._fold(challenger, d, segments), self._link(challenger, segments, blinders))

    def _fold(self, challenger: Challenger, d: tuple[Points, ...], segments: list[Limbs]) -> Points | None:
        layout, order = self.key.verifying.layout, self.system.curve.order
        unlinked = [(v, s) for v, s in zip(segments, layout.segments, strict=True) if not s.is_linked]
        if not unlinked:
            return None
        f, scalars, power = challenger.fold(d), [], 1
        for values, _ in unlinked:
            scaled = values if power == 1 else to_limbs((from_limbs(values) * power % order).tolist())
            scalars.append(scaled)
            power = power * f % order
        return self.backend.msm(self.backend.concat("G1", list(self.key.pok)), np.concatenate(scalars))

    def _link(self, challenger: Challenger, segments: list[Limbs], blinders: tuple[Blinder, ...]) -> Points | None:
        layout = self.key.verifying.layout
        if len(blinders) != len(layout.links):
            raise ValueError(f"{len(blinders)} blinders for {len(layout.links)} links")
        if not layout.links:
            return None
        by_name = {s.name: v for s, v in zip(layout.segments, segments, strict=True)}
        rhos = [rho(dict(challenger.challenges)) if callable(rho) else rho for rho in blinders]
        parts = [
            np.concatenate([by_name[spec.segment], to_limbs([rho])])
            for spec, rho in zip(layout.links, rhos, strict=True)
        ]
        return self.backend.msm(self.backend.concat("G1", list(self.key.link)), np.concatenate(parts))


def _check_equations(key: ProvingKey) -> None:
    """Checks sigma_k basis_k and P against the verifying key by one random combination each.

    A key that fails could make proofs leak (protocol-review M1). The 128-bit weights are
    the prover's own: an error survives with probability 2^-128.
    """
    vk, layout = key.verifying, key.verifying.layout
    backend: Backend = vk.backend
    one = backend.generator("G2", to_limbs([1]))

    def weights(count: int) -> Limbs:
        return to_limbs([secrets.randbits(128) for _ in range(count)])

    for segment, basis in zip(layout.segments, key.bases, strict=True):
        if len(basis) != segment.stop - segment.start or backend.is_identity(basis).any():
            raise KeyRefused(f"{layout.name}: segment {segment.name} has a committed wire or mask at the identity")
    plain = [b for s, b in zip(layout.segments, key.bases, strict=True) if not s.is_linked]
    for i, (basis, pok) in enumerate(zip(plain, key.pok, strict=True)):
        w = weights(len(basis))
        left = backend.concat("G1", [backend.msm(pok, w), backend.negate(backend.msm(basis, w))])
        right = backend.concat("G2", [one, backend.take(vk.sigma, np.array([i]))])
        if not backend.is_pairing_product_one(left, right):
            raise KeyRefused(f"{layout.name}: sigma[{i}] does not fit its basis")
    by_name = {s.name: b for s, b in zip(layout.segments, key.bases, strict=True)}
    for i, (columns, left_rows) in enumerate(zip(key.link, _link_rows(key, by_name), strict=True)):
        w = weights(len(columns))
        n = len(columns) - 2
        row_1 = backend.msm(left_rows[0], w[: n + 1])
        row_2 = backend.msm(left_rows[1], np.concatenate([w[:n], w[n + 1 :]]))
        left = backend.concat("G1", [row_1, row_2, backend.negate(backend.msm(columns, w))])
        right = backend.concat("G2", [backend.take(vk.kappa, np.array([2 * i, 2 * i + 1])), one])
        if not backend.is_pairing_product_one(left, right):
            raise KeyRefused(f"{layout.name}: link {i} does not fit its rows")


def _link_rows(key: ProvingKey, by_name: dict[str, Points]) -> Iterator[tuple[Points, Points]]:
    backend = key.verifying.backend
    for spec in key.verifying.layout.links:
        basis = by_name[spec.segment]
        wires, blinder = external_columns(backend, spec, len(basis) - 1)
        yield basis, backend.concat("G1", [wires, blinder])
