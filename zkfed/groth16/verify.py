"""The verifier: three equations, each with its own weight, in one multi-pairing.

    1  e(A, B) = e(alpha, beta) e(K_0 + sum_j x_j K_j + sum_k D_k, G2) e(C, delta)
    2  e(PoK, G2) = prod_k e(f^k D_k, sigma_k G2)
    3  prod_i e(R_i, kappa_i) = e(pi, G2)

The weights are 128-bit, hashed from every statement and every proof element of the batch.
Without them the PoK, which stands against the same G2 as K, absorbs any error of equation 1
and a proof made from the public key alone is accepted (protocol-review C3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.field import to_limbs
from zkfed.encoding import digest
from zkfed.errors import DecodeError, ProofInvalid, ZkfedError
from zkfed.groth16.challenge import Challenger
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof

__all__ = ["verify", "verify_batch"]


def verify(key: VerifyingKey, instance: Instance, proof: Proof) -> None:
    """Checks one proof.

    Args:
        key: One circuit's key.
        instance: The statement, computed by the verifier itself.
        proof: Decoded, hence on the curve and in the subgroup.

    Raises:
        DecodeError: Counts do not fit the circuit.
        ProofInvalid: An equation does not hold, or a static input is outside its range.
        KeyRefused: The key is on the list of refused keys.
    """
    verify_batch(key, [instance], [proof])


def verify_batch(key: VerifyingKey, instances: Sequence[Instance], proofs: Sequence[Proof]) -> None:
    """Checks many proofs of one circuit in one multi-pairing and names the bad ones.

    Raises:
        ProofInvalid: Some proof does not hold; `culprits` lists the positions of all that
            do not. The others hold.
        KeyRefused: The key is on the list of refused keys.
        ValueError: There are not as many instances as proofs.
    """
    if len(instances) != len(proofs):
        raise ValueError(f"{len(instances)} instances and {len(proofs)} proofs")
    if not proofs:
        return
    key = key.checked
    prepared: list[tuple[int, Challenger, Proof]] = []
    failures: dict[int, ZkfedError] = {}
    for position, (instance, proof) in enumerate(zip(instances, proofs, strict=True)):
        try:
            prepared.append((position, _prepare(key, instance, proof), proof))
        except (DecodeError, ProofInvalid) as error:
            failures[position] = error
    if len(proofs) == 1 and failures:
        raise failures[0]
    bad = sorted(failures) + _find_bad(key, prepared)
    if bad:
        which = "the proof" if len(proofs) == 1 else f"{len(bad)} of {len(proofs)} proofs"
        raise ProofInvalid(f"{key.layout.name}: {which} does not hold", sorted(bad))


def _prepare(key: VerifyingKey, instance: Instance, proof: Proof) -> Challenger:
    layout = key.layout
    if len(proof.d) != len(layout.segments):
        raise DecodeError(f"{layout.name}: {len(proof.d)} segments in the proof, expected {len(layout.segments)}")
    if (proof.pok is None) == bool(layout.unlinked) or (proof.link is None) == bool(layout.links):
        raise DecodeError(f"{layout.name}: the proof of knowledge or link is missing or too many")
    challenger = Challenger(key.backend, layout, key.digest, instance)
    for stage in range(1, layout.stage_count + 1):
        challenger.draw(stage, proof.d)
    return challenger


def _find_bad(key: VerifyingKey, batch: list[tuple[int, Challenger, Proof]]) -> list[int]:
    """Returns the positions whose proofs do not hold, by halving a batch that fails."""
    if not batch or _holds(key, batch):
        return []
    if len(batch) == 1:
        return [batch[0][0]]
    half = len(batch) // 2
    return _find_bad(key, batch[:half]) + _find_bad(key, batch[half:])


def _weights(key: VerifyingKey, batch: list[tuple[int, Challenger, Proof]]) -> list[tuple[int, int, int]]:
    """Returns three independent non-zero weights a proof, fixed by everything in the batch."""
    parts = [key.digest]
    for _, challenger, proof in batch:
        x = b"".join(v.to_bytes(32, "big") for v in challenger.inputs)
        external = b"".join(key.backend.encode(c) for c in challenger.commitments)
        parts += [challenger.seed, x, external, proof.encode(key.backend)]
    seed = digest("zkfed/v1/weights", *parts)

    def weight(i: int, equation: int) -> int:
        out = digest("zkfed/v1/weight", seed, i.to_bytes(8, "big"), equation.to_bytes(8, "big"))
        return int.from_bytes(out[:16], "big") or 1

    return [(weight(i, 1), weight(i, 2), weight(i, 3)) for i in range(len(batch))]


class _Sums:
    """Collects scalar times G1 point for each fixed G2 point: one multi-scalar each."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.order = backend, backend.curve.order
        self.terms: dict[str, tuple[list[Points], list[int]]] = {}

    def add(self, base: str, points: Points, *scalars: int) -> None:
        parts, values = self.terms.setdefault(base, ([], []))
        parts.append(points)
        values.extend(v % self.order for v in scalars)

    def sum(self, base: str) -> Points:
        parts, values = self.terms[base]
        return self.backend.msm(self.backend.concat("G1", parts), to_limbs(values))


