"""The ledger: what every person has spent, over all questions and rounds, durably.

    check -> charge, durable -> compute -> store the answer, durable -> return it

in one critical section over threads and processes. A process that dies in between has spent and not
released; released and not spent does not happen. On disk are only immutable facts: cohorts named by
their digest, and hash-chained entries; who has spent what is computed from them.

A repeat is recognised by public facts alone: question, people, loss, period. An entry's time never
goes back, so a clock that does opens no period twice; a clock that runs ahead opens one early.

Not protected: against who can replace file *and* checkpoint; against one person under two names.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from zkfed.dp.entries import PERIODS, Checkpoint, Entry, ReleaseKey, Request, Spent, answered, period_of, whole_seconds
from zkfed.dp.ledger_file import LedgerFile, answer_digest
from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.people import People, Totals
from zkfed.dp.reservations import ATTEMPTS_MAX, Reservations, RoundTotals, reserved, settled
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import BudgetExceeded, DecodeError, LedgerCorrupt, PolicyError, ZkfedError, shown

__all__ = ["Checkpoint", "Ledger", "People", "Request", "RoundTotals", "Slot", "Spent"]


@dataclass
class Slot:
    """A place in the ledger for one release.

    Attributes:
        entry: Number of the charge.
        stored: The answer of an equal request in this period, for which nothing was charged; else None.
    """

    entry: int
    stored: bytes | None
    _ledger: Ledger = field(repr=False)
    _charge: Entry | None = field(repr=False)

    def store(self, answer: bytes) -> None:
        """Keeps the answer, durably; only then may it leave.

        Raises:
            PolicyError: There is an answer already, or the release has ended.
            StoreFault: It cannot be written: spent, and not to be released.
        """
        if self._charge is None:
            raise PolicyError("this release has an answer already, or has ended")
        self._ledger._store(self._charge, answer)
        self._charge = None


class Ledger:
    """A durable ledger of privacy losses.

    Args:
        path: An SQLite file, created where there is none; None keeps it in memory.
        epsilon_max: The most that one person loses in one period, at `delta`; None sets no limit.
        delta: In (0, 1).
        period: "day", "week", "month", "quarter", "year" or "lifetime", in UTC.
        checkpoint: An earlier state that this ledger must continue.

    Raises:
        TypeError, ValueError: epsilon_max or delta is no number or out of range.
        PolicyError: No such period, or the ledger was made for another budget.
        LedgerCorrupt: It does not hold together, or does not continue the checkpoint.
        StoreFault: It cannot be read or written.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        epsilon_max: Any,
        delta: Any,
        period: str = "lifetime",
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.epsilon_max = None if epsilon_max is None else exact("epsilon_max", epsilon_max, most=1000)
        self.delta = float(exact("delta", delta, most=1))
        if self.delta == 1:
            raise ValueError("delta is 1: everything may be revealed; expected a number in (0, 1)")
        if period not in PERIODS:
            raise PolicyError(f"the period is {shown(period)}, expected one of {PERIODS}")
        self.period, self.path = period, None if path is None else Path(path)
        self._file = LedgerFile(self.path)
        self._head: bytes
        self._time: int
        self._digests: list[bytes]
        self._reserved_entries: dict[int, tuple[Entry, int]] = {}
        self._count: int
        self._is_inside = False
        try:
            with self._file.critical():
                self._salt, self._name = self._open()
            self._forget()
            self.verify(checkpoint)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        where = "in memory: it dies with this process" if self.path is None else self.path.name
        return f"Ledger({where}, {self._count} entries)"

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    # -- reading ---------------------------------------------------------------------------

    def people(self, ids: Iterable[str | bytes]) -> People:
        """Returns the people behind identifiers, as this ledger's pseudonyms; raises DecodeError."""
        return People.of(ids, self._salt)

    def spent(self, people: People, *, now_s: float) -> Spent:
        """Returns what the person in a cohort that has spent most has spent."""
        with self._current():
            name = max(self._totals.period, period_of(self.period, whole_seconds(now_s)))
            zero = PrivacyLoss.zero()
            histories = self._totals.histories(people)
            here = [now if name == self._totals.period else zero for now, _ in histories]
            return Spent(
                name, max(x.at(self.delta) for x in here), max(x.at(self.delta) for _, x in histories),
                math.sqrt(2 * float(max(x.rho for x in here))),
            )  # fmt: skip

    def entries(self) -> Iterator[Entry]:
        """Returns all entries, oldest first."""
        with self._current():
            return iter([Entry.decode(body) for body in self._file.entries(0)])

    def checkpoint(self) -> Checkpoint:
        """Returns where the ledger stands; keep it where whoever can write the ledger cannot."""
        with self._current():
            return Checkpoint(self._name, self._count, self._head)

    def verify(self, checkpoint: Checkpoint | None = None) -> None:
        """Reads everything anew and checks that it holds together and continues a checkpoint.

        Raises:
            LedgerCorrupt: It does not.
            StoreFault: It cannot be read.
        """
        with self._file.critical():
            self._forget()
            self._catch_up()
            for _, name in self._answers.values():
                self._file.answer(name)
            if checkpoint is not None:
                checkpoint.check(self._name, self._digests)

    # -- releasing -------------------------------------------------------------------------

    @contextlib.contextmanager
    def release(self, request: Request, *, now_s: float) -> Iterator[Slot]:
        """Opens a place for one release: charged, durably, unless its answer is stored already.

        Everybody else waits until the context ends. Leaving it without `Slot.store` is spent, not released.

        Args:
            request: What is to be released.
            now_s: Seconds since the epoch.

        Raises:
            BudgetExceeded: Somebody would lose more than the budget; nothing was charged.
            LedgerCorrupt, StoreFault: The charge cannot be recorded; nothing may be computed.
        """
        with self._current():
            self._refuse_inside()
            now, period = self._now(now_s)
            known = self._answers.get(request.key(period))
            if known is not None:
                yield Slot(known[0], self._file.answer(known[1]), self, None)
                return
            self._require(request.people, request.loss, period)
            entry = self._entry(request, "charge", now, period)
            self._write(entry, request.people)
            self._is_inside = True
            slot = Slot(entry.index, None, self, entry)
            try:
                yield slot
            finally:
                # An answer after the end would be written outside the critical section.
                self._is_inside, slot._charge = False, None

    def reserve(self, request: Request, *, attempts: int, bits: int = 0, now_s: float) -> int:
        """Pays all attempts of a round in advance, durably, and counts its acceptance bits.

        Args:
            request: Its loss is that of one attempt.
            attempts: How often the round may be tried.
            bits: 1 if the round tells an un-noised bit about private rows (S1), else 0.
            now_s: Seconds since the epoch.

        Returns:
            The number of the reservation, for `settle`.

        Raises:
            BudgetExceeded: Somebody would lose more than the budget; nothing was charged.
            LedgerCorrupt, StoreFault: It cannot be recorded; the round must not begin.
        """
        if type(attempts) is not int or not 1 <= attempts <= ATTEMPTS_MAX or bits not in (0, 1):
            raise ValueError(f"attempts is {shown(attempts)}, expected an int in [1, {ATTEMPTS_MAX}]; bits is 0 or 1")
        with self._current():
            self._refuse_inside()
            now, period = self._now(now_s)
            self._require(request.people, request.loss.times(attempts), period)
            entry = replace(self._entry(request, "reserve", now, period), body=reserved(attempts, bits))
            self._write(entry, request.people)
            self._reserved_entries[entry.index] = (entry, attempts)
            return entry.index

    def settle(self, reservation: int, *, begun: int, failed: int, now_s: float) -> None:
        """Closes a round: what was not begun comes back.

        Args:
            reservation: From `reserve`, of this process.
            begun: Attempts that the key holder may have decrypted.
            failed: Of them, those of which nothing was released.
            now_s: Seconds since the epoch.

        Raises:
            PolicyError: No such reservation is open here.
            StoreFault: It cannot be recorded: everything stays spent.
        """
        with self._current():
            self._refuse_inside()
            of, attempts = self._reserved_entries.get(reservation, (None, 0))
            if of is None or not 0 <= failed <= begun <= attempts:
                raise PolicyError(
                    f"the reservation {shown(reservation)} is not open, or was not reserved for {shown(begun)} attempts"
                )
            now, period = self._now(now_s)
            self._write(
                replace(
                    of, index=self._count, previous=self._head, time_s=now, period=period, kind="settle",
                    body=settled(reservation, begun, failed),
                )
            )  # fmt: skip
            del self._reserved_entries[reservation]

    def rounds(self, question: bytes) -> RoundTotals:
        """Returns what the rounds under one policy have used up, open reservations in full."""
        with self._current():
            return self._reservations.totals(question)

    def _refuse_inside(self) -> None:
        if self._is_inside:
            raise PolicyError("a release of this ledger is open in this thread: end it first")

    def _store(self, charge: Entry, answer: bytes) -> None:
        body = Writer("zkfed/v1/answered").u64(charge.index).bytes(answer_digest(answer)).finish()
        entry = replace(
            charge, index=self._count, previous=self._head, kind="answer", loss=PrivacyLoss.zero(), body=body
        )
        self._write(entry, answer=answer)

    def _require(self, people: People, loss: PrivacyLoss, period: str) -> None:
        if self.epsilon_max is None:
            return
        zero = PrivacyLoss.zero()
        for now, _ in self._totals.histories(people):
            before = now if period == self._totals.period else zero
            if not (before + loss).is_within(self.epsilon_max, self.delta):
                spent, asked, after = (x.at(self.delta) for x in (before, loss, before + loss))
                raise BudgetExceeded(
                    f"somebody in this cohort has spent {spent:.4g} of epsilon {float(self.epsilon_max):.4g} in "
                    f"{period} (delta {self.delta:.1g}); this release of {asked:.4g} would make it {after:.4g}. "
                    f"Nothing was spent: ask with a smaller epsilon, or in the next period"
                )

    def _now(self, now_s: float) -> tuple[int, str]:
        """Returns (time, period) of a new entry: neither goes back."""
        now = max(whole_seconds(now_s), self._time)
        return now, max(self._totals.period, period_of(self.period, now))

    def _entry(self, request: Request, kind: str, now: int, period: str) -> Entry:
        if len(request.question) != 32 or len(request.what) > 200:
            raise PolicyError("a request has a question of 32 bytes and a text of at most 200 characters")
        return Entry(
            self._count, self._head, now, period, kind, request.what, request.question, request.people.digest,
            request.loss,
        )  # fmt: skip

    # -- the file --------------------------------------------------------------------------

    def _write(self, entry: Entry, people: People | None = None, answer: bytes | None = None) -> None:
        """Appends one entry and what it names, durably; then takes it in."""
        cohort, body = None if people is None else (people.digest, people.members), entry.encode()
        try:
            Entry.decode(body)
        except ZkfedError as error:  # what cannot be read again would close the ledger for ever
            raise PolicyError(f"this cannot be recorded: {error}; nothing was charged") from None
        self._file.append(entry.index, body, cohort=cohort, answer=answer)
        self._take(entry, people)

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        with self._file.critical():
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        """Takes in what other processes have written."""
        for body in self._file.entries(self._count):
            try:
                entry = Entry.decode(body)
            except ZkfedError as error:
                raise LedgerCorrupt(f"the ledger's entry {self._count} is malformed: {error}") from None
            self._take(entry, None)

    def _take(self, entry: Entry, people: People | None) -> None:
        """Checks that an entry continues the chain and adds it to what is known."""
        try:
            self._add(entry, people)
        except BaseException:  # an interrupt too: half an entry must not be counted with
            self._forget()
            raise

    def _add(self, entry: Entry, people: People | None) -> None:
        if (
            (entry.index, entry.previous) != (self._count, self._head)
            or entry.time_s < self._time
            or entry.period < self._totals.period
        ):
            raise LedgerCorrupt(f"the ledger's entry {self._count} does not continue the one before")
        self._totals.start_period(entry.period)
        load = self._cohort if people is None else lambda _: people
        if entry.kind == "charge":
            self._totals.charge(entry.cohort, entry.loss, load)
            self._open_charges[entry.index] = (entry.question, entry.cohort, entry.loss, entry.period)
        elif entry.kind == "answer":
            charge, name = answered(entry)
            request = self._open_charges.pop(charge, None)
            if request is None:
                raise LedgerCorrupt(f"the ledger's entry {entry.index} answers nothing, or a second time")
            self._answers.setdefault(request, (charge, name))
        elif entry.kind == "reserve":
            self._totals.charge(entry.cohort, self._reservations.reserve(entry), load)
        else:
            back, period = self._reservations.settle(entry)
            self._totals.refund(entry.cohort, back, period)
        self._count, self._head, self._time = entry.index + 1, entry.digest, entry.time_s
        self._digests.append(self._head)

    def _forget(self) -> None:
        """Forgets all that is derived from entries."""
        self._totals = Totals()
        self._open_charges: dict[int, ReleaseKey] = {}
        self._answers: dict[ReleaseKey, tuple[int, bytes]] = {}
        self._reservations = Reservations()
        self._count, self._time, self._head = 0, 0, self._name
        self._digests = [self._name]

    def _open(self) -> tuple[bytes, bytes]:
        """Returns salt and name of the ledger; a new file gets them."""
        limit = "" if self.epsilon_max is None else str(self.epsilon_max)
        wanted = (limit, str(Fraction(str(self.delta))), self.period)
        w = Writer("zkfed/v1/ledger").bytes(secrets.token_bytes(32))
        header = self._file.header(w.text(wanted[0]).text(wanted[1]).text(wanted[2]).finish())
        try:
            r = Reader(header, "zkfed/v1/ledger", 4096)
            salt, made_for = r.bytes(exact=32), (r.text(), r.text(), r.text())
            r.finish()
        except ZkfedError as error:
            raise LedgerCorrupt(f"the ledger's header is malformed: {error}") from None
        if made_for != wanted:
            raise PolicyError(
                f"the ledger was made for (epsilon, delta, period) = {made_for}, not for {wanted}: a budget is not "
                f"changed, and a new ledger forgets what was spent"
            )
        return salt, digest("zkfed/v1/ledger-header", header)

    def _cohort(self, name: bytes) -> People:
        members = self._file.cohort(name)
        if members is None:
            raise LedgerCorrupt("a cohort that was charged is missing from the ledger")
        try:
            people = People(members)
        except DecodeError as error:
            raise LedgerCorrupt(f"a cohort in the ledger is malformed: {error}") from None
        if people.digest != name:
            raise LedgerCorrupt("a cohort in the ledger is not the one that it was")
        return people
