"""S4, a bounded count vector for cohort statistics: "which of K answers", "which few", or "how often each".

    C_v = Com(v; rho),   v has K coordinates

    one-hot         v_k in {0, 1},          total-min <= sum_k v_k <= 1
    few-hot         v_k in {0, 1},          total-min <= sum_k v_k <= total-max
    bounded count   0 <= v_k <= each-max,   total-min <= sum_k v_k <= total-max

v_k are the wires of the linked segment "update", in the lanes and under the generators of updates
and noises: commitments of many clients and of the noise add up and open like those of a round, to
a histogram. The bounds are static inputs: one key serves all of them.

Sensitivity. Whoever leaves or joins changes the sum by one v. Its L1 norm is at most T = total-max;
its squared L2 norm is largest with as many coordinates at e = each-max as fit into T:
floor(T/e) e^2 + (T mod e)^2. For a one-hot vector both are 1. Who *replaces* an answer changes the
sum by twice the norm at most. A proof is no noise: a histogram is private only with noise of that
scale (zkfed.dp).

Not claimed: that an answer is honest, or that one person answers once; the signer in ctx and the
enrolment say that.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from zkfed.algebra.backend import Points
from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import Ints, as_ints
from zkfed.commitments.pedersen import generators
from zkfed.counts import COUNT_BITS, EACH_LIMIT, CountBounds
from zkfed.encoding import DIGEST_BYTES, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, UnsatisfiedConstraint
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.gadgets.boolean import BitRanges, boolean
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.strategy import choose_ranges
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant
from zkfed.r1cs.system import LinkSpec, System
from zkfed.statements.context import Context
from zkfed.statements.update_bound import USE

__all__ = [
    "CountTerms",
    "Place",
    "bounded_count_circuit",
    "check_counts",
    "few_hot_circuit",
    "one_hot_circuit",
    "prove_counts",
]

VERSION = 1


def _linked(builder: Builder, count: int, each_limit: int) -> Linear:
    segment = builder.segment("update", LinkSpec("update", USE, LANES, LANE_BITS))

    def hint(values: Values) -> Ints:
        return np.asarray(values.private["counts"], dtype=object)

    return builder.witness("counts", (count,), hint, segment=segment, bounds=(0, each_limit))


@functools.lru_cache(maxsize=32)
def one_hot_circuit(count: int, curve: str = "bls12-381") -> System:
    """Returns S4 for `count` bits of which one is set, or none. Cost: K + 2 rows and no challenge."""
    builder = Builder(f"one-hot-{count}", version=VERSION, curve=CURVES[curve])
    total_min = builder.input("total-min", bounds=(0, 1))
    bits = _linked(builder, count, 1)
    boolean(builder, "counts/boolean", bits)
    total = bits.sum()
    builder.enforce("total/at-most-one", total, total - 1, constant(0))
    builder.enforce("total/at-least", total_min, total - 1, constant(0))
    return builder.finish()


@functools.lru_cache(maxsize=32)
def few_hot_circuit(count: int, curve: str = "bls12-381") -> System:
    """Returns S4 for `count` bits of which some are set. Cost: K + 2 b + 2 rows, b the bits of K, and no challenge."""
    builder = Builder(f"few-hot-{count}", version=VERSION, curve=CURVES[curve])
    total_min = builder.input("total-min", bounds=(0, count))
    total_max = builder.input("total-max", bounds=(0, count))
    bits = _linked(builder, count, 1)
    boolean(builder, "counts/boolean", bits)
    total, ranges = bits.sum(), BitRanges(builder)
    at_most(ranges, "total/at-least", total_min, total)
    at_most(ranges, "total/at-most", total, total_max)
    return builder.finish()


@functools.lru_cache(maxsize=32)
def bounded_count_circuit(count: int, curve: str = "bls12-381") -> System:
    """Returns S4 for `count` coordinates of 15 bits. Cost: two range checks each, and two for the sum."""
    builder = Builder(f"bounded-count-{count}", version=VERSION, curve=CURVES[curve])
    limit = count * EACH_LIMIT
    each_max = builder.input("each-max", bounds=(0, EACH_LIMIT))
    total_min = builder.input("total-min", bounds=(0, limit))
    total_max = builder.input("total-max", bounds=(0, limit))
    counts = _linked(builder, count, EACH_LIMIT)
    needed = [(2 * count, COUNT_BITS), (2, limit.bit_length())]
    ranges = choose_ranges(builder, needed, builder.segment("stage-0"))
    ranges.in_range("counts/range", counts, COUNT_BITS)
    builder.justify(counts, (0, EACH_LIMIT))
    at_most(ranges, "counts/at-most-each", counts, each_max)
    total = counts.sum()
    at_most(ranges, "total/at-least", total_min, total)
    at_most(ranges, "total/at-most", total, total_max)
    if isinstance(ranges, RangeTable):
        ranges.commit()
        (alpha,) = builder.challenge("alpha")
        ranges.close(alpha)
    return builder.finish()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a report belongs; it enters ctx, and a report for one place is none for another.

    Attributes:
        policy: Digest of the policy.
        announcement: Digest of the round's announcement, 32 bytes; zeros outside a round.
        signer: The client's Ed25519 key; empty outside a round.
        question: What is counted, such as b"age group".
    """

    policy: bytes
    announcement: bytes = bytes(DIGEST_BYTES)
    signer: bytes = b""
    question: bytes = b""


