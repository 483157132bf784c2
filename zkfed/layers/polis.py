"""The adders (G): announce, receipt, check, sum under encryption.

An adder sees commitments, proofs and ciphertexts, never an update nor a noiseless sum. What
it checks, in order: framing, signature, membership, nullifier, equality of commitments and
ciphertexts, proof; only then its state changes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.encoding import digest
from zkfed.errors import CiphertextRefused, NotAuthorised, PolicyError, ProofInvalid, Replay, TransportError, ZkfedError
from zkfed.groth16.proof import Proof
from zkfed.groth16.prove import Prover
from zkfed.he.encrypt import Ciphertext, encrypt
from zkfed.he.keys import PublicKey
from zkfed.he.sealing import SealingKey, open_sealed
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.beacon import ADDER, Beacon, nonce_hash, open_beacon
from zkfed.layers.intake import Candidate, OpenAttempt, Work, answers
from zkfed.layers.noise import NoiseVector, prove_noise
from zkfed.statements.one_hot import CountTerms
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.terms import Terms
from zkfed.updates.messages import Aggregate, Announcement, Commit, Offer, Receipt, Reveal, Seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import Verdict, model_digest

__all__ = ["Adder"]


class Adder:
    """The community nodes that check and add, as one signer.

    Args:
        agreement: The public facts.
        key: The signing key that the policy pins.
        noise_prover: Of statement N.
        base: W0 of round 1.
        work: Who checks proofs and adds; this process by default.
    """

    def __init__(
        self, agreement: Agreement, key: SigningKey, noise_prover: Prover, *, base: npt.NDArray[np.int64],
        work: Work | None = None,
    ) -> None:  # fmt: skip
        self._work = work or Work()
        if key.public != agreement.policy.adder_key:
            raise PolicyError("the policy pins another key for the adders")
        self.agreement, self._key, self._noise_prover = agreement, key, noise_prover
        self.base, self.previous = base, bytes(32)
        self._sealing = SealingKey.generate()
        self._round = 1
        self._start_round()

    def __repr__(self) -> str:
        return f"Adder({self._key.public.hex()[:16]}..., secrets hidden)"

    def _start_round(self) -> None:
        self._terms: Terms | CountTerms | None = None
        self._first: Announced | None = None
        self._commits: dict[bytes, tuple[Signed, Points]] = {}
        self._committed: dict[bytes, bytes] = {}
        self._committers: dict[bytes, bytes] = {}
        self._attempts: dict[bytes, OpenAttempt] = {}
        self._nullifiers: dict[bytes, bytes] = {}  # of this round, whose number is in each
        self._pending: dict[bytes, tuple[Announcement, NoiseVector, PublicKey]] = {}
        self._announced: dict[tuple[int, int], frozenset[bytes]] = {}
        self._nonce, self._reveal = secrets.token_bytes(32), b""
        self._beacon: Beacon | None = None

    # -- 0. announce -----------------------------------------------------------------------

    def announce(
        self, offer: bytes, encryption_key: bytes, *, members: tuple[bytes, ...] = (), deadline_s: int
    ) -> bytes:
        """Answers K's offer with a signed announcement, which K then countersigns.

        Args:
            offer: K's signed offer.
            encryption_key: The public key that the offer names.
            members: Commit digests of a repeated attempt; empty in attempt 1.
            deadline_s: After which commits are refused, in seconds since the epoch.

        Raises:
            NotAuthorised: The offer is not K's.
            PolicyError: It is about another policy, round or key, or the attempt is not due.
            Replay: The attempt was announced before, or a member stands in another group of it.
            ProofInvalid: K's noise proof does not hold.
        """
        agreement = self.agreement
        signed = Signed.decode(offer, "offer", limit=1 << 16)
        if signed.signer != agreement.policy.holder_key:
            raise NotAuthorised("the offer is not signed by the pinned key holder")
        body = Offer.decode(signed.body)
        if body.policy != agreement.policy.digest or body.previous != self.previous:
            raise PolicyError("the offer is for another policy or follows another transcript")
        for encoded, (pending, _, _) in self._pending.items():
            if answers(pending, body) and pending.members == tuple(sorted(members)):
                return self._key.sign("announcement", encoded).encode()  # asked again: the same bytes, no new noise
        self._check_due(body, frozenset(members))
        key = PublicKey.from_bytes(encryption_key, agreement.encryption)
        if key.digest != body.encryption_key:
            raise PolicyError("the encryption key is not the offered one")
        agreement.check_noise(body, "holder", body.commitment, body.noise_proof)
        noise = NoiseVector.draw(agreement)
        announcement = Announcement(
            policy=body.policy, round=body.round, attempt=body.attempt, group=body.group,
            first=self._first.digest if self._first and body.attempt > 1 else bytes(32),
            previous=self.previous, base=model_digest(self.base), benchmark=agreement.benchmark.digest,
            enrolment=agreement.enrolment, members=tuple(sorted(members)), encryption_key=key.digest,
            sealing_key=self._sealing.public.to_bytes(), holder_commitment=body.commitment,
            holder_proof=body.noise_proof, adder_commitment=agreement.backend.encode(noise.point),
            adder_proof=prove_noise(agreement, self._noise_prover, body, role="adder", noise=noise),
            improvement_key=agreement.improvement.digest, noise_key=agreement.noise.digest,
            holder_beacon=body.beacon, adder_beacon=nonce_hash(ADDER, self._nonce) if body.beacon else b"",
            deadline_s=deadline_s,
        )  # fmt: skip
        announcement.check()
        encoded = announcement.encode()
        self._pending[encoded] = (announcement, noise, key)
        self._announced[body.attempt, body.group] = frozenset(members)
        return self._key.sign("announcement", encoded).encode()

    def _check_due(self, body: Offer, members: frozenset[bytes]) -> None:
        """Refuses offers by which K would see more sums of a round than the policy allows."""
        policy = self.agreement.policy
        if body.round != self._round or not 1 <= body.attempt <= policy.attempts:
            raise PolicyError(f"round {self._round} is open, not attempt {body.attempt} of round {body.round}")
        if (body.attempt == 1 and (body.group or members)) or (
            body.attempt > 1 and not members <= self._commits.keys()
        ):
            raise PolicyError("attempt 1 is everybody's; a later one is for clients that committed in this round")
        if (body.attempt, body.group) in self._announced:
            raise Replay(f"attempt {body.attempt}, group {body.group} was announced before")
        if any(a == body.attempt and members & others for (a, _), others in self._announced.items()):
            raise Replay(f"a client stands in two groups of attempt {body.attempt}")

    def open_attempt(self, announced: bytes) -> None:
        """Takes the announcement back, countersigned by K, and opens the attempt.

        Raises:
            PolicyError: It is not one that this adder announced.
            NotAuthorised, SignatureInvalid, DecodeError: It is not signed by both.
        """
        value = self.agreement.open_announcement(announced, base=self.base, previous=self.previous)
        if value.digest in self._attempts:
            return
        pending = self._pending.get(value.by_adder.body)
        if pending is None:
            raise PolicyError("this adder did not announce that attempt")
        if value.body.attempt == 1:
            self._first = value
            self._terms = self.agreement.terms(self.base) if self._kind != "S1" else None
        self._attempts[value.digest] = OpenAttempt(value, pending[2], pending[1])
        del self._pending[value.by_adder.body]

    # -- 1. commit -------------------------------------------------------------------------

    def receive_commit(self, data: bytes, *, now_s: int) -> bytes:
        """Checks a client's commit and returns a signed receipt.

        Raises:
            DecodeError, SignatureInvalid, NotAuthorised: See `Agreement.open_commit`.
            Replay: The client has committed to something else in this round, or somebody
                else has committed to the same C_D.
            PolicyError: No round is open, its deadline has passed, or its beacon is open.
        """
        if self._first is None:
            raise PolicyError("no round is announced")
        signed, point = self.agreement.open_commit(data, self._first.digest)
        if now_s > self._first.body.deadline_s:
            raise PolicyError("the round's deadline for commits has passed")
        if self._reveal and signed.digest not in self._commits:
            raise PolicyError("the round's beacon is open: whoever commits now may know its rows")
        commitment = Commit.decode(signed.body).commitment
        if self._committed.get(signed.signer, signed.digest) != signed.digest:
            raise Replay("the client has committed to another update in this round")
        if self._committers.get(commitment, signed.signer) != signed.signer:
            raise Replay("another client has committed to the same C_D: a copied commitment")
        if len(self._commits) >= self.agreement.policy.max_clients and signed.digest not in self._commits:
            raise PolicyError(f"the round has its {self.agreement.policy.max_clients} clients")
        self._commits.setdefault(signed.digest, (signed, point))
        self._committed[signed.signer], self._committers[commitment] = signed.digest, signed.signer
        return self._key.sign("receipt", Receipt(signed.digest).encode()).encode()

    @property
    def commits(self) -> tuple[bytes, ...]:
        """All commits of the round, encoded, in ascending order of their digests."""
        return tuple(self._commits[d][0].encode() for d in sorted(self._commits))

    # -- 2. beacon -------------------------------------------------------------------------

    def reveal(self) -> bytes:
        """Fixes the commit list and opens this party's beacon nonce over it.

        No commit is taken any more. The key holder answers with its own opening.

        Raises:
            PolicyError: No round is announced, or its statement draws no rows.
        """
        if self._first is None or not self._first.body.adder_beacon:
            raise PolicyError("no round that draws rows is announced")
        if not self._reveal:
            body = Reveal(self._first.digest, tuple(sorted(self._commits)), self._nonce)
            self._reveal = self._key.sign("reveal", body.encode()).encode()
        return self._reveal

    def accept_beacon(self, holder_reveal: bytes) -> None:
        """Takes the key holder's opening; from now on every client's rows are known.

        Raises:
            PolicyError: This party has not opened its own nonce.
            NotAuthorised, SignatureInvalid, DecodeError, Replay, CommitmentMismatch: See `open_beacon`.
        """
        if self._first is None or not self._reveal:
            raise PolicyError("the adders open the beacon first")
        self._beacon = open_beacon(self.agreement.policy, self._first, (self._reveal, holder_reveal))

    # -- 3. seal and 4. add ------------------------------------------------------------------

    def receive_sealed(self, data: bytes) -> Verdict:
        """Checks one sealed update and takes it into its attempt.

        Returns:
            A verdict; a refusal changes nothing. Bytes from which no client can be read are
            refused under the name "unknown".
        """
        return self.receive_sealed_all([data])[0]

    def receive_sealed_all(self, messages: Sequence[bytes]) -> list[Verdict]:
        """Checks many sealed updates, their proofs in one batch, and takes those that hold.

        Returns:
            A verdict for each message, in their order; see `receive_sealed`.
        """
        verdicts = dict[int, Verdict]()
        read = [self._read(position, data, verdicts) for position, data in enumerate(messages)]
        candidates = [c for c in read if c is not None]
        refused = self._refused_proofs(candidates)
        for number, candidate in enumerate(candidates):
            try:
                if number in refused:
                    raise refused[number]
                self._take(candidate)
            except ZkfedError as error:
                verdicts[candidate.position] = Verdict(candidate.client, False, error.code, str(error))
            else:
                verdict = Verdict(candidate.client, True, "accepted", "signature, nullifier, framing and proof hold")
                verdicts[candidate.position] = verdict
        return [verdicts[position] for position in range(len(messages))]

    def _read(self, position: int, data: bytes, verdicts: dict[int, Verdict]) -> Candidate | None:
        """Returns an update of which everything but the proof holds, or notes why not."""
        client = "unknown"
        try:
            update = SealedUpdate.decode(data)
            client = update.signed.signer.hex()
            return self._candidate(position, update)
        except ZkfedError as error:
            verdicts[position] = Verdict(client, False, error.code, str(error))
            return None

    def _candidate(self, position: int, update: SealedUpdate) -> Candidate:
        agreement, signed = self.agreement, update.signed
        sealed = Seal.decode(signed.body)
        attempt, commit = self._check_place(signed, sealed)
        ciphertext = self._open_outer(sealed, attempt, update.outer)
        proof = Proof.decode(agreement.backend, agreement.improvement.layout, sealed.proof)
        if self._first is None:
            raise PolicyError("no round is announced")
        instance = agreement.improvement_instance(self._terms_of(commit[0]), self._first, signed.signer, commit[1])
        return Candidate(position, signed, sealed, ciphertext, proof, instance)

    def _check_place(self, signed: Signed, sealed: Seal) -> tuple[OpenAttempt, tuple[Signed, Points]]:
        """Checks that an update belongs where it says, and that nothing is there yet."""
        attempt = self._attempts.get(sealed.announcement)
        if attempt is None or attempt.closed or self._first is None:
            raise Replay("the update is for an attempt that is not open")
        entry = self._commits.get(sealed.commit)
        if entry is None or entry[0].signer != signed.signer:
            raise NotAuthorised("the update names a commit that this client did not make")
        if attempt.announced.body.members and sealed.commit not in attempt.announced.body.members:
            raise NotAuthorised("the client is no member of this attempt")
        if sealed.encryption_key != attempt.announced.body.encryption_key:
            raise PolicyError("the update is encrypted under another key than the announced one")
        nullifier = self._nullifier(signed.signer)
        if self._nullifiers.get(nullifier, sealed.commit) != sealed.commit:
            raise Replay("the client's nullifier of this round is used")
        if sealed.commit in attempt.seals:
            raise Replay("the client has sealed this attempt already")
        if sealed.ciphertext in attempt.sent:
            raise Replay("another client has sent the same ciphertext")
        return attempt, entry

    def _refused_proofs(self, candidates: list[Candidate]) -> dict[int, ProofInvalid]:
        """Returns the candidates whose proofs do not hold, by their number."""
        key = self.agreement.improvement
        if not candidates:
            return {}
        verify_batch = self._work.verify
        try:
            verify_batch(key, [c.instance for c in candidates], [c.proof for c in candidates])
        except TransportError:
            raise  # lost workers say nothing about a proof: nobody is refused, nothing was taken
        except ZkfedError as error:
            about = " for this commitment and the rows that the beacon drew" if self._beacon is not None else ""
            text = f"{key.layout.name}: the proof does not hold{about}"
            named = error.culprits if isinstance(error, ProofInvalid) else ()
            # Whoever is not named is not acquitted: without names, all are refused.
            return {number: ProofInvalid(text) for number in named or range(len(candidates))}
        return {}

    def _take(self, candidate: Candidate) -> None:
        signed, sealed = candidate.signed, candidate.sealed
        # Again: another message of the same batch may stand there by now.
        attempt, _ = self._check_place(signed, sealed)
        # Everything holds: only now the state changes.
        self._nullifiers[self._nullifier(signed.signer)] = sealed.commit
        attempt.seals[sealed.commit] = signed
        attempt.sent.add(sealed.ciphertext)
        attempt.ciphertexts[sealed.commit] = candidate.ciphertext

    @property
    def _kind(self) -> str:
        return self.agreement.policy.statement.kind

    def _terms_of(self, commit: Signed) -> Terms | OwnTerms | CountTerms:
        """Returns what a client has to prove: on the benchmark, or on the rows drawn for its commit."""
        if self._terms is not None:
            return self._terms
        if self._beacon is None:
            raise PolicyError("the round's beacon is not open: no rows are drawn yet")
        commitment = Commit.decode(commit.body).commitment
        return self.agreement.own_terms(self.base, self._beacon.value, client=commit.signer, commitment=commitment)

    def _nullifier(self, client: bytes) -> bytes:
        if self._first is None:
            raise PolicyError("no round is announced")
        number = self._first.body.round.to_bytes(8, "big")
        return digest("zkfed/v1/nullifier", self.agreement.policy.digest, number, self._kind.encode(), client)

    def _open_outer(self, sealed: Seal, attempt: OpenAttempt, outer: bytes) -> Ciphertext:
        plain = open_sealed(self._sealing, outer, info=attempt.announced.digest, aad=sealed.commit)
        if digest("zkfed/v1/ciphertext", plain) != sealed.ciphertext:
            raise CiphertextRefused("the ciphertext is not the one that the client signed")
        return Ciphertext.from_bytes(plain, self.agreement.encryption, self.agreement.slots)

    def aggregate(self, attempt: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]]:
        """Closes an attempt and adds its ciphertexts and the adders' own noise.

        Args:
            attempt: Digest of the announcement.

        Returns:
            The signed `Aggregate`, the summed ciphertext for K (and nobody else), and the
            signed seals of the members, for the transcript.

        Raises:
            PolicyError: Fewer than k_min updates, or the attempt is unknown or closed.
        """
        agreement = self.agreement
        entry = self._attempts.get(attempt)
        if entry is None or entry.closed:
            raise PolicyError("the attempt is unknown or was aggregated already")
        members = tuple(sorted(entry.seals))
        if len(members) < agreement.policy.min_clients:
            raise PolicyError(f"{len(members)} valid updates, the policy needs {agreement.policy.min_clients}")
        own = encrypt(entry.encryption_key, agreement.plaintext.pack(entry.noise.values, entry.noise.blinder))
        total = self._work.add(entry.encryption_key, [*(entry.ciphertexts[m] for m in members), own], agreement.slots)
        entry.closed = True
        body = Aggregate(attempt, members, digest("zkfed/v1/ciphertext", total.to_bytes()))
        signed = self._key.sign("aggregation", body.encode())
        return signed.encode(), total.to_bytes(), tuple(entry.seals[m].encode() for m in members)

    def close_round(self, record: bytes, base: npt.NDArray[Any]) -> bytes:
        """Signs a round's transcript digest and goes on to the next base model."""
        signed = self._key.sign("transcript", record)
        self.base, self.previous = np.asarray(base, dtype=np.int64), record
        self._round += 1
        self._start_round()
        return signed.encode()
