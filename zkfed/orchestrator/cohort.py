"""Asks a cohort: one language of questions, three ways to trust, one ledger.

    central     true reports come here; whoever runs this sees them
    encrypted   every report is proven, encrypted and summed; no party alone sees one
    local       reports were randomised on the devices; nobody sees a true one

A question is checked, charged durably and only then computed, in one critical section of the
ledger. A refusal happens before a report is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zkfed.counts import CountBounds
from zkfed.dp.answer import Answer
from zkfed.dp.ledger import Checkpoint, Ledger, People, Request, Slot
from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.mechanism import NOISES
from zkfed.dp.plan import Plan
from zkfed.dp.query import CohortQuery, Reports
from zkfed.dp.randomise import RandomisedReports
from zkfed.dp.statistic import RELEASED, TOO_NOISY, CohortStatistic, Cost, Estimate
from zkfed.encoding import digest
from zkfed.errors import DecodeError, PolicyError, shown
from zkfed.groth16.keys import ProvingKey
from zkfed.orchestrator.events import Event
from zkfed.orchestrator.ways import Central, Encrypted, Local, Way, WayTerms
from zkfed.ports import Transport

__all__ = ["Cohort", "CohortOptions"]

EPSILONS = (0.1, 0.5, 1.0)
"""What `plan` compares unless it is told otherwise."""


DELTA_MAX = 0.1


@dataclass(frozen=True)
class CohortOptions:
    """What most cohorts leave as it is.

    Attributes:
        noise: In central mode: "gaussian" composes well over many questions and with model rounds;
            "laplace" is pure, and more precise for few.
        checkpoint: Of the ledger, kept elsewhere: an older or edited ledger is refused.
        clock: Returns seconds since the epoch.
        watch: Gets what happens while an encrypted question runs.
        transport: Makes what moves the messages of an encrypted question; `zkfed.Cohort` uses memory.
        keys: Returns keys of S4 and N from a ceremony for the bounds of an encrypted question; None makes
            development keys, under which whoever made them can prove false reports.
        records: Folder of one ledger. The record of each encrypted question is kept in a folder there
            that is named by its ledger entry: `python -m zkfed check FOLDER/ENTRY`.
    """

    noise: str = "gaussian"
    checkpoint: Checkpoint | None = None
    clock: Callable[[], float] = time.time
    watch: Callable[[Event], None] | None = None
    transport: Callable[[], Transport] | None = None
    keys: Callable[[CountBounds], tuple[ProvingKey, ...]] | None = None
    records: Path | None = None


class Cohort:
    """People who are asked, and the ledger of what it costs them.

    Not a list of people: whoever reports is charged. A person is an identifier, the same in every
    question and round; one person with two identifiers has two budgets.

    Args:
        ledger: A file, created where there is none; or an open `Ledger`; None keeps it in memory, where
            it dies with the process.
        epsilon_per_person: The most that one person loses in one period, at `delta`.
        delta: In (0, 0.1]; below 1 / people, or it promises little.
        period: "day", "week", "month", "quarter", "year" or "lifetime", in UTC.
        options: What most cohorts leave as it is.

    Raises:
        TypeError, ValueError: epsilon or delta is no number or out of range.
        PolicyError: No such period or noise, or the ledger was made for another budget.
        LedgerCorrupt: The ledger does not hold together, or not with the checkpoint.
        StoreFault: It cannot be opened.
    """

    def __init__(
        self,
        ledger: str | Path | Ledger | None,
        *,
        epsilon_per_person: Any,
        delta: Any,
        period: str = "quarter",
        options: CohortOptions | None = None,
    ) -> None:
        options = options or CohortOptions()
        self._budget = exact("epsilon_per_person", epsilon_per_person, most=1000)
        self.delta = float(exact("delta", delta, most=1))
        if self.delta > DELTA_MAX:
            raise ValueError(f"delta is {shown(self.delta)}, expected a number in (0, {DELTA_MAX}]")
        if options.noise not in NOISES:
            raise PolicyError(f"noise is {shown(options.noise)}, expected one of {NOISES}")
        self._terms = WayTerms(self.delta, options.noise, options.watch, options.transport, options.keys)
        self._clock, self._records = options.clock, options.records
        if isinstance(ledger, Ledger):
            if (ledger.epsilon_max, ledger.delta) != (self._budget, self.delta):
                raise PolicyError(f"the ledger was made for another budget than ({self._budget}, {self.delta:.1g})")
            ledger.verify(options.checkpoint)
            self.ledger = ledger
        else:
            self.ledger = Ledger(
                ledger, epsilon_max=float(self._budget), delta=self.delta, period=period, checkpoint=options.checkpoint
            )

    def __repr__(self) -> str:
        return f"Cohort({self.ledger!r}, epsilon_per_person={float(self._budget):.4g}, delta={self.delta:.1g})"

    def plan(self, query: CohortQuery, people: int, *, epsilons: Sequence[Any] = EPSILONS) -> Plan:
        """Returns expected error, smallest cohort and cost, before anything is spent.

        Args:
            query: The question.
            people: How many would answer.
            epsilons: Of one release each.
        """
        self._check_query(query)
        return Plan.of(
            query, people, epsilons=tuple(epsilons), budget=(self._budget, self.delta), noise=self._terms.noise
        )

    def ask(
        self,
        query: CohortQuery,
        reports: Reports | RandomisedReports | Sequence[Any],
        *,
        epsilon: Any = None,
        mode: str = "central",
        again: int = 0,
    ) -> CohortStatistic:
        """Asks one question and returns the answer that may be published.

        An equal question (same words, same people, same epsilon, same period) returns the stored answer
        and costs nothing, whether the reports have changed or not: saying so would tell something about
        them. `again=1, 2, ...` asks anew, and is charged.

        Args:
            query: The question.
            reports: `query.reports(...)`, or a sequence of (person, answer) or `Report`; for the local
                mode `RandomisedReports`, whose epsilon was spent on the devices.
            epsilon: Of this release, in (0, 100]; the local mode knows its own.
            mode: "central" or "encrypted"; randomised reports are local.
            again: A number that makes the question a new one.

        Raises:
            BudgetExceeded: It would cost somebody more than the budget; nothing was spent or computed.
            PolicyError: Fewer than k people, or no such mode; nothing was spent. Or an encrypted sum did
                not open: spent, and nothing was released.
            KeyRefused: The keys of an encrypted question are not for it, or not from a ceremony; nothing
                was spent.
            DecodeError: Reports for another question, or malformed ones; nothing was spent.
            TypeError, ValueError: epsilon is no number or out of range; nothing was spent.
            LedgerCorrupt, StoreFault: The charge cannot be recorded; nothing was computed.
        """
        start = time.perf_counter()
        self._check_query(query)
        if type(again) is not int or not 0 <= again < 1 << 32:
            raise PolicyError(f"again is {shown(again)}, expected an int in [0, 2^32)")
        if isinstance(reports, RandomisedReports):
            way: Way = Local(self._terms, query, reports, epsilon)
        else:
            rows = reports if isinstance(reports, Reports) else query.reports(reports)
            if rows.question != query.digest:
                raise DecodeError(f"the reports are for another question than {query}")
            rows.check(len(query.categories))
            ways: dict[str, Callable[..., Way]] = {"central": Central, "encrypted": Encrypted}
            if mode not in ways:
                raise PolicyError(f"mode is {shown(mode)}, expected central or encrypted; randomised reports are local")
            way = ways[mode](self._terms, query, rows, exact("epsilon", epsilon, most=100))
        if len(way.persons) < query.k:
            raise PolicyError(
                f"{query}: a cohort of {len(way.persons)} people, at least k = {query.k} are asked; nothing was spent"
            )
        people = self.ledger.people(way.persons)
        if way.is_hopeless():
            return self._statistic(way, people, (), TOO_NOISY, start=start)
        asked = digest("zkfed/v1/asked", query.digest, way.mode.encode(), way.freshness, again.to_bytes(4, "big"))
        request = Request(f"{query}, {way.mode}", asked, people, way.loss)
        with self.ledger.release(request, now_s=self._clock()) as slot:
            answer = Answer.decode(slot.stored) if slot.stored is not None else self._computed(way, slot)
        found, outcome, answered = way.estimates(answer)
        statistic = self._statistic(way, people, found, outcome, start=start)
        return replace(statistic, answered=answered, entry=slot.entry, is_stored=slot.stored is not None)

    def _computed(self, way: Way, slot: Slot) -> Answer:
        answer = way.compute()
        if self._records is not None and way.record is not None:
            way.record.save(self._records / str(slot.entry))
        slot.store(answer.encode())
        return answer

    def _statistic(
        self, way: Way, people: People, found: tuple[Estimate, ...], outcome: str, *, start: float
    ) -> CohortStatistic:
        spent = self.ledger.spent(people, now_s=self._clock())
        loss = way.loss if found or outcome == RELEASED else PrivacyLoss.zero()
        cost = Cost(
            loss, loss.at(self.delta), self.delta, spent.epsilon, spent.lifetime_epsilon, float(self._budget),
            spent.period,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        return CohortStatistic(
            way.query, way.mode, len(way.persons), found, outcome, cost, way.described, seconds=seconds
        )

    def _check_query(self, query: Any) -> None:
        if not isinstance(query, CohortQuery):
            raise TypeError(f"a question is Who, What, How or When, got a {type(query).__name__}")
