"""The rounds of a community node: announce, collect, check, add, open, settle; as a generator.

The adders and the key holder speak here, over a transport between them; devices are asked through
whoever drives the generator (`Federation` in one process, an adapter elsewhere). Nothing here
knows how a device is reached, and nothing that comes back is trusted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from zkfed.dp.accounting import Spending, guarantee_line, predicted_noise_signal
from zkfed.encoding import Writer
from zkfed.errors import PolicyError, ZkfedError
from zkfed.layers.agreement import Announced, draw_groups
from zkfed.layers.beacon import fault_of_beacon
from zkfed.layers.bridge import check_outcome
from zkfed.layers.polis import Adder
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript, apply_releases, released_sums
from zkfed.orchestrator.calls import Answer, Ask, Fault, Replies, Steps
from zkfed.orchestrator.events import (
    AttemptFailed,
    Event,
    Progress,
    Refused,
    Released,
    RoundAbandoned,
    RoundStarted,
)
from zkfed.orchestrator.exchange import send
from zkfed.orchestrator.holding import Holder
from zkfed.orchestrator.notes import SITS_OUT, RoundNotes, sat_out_by, sealed_by, signer_of
from zkfed.orchestrator.options import Options
from zkfed.ports import Transport
from zkfed.updates.messages import Aggregate, Failure
from zkfed.updates.signing import Signed, kind_of
from zkfed.updates.update import Verdict, encode_ints

__all__ = ["Rounds"]

COMMIT_WINDOW_S = 3600
SAT_OUT = "sat-out"
CHECK_BATCH = 128
"""Proofs that are checked together here: most of what a batch saves, and progress is still seen."""
CHECK_ELSEWHERE = 4096
"""Proofs that go to an executor together, which makes its own batches of them."""


class Rounds:
    """Adders and key holder of one federation, and the order in which they speak.

    Args:
        adder: The adders, before round 1.
        holder: The key holder, under the same agreement; here or elsewhere.
        transport: Between the two; it may be one that devices use, too.
        options: See `Options`.

    Raises:
        PolicyError: One exchange a round was asked for, and the statement needs the beacon's (S1).
    """

    def __init__(self, adder: Adder, holder: Holder, *, transport: Transport, options: Options) -> None:
        self.agreement, policy = adder.agreement, adder.agreement.policy
        self._check_batch = CHECK_BATCH if options.executor is None else CHECK_ELSEWHERE
        if options.exchanges == 1 and policy.statement.kind == "S1":
            raise PolicyError("rows are drawn between commit and proof (S1): a round needs more than one exchange")
        self._adder, self._holder, self.transport = adder, holder, transport
        self._exchanges = options.exchanges
        self.base = adder.base
        self.transcript = Transcript(self.agreement, self.base)
        registry = self.agreement.registry
        self.clients = tuple(key.hex() for key in (self.agreement.enrolled if registry is None else registry))
        self.spending = Spending(
            self.agreement.noise_scale,
            delta=policy.delta,
            epsilon_max=policy.epsilon_max,
            bits_max=policy.acceptance_bits_max,
            account=options.account(policy, self.agreement.enrolled, time.time),
        )

    @property
    def model(self) -> npt.NDArray[np.float64]:
        """The weights of the latest release, as floats."""
        return self.base / float(1 << self.agreement.policy.model.fraction_bits)

    def guarantee(self) -> str:
        """Returns the privacy guarantee of everything released so far, in one paragraph."""
        return guarantee_line(self.agreement.policy, self.spending, self.agreement.noise_scale)

    def run(self, rounds: int) -> Steps:
        """Runs rounds and yields what happens, and what devices are asked; stop iterating to stop.

        Raises:
            BudgetExceeded: The privacy budget does not cover another round.
        """
        for _ in range(rounds):
            yield from self._run_round(len(self.transcript.rounds) + 1)

    # -- one round -------------------------------------------------------------------------

    def _run_round(self, number: int) -> Steps:
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

    def _run_attempts(self, state: RoundNotes, announced: Announced) -> Steps:
        policy = self.agreement.policy
        groups: list[tuple[bytes, ...]] = [] if state.fault else [tuple(sorted(state.commits))]
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

    # -- what devices are asked ---------------------------------------------------------------

    @cached_property
    def _head(self) -> bytes:
        return self.transcript.head

    def _collect_commits(self, state: RoundNotes, announced: Announced) -> Steps:
        start = time.perf_counter()
        announcement, key = state.messages[announced.digest]
        parts = {
            "head": self._head, "announcement": announcement, "encryption_key": key,
            "base": encode_ints(self.base.ravel()), "previous": announced.body.previous,
        }  # fmt: skip
        kind = "round" if self._exchanges == 1 else "join"
        channel = self._channel(state, "commits")
        replies = (yield Ask(kind, self.clients, parts, round=state.number, channel=channel)) or Replies()
        faults = [*replies.faults, *self._receive_commits(state, replies.messages)]
        faults += [Fault(c, SAT_OUT, "") for c in state.sitting]
        faults += [Fault(c, "no-answer", "no answer came before the node went on") for c in self.clients]
        yield from self._note_faults(state, faults, holding=state.committers)
        self._timed(state, "commit", start)

    def _note_faults(
        self, state: RoundNotes, faults: Iterable[Fault], *, holding: Collection[str], attempt: int = 1
    ) -> Iterator[Event]:
        """Refuses, once each, whom the faults name and who does not hold a place."""
        for fault in faults:
            sat_out = fault.code == SAT_OUT
            code, reason = ("unsatisfied-constraint", self._sat_out) if sat_out else (fault.code, fault.reason)
            verdict = Verdict(fault.client, False, code, reason)
            if state.refuse(verdict, holding):
                yield Refused(state.number, verdict, attempt)

    @property
    def _sat_out(self) -> str:
        if self.agreement.policy.statement.kind == "S4":
            return "sat out"  # whether by its bounds, its person or its budget is nobody's business
        return "sat out: the update does not reach the share"

    def _receive_commits(self, state: RoundNotes, messages: Sequence[bytes]) -> list[Fault]:
        """Hands the adders every commit that has come, and keeps what was sealed along; returns what was refused."""
        faults = []
        for message in messages:
            commit, sealed = message, b""
            try:
                if self._takes_sit_out(state, message):
                    continue
                if self._exchanges == 1:
                    answer = Answer.decode(message)
                    commit, sealed = answer.commit, answer.sealed
                receipt = self._adder.receive_commit(commit, now_s=int(time.time()))
                signed = Signed.decode(commit, "commit", limit=4096)
                client = signed.signer.hex()
                state.commits[signed.digest] = (client, commit)
                state.receipts[client] = self._send(self._channel(state, "receipts"), receipt)
                if sealed:
                    state.sealed.append(sealed)
            except ZkfedError as error:
                faults.append(Fault(signer_of(commit, "commit", SITS_OUT), error.code, str(error)))
        return faults

    def _takes_sit_out(self, state: RoundNotes, message: bytes) -> bool:
        """Notes a device that says, signed, that it has nothing to prove; returns whether it did."""
        client = sat_out_by(message, state.first)
        if client and client in self.clients:
            state.sitting.append(client)
        return bool(client)

    def _open_beacon(self, state: RoundNotes, announced: Announced) -> Steps:
        """Has G and then K open their nonces, and every device look at the rows that they draw."""
        start, opened = time.perf_counter(), self._channel(state, "reveals")
        try:
            state.reveals = (self._send(opened, self._adder.reveal()),)
            answer = self._holder.reveal(state.reveals[0], self._adder.commits)
            state.reveals = (*state.reveals, self._send(opened, answer))
            self._adder.accept_beacon(state.reveals[1])
        except ZkfedError as error:
            state.fault = fault_of_beacon(self.agreement.policy, announced, state.reveals) or str(error)
            state.reason = state.fault
            return
        commit_of = {client: name for name, (client, _) in state.commits.items()}
        if not commit_of:
            return  # an ask to nobody would wait for nobody
        reveals = {"reveals": Writer("zkfed/v1/reveals").list(state.reveals).finish()}
        channel = self._channel(state, "commits")
        ask = Ask("look", tuple(commit_of), reveals, state.receipts, round=state.number, channel=channel)
        replies = (yield ask) or Replies()
        state.receipts = {}
        state.sitting.clear()
        faults = [replace(f, reason=f"sat out: {f.reason}") for f in replies.faults]
        late = self._receive_commits(state, replies.messages)  # who commits only now is refused by name
        faults += [Fault(c, "unsatisfied-constraint", f"{self._sat_out} on its drawn rows") for c in state.sitting]
        for fault in faults:
            if fault.client in commit_of:
                state.sat_out.add(commit_of[fault.client])
        yield from self._note_faults(state, faults, holding=())
        yield from self._note_faults(state, late, holding=state.committers)
        self._timed(state, "beacon", start)

    def _run_attempt(
        self,
        state: RoundNotes,
        announced: Announced,
        members: tuple[bytes, ...],
        failed: list[tuple[bytes, bytes]],
    ) -> Steps:
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
        state.opening = Attempt(announced.encode(), seals, aggregation)
        commits = tuple(state.commits[m][1] for m in listed)
        outcome = self._holder.open(aggregation, ciphertext, commits, first=state.first.digest)
        self._end_opening(state, outcome)
        outcome = self._send(self._channel(state, "outcome", announced), outcome)
        self._timed(state, "open", start)
        if kind_of(outcome) == "failure":
            failure = Failure.decode(Signed.decode(outcome, "failure", limit=1 << 16).body)
            failed.append((signed.body, failure.nonce))
            is_lost = body.attempt == policy.attempts or len(listed) < policy.min_clients
            yield AttemptFailed(state.number, body.attempt, body.group, len(listed), is_lost)
        else:
            state.released.append(len(listed))

    def _collect_seals(self, state: RoundNotes, announced: Announced, members: tuple[bytes, ...]) -> Steps:
        start, body = time.perf_counter(), announced.body
        messages, state.sealed = tuple(state.sealed), []
        clients = tuple(state.commits[m][0] for m in members if m not in state.sat_out and m in state.commits)
        faults = list[Fault]()
        if body.attempt > 1 or self._exchanges > 1:
            announcement, key = state.messages[announced.digest]
            parts = {"announcement": announcement, "encryption_key": key}
            where = self._channel(state, "sealed", announced)
            number = {"round": state.number, "attempt": body.attempt, "group": body.group}
            replies = None  # an ask to nobody would wait for nobody
            if clients:
                replies = yield Ask("seal", clients, parts, state.receipts, channel=where, **number)
            replies = replies or Replies()
            state.receipts = {}
            messages, faults = replies.messages, [*replies.faults]
        if state.sat_out:  # refused already: what it seals nevertheless is not counted
            out = {state.commits[m][0] for m in state.sat_out}
            messages = tuple(m for m in messages if sealed_by(m) not in out)
        self._timed(state, "seal", start)
        start, taken = time.perf_counter(), set[str]()
        size = self._check_batch
        for done in range(0, len(messages), size):
            batch = messages[done : done + size]
            for verdict in self._adder.receive_sealed_all(batch):
                if verdict.is_accepted:
                    taken.add(verdict.client)
                else:
                    faults.append(Fault(verdict.client, verdict.code, verdict.reason))
            yield Progress(state.number, "check", done + len(batch), len(messages), body.attempt, body.group)
        # Now, and not as they come: of a message that was copied or changed on its way the true one may come later.
        faults += [Fault(c, "no-answer", "no sealed update came before the node went on") for c in clients]
        holding = taken | set(self.clients).difference(clients)  # those stand elsewhere, or were refused before
        yield from self._note_faults(state, faults, holding=holding, attempt=body.attempt)
        self._timed(state, "check", start)

    def _end_opening(self, state: RoundNotes, outcome: bytes) -> None:
        """Puts the key holder's answer on record; raises as `check_outcome` if it is none to go on from."""
        if state.opening is not None and outcome:
            listed = Aggregate.decode(Signed.decode(state.opening.aggregation, "aggregation", limit=1 << 26).body)
            commits = [state.commits[m][1] for m in listed.members]
            check_outcome(self.agreement, replace(state.opening, outcome=outcome), commits)
        state.end_opening(outcome)

    def _settle(self, state: RoundNotes) -> int:
        """Puts the round on record, moves the model and returns how many sums were released."""
        self.spending.settle()
        if state.first is None:
            return 0
        if state.opening is not None:
            # Broken off while the key holder had the sum: what it released stands in the record, or it settles none.
            self._end_opening(state, self._holder.said(Announced.decode(state.opening.announced).digest))
        record = RoundRecord(self._adder.commits, state.all_attempts(), reveals=state.reveals)
        sums = list(released_sums(record))
        base = apply_releases(self.agreement.policy, self.base, sums)
        closing = self._adder.close_round(record.digest, base)
        self.transcript.rounds.append(replace(record, closing=closing))
        self.base = base
        self._holder.settle(record)
        return len(sums)

    def _close(self, state: RoundNotes) -> Iterator[Event]:
        sums = self._settle(state)
        if not sums:
            yield RoundAbandoned(state.number, f"{state.reason}; the model stays as it is")
            return
        epsilon, delta = self.spending.total()
        accepted = sum(state.released)
        ratio = self._ratio(accepted) * sums**0.5
        refused, seconds = len(state.refused), dict(state.seconds)
        yield Released(state.number, accepted, refused, state.tries, ratio, epsilon, delta, seconds)

    def _ratio(self, clients: int) -> float:
        policy, scale = self.agreement.policy, self.agreement.noise_scale
        clip = policy.clip_norm * (1 << policy.model.fraction_bits)
        return predicted_noise_signal(scale.sigma, policy.model.parameters, clients, clip)
