"""A proof and nothing else: "this model improved by at least X % on this benchmark".

No round, no encryption, no signature: `development_setup` once, then `Keys.prove` and
`Verifier.verify`.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import use
from zkfed.commitments.pedersen import Generators, generators
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, PolicyError, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify, verify_batch
from zkfed.policy import UPDATE_BITS, Improvement, Model
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark, improvement_context
from zkfed.statements.terms import Terms, benchmark_terms, circuit_of
from zkfed.statements.update_bound import USE, squared_norm_max

__all__ = ["Claim", "Keys", "Verifier", "development_setup"]


def development_setup(statement: Improvement, *, curve: str = "bls12-381") -> Keys:
    """Makes keys for a statement; one key fits every benchmark and base model of its shape.

    This process knows the trapdoors and could forge: the keys carry the mark "development"
    and a production policy refuses them.

    Raises:
        ValueError: The statement's sums could wrap around the field; it has too many rows.
        PolicyError: The statement is about registered rows.
    """
    if statement.kind != "S2":
        raise PolicyError("registered rows need keys of two circuits: zkfed.statements.own_keys.own_data_setup")
    system = circuit_of(statement, curve)
    return Keys(statement, development_keys(system, use(curve)))


@dataclass(frozen=True)
class Claim:
    """What a proof says, all of it public.

    Attributes:
        statement: With the share that is claimed.
        base: W0, integers at scale 2^f. Compare it with the model that you know.
        benchmark: The rows. Compare its digest with the benchmark that you know.
        commitment: C_D, the hiding commitment to the update.
    """

    statement: Improvement
    base: npt.NDArray[np.int64] = field(repr=False)
    benchmark: Benchmark = field(repr=False)
    commitment: bytes = field(repr=False)

    def __str__(self) -> str:
        s = self.statement
        share = f"{float(s.at_least) * 100:g} %"
        name = self.benchmark.digest.hex()[:12]
        return f"the {s.loss} loss on {s.rows} rows falls by at least {share} (benchmark {name})"

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/claim").bytes(self.statement.encode())
        for array in (self.base, self.benchmark.features, self.benchmark.targets):
            w.bytes(np.asarray(array, dtype=np.int64).astype(">i8").tobytes())
        return w.bytes(self.commitment).finish()

    @classmethod
    def decode(cls, data: bytes) -> Claim:
        """Reads a claim.

        Raises:
            DecodeError: Not the canonical encoding of one.
            PolicyError: Its statement is inconsistent.
        """
        r = Reader(data, "zkfed/v1/claim", limit=1 << 28)
        statement = Improvement.decode(r.bytes(limit=4096))
        model, rows = statement.model, statement.rows
        shapes = (model.shape, (rows, model.inputs), (rows, model.outputs))
        arrays = [
            np.frombuffer(r.bytes(exact=8 * math.prod(s)), dtype=">i8").astype(np.int64).reshape(s) for s in shapes
        ]
        out = cls(statement, arrays[0], Benchmark(arrays[1], arrays[2]), r.bytes(limit=256))
        r.finish()
        return out


class Verifier:
    """Checks claims; holds the verifying key and no secret.

    Raises:
        KeyRefused: The key is for another circuit: of another loss, say, with the same public inputs.
    """

    def __init__(self, statement: Improvement, key: VerifyingKey) -> None:
        self.statement, self.key = statement, key
        check_key(key, circuit_of(statement, key.layout.curve.name))

    def __repr__(self) -> str:
        return f"Verifier({self.key.layout.name}, {self.key.origin})"

    def verify(self, claim: Claim, proof: bytes) -> None:
        """Checks one proof. Returns nothing; a wrong one raises.

        The claim names base model and benchmark: that they are the ones you mean is yours
        to compare.

        Raises:
            ProofInvalid: The proof does not hold for this claim, or the base loss is zero.
            DecodeError: Claim or proof is malformed, or for another statement.
        """
        instance = self._instance(claim)
        verify(self.key, instance, Proof.decode(self.key.backend, self.key.layout, proof))

    def verify_batch(self, claims: list[Claim], proofs: list[bytes]) -> None:
        """Checks many proofs in one multi-pairing.

        Raises:
            ProofInvalid: `culprits` lists the positions of the bad ones.
            DecodeError: Some claim or proof is malformed.
            ValueError: There are not as many claims as proofs.
        """
        if len(claims) != len(proofs):
            raise ValueError(f"{len(claims)} claims and {len(proofs)} proofs")
        decoded = [Proof.decode(self.key.backend, self.key.layout, p) for p in proofs]
        instances: dict[int, Instance] = {}
        bad: set[int] = set()
        for position, claim in enumerate(claims):
            try:
                instances[position] = self._instance(claim)
            except ProofInvalid:
                bad.add(position)
        positions = [*instances]
        try:
            verify_batch(self.key, [*instances.values()], [decoded[i] for i in positions])
        except ProofInvalid as error:
            bad |= {positions[i] for i in error.culprits}
        if bad:
            raise ProofInvalid(f"{self.key.layout.name}: {len(bad)} of {len(proofs)} proofs do not hold", sorted(bad))

    def _instance(self, claim: Claim) -> Instance:
        if claim.statement.encode() != self.statement.encode():
            raise DecodeError("the claim is about another statement than this verifier's")
        terms = benchmark_terms(self.statement, claim.base, claim.benchmark)
        return instance_of(self.key, self.statement, terms, claim.commitment)


def check_key(key: VerifyingKey, circuit: System) -> None:
    """Raises KeyRefused unless a key is for a circuit: its whole layout, for a key says itself what its digest is."""
    if key.layout.encode() != circuit.layout.encode():
        raise KeyRefused(f"the key is for {key.layout.name}, not for the circuit {circuit.name} of the statement")


def instance_of(key: VerifyingKey, statement: Improvement, terms: Terms, commitment: bytes) -> Instance:
    """Returns the statement of a stand-alone claim: no round, no signer, norm by range only."""
    context = improvement_context(
        terms, policy=digest("zkfed/v1/statement", statement.encode()), announcement=bytes(32), signer=b"",
        commitment=commitment,
    )  # fmt: skip
    maximum = terms.loss_change_max(statement.millionths, statement.base_loss_min)
    return terms.instance(
        context.digest(key), key.backend.decode("G1", commitment, 1),
        squared_norm_max=squared_norm_max(statement.model.parameters, UPDATE_BITS), loss_change_max=maximum,
        curve=key.layout.curve,
    )  # fmt: skip


class Keys:
    """Proving and verifying key of one statement.

    Attributes:
        statement: What is proven.
        proving: The proving key; `proving.save(path)` writes it to a strict file.
        verifier: What everybody else needs.
    """

    def __init__(self, statement: Improvement, proving: ProvingKey) -> None:
        self.statement, self.proving = statement, proving
        self.verifier = Verifier(statement, proving.verifying)

    def __repr__(self) -> str:
        return f"Keys({self.proving.verifying.layout.name}, {self.proving.verifying.origin})"

    @cached_property
    def prover(self) -> Prover:
        """The prover, whose key is checked at first use."""
        layout = self.proving.verifying.layout
        return Prover(self.proving, circuit_of(self.statement, layout.curve.name))

    @cached_property
    def _generators(self) -> Generators:
        return generators(self.proving.verifying.backend, USE, self.statement.model.parameters)

    def prove(
        self,
        *,
        before: npt.NDArray[Any],
        after: npt.NDArray[Any],
        benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | Benchmark,
    ) -> tuple[Claim, bytes]:
        """Proves that `after` is better than `before` on the benchmark by the statement's share.

        Args:
            before: W0, floats, shape (features + 1, outputs); becomes public.
            after: Trained weights of the same shape; stay hidden. Each may differ from
                W0 by less than 1 (at f = 15 fraction bits; 2^(15 - f) otherwise).
            benchmark: (X, y): features in [-1, 1] and labels; becomes public.

        Returns:
            The public claim and the proof.

        Raises:
            UnsatisfiedConstraint: It is not true.
            ValueError: Weights or rows are NaN, infinite or of another shape or range.
        """
        model, statement = self.statement.model, self.statement
        rows = benchmark if isinstance(benchmark, Benchmark) else Benchmark.of(model, *benchmark)
        base = fixed_weights(model, before, "before")
        update = fixed_update(model, base, fixed_weights(model, after, "after"))
        if len(rows.features) != statement.rows:
            raise ValueError(f"the benchmark has {len(rows.features)} rows, the statement says {statement.rows}")
        terms = benchmark_terms(statement, base, rows)
        maximum = terms.loss_change_max(statement.millionths, statement.base_loss_min)
        if terms.loss_change(update) > maximum:
            gained = -terms.loss_change(update) / terms.loss
            raise UnsatisfiedConstraint(
                f"the loss changes by {-gained:+.2%}, the statement needs {-float(statement.at_least):+.2%}",
                "improvement/top", (0,),
            )  # fmt: skip
        backend = self.proving.verifying.backend
        blinder = secrets.randbits(384) % backend.curve.order
        commitment = backend.encode(self._generators.commit(update, blinder))
        instance = instance_of(self.proving.verifying, statement, terms, commitment)
        proof = self.prover.prove(instance, terms.private(update), (blinder,))
        return Claim(statement, base, rows, commitment), proof.encode(backend)


def fixed_update(model: Model, base: npt.NDArray[np.int64], trained: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns D = W1 - W0, flat.

    Raises:
        ValueError: A coordinate does not fit 16 bits.
    """
    update, half = (trained - base).ravel(), 1 << (UPDATE_BITS - 1)
    if update.min() < -half or update.max() >= half:
        raise ValueError(
            f"a weight moved by {np.abs(update).max() / 2**model.fraction_bits:.3g}; a model with "
            f"{model.fraction_bits} fraction bits can prove moves below {half / 2**model.fraction_bits:g}"
        )
    return update


def fixed_weights(model: Model, weights: npt.NDArray[Any], name: str) -> npt.NDArray[np.int64]:
    """Returns weights as integers at scale 2^f.

    Raises:
        ValueError: NaN, infinity, another shape, or a weight of 2^(weight_bits - f) or more.
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != model.shape:
        raise ValueError(f"{name}: weights of shape {values.shape}, expected {model.shape}")
    limit = 2.0 ** (model.weight_bits - model.fraction_bits)
    if not np.isfinite(values).all() or np.abs(values).max() >= limit:
        raise ValueError(f"{name}: weights hold NaN, infinity or values of {limit:g} and more")
    rounded = np.rint(values * (1 << model.fraction_bits)).astype(np.int64)
    if np.abs(rounded).max() >= 1 << model.weight_bits:
        raise ValueError(f"{name}: a weight rounds to {limit:g}; smaller ones are expected")
    return rounded
