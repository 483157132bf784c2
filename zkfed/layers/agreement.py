"""What all parties of a federation share, and the checks that all of them make.

An `Agreement` is public: policy, benchmark, enrolled keys and verifying keys. Every party
builds it for itself and compares digests; nobody is told what to believe.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Backend, Points
from zkfed.commitments.pedersen import Generators, generators
from zkfed.counts import Counts
from zkfed.dp.noise import NoiseScale, calibrate, noise_norm_bound
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, NotAuthorised, PolicyError, Replay
from zkfed.fixedpoint import norm_bound
from zkfed.groth16.keys import DEVELOPMENT, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify
from zkfed.he.params import EncryptionParams, Scheme, check_exact
from zkfed.layers.plaintext import PlaintextLayout
from zkfed.layers.registry import Registry
from zkfed.policy import RoundPolicy
from zkfed.statements.context import Context
from zkfed.statements.draw import draw_rows
from zkfed.statements.improvement import Benchmark, improvement_context
from zkfed.statements.one_hot import CountTerms, Place
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.terms import Terms, benchmark_terms, circuit_of
from zkfed.statements.update_bound import USE, noise_circuit
from zkfed.updates.messages import MESSAGE_BYTES_MAX, Announcement, Commit, Offer
from zkfed.updates.signing import Signed
from zkfed.updates.update import model_digest

__all__ = ["Agreement", "Announced", "draw_groups"]


def draw_groups(nonce: bytes, members: tuple[bytes, ...], *, smallest: int, groups: int) -> list[tuple[bytes, ...]]:
    """Returns the random groups of a repeated attempt.

    K draws the nonce after the commit list is fixed, so neither a client nor the adders
    choose who stands with whom. Members are ordered by H(nonce, member) and cut into equal
    parts.

    Args:
        nonce: Of K's `Failure`.
        members: Commit digests of the failed attempt.
        smallest: k_min; no group is smaller.
        groups: How many at most.
    """
    count = min(groups, len(members) // smallest)
    if count < 1:
        return []
    ordered = sorted(members, key=lambda m: digest("zkfed/v1/group", nonce, m))
    cuts = [round(i * len(ordered) / count) for i in range(count + 1)]
    return [tuple(sorted(ordered[a:b])) for a, b in itertools.pairwise(cuts)]


@dataclass(frozen=True)
class Announced:
    """An announcement under the signatures of both G and K.

    Attributes:
        body: The announcement.
        digest: Of its canonical bytes; what commits, proofs and seals are bound to.
    """

    body: Announcement
    by_adder: Signed
    by_holder: Signed

    @property
    def digest(self) -> bytes:
        return digest("zkfed/v1/announcement-digest", self.by_adder.body)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/announced").bytes(self.by_adder.encode())
        return w.bytes(self.by_holder.encode()).finish()

    @classmethod
    def decode(cls, data: bytes) -> Announced:
        """Reads both signatures and the body under them.

        Raises:
            DecodeError: Not canonical, or the two bodies differ.
            SignatureInvalid: A signature does not hold.
        """
        r = Reader(data, "zkfed/v1/announced", MESSAGE_BYTES_MAX)
        first, second = r.bytes(limit=MESSAGE_BYTES_MAX), r.bytes(limit=MESSAGE_BYTES_MAX)
        r.finish()
        by_adder = Signed.decode(first, "announcement", limit=MESSAGE_BYTES_MAX)
        by_holder = Signed.decode(second, "announcement-holder", limit=MESSAGE_BYTES_MAX)
        if by_adder.body != by_holder.body:
            raise DecodeError("announcement: G and K signed different bodies")
        return cls(Announcement.decode(by_adder.body), by_adder, by_holder)


@dataclass(frozen=True)
class Agreement:
    """The public facts of a federation.

    Attributes:
        policy: With both signing keys pinned.
        benchmark: The rows of statement S2; without any for S1 and S4 (`Benchmark.none`).
        enrolled: The clients' Ed25519 keys, ascending.
        improvement: Verifying key of the policy's statement: S1, S2 or S4.
        noise: Verifying key of N.
        registry: The closed registrations of S1; None for S2.

    Raises:
        PolicyError: The policy's keys are not pinned, encryption could not be exact, no noise fits, or
            a closed registry is missing or not for this policy.
        KeyRefused: A key is for another circuit, or of an origin that the policy refuses.
    """

    policy: RoundPolicy
    benchmark: Benchmark
    enrolled: tuple[bytes, ...]
    improvement: VerifyingKey = field(repr=False)
    noise: VerifyingKey = field(repr=False)
    registry: Registry | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        policy = self.policy
        if not policy.adder_key or not policy.holder_key:
            raise PolicyError("the policy pins no adder or key holder: RoundPolicy.pinned sets them")
        if list(self.enrolled) != sorted(set(self.enrolled)):
            raise PolicyError("enrolled keys are not in order or not distinct")
        if {policy.adder_key, policy.holder_key} & set(self.enrolled):
            raise PolicyError("an enrolled client has the key of the adders or of the key holder")
        self.benchmark.check(policy.model, policy.improvement.rows if policy.statement.kind == "S2" else 0)
        self._check_registry()
        circuits = (
            circuit_of(policy.statement, policy.curve),
            noise_circuit(policy.model.parameters, policy.curve),
        )
        for key, circuit in zip((self.improvement, self.noise), circuits, strict=True):
            # The whole layout, not the digest alone: a key says itself what its digest is.
            if key.layout.encode() != circuit.layout.encode():
                raise KeyRefused(f"the verifying key is for another circuit than {circuit.name}")
            if policy.setup == "production" and key.origin == DEVELOPMENT:
                raise KeyRefused(
                    f"{circuit.name}: a development key: whoever made it can forge proofs; a production policy "
                    f"needs keys from a ceremony"
                )
        check_exact(self.encryption, sum_bound=policy.sum_bound, terms=policy.max_clients + 1)
        _ = self.noise_scale  # a policy without a noise is refused now, not in the middle of a round

    def _check_registry(self) -> None:
        registry = self.registry
        if (registry is not None) != (self.policy.statement.kind == "S1"):
            raise PolicyError(f"the statement {self.policy.statement.kind} and the registry do not fit together")
        if registry is None:
            return
        if not registry.is_closed or registry.terms.policy != self.policy.digest:
            raise PolicyError("the registry is open, or of another policy")
        if any(client not in self._members for client in registry):
            raise PolicyError("a client in the registry is not enrolled")

    @property
    def backend(self) -> Backend:
        return self.improvement.backend

    @property
    def order(self) -> int:
        return self.improvement.layout.curve.order

    @cached_property
    def encryption(self) -> EncryptionParams:
        """The parameters of the policy's scheme."""
        return EncryptionParams.of(Scheme(self.policy.scheme))

    @cached_property
    def plaintext(self) -> PlaintextLayout:
        """How D and rho stand in the ciphertexts."""
        return PlaintextLayout(self.policy.model.parameters, self.encryption.slots, self.order)

    @property
    def slots(self) -> int:
        """Integers in one plaintext: D and the limbs of rho."""
        return self.plaintext.count

    @cached_property
    def generators(self) -> Generators:
        """The transparent generators of updates and noises."""
        return generators(self.backend, USE, self.policy.model.parameters)

    @cached_property
    def squared_norm_max(self) -> int:
        """B2."""
        policy = self.policy
        if isinstance(policy.statement, Counts):
            return policy.statement.bounds.squared_l2
        return norm_bound(policy.clip_norm, policy.model.parameters, policy.model.fraction_bits)

    @cached_property
    def noise_scale(self) -> NoiseScale:
        """Sigma of each of G and K, by OpenDP's map at d_in = ceil(sqrt(B2))."""
        sensitivity = math.isqrt(self.squared_norm_max - 1) + 1
        try:
            return calibrate(self.policy.epsilon, self.policy.delta, sensitivity)
        except ValueError as error:
            raise PolicyError(f"no noise fits the policy: {error}") from None

    @cached_property
    def noise_norm_max(self) -> int:
        """The bound on |eta|^2 in statement N."""
        return noise_norm_bound(self.noise_scale.sigma, self.policy.model.parameters)

    @cached_property
    def _members(self) -> frozenset[bytes]:
        return frozenset(self.enrolled)

    @cached_property
    def enrolment(self) -> bytes:
        """The digest of the enrolled keys, and for S1 of everything that they registered."""
        keys = digest("zkfed/v1/enrolment", *self.enrolled)
        return keys if self.registry is None else digest("zkfed/v1/enrolment-registered", keys, self.registry.root)

    def terms(self, base: npt.NDArray[np.int64]) -> Terms | CountTerms:
        """Returns what everybody proves about: S2 for a base model, or the bounds of S4."""
        statement = self.policy.statement
        if isinstance(statement, Counts):
            return CountTerms.of(statement.bounds)
        return benchmark_terms(statement, base, self.benchmark)

    def own_terms(self, base: npt.NDArray[np.int64], beacon: bytes, *, client: bytes, commitment: bytes) -> OwnTerms:
        """Returns the terms of S1 for one client: the rows that the beacon drew out of its registration.

        Args:
            base: W0.
            beacon: b, 32 bytes; the same in all attempts of a round, and so are the rows.
            client: Its key.
            commitment: C_D, encoded.

        Raises:
            NotAuthorised: The client has not registered.
            PolicyError: The policy's statement is not about registered rows.
        """
        statement = self.policy.improvement
        if self.registry is None or statement.registration is None:
            raise PolicyError(f"the statement {statement.kind} draws no rows")
        rows = draw_rows(
            beacon, client, commitment=commitment, count=statement.rows, registered=statement.registration.rows
        )
        return OwnTerms.of(statement, base, self.registry.drawn(client, rows, beacon))

    # -- statements ----------------------------------------------------------------------

    def improvement_instance(
        self, terms: Terms | OwnTerms | CountTerms, announcement: Announced, client: bytes, commitment: Points
    ) -> Instance:
        """Returns the statement of one client in one round, S1, S2 or S4.

        `announcement` is the round's first one: a repeated attempt needs no new proof.
        """
        policy = self.policy
        if isinstance(terms, CountTerms):
            question = policy.statement.question if isinstance(policy.statement, Counts) else b""
            place = Place(policy.digest, announcement.digest, client, question)
            return terms.instance(self.improvement, place, commitment)
        if isinstance(terms, OwnTerms):
            own = terms.context(
                policy=policy.digest, announcement=announcement.digest, signer=client,
                commitment=self.backend.encode(commitment),
            )  # fmt: skip
            return terms.instance(
                own.digest(self.improvement), commitment, squared_norm_max=self.squared_norm_max,
                millionths=policy.millionths(announcement.body.round), backend=self.backend,
            )  # fmt: skip
        context = improvement_context(
            terms, policy=policy.digest, announcement=announcement.digest, signer=client,
            commitment=self.backend.encode(commitment),
        )  # fmt: skip
        maximum = terms.loss_change_max(policy.millionths(announcement.body.round), policy.improvement.base_loss_min)
        return terms.instance(
            context.digest(self.improvement), commitment, squared_norm_max=self.squared_norm_max,
            loss_change_max=maximum, curve=self.improvement.layout.curve,
        )  # fmt: skip

    def noise_instance(self, body: Offer | Announcement, role: str, commitment: Points) -> Instance:
        """Returns statement N of "adder" or "holder" for one attempt."""
        data = Writer("zkfed/v1/noise-data").text(role).u64(body.round).u64(body.attempt).u64(body.group)
        signer = self.policy.adder_key if role == "adder" else self.policy.holder_key
        context = Context(
            "N", self.policy.digest, body.previous, signer, self.backend.encode(commitment),
            data.bytes(body.encryption_key).finish(),
        )  # fmt: skip
        return Instance(context.digest(self.noise), {"squared-norm-max": self.noise_norm_max}, (commitment,))

    def decode_commitment(self, data: bytes) -> Points:
        """Reads one transparent commitment; raises DecodeError."""
        return self.backend.decode("G1", data, 1)

    def sum_commitments(self, encoded: list[bytes]) -> Points:
        """Returns the sum of encoded commitments; raises DecodeError."""
        ones = np.zeros((len(encoded), 4), dtype=np.uint64)
        ones[:, 0] = 1
        return self.backend.msm(self.backend.decode("G1", b"".join(encoded), len(encoded)), ones)

    def check_noise(self, body: Offer | Announcement, role: str, commitment: bytes, proof: bytes) -> Points:
        """Checks the proof of N of one party and returns its commitment.

        Raises:
            DecodeError: Commitment or proof is not canonical.
            ProofInvalid: The proof does not hold.
        """
        point = self.decode_commitment(commitment)
        decoded = Proof.decode(self.backend, self.noise.layout, proof)
        verify(self.noise, self.noise_instance(body, role, point), decoded)
        return point

    # -- announcements and commits ---------------------------------------------------------

    def check_body(self, body: Announcement, *, base: npt.NDArray[Any], previous: bytes) -> None:
        """Checks an announcement against what this party knows itself.

        Raises:
            PolicyError: It is about another policy, model, benchmark, enrolment or key.
            ProofInvalid: A noise commitment's proof does not hold.
        """
        expected = {
            "policy": self.policy.digest,
            "base": model_digest(np.asarray(base)),
            "previous": previous,
            "benchmark": self.benchmark.digest,
            "enrolment": self.enrolment,
            "improvement_key": self.improvement.digest,
            "noise_key": self.noise.digest,
        }
        for name, value in expected.items():
            if getattr(body, name) != value:
                raise PolicyError(f"announcement of round {body.round}: its {name} is not the one expected")
        if body.attempt > self.policy.attempts:
            raise PolicyError(f"attempt {body.attempt}, the policy allows {self.policy.attempts}")
        size = 32 if self.policy.statement.kind == "S1" and body.attempt == 1 else 0
        if {len(body.holder_beacon), len(body.adder_beacon)} != {size}:
            raise PolicyError(f"announcement of round {body.round}: hashes of beacon nonces where none belong, or none")
        self.check_noise(body, "holder", body.holder_commitment, body.holder_proof)
        self.check_noise(body, "adder", body.adder_commitment, body.adder_proof)

    def open_announcement(self, data: bytes, *, base: npt.NDArray[Any], previous: bytes) -> Announced:
        """Reads an announcement and checks signers, content and noise proofs.

        Raises:
            DecodeError, SignatureInvalid: See `Announced.decode`.
            NotAuthorised: A signer is not the one that the policy pins.
            PolicyError, ProofInvalid: See `check_body`.
        """
        announced = Announced.decode(data)
        if announced.by_adder.signer != self.policy.adder_key or announced.by_holder.signer != self.policy.holder_key:
            raise NotAuthorised("the announcement is not signed by the pinned adders and key holder")
        self.check_body(announced.body, base=base, previous=previous)
        return announced

    def open_commit(self, data: bytes, first: bytes) -> tuple[Signed, Points]:
        """Reads a client's commit to the round whose first announcement is `first`.

        Raises:
            DecodeError, SignatureInvalid: Not a commit, or its signature does not hold.
            NotAuthorised: The client is not enrolled, or for S1 has not registered rows.
            Replay: It belongs to another round.
        """
        signed = Signed.decode(data, "commit", limit=4096)
        if signed.signer not in self._members:
            raise NotAuthorised(f"the client {signed.signer.hex()[:16]}... is not enrolled")
        if self.registry is not None:
            self.registry.record(signed.signer)
        commit = Commit.decode(signed.body)
        if commit.announcement != first:
            raise Replay("the commit belongs to another round")
        kind = self.policy.statement.kind
        if commit.kinds != kind:
            raise DecodeError(f"the commit promises other statements than {kind}")
        return signed, self.decode_commitment(commit.commitment)