def _holds(key: VerifyingKey, batch: list[tuple[int, Challenger, Proof]]) -> bool:
    backend, layout, order = key.backend, key.layout, key.layout.curve.order
    sums = _Sums(backend)
    public = np.zeros(layout.public_count, dtype=object)
    a_side, b_side, first_weights = [], [], []
    alpha_weight = 0
    for (_, challenger, proof), (w1, w2, w3) in zip(batch, _weights(key, batch), strict=True):
        first_weights.append(w1)
        a_side.append(proof.a)
        b_side.append(proof.b)
        alpha_weight += w1
        public += w1 * np.array([1, *challenger.inputs], dtype=object)
        sums.add("delta", proof.c, -w1)
        for d in proof.d:
            sums.add("one", d, -w1)
        if proof.pok is not None:
            _add_fold(sums, key, challenger, proof, w2)
        if proof.link is not None:
            _add_link(sums, key, challenger, proof, w3)
    sums.add("one", key.ic, *(-public % order).tolist())
    sums.add("beta", key.alpha, -alpha_weight)
    bases = {"delta": key.delta, "beta": key.beta, "one": backend.generator("G2", to_limbs([1]))}
    for i in range(len(key.sigma)):
        bases[f"sigma{i}"] = backend.take(key.sigma, np.array([i]))
    for i in range(len(key.kappa)):
        bases[f"kappa{i}"] = backend.take(key.kappa, np.array([i]))
    left = [backend.scale(backend.concat("G1", a_side), to_limbs(first_weights))]
    left += [sums.sum(name) for name in bases]
    right = b_side + list(bases.values())
    return backend.is_pairing_product_one(backend.concat("G1", left), backend.concat("G2", right))


def _add_fold(sums: _Sums, key: VerifyingKey, challenger: Challenger, proof: Proof, weight: int) -> None:
    """Equation 2: e(PoK, G2) prod_k e(-f^k D_k, sigma_k G2) = 1."""
    if proof.pok is None:
        return
    sums.add("one", proof.pok, weight)
    f, power = challenger.fold(proof.d), 1
    unlinked = [d for d, s in zip(proof.d, key.layout.segments, strict=True) if not s.is_linked]
    for i, d in enumerate(unlinked):
        sums.add(f"sigma{i}", d, -weight * power)
        power = power * f % sums.order


def _add_link(sums: _Sums, key: VerifyingKey, challenger: Challenger, proof: Proof, weight: int) -> None:
    """Equation 3: prod_i e(R_i, kappa_i) e(-pi, G2) = 1, R = (D_u, C) for each link."""
    if proof.link is None:
        return
    by_name = {s.name: d for s, d in zip(key.layout.segments, proof.d, strict=True)}
    for i, (spec, external) in enumerate(zip(key.layout.links, challenger.commitments, strict=True)):
        sums.add(f"kappa{2 * i}", by_name[spec.segment], weight)
        sums.add(f"kappa{2 * i + 1}", external, weight)
    sums.add("one", proof.link, -weight)
