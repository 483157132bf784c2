"""A community node: the adders and the key holder of one federation, for any host that carries bytes.

    steps, replies = node.enrol(), None        # then node.run(rounds)
    while True:
        step = steps.send(replies)             # StopIteration ends it
        replies = carry(step) if isinstance(step, Ask) else None

Without `holder=` both parties live in this process: whoever reads its memory, or runs it, reads every
update by decrypting before the sum. Give the key holder a process and an owner of its own where that
matters (`zkfed.orchestrator.holding`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.encoding import Writer
from zkfed.errors import NotAuthorised, PolicyError, ZkfedError
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Agreement
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.registry import Registry
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.calls import Ask, Fault, Replies, Step, Steps
from zkfed.orchestrator.events import EnrolmentClosed, Event, Refused, RegistrationClosed
from zkfed.orchestrator.holding import Holder, HolderLink, RemoteHolder
from zkfed.orchestrator.member import ENROL
from zkfed.orchestrator.notes import RoundNotes, signer_of
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.rounds import Rounds
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import checked_base
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import Verdict

__all__ = ["Node", "Within"]


class Within:
    """A transport between two parties in one process that take each message at once: it keeps the last one only."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}

    def publish(self, channel: str, message: bytes) -> str:
        """Keeps one message."""
        self._last = {channel: message}
        return hashlib.sha256(message).hexdigest()

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns it."""
        return tuple(m for c, m in self._last.items() if c == channel)[start:]


class Node:
    """Enrols devices, then runs rounds with them.

    Args:
        policy: Without pinned keys; fresh ones are made and pinned.
        benchmark: (X, y) of statement S2; None for S1 and S4.
        options: Proving keys, base model, exchanges a round, ledger; see `Options`.
        holder: Where the key holder is, if not in this process: then nobody who reads one of the two processes
            alone reads an update.
        allowed: Public keys that may enrol. None takes everybody who asks: then one person may
            enrol many keys, and a minimum of clients protects nobody from the others.

    Raises:
        PolicyError: A benchmark is missing, or given where none belongs.
    """

    def __init__(
        self,
        policy: RoundPolicy,
        benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
        *,
        options: Options | None = None,
        allowed: Collection[bytes] | None = None,
        holder: HolderLink | None = None,
    ) -> None:
        self._options = options or Options()
        if (benchmark is None) == (policy.statement.kind == "S2"):
            raise PolicyError("statement S2 is about a public benchmark: Node(policy, (X, y)); the others have None")
        if benchmark is None:
            self._benchmark = Benchmark.none(policy.model)
        else:
            self._benchmark = Benchmark.of(policy.improvement.model, *benchmark)
        self._keys = self._options.keys or make_keys(policy)
        self._adder_key, self._holder_key = SigningKey.generate(), SigningKey.generate()
        holder_public = self._holder_key.public if holder is None else holder.public_key
        self.policy = policy.pinned(adder_key=self._adder_key.public, holder_key=holder_public)
        self._remote = None if holder is None else RemoteHolder(holder, self.policy, self._adder_key.sign)
        start = np.zeros(policy.model.shape, np.int64) if self._options.base is None else self._options.base
        self._start = checked_base(policy.model, start)
        self._allowed = None if allowed is None else frozenset(allowed)
        self._rounds: Rounds | None = None
        self.verdicts: list[Verdict] = []

    def __repr__(self) -> str:
        return f"Node(policy {self.policy.digest.hex()[:16]}..., secrets hidden)"

    def sign(self, kind: str, body: bytes) -> Signed:
        """Signs, as the adders, what a host adds around the asks ("ask"), and its keys ("keys"); no round is signed so.

        Raises:
            ValueError: Another kind.
        """
        if kind not in ("ask", "keys"):
            raise ValueError(f"kind is {kind!r}, a host signs asks and keys only")
        return self._adder_key.sign(kind, body)

    def may_enrol(self, key: bytes) -> bool:
        """Returns whether a public key is among those that may enrol."""
        return self._allowed is None or key in self._allowed

    @property
    def asked_holder(self) -> int:
        """How much a key holder elsewhere was asked; 0 for one in this process."""
        return 0 if self._remote is None else self._remote.asked

    @property
    def rounds(self) -> Rounds:
        """What runs after the enrolment; raises PolicyError before it."""
        if self._rounds is None:
            raise PolicyError("nobody is enrolled yet: run node.enrol() to its end first")
        return self._rounds

    @property
    def agreement(self) -> Agreement:
        """The public facts; raises PolicyError before the enrolment."""
        return self.rounds.agreement

    @property
    def transcript(self) -> Transcript:
        """The public record; raises PolicyError before the enrolment."""
        return self.rounds.transcript

    @property
    def base(self) -> npt.NDArray[np.int64]:
        """The latest model, integers at scale 2^f."""
        return self._start if self._rounds is None else self._rounds.base

    @property
    def model(self) -> npt.NDArray[np.float64]:
        """The weights of the latest release, as floats."""
        return self.base / float(1 << self.policy.model.fraction_bits)

    def guarantee(self) -> str:
        """Returns the privacy guarantee of everything released so far, in one paragraph."""
        return self.rounds.guarantee()

    def run(self, rounds: int) -> Steps:
        """Runs rounds; see `Rounds.run`."""
        return self.rounds.run(rounds)

    def end(self) -> None:
        """Tells a key holder elsewhere that this node goes; raises TransportError if the link fails."""
        if self._remote is not None:
            self._remote.end()

    def enrol(self) -> Steps:
        """Finds out who takes part, and for S1 which rows they register; at the end rounds can run.

        Raises:
            PolicyError: Fewer devices than the policy's min_clients have come, enrolment is over, or the key
                holder elsewhere refuses.
            TransportError: The key holder elsewhere does not answer.
        """
        if self._rounds is not None:
            raise PolicyError("the enrolment is over")
        policy, name = self.policy, self.policy.digest.hex()[:16]
        ask = Ask("enrol", (), {"policy": policy.encode()}, channel=f"{name}/enrolments")
        replies = (yield ask) or Replies()
        faults, enrolled = [*replies.faults], set[bytes]()
        for message in replies.messages:
            try:
                enrolled.add(self._open_enrolment(message, enrolled))
            except ZkfedError as error:
                faults.append(Fault(signer_of(message, ENROL), error.code, str(error)))
        yield from self._refuse(faults, enrolled)
        keys, registry = tuple(sorted(enrolled)), None
        yield EnrolmentClosed(0, len(keys), len(self.verdicts))
        if policy.statement.kind == "S1":
            registry = yield from self._register(keys)
        taking_part = len(keys) if registry is None else len(list(registry))
        if taking_part < policy.min_clients:
            raise PolicyError(f"{taking_part} devices, the policy needs {policy.min_clients}")
        agreement = Agreement(
            policy, self._benchmark, keys, self._keys[0].verifying, self._keys[1].verifying, registry
        )  # fmt: skip
        noise = Prover(self._keys[1], noise_circuit(policy.model.parameters, policy.curve))
        adder = Adder(agreement, self._adder_key, noise, base=self._start, work=self._options.work)
        holder: Holder
        if self._remote is None:
            holder = KeyHolder(agreement, self._holder_key, noise, base=self._start)
        else:
            holder = self._remote
            holder.agree(Transcript(agreement, self._start).head)
        within: Transport = Within()
        self._rounds = Rounds(adder, holder, transport=within, options=self._options)

    def _open_enrolment(self, message: bytes, enrolled: set[bytes]) -> bytes:
        signed = Signed.decode(message, ENROL, limit=4096)
        if signed.body != self.policy.digest:
            raise PolicyError("the device enrols for another policy")
        if not self.may_enrol(signed.signer):
            raise NotAuthorised("the device is not among those that may enrol")
        if len(enrolled) >= self.policy.max_clients and signed.signer not in enrolled:
            raise PolicyError(f"the federation has its {self.policy.max_clients} devices")
        return signed.signer

    def _register(self, keys: tuple[bytes, ...]) -> Generator[Step, Replies | None, Registry]:
        """Has every device register its rows, and returns the closed registry (S1)."""
        if len(self._keys) < 3:
            raise PolicyError("registered rows need a third key: Options(keys=(statement, noise, registration))")
        registry = Registry(self.policy, keys, self._keys[2].verifying)
        parts = {
            "policy": self.policy.encode(), "enrolled": Writer("zkfed/v1/enrolled").list(keys).finish(),
            "registration_key": self._keys[2].verifying.digest,
        }  # fmt: skip
        channel = f"{self.policy.digest.hex()[:16]}/registrations"
        ask = Ask("register", tuple(k.hex() for k in keys), parts, channel=channel)
        replies = (yield ask) or Replies()
        faults = list(replies.faults)
        for message in replies.messages:
            try:
                registry.receive(message)
            except ZkfedError as error:
                faults.append(Fault(signer_of(message, "registration"), error.code, str(error)))
        registry.close()
        refused = [*self._refuse(faults, registry)]
        yield RegistrationClosed(0, len(list(registry)), len(refused))
        yield from refused
        return registry

    def _refuse(self, faults: Iterable[Fault], taken: Iterable[bytes]) -> Iterator[Event]:
        """Refuses, once each, whom the faults name and who was not taken."""
        notes, holding = RoundNotes(0), {key.hex() for key in taken}
        for fault in faults:
            verdict = Verdict(fault.client, False, fault.code, fault.reason)
            if notes.refuse(verdict, holding):
                self.verdicts.append(verdict)
                yield Refused(0, verdict)