@dataclass(frozen=True, slots=True)
class CountTerms(CountBounds):
    """Bounds, and what prover and verifier compute from them."""

    @classmethod
    def of(cls, bounds: CountBounds) -> CountTerms:
        """Returns the terms of bounds."""
        return cls(bounds.coordinates, bounds.each_max, bounds.total_min, bounds.total_max)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/count-terms").u64(self.coordinates).u64(self.each_max)
        return w.u64(self.total_min).u64(self.total_max).finish()

    def circuit(self, curve: str = "bls12-381") -> System:
        """Returns S4 for these terms, the cheapest circuit that holds them."""
        if self.is_one_hot:
            return one_hot_circuit(self.coordinates, curve)
        return (few_hot_circuit if self.each_max == 1 else bounded_count_circuit)(self.coordinates, curve)

    @property
    def static(self) -> dict[str, int]:
        """The bounds that are public inputs of the circuit; the others are fixed by it."""
        out = {"total-min": self.total_min}
        if not self.is_one_hot:
            out["total-max"] = self.total_max
        if self.each_max > 1:
            out["each-max"] = self.each_max
        return out

    def check(self, vector: Any) -> Ints:
        """Returns the vector as integers if it satisfies the terms. The texts hold no value of it.

        Raises:
            DecodeError: NaN, a fraction, another length or no numbers.
            UnsatisfiedConstraint: A coordinate or the sum is outside its bounds.
        """
        values = np.asarray(vector)
        if values.shape != (self.coordinates,):
            raise DecodeError(f"counts of shape {values.shape}, expected ({self.coordinates},)")
        if values.dtype != object and values.dtype.kind not in "iub":
            raise DecodeError(f"counts are {values.dtype.name}, expected integers")
        flat = values.tolist()
        if any(type(v) is not int for v in flat) and values.dtype.kind != "b":
            raise DecodeError("counts hold something else than integers")
        counts = as_ints(np.array([int(v) for v in flat], dtype=object))
        for name, outside in (("range", counts < 0), ("at-most-each", counts > self.each_max)):
            wrong = np.flatnonzero(outside)
            if len(wrong):
                place = int(wrong[0])
                raise UnsatisfiedConstraint(f"coordinate {place} is outside [0, each-max]", f"counts/{name}", (place,))
        total = int(counts.sum())
        for name, is_outside in (("at-least", total < self.total_min), ("at-most", total > self.total_max)):
            if is_outside:
                raise UnsatisfiedConstraint("the sum is outside [total-min, total-max]", f"total/{name}", ())
        return counts

    def instance(self, key: VerifyingKey, place: Place, commitment: Points) -> Instance:
        """Returns the statement of one report, as prover and verifier compute it."""
        data = digest("zkfed/v1/counts", self.encode(), place.question)
        encoded = key.backend.encode(commitment)
        context = Context("S4", place.policy, place.announcement, place.signer, encoded, data)
        return Instance(context.digest(key), self.static, (commitment,))

    def private(self, vector: Any) -> dict[str, Any]:
        """Returns what the circuit's hints read: secret."""
        return {"counts": self.check(vector)}

    def refuse_other_key(self, key: VerifyingKey) -> None:
        """Raises KeyRefused unless the key is for this circuit."""
        if key.layout.circuit_digest != self.circuit(key.layout.curve.name).digest:
            raise KeyRefused(f"the key is for {key.layout.name}, not for these counts")


def prove_counts(prover: Prover, terms: CountTerms, vector: Any, *, place: Place, blinder: int) -> tuple[bytes, bytes]:
    """Commits to a vector and proves that it satisfies the terms.

    Args:
        prover: Of `terms.circuit`.
        terms: Everybody's.
        vector: v, K integers; stays hidden.
        place: Where the report belongs.
        blinder: rho, uniform in [0, r) and fresh: `secrets.randbits(384) % r`. Whoever adds the
            reports up needs it, encrypted, like an update's.

    Returns:
        C_v, encoded, and the proof.

    Raises:
        DecodeError: Not K integers.
        UnsatisfiedConstraint: The vector does not satisfy the terms.
        KeyRefused: The prover is for another circuit.
    """
    terms.refuse_other_key(prover.key.verifying)
    counts, backend = terms.check(vector), prover.backend
    commitment = generators(backend, USE, terms.coordinates).commit(counts, blinder)
    instance = terms.instance(prover.key.verifying, place, commitment)
    proof = prover.prove(instance, {"counts": counts}, (blinder,))
    return backend.encode(commitment), proof.encode(backend)


def check_counts(key: VerifyingKey, terms: CountTerms, place: Place, commitment: bytes, proof: bytes) -> Points:
    """Checks one report and returns its commitment, which may then be added to the others'.

    Raises:
        DecodeError: The commitment or the proof is malformed.
        ProofInvalid: The proof does not hold for these terms at this place.
        KeyRefused: The key is for another circuit.
    """
    terms.refuse_other_key(key)
    point = key.backend.decode("G1", commitment, 1)
    verify(key, terms.instance(key, place, point), Proof.decode(key.backend, key.layout, proof))
    return point
