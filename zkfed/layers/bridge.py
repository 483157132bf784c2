"""Settlement: the check of a whole federation by anyone, from public data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.commitments.pedersen import COORDINATE_MAX
from zkfed.encoding import digest
from zkfed.errors import (
    CommitmentMismatch,
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
)
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify_batch
from zkfed.layers.agreement import Agreement, Announced, draw_groups
from zkfed.layers.beacon import open_beacon
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript, apply_releases, outcome_of
from zkfed.statements.one_hot import CountTerms
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.terms import Terms
from zkfed.updates.messages import MESSAGE_BYTES_MAX, Aggregate, Commit, Failure, Release, Seal
from zkfed.updates.signing import Signed
from zkfed.updates.update import decode_ints

__all__ = ["check_outcome", "check_release"]


def check_release(transcript: Transcript) -> None:
    """Checks a whole federation from public data: signatures, proofs, sums, models.

    Anybody can; no secret is needed. It catches a wrong sum, a wrong decryption, a wrong
    list, a proof that does not hold, an unproven or doubled update, a proof about other rows than
    those that the beacon drew. It does not show that the
    noise was drawn honestly, that data are real, that nobody was left out before the commit
    list was signed, or that no later round exists: a beginning of a record is a true record.

    Args:
        transcript: Of a federation. Compare its policy digest with the one you know: the
            signing keys of adders and key holder are part of it.

    Raises:
        ProofInvalid: A proof of an update or of a noise does not hold.
        CommitmentMismatch: A released sum is not the sum of the proven updates and noises.
        SignatureInvalid, NotAuthorised: A message is not signed by whom it must be.
        Replay: A client, commitment, ciphertext, encryption key or noise counts twice.
        PolicyError, DecodeError, IntegrityError: Something breaks the policy or its form.
    """
    base, previous, fresh = transcript.base, bytes(32), set[bytes]()
    for number, record in enumerate(transcript.rounds, start=1):
        sums = _RoundCheck(transcript.agreement, record, base, previous, number).run()
        _check_fresh(record, fresh)
        _check_closing(transcript.agreement, record)
        base = apply_releases(transcript.agreement.policy, base, sums)
        previous = record.digest


def check_outcome(agreement: Agreement, attempt: Attempt, commits: Sequence[bytes]) -> None:
    """Checks what a key holder answered about the sum of one attempt, before anybody goes on from it.

    Args:
        agreement: The public facts.
        attempt: Announced and signed by the adders themselves, with the answer as its outcome.
        commits: The signed commits of its list of clients, in order.

    Raises:
        DecodeError, SignatureInvalid: The answer is no signed release or failure.
        NotAuthorised: It is not signed by the pinned key holder.
        IntegrityError: It is about another attempt or sum.
        CommitmentMismatch: What it releases is not the sum of the commitments.
    """
    kind, signed = outcome_of(attempt)
    if signed is None or signed.signer != agreement.policy.holder_key:
        raise NotAuthorised("the outcome of an attempt is not signed by the pinned key holder")
    head = Announced.decode(attempt.announced)
    if kind == "release":
        commitments = [Commit.decode(Signed.decode(c, "commit", limit=4096).body).commitment for c in commits]
        _check_opening(agreement, attempt, signed, commitments)
    elif Failure.decode(signed.body).announcement != head.digest:
        raise IntegrityError(f"round {head.body.round}: the key holder answered with the failure of another attempt")


def _check_fresh(record: RoundRecord, seen: set[bytes]) -> None:
    """Checks that no attempt has the key or a noise of an earlier one; `seen` collects them.

    Two sums under one noise differ by exactly the difference of their updates.
    """
    for attempt in record.attempts:
        body = Announced.decode(attempt.announced).body
        used = [body.encryption_key, body.adder_commitment, body.holder_commitment]
        if len({*used}) != len(used) or not seen.isdisjoint(used):
            raise Replay(f"round {body.round}, attempt {body.attempt}: an encryption key or a noise is used twice")
        seen.update(used)


def _check_closing(agreement: Agreement, record: RoundRecord) -> None:
    signed = Signed.decode(record.closing, "transcript", limit=4096)
    if signed.signer != agreement.policy.adder_key:
        raise NotAuthorised("the round's transcript is not signed by the pinned adders")
    if signed.body != record.digest:
        raise IntegrityError("the adders signed another transcript of this round")


class _RoundCheck:
    """The checks of one round, in the order of protocol.md section 7."""

    def __init__(
        self, agreement: Agreement, record: RoundRecord, base: npt.NDArray[Any], previous: bytes, number: int
    ) -> None:
        self.agreement, self.record, self.base, self.previous = agreement, record, base, previous
        self.number = number
        self._proven: set[tuple[bytes, bytes]] = set()
        self._terms: Terms | CountTerms | None = None
        self._beacon: bytes | None = None

    def run(self) -> list[tuple[npt.NDArray[np.int64], int]]:
        """Returns (S, n) of each released attempt; raises as `check_release`."""
        if not self.record.attempts:
            raise DecodeError(f"round {self.number} has no attempt")
        announced = [
            self.agreement.open_announcement(a.announced, base=self.base, previous=self.previous)
            for a in self.record.attempts
        ]
        self.first = announced[0]
        self._check_commits()
        self._check_beacon()
        self._check_schedule(announced)
        out, seen = [], set[bytes]()
        for attempt, head in zip(self.record.attempts, announced, strict=True):
            kind, signed = outcome_of(attempt)
            if not attempt.aggregation and (attempt.seals or signed is not None):
                raise DecodeError(f"round {self.number}: an attempt with seals or an outcome and no aggregation")
            if not attempt.aggregation:
                continue  # it broke off: too few valid updates
            # Failed attempts too: their lists decide which groups the next nonce draws.
            members = self._check_members(attempt, head)
            if kind == "release" and signed is not None:
                if seen & set(members):
                    raise Replay(f"round {self.number}: a client counts in two released groups")
                seen |= set(members)
                commitments = [Commit.decode(self.commits[m].body).commitment for m in members]
                out.append((_check_opening(self.agreement, attempt, signed, commitments), len(members)))
            elif signed is not None and Failure.decode(signed.body).announcement != head.digest:
                raise IntegrityError(f"round {self.number}: a failure of another attempt")
        return out

    def _check_commits(self) -> None:
        self.commits = {}
        for data in self.record.commits:
            signed, _ = self.agreement.open_commit(data, self.first.digest)
            self.commits[signed.digest] = signed
        if list(self.commits) != sorted(self.commits) or len(self.commits) != len(self.record.commits):
            raise DecodeError(f"round {self.number}: commits are not in order or not distinct")
        if len({s.signer for s in self.commits.values()}) != len(self.commits):
            raise Replay(f"round {self.number}: a client committed twice")
        if len({Commit.decode(s.body).commitment for s in self.commits.values()}) != len(self.commits):
            raise Replay(f"round {self.number}: two clients committed to the same C_D")

    def _check_beacon(self) -> None:
        """Checks that the rows were drawn once, over exactly the commits of the record.

        A round whose beacon was not opened is a true record, of a round in which nothing was summed.
        """
        policy = self.agreement.policy
        if policy.statement.kind != "S1":
            if self.record.reveals:
                raise DecodeError(f"round {self.number}: a beacon was opened, and its statement draws no rows")
            self._terms = self.agreement.terms(self.base)
            return
        if self.number > policy.acceptance_bits_max:
            raise PolicyError(f"round {self.number}: the policy asks about registered rows in fewer rounds")
        if not any(a.aggregation for a in self.record.attempts):
            return
        beacon = open_beacon(policy, self.first, self.record.reveals)
        if beacon.commits != tuple(self.commits):
            raise IntegrityError(f"round {self.number}: the beacon was opened over another commit list")
        self._beacon = beacon.value

    def _instance(self, commit: Signed) -> Instance:
        """Returns what the client of a commit has to prove; of S1 on rows that are drawn here again."""
        agreement, commitment = self.agreement, Commit.decode(commit.body).commitment
        terms: Terms | OwnTerms | CountTerms | None = self._terms
        if self._beacon is not None:
            terms = agreement.own_terms(self.base, self._beacon, client=commit.signer, commitment=commitment)
        if terms is None:
            raise PolicyError(f"round {self.number}: a sum without a beacon")
        point = agreement.decode_commitment(commitment)
        return agreement.improvement_instance(terms, self.first, commit.signer, point)

    def _check_schedule(self, announced: list[Announced]) -> None:
        """Checks rounds, attempts and that repeated attempts have the groups that K's nonce drew."""
        policy = self.agreement.policy
        failed: dict[int, list[tuple[bytes, tuple[bytes, ...]]]] = {}
        last, allowed = 0, list[tuple[bytes, ...]]()
        for attempt, head in zip(self.record.attempts, announced, strict=True):
            body = head.body
            if body.round != self.number or not last <= body.attempt <= last + 1:
                raise PolicyError(f"round {self.number}: attempt {body.attempt} of round {body.round} is out of order")
            if body.attempt > 1 and body.attempt == last + 1:
                allowed = [g for nonce, m in failed.get(last, []) for g in self._groups(nonce, m)]
            if body.attempt == 1 and last == 1:
                raise PolicyError(f"round {self.number}: two first attempts")
            if body.attempt > 1:
                if body.first != self.first.digest or body.members not in allowed:
                    raise PolicyError(f"round {self.number}: a group is not one that the key holder's nonce drew")
                allowed.remove(body.members)
            last = body.attempt
            kind, signed = outcome_of(attempt)
            if kind == "failure" and signed is not None:
                aggregation = Signed.decode(attempt.aggregation, "aggregation", limit=MESSAGE_BYTES_MAX)
                members = Aggregate.decode(aggregation.body).members
                failed.setdefault(body.attempt, []).append((Failure.decode(signed.body).nonce, members))
            if signed is not None and signed.signer != policy.holder_key:
                raise NotAuthorised(f"round {self.number}: an outcome is not signed by the pinned key holder")

    def _groups(self, nonce: bytes, members: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
        policy = self.agreement.policy
        return draw_groups(nonce, members, smallest=policy.min_clients, groups=policy.groups)

    def _check_members(self, attempt: Attempt, head: Announced) -> tuple[bytes, ...]:
        """Checks I, its seals and all its proofs in one batch."""
        agreement, policy = self.agreement, self.agreement.policy
        signed = Signed.decode(attempt.aggregation, "aggregation", limit=MESSAGE_BYTES_MAX)
        if signed.signer != policy.adder_key:
            raise NotAuthorised(f"round {self.number}: an aggregation is not signed by the pinned adders")
        body = Aggregate.decode(signed.body)
        if body.announcement != head.digest:
            raise IntegrityError(f"round {self.number}: an aggregation of another attempt")
        if not policy.min_clients <= len(body.members) <= policy.max_clients:
            raise PolicyError(f"round {self.number}: {len(body.members)} clients in a sum")
        if len(attempt.seals) != len(body.members):
            raise DecodeError(f"round {self.number}: {len(attempt.seals)} seals for {len(body.members)} members")
        ciphertexts = set[bytes]()
        clients, instances, proofs = [], [], []
        for member, data in zip(body.members, attempt.seals, strict=True):
            seal_signed = Signed.decode(data, "seal", limit=1 << 16)
            seal = Seal.decode(seal_signed.body)
            commit = self.commits.get(member)
            if commit is None or commit.signer != seal_signed.signer or seal.commit != member:
                raise NotAuthorised(f"round {self.number}: a seal does not belong to its commit")
            if head.body.members and member not in head.body.members:
                raise NotAuthorised(f"round {self.number}: a client is no member of its group")
            if seal.announcement != head.digest or seal.encryption_key != head.body.encryption_key:
                raise IntegrityError(f"round {self.number}: a seal of another attempt or key")
            ciphertexts.add(seal.ciphertext)
            if (member, seal.proof) in self._proven:
                continue  # a repeated attempt carries the same proofs
            self._proven.add((member, seal.proof))
            clients.append(commit.signer.hex()[:16])
            instances.append(self._instance(commit))
            proofs.append(Proof.decode(agreement.backend, agreement.improvement.layout, seal.proof))
        if len(ciphertexts) != len(body.members):
            raise Replay(f"round {self.number}: two clients sent the same ciphertext")
        try:
            verify_batch(agreement.improvement, instances, proofs)
        except ProofInvalid as error:
            names = ", ".join(clients[i] for i in error.culprits)
            raise ProofInvalid(f"round {self.number}: proofs of {names} do not hold", error.culprits) from None
        return body.members


def _check_opening(
    agreement: Agreement, attempt: Attempt, outcome: Signed, commitments: Sequence[bytes]
) -> npt.NDArray[np.int64]:
    """Checks sum_i C_i + C_G + C_K = Com(S; R) with every coordinate in its lane; returns S."""
    head, release = Announced.decode(attempt.announced), Release.decode(outcome.body)
    number, aggregation = head.body.round, Signed.decode(attempt.aggregation, "aggregation", limit=MESSAGE_BYTES_MAX)
    if release.announcement != head.digest or release.aggregation != digest(
        "zkfed/v1/aggregation-digest", aggregation.body
    ):
        raise IntegrityError(f"round {number}: a release of another attempt")
    parameters, blinder = agreement.policy.model.parameters, int.from_bytes(release.blinder, "big")
    if len(release.sums) != 8 * parameters:
        raise DecodeError(f"round {number}: {len(release.sums) // 8} sums, expected {parameters}")
    sums = decode_ints(release.sums)
    if (sums < -COORDINATE_MAX).any() or (sums >= COORDINATE_MAX).any() or blinder >= agreement.order:
        raise CommitmentMismatch(f"round {number}: a sum is outside its lane or R is not below r")
    encoded = [*commitments, head.body.adder_commitment, head.body.holder_commitment]
    agreement.generators.open(agreement.sum_commitments(encoded), sums.tolist(), blinder)
    return sums
