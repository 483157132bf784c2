"""Runs the parties of a federation, round after round, over a transport.

Every message crosses the transport as bytes; the parties share nothing but the agreement.
They all run in this process here: whoever reads its memory reads everything.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.dp.accounting import Spending, guarantee_line, predicted_noise_signal
from zkfed.errors import LimitExceeded, PolicyError, TransportError, ZkfedError
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Agreement, Announced, draw_groups
from zkfed.layers.heart import Device
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript, apply_releases, released_sums
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.cohort import synthetic_cohort
from zkfed.orchestrator.events import (
    AttemptFailed,
    Event,
    Progress,
    Refused,
    Released,
    RoundAbandoned,
    RoundStarted,
)
from zkfed.orchestrator.notes import RoundNotes, fault_of, signer_of
from zkfed.orchestrator.options import Options, make_keys
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import circuit_of
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.messages import Aggregate, Failure
from zkfed.updates.signing import Signed, SigningKey, kind_of
from zkfed.updates.update import Verdict

__all__ = ["Federation", "Options", "make_keys"]

COMMIT_WINDOW_S = 3600


class Federation:
    """Devices, adders and key holder, and the order in which they speak.

    Args:
        policy: Without pinned keys; this makes fresh ones and pins them.
        devices: How many, with synthetic rows from one linear teacher; or one `Shard` each.
        transport: Moves the messages.
        benchmark: (X, y) of statement S2; required with shards, synthetic otherwise.
        options: See `Options`.

    Raises:
        PolicyError: Fewer devices than the policy's min_clients, or no benchmark.
    """

    def __init__(
        self,
        policy: RoundPolicy,
        devices: int | Sequence[Shard] = 24,
        *,
        transport: Transport,
        benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
        options: Options | None = None,
    ) -> None:
        options = options or Options()
        model = policy.model
        if isinstance(devices, int):
            shards, rows = synthetic_cohort(model, devices, policy.statement.rows)
            benchmark = benchmark or rows
        else:
            shards = list(devices)
        if benchmark is None:
            raise PolicyError("shards need a benchmark: LocalFederation(policy, shards, benchmark=(X, y))")
        if len(shards) < policy.min_clients:
            raise PolicyError(f"{len(shards)} devices, the policy needs {policy.min_clients}")
        self.transport = transport
        improvement, noise = options.keys or make_keys(policy)
        provers = (
            Prover(improvement, circuit_of(policy.statement, policy.curve)),
            Prover(noise, noise_circuit(model.parameters, policy.curve)),
        )
        signing = [SigningKey.generate() for _ in shards]
        adder_key, holder_key = SigningKey.generate(), SigningKey.generate()
        self.agreement = Agreement(
            policy.pinned(adder_key=adder_key.public, holder_key=holder_key.public),
            Benchmark.of(model, *benchmark),
            tuple(sorted(k.public for k in signing)),
            improvement.verifying,
            noise.verifying,
        )
        self.base = np.zeros(model.shape, dtype=np.int64)
        self._adder = Adder(self.agreement, adder_key, provers[1], base=self.base)
        self._holder = KeyHolder(self.agreement, holder_key, provers[1], base=self.base)
        build = options.make_client or (lambda index, device, shard: Client(device, shard))
        self.clients = [
            build(i, Device(self.agreement, key, provers[0]), shard)
            for i, (key, shard) in enumerate(zip(signing, shards, strict=True))
        ]
        self.transcript = Transcript(self.agreement, self.base)
        self.spending = Spending(self.agreement.noise_scale, delta=policy.delta, epsilon_max=policy.epsilon_max)
        self.sealed_bytes = 0
        self._workers = options.workers

    @property
    def model(self) -> npt.NDArray[np.float64]:
        """The weights of the latest release, as floats."""
        return self.base / float(1 << self.agreement.policy.model.fraction_bits)

    def guarantee(self) -> str:
        """Returns the privacy guarantee of everything released so far, in one paragraph."""
        return guarantee_line(self.agreement.policy, self.spending, self.agreement.noise_scale)

    def index_of(self, client: str) -> int | None:
        """Returns the number of the device with a key (hex), None if there is none."""
        for index, c in enumerate(self.clients):
            if c.device.public_key.hex() == client:
                return index
        return None

    def run(self, rounds: int) -> Iterator[Event]:
        """Runs rounds and yields what happens; stop iterating to stop the federation.

        Raises:
            BudgetExceeded: The privacy budget does not cover another round.
        """
        for _ in range(rounds):
            yield from self._run_round(len(self.transcript.rounds) + 1)

    # -- one round -------------------------------------------------------------------------

    def _run_round(self, number: int) -> Iterator[Event]:
        policy, state, is_done = self.agreement.policy, RoundNotes(number), False
        self.spending.reserve(policy.attempts)
        try:
            ratio = self._ratio(len(self.clients))
            yield RoundStarted(number, policy.millionths(number) / 1e6, ratio, len(self.clients))
            announced = self._announce(state, attempt=1, group=0, members=())
            yield from self._collect_commits(state, announced)
            yield from self._run_attempts(state, announced)
            is_done = True
        finally:
            # Stopped or broken off: what was begun is spent and on record, and the next round can start.
            if not is_done:
                self._settle(state)
        yield from self._close(state)

    def _run_attempts(self, state: RoundNotes, announced: Announced) -> Iterator[Event]:
        policy = self.agreement.policy
        groups: list[tuple[bytes, ...]] = [self._commit_digests(state)]
        for attempt in range(1, policy.attempts + 1):
            failed: list[tuple[bytes, bytes]] = []
            state.tries = attempt
            for group, members in enumerate(groups):
                if attempt > 1:
                    announced = self._announce(state, attempt=attempt, group=group, members=members)
                yield from self._run_attempt(state, announced, members, failed)
            if failed and len(failed) == len(groups):
                self.spending.fail_attempt(attempt)
            groups = [
                g
                for outcome, nonce in failed
                for g in draw_groups(
                    nonce,
                    Aggregate.decode(outcome).members,
                    smallest=policy.min_clients,
                    groups=policy.groups,
                )
            ]
            if not groups:
                break

    def _channel(self, state: RoundNotes, name: str, announced: Announced | None = None) -> str:
        path = f"{self.agreement.policy.digest.hex()[:16]}/round-{state.number}"
        if announced is not None:
            path += f"/attempt-{announced.body.attempt}-{announced.body.group}"
        return f"{path}/{name}"

    def _send(self, channel: str, message: bytes) -> bytes:
        """Moves one message through the transport and returns what arrived under its address."""
        address = self.transport.publish(channel, message)
        for arrived in self.transport.fetch(channel):
            if hashlib.sha256(arrived).hexdigest() == address:
                return arrived
        raise TransportError(f"a message published to {channel} did not arrive")

    def _timed(self, state: RoundNotes, stage: str, start: float) -> None:
        state.seconds[stage] = state.seconds.get(stage, 0.0) + time.perf_counter() - start

    def _announce(self, state: RoundNotes, *, attempt: int, group: int, members: tuple[bytes, ...]) -> Announced:
        start = time.perf_counter()
        prefix = self._channel(state, f"attempt-{attempt}-{group}")
        offer, key = self._holder.offer(state.number, attempt, group)
        key = self._send(f"{prefix}/key", key)
        draft = self._adder.announce(
            self._send(f"{prefix}/offer", offer), key, members=members, deadline_s=int(time.time()) + COMMIT_WINDOW_S
        )
        signed = self._holder.countersign(self._send(f"{prefix}/draft", draft))
        announcement = self._send(f"{prefix}/announcement", signed)
        self._adder.open_attempt(announcement)
        announced = Announced.decode(announcement)
        state.messages[announced.digest] = (announcement, key)
        if attempt == 1:
            state.first = announced
        self._timed(state, "announce", start)
        return announced

    def _collect_commits(self, state: RoundNotes, announced: Announced) -> Iterator[Event]:
        start = time.perf_counter()
        channel, total = self._channel(state, "commits"), len(self.clients)
        announcement = state.messages[announced.digest][0]

        def join(client: Client) -> bytes:
            return client.join(
                announcement, base=self.base, previous=announced.body.previous, round_number=state.number
            )

        for done, (client, message, fault) in enumerate(self._ask(self.clients, join, channel), 1):
            if fault is not None:
                yield self._refuse(state, client, *fault)
            elif not message:
                yield self._refuse(
                    state, client, "unsatisfied-constraint", "sat out: the update does not reach the share"
                )
            yield Progress(state.number, "commit", done, total)
        for message in self.transport.fetch(channel):
            try:
                receipt = self._adder.receive_commit(message, now_s=int(time.time()))
                signed = Signed.decode(message, "commit", limit=4096)
                index = self.index_of(signed.signer.hex())
                if index is not None:
                    state.commits[signed.digest] = (index, message)
                    self.clients[index].accept_receipt(self._send(self._channel(state, "receipts"), receipt))
            except ZkfedError as error:
                signer = signer_of(message, "commit")
                verdict = Verdict(signer, False, error.code, str(error))
                state.refused.append(verdict)
                yield Refused(state.number, verdict)
        self._timed(state, "commit", start)

    def _ask(
        self, clients: Sequence[Client], call: Callable[[Client], bytes], channel: str
    ) -> Iterator[tuple[Client, bytes, tuple[str, str] | None]]:
        """Asks devices in threads, publishes what they answer, and yields (device, answer, fault).

        One device that fails, or answers what no transport carries, does not stop the others.
        """

        def answer(client: Client) -> tuple[bytes, Exception | None]:
            try:
                return call(client), None
            except Exception as error:  # noqa: BLE001 - a device runs other people's training code
                return b"", error

        with ThreadPoolExecutor(self._workers) as pool:
            for client, (message, error) in zip(clients, pool.map(answer, clients), strict=True):
                fault = None if error is None else fault_of(error)
                try:
                    if message:
                        self.transport.publish(channel, message)
                except (LimitExceeded, TypeError) as refused:
                    fault = fault_of(refused)
                yield client, message, fault

    def _refuse(self, state: RoundNotes, client: Client, code: str, reason: str, *, attempt: int = 1) -> Refused:
        verdict = Verdict(client.device.public_key.hex(), False, code, reason)
        state.refused.append(verdict)
        return Refused(state.number, verdict, attempt)

    def _commit_digests(self, state: RoundNotes) -> tuple[bytes, ...]:
        return tuple(sorted(state.commits))

    def _run_attempt(
        self,
        state: RoundNotes,
        announced: Announced,
        members: tuple[bytes, ...],
        failed: list[tuple[bytes, bytes]],
    ) -> Iterator[Event]:
        """Seals, checks, adds and opens one attempt; notes (aggregation body, nonce) of a failure."""
        body, policy = announced.body, self.agreement.policy
        yield from self._collect_seals(state, announced, members)
        start = time.perf_counter()
        try:
            aggregation, ciphertext, seals = self._adder.aggregate(announced.digest)
        except ZkfedError as error:  # too few updates, or the worker refused or broke its limits
            state.attempts.append(Attempt(announced.encode()))
            state.reason = str(error)
            if body.attempt > 1:
                yield AttemptFailed(state.number, body.attempt, body.group, len(members), is_lost=True)
            return
        self._timed(state, "add", start)
        start = time.perf_counter()
        aggregation = self._send(self._channel(state, "aggregation", announced), aggregation)
        # Once it is on its way K can decrypt it, whatever K says later: charged before.
        self.spending.charge_attempt(body.attempt)
        ciphertext = self._send(self._channel(state, "to-key-holder", announced), ciphertext)
        signed = Signed.decode(aggregation, "aggregation", limit=1 << 26)
        listed = Aggregate.decode(signed.body).members
        if state.first is None:
            raise PolicyError("no first announcement")
        outcome = self._holder.open(
            aggregation, ciphertext, tuple(state.commits[m][1] for m in listed), first=state.first.digest
        )
        outcome = self._send(self._channel(state, "outcome", announced), outcome)
        self._timed(state, "open", start)
        state.attempts.append(Attempt(announced.encode(), seals, aggregation, outcome))
        if kind_of(outcome) == "failure":
            failure = Failure.decode(Signed.decode(outcome, "failure", limit=1 << 16).body)
            failed.append((signed.body, failure.nonce))
            is_lost = body.attempt == policy.attempts or len(listed) < policy.min_clients
            yield AttemptFailed(state.number, body.attempt, body.group, len(listed), is_lost)
        else:
            state.released.append(len(listed))

    def _collect_seals(self, state: RoundNotes, announced: Announced, members: tuple[bytes, ...]) -> Iterator[Event]:
        start = time.perf_counter()
        body, channel = announced.body, self._channel(state, "sealed", announced)
        announcement, key = state.messages[announced.digest]
        clients = [self.clients[state.commits[m][0]] for m in members if m in state.commits]

        def seal(client: Client) -> bytes:
            return client.seal(announcement, key)

        for done, (client, message, fault) in enumerate(self._ask(clients, seal, channel), 1):
            if fault is not None or not message:
                code, reason = fault or ("device-failed", "the device sent nothing")
                yield self._refuse(state, client, code, reason, attempt=body.attempt)
            else:
                self.sealed_bytes = len(message)
            yield Progress(state.number, "seal", done, len(clients), body.attempt, body.group)
        self._timed(state, "seal", start)
        start = time.perf_counter()
        messages = self.transport.fetch(channel)
        for done, message in enumerate(messages, 1):
            verdict = self._adder.receive_sealed(message)
            if not verdict.is_accepted:
                state.refused.append(verdict)
                yield Refused(state.number, verdict, body.attempt)
            yield Progress(state.number, "check", done, len(messages), body.attempt, body.group)
        self._timed(state, "check", start)

    def _settle(self, state: RoundNotes) -> int:
        """Puts the round on record, moves the model and returns how many sums were released."""
        self.spending.settle()
        if state.first is None:
            return 0
        record = RoundRecord(self._adder.commits, state.all_attempts())
        sums = list(released_sums(record))
        base = apply_releases(self.agreement.policy, self.base, sums)
        closing = self._adder.close_round(record.digest, base)
        self._holder.close_round(record.digest, base)
        self.transcript.rounds.append(RoundRecord(record.commits, record.attempts, closing))
        self.base = base
        return len(sums)

    def _close(self, state: RoundNotes) -> Iterator[Event]:
        sums = self._settle(state)
        if not sums:
            yield RoundAbandoned(state.number, f"{state.reason}; the model stays as it is")
            return
        epsilon, delta = self.spending.total()
        accepted = sum(state.released)
        ratio = self._ratio(accepted) * sums**0.5
        yield Released(
            state.number,
            accepted,
            len(state.refused),
            state.tries,
            ratio,
            epsilon,
            delta,
            dict(state.seconds),
        )

    def _ratio(self, clients: int) -> float:
        policy, scale = self.agreement.policy, self.agreement.noise_scale
        clip = policy.clip_norm * (1 << policy.model.fraction_bits)
        return predicted_noise_signal(scale.sigma, policy.model.parameters, clients, clip)
