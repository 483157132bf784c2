"""One device behind any host: bytes in, bytes out.

A host gets a node's request to `Member.handle` and carries the answer back. That is all that an
adapter does on a device. A member follows the policy and the keys that its own host pinned, and
refuses every other one; it takes base model and transcript digest from announcements under both
pinned signatures, in ascending rounds. It does not re-check earlier rounds: `check_release` does.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from zkfed.commitments.rows import PrivateRows
from zkfed.counts import Counts
from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, KeyRefused, NotAuthorised, PolicyError, UnsatisfiedConstraint
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.prove import Prover
from zkfed.he.keys import PublicKey
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.heart import Device, register_rows
from zkfed.layers.registry import registration_terms
from zkfed.layers.round_state import Proving, decode_rows, encode_rows
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.calls import Answer, Ask
from zkfed.orchestrator.client import Client, CountClient, Train, proximal_least_squares
from zkfed.orchestrator.notes import SITS_OUT
from zkfed.policy import RoundPolicy
from zkfed.statements.terms import circuit_of
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import decode_ints

__all__ = ["Member", "Provers"]

ENROL = "enrol"
STATE_BYTES_MAX = 1 << 30


class Provers:
    """What all members of one policy on one machine share: the proving keys, opened once.

    Args:
        policy: What the device's host agrees to. Without pinned keys it takes any adders and key
            holder that announce this policy; with them only those.
        keys: Proving keys of the statement, of N (its verifying key is enough) and, for S1, of the registration.
        proving: Where these members prove (`proving_in`); None is this process.

    Raises:
        KeyRefused: A key is for another circuit.
        PolicyError: A key is missing.
    """

    def __init__(
        self, policy: RoundPolicy, keys: Sequence[ProvingKey | VerifyingKey], *, proving: Proving | None = None
    ) -> None:
        needed = 3 if policy.statement.kind == "S1" else 2
        own = [key for key in (*keys[:1], *keys[2:needed]) if isinstance(key, ProvingKey)]
        if len(keys) < needed or len(own) < needed - 1:
            raise PolicyError(
                f"{len(keys)} proving keys, {needed} are needed: of the statement, of N, of registrations"
            )
        self.policy, self.proving = policy, proving
        self.statement = Prover(own[0], circuit_of(policy.statement, policy.curve))
        self.noise = keys[1].verifying if isinstance(keys[1], ProvingKey) else keys[1]
        self._registration = own[1] if needed == 3 else None

    def __repr__(self) -> str:
        return f"Provers({self.policy.statement.kind}, policy {self.policy.digest.hex()[:16]}...)"

    def check(self, policy: RoundPolicy) -> None:
        """Raises PolicyError unless a node's pinned policy is the one of this host."""
        own = self.policy
        expected = own.pinned(
            adder_key=own.adder_key or policy.adder_key, holder_key=own.holder_key or policy.holder_key
        )
        if expected.encode() != policy.encode():
            raise PolicyError("the node's policy is not the one that this device's host agreed to")

    def check_keys(self, agreement: Agreement) -> None:
        """Raises KeyRefused unless an agreement's verifying keys belong to this host's proving keys."""
        found = [agreement.improvement.digest, agreement.noise.digest]
        pinned = [self.statement.key.verifying.digest, self.noise.digest]
        if agreement.registry is not None and self._registration is not None:
            found.append(agreement.registry.key.digest)
            pinned.append(self._registration.verifying.digest)
        if found != pinned:
            raise KeyRefused("the node's verifying keys are not those of this device's host: whose setup is it?")

    @functools.cached_property
    def registration(self) -> Prover:
        """The prover of the registration's circuit (S1)."""
        if self._registration is None:
            raise PolicyError("this policy's statement is not about registered rows")
        return Prover(self._registration, registration_terms(self.policy).circuit(self.policy.curve))


@functools.lru_cache(maxsize=4)
def _agreement(head: bytes) -> Agreement:
    """Returns the agreement that a head describes; members of one process share it."""
    return Transcript.of_head(head).agreement


