"""The key holder (K): one key an attempt, one decryption a key, and the opening gate.

K never receives a client's ciphertext. It decrypts one aggregate, rounds, adds its own
noise and checks the opening equation in this process; nothing but (S, R) or the word
"failed" ever leaves it (protocol.md 7.5). One well-formed bad ciphertext would otherwise
make the published sum reveal the secret key, whatever noise is added (protocol-review C2).
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
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
    Replay,
    StoreFault,
)
from zkfed.groth16.prove import Prover
from zkfed.he.encrypt import Ciphertext
from zkfed.he.keys import SecretKey
from zkfed.layers.agreement import Agreement, Announced, draw_groups
from zkfed.layers.beacon import ADDER, HOLDER, nonce_hash, open_reveal
from zkfed.layers.noise import NoiseVector, prove_noise
from zkfed.layers.transcript import RoundRecord, apply_releases, released_sums
from zkfed.updates.messages import (
    MESSAGE_BYTES_MAX,
    Aggregate,
    Announcement,
    Commit,
    Failure,
    Offer,
    Release,
    Reveal,
)
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import encode_ints

__all__ = ["KeyHolder"]


@dataclass
class _Attempt:
    offer: Offer
    secret: SecretKey = field(repr=False)
    noise: NoiseVector = field(repr=False)
    sent: tuple[bytes, bytes] = field(default=(b"", b""), repr=False)
    announced: Announced | None = None


class KeyHolder:
    """The party that holds the secret key of each attempt.

    Args:
        agreement: The public facts.
        key: The signing key that the policy pins.
        noise_prover: Of statement N.
        base: W0 of round 1.
        journal: A file to which each decryption is recorded durably before it happens;
            None keeps the record in memory only, for tests and simulations.
    """

    def __init__(
        self,
        agreement: Agreement,
        key: SigningKey,
        noise_prover: Prover,
        *,
        base: npt.NDArray[np.int64],
        journal: Path | None = None,
    ) -> None:
        if key.public != agreement.policy.holder_key:
            raise PolicyError("the policy pins another key for the key holder")
        self.agreement, self._key, self._noise_prover = agreement, key, noise_prover
        self.base, self.previous = base, bytes(32)
        self._journal = journal
        self._opened: set[bytes] = _read_journal(journal)
        self._round = 1
        self._attempts: dict[bytes, _Attempt] = {}
        self._start_round()

    def __repr__(self) -> str:
        return f"KeyHolder({self._key.public.hex()[:16]}..., secrets hidden)"

    def _start_round(self) -> None:
        self._first: Announced | None = None
        self._groups: dict[int, list[tuple[bytes, ...]]] = {1: [()]}
        self._offered: set[tuple[int, int]] = set()
        self._nonce = secrets.token_bytes(32)
        self._list: tuple[bytes, ...] | None = None
        self._outcomes: dict[bytes, tuple[bytes, bytes]] = {}  # (aggregation, outcome) by announcement

    def offer(self, round_number: int, attempt: int, group: int = 0) -> tuple[bytes, bytes]:
        """Makes the key and noise of one attempt.

        A round has one attempt 1; a later attempt has exactly the groups that this party's
        nonces drew from the sums that failed. Otherwise G could have overlapping sums opened.

        Returns:
            The signed `Offer` and the public encryption key.

        Raises:
            PolicyError: Another round is open, or this attempt or group is not due.
            Replay: It was offered before.
        """
        agreement = self.agreement
        if round_number != self._round or attempt > agreement.policy.attempts:
            raise PolicyError(f"round {self._round} is open, not attempt {attempt} of round {round_number}")
        if not 0 <= group < len(self._groups.get(attempt, [])):
            raise PolicyError(f"attempt {attempt} has no group {group}")
        if (attempt, group) in self._offered:
            for open_attempt in self._attempts.values():
                made = open_attempt.offer
                if (made.attempt, made.group) == (attempt, group):
                    return open_attempt.sent  # the same bytes again: a transport may have lost them
            raise Replay(f"attempt {attempt}, group {group} was offered and opened before")
        secret = SecretKey.generate(agreement.encryption)
        noise = NoiseVector.draw(agreement)
        public = secret.public
        draws_rows = agreement.policy.statement.kind == "S1" and attempt == 1
        draft = Offer(
            agreement.policy.digest, round_number, attempt, group, self.previous, public.digest,
            agreement.backend.encode(noise.point), b"", nonce_hash(HOLDER, self._nonce) if draws_rows else b"",
        )  # fmt: skip
        proof = prove_noise(agreement, self._noise_prover, draft, role="holder", noise=noise)
        offer = replace(draft, noise_proof=proof)
        sent = (self._key.sign("offer", offer.encode()).encode(), public.to_bytes())
        self._attempts[public.digest] = _Attempt(offer, secret, noise, sent)
        self._offered.add((attempt, group))
        return sent

    def countersign(self, announcement: bytes) -> bytes:
        """Checks the adders' announcement of an offer and signs it.

        Returns:
            The announcement under both signatures.

        Raises:
            NotAuthorised: It is not signed by the pinned adders.
            PolicyError: It does not repeat the offer, or is about another state.
            ProofInvalid: The adders' noise proof does not hold.
        """
        signed = Signed.decode(announcement, "announcement", limit=MESSAGE_BYTES_MAX)
        if signed.signer != self.agreement.policy.adder_key:
            raise NotAuthorised("the announcement is not signed by the pinned adders")
        body = Announcement.decode(signed.body)
        attempt = self._attempts.get(body.encryption_key)
        if attempt is not None and attempt.announced is not None and attempt.announced.by_adder.body == signed.body:
            return attempt.announced.encode()  # asked again: the transport may have lost the answer
        if attempt is None or attempt.announced is not None:
            raise PolicyError("the announcement does not answer an open offer")
        offer = attempt.offer
        same = (body.round, body.attempt, body.group, body.holder_commitment, body.holder_proof, body.holder_beacon)
        if same != (offer.round, offer.attempt, offer.group, offer.commitment, offer.noise_proof, offer.beacon):
            raise PolicyError("the announcement does not repeat the offer")
        first = self._first.digest if self._first is not None and body.attempt > 1 else bytes(32)
        if body.members != self._groups[body.attempt][body.group] or body.first != first:
            raise PolicyError("the announcement's members or first attempt are not the ones of this round")
        self.agreement.check_body(body, base=self.base, previous=self.previous)
        announced = Announced(body, signed, self._key.sign("announcement-holder", signed.body))
        attempt.announced = announced
        if body.attempt == 1:
            self._first = announced
        return announced.encode()

    def reveal(self, adder_reveal: bytes, commits: tuple[bytes, ...]) -> bytes:
        """Opens this party's beacon nonce, once a round, over the commit list that the adders signed.

        Nobody can add a commit afterwards: this party opens no sum of a client outside the list.

        Args:
            adder_reveal: The adders' opening of their own nonce.
            commits: The signed commits of that list, in its order.

        Returns:
            A signed `Reveal`.

        Raises:
            PolicyError: No round is announced, its statement draws no rows, or there are too many clients.
            NotAuthorised, SignatureInvalid, DecodeError, CommitmentMismatch: The adders' opening or a
                commit is not what it must be.
            Replay: The nonce was opened over another list, a message is of another round, or a client
                or C_D stands in the list twice.
        """
        policy, first = self.agreement.policy, self._first
        if first is None or not first.body.holder_beacon:
            raise PolicyError("no round that draws rows is announced")
        body = open_reveal(policy, first, adder_reveal, role=ADDER)
        opened = self._open_commits(commits, first.digest, body.commits)
        if len(opened) > policy.max_clients:
            raise PolicyError(f"{len(opened)} clients, the policy allows {policy.max_clients}")
        if self._list is not None and self._list != body.commits:
            raise Replay("this round's beacon was opened over another commit list")
        self._list = body.commits
        reveal = Reveal(first.digest, body.commits, self._nonce)
        return self._key.sign("reveal", reveal.encode()).encode()

    def _open_commits(self, commits: tuple[bytes, ...], first: bytes, listed: tuple[bytes, ...]) -> list[Signed]:
        """Reads the commits of a list that the adders signed."""
        opened = [self.agreement.open_commit(c, first)[0] for c in commits]
        if [c.digest for c in opened] != list(listed):
            raise DecodeError("the commits are not the list that the adders signed")
        if len({c.signer for c in opened}) != len(opened):
            raise Replay("a client stands in the list twice")
        if len({Commit.decode(c.body).commitment for c in opened}) != len(opened):
            raise Replay("two clients committed to the same C_D")
        return opened

    def _allow_groups(self, attempt: int, nonce: bytes, members: tuple[bytes, ...]) -> None:
        policy = self.agreement.policy
        drawn = draw_groups(nonce, members, smallest=policy.min_clients, groups=policy.groups)
        self._groups.setdefault(attempt + 1, []).extend(drawn)

    def open(self, aggregation: bytes, ciphertext: bytes, commits: tuple[bytes, ...], *, first: bytes) -> bytes:
        """Decrypts one aggregate and releases it if, and only if, the opening equation holds.

        Args:
            aggregation: Signed by the adders.
            ciphertext: The sum. One that is malformed fails like any other that does not open.
            commits: The clients' signed commits of I.
            first: Digest of the round's first announcement.

        Returns:
            A signed `Release`, or a signed `Failure` that says nothing more.

        Raises:
            NotAuthorised, SignatureInvalid, DecodeError: A message is not what it must be.
            PolicyError: Fewer than k_min or more than 2^14 clients.
            Replay: This key has decrypted before.
            StoreFault: The decryption could not be recorded; nothing was decrypted.
        """
        body, attempt, announced = self._check_request(aggregation, ciphertext, commits, first)
        key = attempt.secret.public.digest
        self._record(key)
        try:
            sums, blinder = self._decrypt(attempt, ciphertext)
            self._gate(announced, commits, sums, blinder)
            aggregation_digest = digest("zkfed/v1/aggregation-digest", body.encode())
            release = Release(announced.digest, aggregation_digest, encode_ints(sums), blinder.to_bytes(32, "big"))
            outcome = self._key.sign("release", release.encode())
        except Exception:  # noqa: BLE001 - one word, whatever broke: slot, check or error kind is an oracle
            failure = Failure(announced.digest, secrets.token_bytes(32))
            self._allow_groups(announced.body.attempt, failure.nonce, body.members)
            outcome = self._key.sign("failure", failure.encode())
        finally:
            attempt.secret.erase()
            del self._attempts[key]
        self._outcomes[announced.digest] = aggregation, outcome.encode()
        return outcome.encode()

    def said(self, announcement: bytes) -> bytes:
        """Returns what this party said of an attempt of this round, by its digest; b"" if it opened nothing."""
        return self._outcomes.get(announcement, (b"", b""))[1]

    def _check_request(
        self, aggregation: bytes, ciphertext: bytes, commits: tuple[bytes, ...], first: bytes
    ) -> tuple[Aggregate, _Attempt, Announced]:
        policy = self.agreement.policy
        signed = Signed.decode(aggregation, "aggregation", limit=MESSAGE_BYTES_MAX)
        if signed.signer != policy.adder_key:
            raise NotAuthorised("the aggregation is not signed by the pinned adders")
        body = Aggregate.decode(signed.body)
        if body.ciphertext != digest("zkfed/v1/ciphertext", ciphertext):
            raise IntegrityError("the ciphertext is not the one that the adders signed")
        opened = self._open_commits(commits, first, body.members)
        if not policy.min_clients <= len(opened) <= policy.max_clients:
            raise PolicyError(f"{len(opened)} clients, the policy allows {policy.min_clients} to {policy.max_clients}")
        for attempt in self._attempts.values():
            announced = attempt.announced
            if announced is not None and announced.digest == body.announcement:
                break
        else:
            raise Replay("no open key belongs to that announcement")
        expected = announced.body.first if announced.body.attempt > 1 else announced.digest
        if first != expected:
            raise Replay("the commits belong to another round")
        if announced.body.members and not set(body.members) <= set(announced.body.members):
            raise NotAuthorised("a client is no member of this attempt")
        if policy.statement.kind == "S1" and not set(body.members) <= set(self._list or ()):
            raise NotAuthorised("a client is not in the commit list over which the beacon was opened")
        return body, attempt, announced

    def _decrypt(self, attempt: _Attempt, ciphertext: bytes) -> tuple[npt.NDArray[np.int64], int]:
        parsed = Ciphertext.from_bytes(ciphertext, self.agreement.encryption, self.agreement.slots)
        plain = attempt.secret.decrypt(parsed)
        sums, blinder = self.agreement.plaintext.unpack(plain)
        return sums + attempt.noise.values, (blinder + attempt.noise.blinder) % self.agreement.order

    def _gate(
        self, announced: Announced, commits: tuple[bytes, ...], sums: npt.NDArray[np.int64], blinder: int
    ) -> None:
        agreement, backend = self.agreement, self.agreement.backend
        if (sums < -COORDINATE_MAX).any() or (sums >= COORDINATE_MAX).any():
            raise CommitmentMismatch("failed")
        encoded = [Commit.decode(Signed.decode(c, "commit", limit=4096).body).commitment for c in commits]
        encoded += [announced.body.adder_commitment, announced.body.holder_commitment]
        total = agreement.sum_commitments(encoded)
        agreement.generators.open(total, sums.tolist(), blinder)
        if backend.is_identity(total)[0]:
            raise CommitmentMismatch("failed")

    def _record(self, key: bytes) -> None:
        """Notes durably that a key decrypts, before it does."""
        if key in self._opened:
            raise Replay("this key has decrypted before")
        if self._journal is not None:
            try:
                is_new = not self._journal.exists()
                with self._journal.open("ab") as file:
                    file.write(key.hex().encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                if is_new and os.name == "posix":
                    # A new file is only durable once its folder's entry is.
                    folder = os.open(self._journal.parent, os.O_RDONLY)
                    try:
                        os.fsync(folder)
                    finally:
                        os.close(folder)
            except OSError as error:
                raise StoreFault(f"the journal of decryptions cannot be written: {error.strerror}") from None
        self._opened.add(key)

    def settle(self, record: RoundRecord) -> None:
        """Checks a round's record against what this party itself said in it, moves the model and goes on.

        Raises:
            IntegrityError: An outcome that this party signed is missing in it, another one is there, or one stands
                beside another list of clients: the model would move by the sum over another number of them.
            DecodeError: An announcement in it is none.
        """
        ended = [a for a in record.attempts if a.outcome]
        stands = sorted((Announced.decode(a.announced).digest, a.aggregation, a.outcome) for a in ended)
        if stands != sorted((name, *said) for name, said in self._outcomes.items()):
            raise IntegrityError(
                f"the record of round {self._round} does not hold exactly the {len(self._outcomes)} outcomes that "
                f"the key holder signed"
            )
        self.close_round(record.digest, apply_releases(self.agreement.policy, self.base, list(released_sums(record))))

    def close_round(self, record: bytes, base: npt.NDArray[Any]) -> None:
        """Goes on to the next base model; keys that were never used are erased."""
        for attempt in self._attempts.values():
            attempt.secret.erase()
        self._attempts.clear()
        self._round += 1
        self._start_round()
        self.base, self.previous = np.asarray(base, dtype=np.int64), record


def _read_journal(journal: Path | None) -> set[bytes]:
    if journal is None or not journal.exists():
        return set()
    try:
        *lines, rest = journal.read_text("ascii").split("\n")
        if rest or any(len(line) != 64 for line in lines):
            raise ValueError("a record that is not whole: the next one would be appended to it")
        return {bytes.fromhex(line) for line in lines}
    except (OSError, ValueError):
        raise StoreFault("the journal of decryptions cannot be read; restore it before opening anything") from None
