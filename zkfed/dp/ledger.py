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

from zkfed.dp.entries import PERIODS, TIME_MAX, Checkpoint, Entry, period_of
from zkfed.dp.ledger_file import LedgerFile, answer_digest
from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.people import People, Totals
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import BudgetExceeded, DecodeError, LedgerCorrupt, PolicyError, ZkfedError, shown

__all__ = ["Checkpoint", "Ledger", "People", "Request", "Slot", "Spent"]

_Key = tuple[bytes, bytes, PrivacyLoss, str]
"""Question, cohort, loss and period: what makes a repeat a repeat."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to release. Requests with equal question, people and loss are equal.

    Attributes:
        what: For people; at most 200 characters.
        question: Names what is asked, 32 bytes.
        people: Who is charged.
        loss: What it costs each of them.
    """

    what: str
    question: bytes
    people: People
    loss: PrivacyLoss


@dataclass(frozen=True, slots=True)
class Spent:
    """What the person of a cohort that has spent most has spent.

    Attributes:
        period: The budget period, such as "2026-Q4".
        epsilon: In it, at the ledger's delta.
        lifetime_epsilon: Over all periods, at the ledger's delta.
        mu: In it as Gaussian differential privacy, sqrt(2 rho): exact for *continuous* Gaussian noise
            alone; a comparison, which nothing is charged by.
    """

    period: str
    epsilon: float
    lifetime_epsilon: float
    mu: float


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
            PolicyError: There is an answer already.
            StoreFault: It cannot be written: spent, and not to be released.
        """
        if self._charge is None:
            raise PolicyError("this release has an answer already")
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
        with self._file.critical():
            self._catch_up()
            name = max(self._totals.period, period_of(self.period, _whole(now_s)))
            zero = PrivacyLoss.zero()
            histories = self._totals.histories(people)
            here = [now if name == self._totals.period else zero for now, _ in histories]
            return Spent(
                name, max(x.at(self.delta) for x in here), max(x.at(self.delta) for _, x in histories),
                math.sqrt(2 * float(max(x.rho for x in here))),
            )  # fmt: skip

    def entries(self) -> Iterator[Entry]:
        """Returns all entries, oldest first."""
        with self._file.critical():
            self._catch_up()
            return iter([Entry.decode(body) for body in self._file.entries(0)])

    def checkpoint(self) -> Checkpoint:
        """Returns where the ledger stands; keep it where whoever can write the ledger cannot."""
        with self._file.critical():
            self._catch_up()
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
            if checkpoint is None:
                return
            if checkpoint.ledger != self._name:
                raise LedgerCorrupt("the checkpoint is of another ledger")
            if checkpoint.index > self._count:
                raise LedgerCorrupt(
                    f"the ledger has {self._count} entries, the checkpoint knows {checkpoint.index}: an old copy"
                )
            if self._digests[checkpoint.index] != checkpoint.digest:
                raise LedgerCorrupt(f"the first {checkpoint.index} entries are not those of the checkpoint")

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
        with self._file.critical():
            self._catch_up()
            now, period = self._now(now_s)
            known = self._answers.get(_key(request, period))
            if known is not None:
                yield Slot(known[0], self._file.answer(known[1]), self, None)
                return
            self._require(request.people, request.loss, period)
            entry = self._entry(request, "charge", now, period)
            self._write(entry, request.people)
            yield Slot(entry.index, None, self, entry)

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
        now = max(_whole(now_s), self._time)
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
        cohort = None if people is None else (people.digest, people.members)
        self._file.append(entry.index, entry.encode(), cohort=cohort, answer=answer)
        self._take(entry, people)

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
        if entry.previous != self._head or entry.time_s < self._time or entry.period < self._totals.period:
            raise LedgerCorrupt(f"the ledger's entry {entry.index} does not continue the one before")
        if entry.kind == "charge":
            self._totals.start_period(entry.period)
            self._totals.charge(people or self._cohort(entry.cohort), entry.loss)
            self._open_charges[entry.index] = (entry.question, entry.cohort, entry.loss, entry.period)
        elif entry.kind == "answer":
            charge, name = _answered(entry.body)
            request = self._open_charges.pop(charge, None)
            if request is None:
                raise LedgerCorrupt(f"the ledger's entry {entry.index} answers nothing, or a second time")
            self._answers.setdefault(request, (charge, name))
        self._count, self._head, self._time = entry.index + 1, entry.digest, entry.time_s
        self._digests.append(self._head)

    def _forget(self) -> None:
        """Forgets all that is derived from entries."""
        self._totals = Totals()
        self._open_charges: dict[int, _Key] = {}
        self._answers: dict[_Key, tuple[int, bytes]] = {}
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
        people.check()
        if people.digest != name:
            raise LedgerCorrupt("a cohort in the ledger is not the one that it was")
        return people


def _key(request: Request, period: str) -> _Key:
    return request.question, request.people.digest, request.loss, period


def _answered(body: bytes) -> tuple[int, bytes]:
    r = Reader(body, "zkfed/v1/answered", 256)
    out = r.u64(), r.bytes(exact=32)
    r.finish()
    return out


def _whole(now_s: Any) -> int:
    """Returns a time in whole seconds."""
    if isinstance(now_s, bool) or not isinstance(now_s, (int, float)):
        raise TypeError(f"now_s is a {type(now_s).__name__}, expected seconds since the epoch")
    if not 0 <= now_s < TIME_MAX:  # refuses NaN too
        raise ValueError(f"now_s is {shown(now_s)}, expected seconds in [0, 2^36)")
    return int(now_s)