class Member:
    """One device of a federation, for a host that carries bytes.

    Args:
        provers: Policy and keys that the host pinned.
        shard: The device's rows; for counts (S4) its vector; None if `train` brings its own.
        key: The device's signing key.
        train: Called inside `handle` for "join" and "round".
        state: What `state()` returned before a restart; b"" for a new member.

    Raises:
        DecodeError, and others of `Device.restore`: The state is not one of this device.
    """

    def __init__(
        self,
        provers: Provers,
        shard: Any,
        *,
        key: SigningKey,
        train: Train = proximal_least_squares,
        state: bytes = b"",
    ) -> None:
        self._provers, self._shard, self._key, self._train = provers, shard, key, train
        self._head = b""
        self._rows: PrivateRows | None = None
        self._client: Client | None = None
        if state:
            self._restore(state)

    def __repr__(self) -> str:
        return f"Member({self.public_key.hex()[:16]}..., secrets hidden)"

    @property
    def public_key(self) -> bytes:
        return self._key.public

    @property
    def head(self) -> bytes:
        """The agreement that this device takes part in, as `Transcript.head`; b"" before it joined a round."""
        return self._head

    def handle(self, request: bytes, own: bytes = b"") -> bytes:
        """Answers one request of the node.

        Args:
            request: As it came; from anybody.
            own: What came with it for this device alone; b"" for nothing.

        Returns:
            The answer to carry back; b"" if there is nothing to say.

        Raises:
            DecodeError, LimitExceeded: The request is malformed.
            PolicyError, KeyRefused: Another policy or other keys than this host's.
            NotAuthorised, SignatureInvalid, ProofInvalid, Replay, IntegrityError: See `Device`.
        """
        ask = Ask.decode(request)
        if own and ask.kind in ("look", "seal"):
            self._current().accept_receipt(own)
        if ask.kind == "enrol":
            return self._enrol(ask)
        if ask.kind == "register":
            return self._register(ask)
        if ask.kind == "look":
            return self._look(ask)
        if ask.kind == "seal":
            return self._current().seal(ask.parts["announcement"], ask.parts["encryption_key"])
        return self._join(ask)

    def state(self) -> bytes:
        """Returns what must survive a restart. SECRET: store it on the device, before an answer leaves it."""
        w = Writer("zkfed/v1/member").bytes(self._head).list(encode_rows(self._rows))
        return w.bytes(b"" if self._client is None else self._client.device.save()).finish()

    def _restore(self, state: bytes) -> None:
        r = Reader(state, "zkfed/v1/member", STATE_BYTES_MAX)
        head, rows, device = r.bytes(), r.list(3), r.bytes()
        r.finish()
        self._rows = decode_rows(rows)
        if head:
            try:
                client = self._client_under(head)
            except (PolicyError, KeyRefused, NotAuthorised) as error:
                reason = "a kept state belongs to one federation and one signing key: give this one a state of its own"
                raise type(error)(f"{reason} ({error})") from None
            client.device.restore(device)
            self._head, self._client = head, client

    def _current(self) -> Client:
        if self._client is None:
            raise PolicyError("this device has joined no round yet")
        return self._client

    def _enrol(self, ask: Ask) -> bytes:
        policy = RoundPolicy.decode(ask.parts["policy"])
        self._provers.check(policy)
        return self._key.sign(ENROL, policy.digest).encode()

    def _register(self, ask: Ask) -> bytes:
        policy = RoundPolicy.decode(ask.parts["policy"])
        self._provers.check(policy)
        if self._rows is None:  # asked again: the same rows and blinders, or it is another registration
            own = self._shard.registered or self._shard
            terms = registration_terms(policy)
            self._rows = terms.quantise(own.features, own.labels, self._provers.registration.backend.curve.order)
        return register_rows(policy, self._key, self._provers.registration, self._rows, proving=self._provers.proving)

    def _client_under(self, head: bytes) -> Client:
        """Returns this device under an agreement; once it takes part in one, no other is followed."""
        if self._client is not None:
            if head != self._head:
                raise PolicyError("the node's agreement is another one than this device takes part in")
            return self._client
        self._provers.check(Transcript.policy_of_head(head))  # before anything of another's size is built
        agreement = _agreement(head)
        self._provers.check_keys(agreement)
        if self.public_key not in agreement.enrolled:
            raise NotAuthorised("the node has not enrolled this device")
        device = Device(agreement, self._key, self._provers.statement, rows=self._rows, proving=self._provers.proving)
        is_count = isinstance(agreement.policy.statement, Counts)
        return CountClient(device, self._shard) if is_count else Client(device, self._shard, self._train)

    def _join(self, ask: Ask) -> bytes:
        parts = ask.parts
        client = self._client_under(parts["head"])
        announced = Announced.decode(parts["announcement"])
        model = client.device.agreement.policy.model
        weights = decode_ints(parts["base"])
        if weights.size != model.parameters:
            raise DecodeError(f"a base model of {weights.size} weights, expected {model.parameters}")
        base = weights.reshape(model.shape)
        device = client.device
        device.agreement.open_announcement(parts["announcement"], base=base, previous=parts["previous"])
        key = PublicKey.from_bytes(parts["encryption_key"], device.agreement.encryption)
        if key.digest != announced.body.encryption_key:
            raise PolicyError("the encryption key is not the announced one")
        # Both parties' signatures hold for all of it: from here on this device takes part.
        self._head, self._client = parts["head"], client
        commit = device.committed(announced.digest)  # a lost answer is sent again without training again
        if not commit:
            number = announced.body.round
            commit = client.join(parts["announcement"], base=base, previous=parts["previous"], round_number=number)
        if not commit:
            return self._key.sign(SITS_OUT, announced.digest).encode()
        if ask.kind == "join":
            return commit
        return Answer(commit, client.seal(parts["announcement"], parts["encryption_key"])).encode()

    def _look(self, ask: Ask) -> bytes:
        client = self._current()
        reveals = Reader(ask.parts["reveals"], "zkfed/v1/reveals")
        opened = tuple(reveals.list(2))
        reveals.finish()
        try:
            client.accept_beacon(opened)
        except UnsatisfiedConstraint:
            return self._key.sign(SITS_OUT, client.device.first.digest).encode()
        return b""
