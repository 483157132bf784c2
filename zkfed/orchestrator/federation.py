"""Runs the parties of a federation, round after round, over a transport.

Every message crosses the transport as bytes; the parties share nothing but the agreement.
They all run in this process here: whoever reads its memory reads everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.dp.accounting import Spending, guarantee_line, predicted_noise_signal
from zkfed.errors import PolicyError, ZkfedError
from zkfed.layers.agreement import Announced, draw_groups
from zkfed.layers.beacon import fault_of_beacon
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript, apply_releases, released_sums
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.events import (
    AttemptFailed,
    Event,
    Progress,
    Refused,
    RegistrationClosed,
    Released,
    RoundAbandoned,
    RoundStarted,
)
from zkfed.orchestrator.exchange import ask, send
from zkfed.orchestrator.notes import RoundNotes, signer_of
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.parties import Parties, gather
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport
from zkfed.updates.messages import Aggregate, Failure
from zkfed.updates.signing import Signed, kind_of
from zkfed.updates.update import Verdict

__all__ = ["Federation", "Options", "make_keys"]

COMMIT_WINDOW_S = 3600
CHECK_BATCH = 128
"""Proofs that are checked together: most of what a batch saves, and progress is still seen."""


class Federation:
    """Devices, adders and key holder, and the order in which they speak.

    Args:
        policy: Without pinned keys; this makes fresh ones and pins them.
        devices: How many, with synthetic rows from one linear teacher; or one `Shard` each; for counts
            (S4) one vector each.
        transport: Moves the messages.
        benchmark: (X, y) of statement S2; required with shards, synthetic otherwise. None for S1,
            whose rows are the clients' own: `Shard.registered`, or the shard itself.
        options: See `Options`.

    Raises:
        PolicyError: Fewer devices than the policy's min_clients have come (for S1: have registered
            rows), no benchmark for S2, or one for S1.
    """

    def __init__(
        self,
        policy: RoundPolicy,
        devices: int | Sequence[Shard] | Sequence[npt.NDArray[np.int64]] = 24,
        *,
        transport: Transport,
        benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
        options: Options | None = None,
    ) -> None:
        options = options or Options()
        shards, public = gather(policy, devices, benchmark)
        self.transport = transport
        parties = Parties.of(policy, shards, public, transport=transport, options=options)
        self.agreement, self.clients, self.registrations = parties.agreement, parties.clients, parties.registrations
        self._numbers = {c.device.public_key.hex(): index for index, c in enumerate(self.clients)}
        self._adder, self._holder, self.setup_seconds = parties.adder, parties.holder, parties.seconds
        self.base = parties.base
        self.transcript = Transcript(self.agreement, self.base)
        self.spending = Spending(
            self.agreement.noise_scale,
            delta=policy.delta,
            epsilon_max=policy.epsilon_max,
            bits_max=policy.acceptance_bits_max,
            account=options.account(policy, self.agreement.enrolled, time.time),
        )
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
        return self._numbers.get(client)

    def run(self, rounds: int) -> Iterator[Event]:
        """Runs rounds and yields what happens; stop iterating to stop the federation.

        Raises:
            BudgetExceeded: The privacy budget does not cover another round.
        """
        if self.registrations and not self.transcript.rounds:
            refused = [v for v in self.registrations if not v.is_accepted]
            yield RegistrationClosed(0, len(self.registrations) - len(refused), len(refused))
            yield from (Refused(0, verdict) for verdict in refused)
        for _ in range(rounds):
            yield from self._run_round(len(self.transcript.rounds) + 1)

    # -- one round -------------------------------------------------------------------------

    def _run_round(self, number: int) -> Iterator[Event]:
        policy, state, is_done = self.agreement.policy, RoundNotes(number), False
        self.spending.reserve(policy.attempts, bits=1 if policy.statement.kind == "S1" else 0)
        try:
            ratio = self._ratio(len(self.clients))
            yield RoundStarted(number, policy.millionths(number) / 1e6, ratio, len(self.clients))
            announced = self._announce(state, attempt=1, group=0, members=())
            yield from self._collect_commits(state, announced)
            if policy.statement.kind == "S1":
                yield from self._open_beacon(state, announced)
            yield from self._run_attempts(state, announced)
            is_done = True
        finally:
            # Stopped or broken off: what was begun is spent and on record, and the next round can start.
            if not is_done:
                self._settle(state)
        yield from self._close(state)

    def _run_attempts(self, state: RoundNotes, announced: Announced) -> Iterator[Event]:
        policy = self.agreement.policy
        groups: list[tuple[bytes, ...]] = [] if state.fault else [self._commit_digests(state)]
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
        return send(self.transport, channel, message)

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
                yield self._refuse(state, client, "unsatisfied-constraint", self._sat_out)
            yield Progress(state.number, "commit", done, total)
        yield from self._receive_commits(state)
        self._timed(state, "commit", start)

    @property
    def _sat_out(self) -> str:
        if self.agreement.policy.statement.kind == "S4":
            return "sat out"  # whether by its bounds, its person or its budget is nobody's business
        return "sat out: the update does not reach the share"

    def _receive_commits(self, state: RoundNotes) -> Iterator[Event]:
        """Hands the adders every commit that has come since the last time."""
        channel = self._channel(state, "commits")
        messages = self.transport.fetch(channel)[state.heard :]
        state.heard += len(messages)
        for message in messages:
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

    def _open_beacon(self, state: RoundNotes, announced: Announced) -> Iterator[Event]:
        """Has G and then K open their nonces, and every device look at the rows that they draw."""
        start, channel = time.perf_counter(), self._channel(state, "reveals")
        try:
            state.reveals = (self._send(channel, self._adder.reveal()),)
            answer = self._holder.reveal(state.reveals[0], self._adder.commits)
            state.reveals = (*state.reveals, self._send(channel, answer))
            self._adder.accept_beacon(state.reveals[1])
        except ZkfedError as error:
            state.fault = fault_of_beacon(self.agreement.policy, announced, state.reveals) or str(error)
            state.reason = state.fault
            return

        def look(client: Client) -> bytes:
            client.accept_beacon(state.reveals)
            return b""

        by_client = {self.clients[index]: name for name, (index, _) in state.commits.items()}
        for done, (client, _, fault) in enumerate(self._ask(list(by_client), look, channel), 1):
            if fault is not None:
                state.sat_out.add(by_client[client])
                yield self._refuse(state, client, fault[0], f"sat out: {fault[1]}")
            yield Progress(state.number, "beacon", done, len(by_client))
        yield from self._receive_commits(state)  # who commits only now is refused by name
        self._timed(state, "beacon", start)

    def _ask(
        self, clients: Sequence[Client], call: Callable[[Client], bytes], channel: str
    ) -> Iterator[tuple[Client, bytes, tuple[str, str] | None]]:
        return ask(clients, call, lambda message: self.transport.publish(channel, message), workers=self._workers)

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
        there = state.commits.keys() - state.sat_out
        clients = [self.clients[state.commits[m][0]] for m in members if m in there]

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
        for done in range(0, len(messages), CHECK_BATCH):
            batch = messages[done : done + CHECK_BATCH]
            for verdict in self._adder.receive_sealed_all(batch):
                if not verdict.is_accepted:
                    state.refused.append(verdict)
                    yield Refused(state.number, verdict, body.attempt)
            yield Progress(state.number, "check", done + len(batch), len(messages), body.attempt, body.group)
        self._timed(state, "check", start)

    def _settle(self, state: RoundNotes) -> int:
        """Puts the round on record, moves the model and returns how many sums were released."""
        self.spending.settle()
        if state.first is None:
            return 0
        record = RoundRecord(self._adder.commits, state.all_attempts(), reveals=state.reveals)
        sums = list(released_sums(record))
        base = apply_releases(self.agreement.policy, self.base, sums)
        closing = self._adder.close_round(record.digest, base)
        self._holder.close_round(record.digest, base)
        self.transcript.rounds.append(replace(record, closing=closing))
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
