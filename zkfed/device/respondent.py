"""The device that answers: only what is sanitised is stored, only what is allowed and paid for leaves.

    observe   raw -> category -> store (encrypted)
    answer    consent? -> budget of this device, durable -> use recorded -> bounded report

The device keeps its own ledger of one person: a host that asks again and again, or forgets its own
ledger, meets a budget that is not the host's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from zkfed.device.consent import ConsentBook
from zkfed.device.rhythm import bins_of
from zkfed.device.store import LocalStore, Observation
from zkfed.dp.ledger import Ledger, Request
from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.mechanism import CountNoise
from zkfed.dp.query import CohortQuery, Report, check_person
from zkfed.dp.randomise import RandomisedReports, Randomiser, randomise
from zkfed.dp.what import What
from zkfed.dp.when import When
from zkfed.encoding import digest
from zkfed.errors import PolicyError, shown

__all__ = ["Respondent"]

PURPOSE = "statistics"


class Respondent:
    """One person's device in cohort statistics.

    Args:
        person: The identifier under which the person is known to the cohort.
        consent: What the person allowed.
        store: What was observed.
        ledger: Of this device; its budget holds against every host.
    """

    def __init__(self, person: str, *, consent: ConsentBook, store: LocalStore, ledger: Ledger) -> None:
        self._person = check_person(person)
        self.consent, self._store, self.ledger = consent, store, ledger

    def __repr__(self) -> str:
        return f"Respondent(person hidden, {self._store!r})"

    # -- observing -------------------------------------------------------------------------

    def observe(self, query: CohortQuery, answer: Any, *, now_s: float) -> None:
        """Stores what a person's doing says about a question, as its categories.

        Raises:
            DecodeError: The answer names no category; its text is not repeated.
            StoreFault, LimitExceeded: It cannot be stored.
        """
        self._store.add(Observation.of(query, query.report(self._person, answer), now_s=now_s))

    def observe_commands(self, query: What, commands: Iterable[Any], *, now_s: float) -> None:
        """Stores the categories of raw commands; what no rule knows leaves no trace.

        Raises:
            PolicyError: The question has no vocabulary.
            StoreFault, LimitExceeded: It cannot be stored.
        """
        labels = [label for command in commands for label in query.sanitised([command])]
        reports = [query.report(self._person, [label]) for label in labels]
        self._store.add([o for r in reports for o in Observation.of(query, r, now_s=now_s)])

    def observe_times(self, query: When, times_s: Iterable[float], *, utc_offset_s: int, now_s: float) -> None:
        """Stores the bins of a rhythm in which the person was active; raises as `bins_of`."""
        bins = bins_of(query, times_s, utc_offset_s=utc_offset_s)
        reports = [query.report(self._person, [b]) for b in bins]
        self._store.add([o for r in reports for o in Observation.of(query, r, now_s=now_s)])

    # -- answering -------------------------------------------------------------------------

    def answer(self, query: CohortQuery, *, mode: str, epsilon: Any, now_s: float) -> Report | RandomisedReports:
        """Returns this person's bounded answer, for one question in one mode.

        The categories that were observed most often count, at most T of them. In the local mode a question
        that was answered before in this period gets the same randomised answer, at no cost.

        Args:
            query: The question.
            mode: "central" and "encrypted" give a `Report` (the latter is what the device proves and
                encrypts: it must not be sent as it is); "local" gives a `RandomisedReports`.
            epsilon: Of the release, as the host announces it.
            now_s: Seconds since the epoch.

        Raises:
            NotAuthorised: No consent holds for statistics about this dimension; nothing was charged.
            BudgetExceeded: This device's budget does not cover it; nothing leaves.
            TypeError, ValueError, PolicyError: epsilon or mode makes no sense.
            StoreFault: Charge or use cannot be recorded; nothing leaves.
        """
        exact("epsilon", epsilon, most=100)
        if mode not in ("central", "encrypted", "local"):
            raise PolicyError(f"mode is {shown(mode)}, expected central, encrypted or local")
        self.consent.require(PURPOSE, query.dimension, now_s=now_s)
        report = self._report(query)
        if mode == "local":
            return self._randomised(query, report, epsilon, now_s)
        loss = CountNoise.calibrate("gaussian", epsilon, self.ledger.delta, query.contributions).loss
        number = self.ledger.checkpoint().index.to_bytes(8, "big")
        asked = digest("zkfed/v1/responded", query.digest, mode.encode(), number)
        with self.ledger.release(self._request(f"{query}, {mode}", asked, loss), now_s=now_s) as slot:
            # Nothing of the answer: even its digest would tell which of a few categories it is.
            slot.store(b"")
            self._record(query, mode, now_s)
        return report

    def _randomised(self, query: CohortQuery, report: Report, epsilon: Any, now_s: float) -> RandomisedReports:
        randomiser = Randomiser.calibrate(query, epsilon)
        asked = digest("zkfed/v1/responded", query.digest, b"local")
        request = self._request(f"{query}, local", asked, PrivacyLoss.pure(randomiser.epsilon))
        with self.ledger.release(request, now_s=now_s) as slot:
            if slot.stored is None:
                data = randomise(query, report, epsilon=epsilon).data
                slot.store(data.tobytes())
            else:
                data = np.frombuffer(slot.stored, np.int64 if randomiser.kind == "one-of" else np.uint8)
                data = data if randomiser.kind == "one-of" else data.reshape(1, -1)
            self._record(query, "local", now_s)
        return RandomisedReports(query.digest, randomiser, (self._person,), data)

    def _report(self, query: CohortQuery) -> Report:
        """Returns the categories that were observed most often."""
        seen = Counter((o.key or query.categories[o.index]) for o in self._store.of(query))
        labels = [label for label, _ in sorted(seen.items(), key=lambda x: (-x[1], x[0]))]
        return query.report(self._person, labels[: query.contributions] or None)

    def _request(self, what: str, asked: bytes, loss: PrivacyLoss) -> Request:
        return Request(what, asked, self.ledger.people([self._person]), loss)

    def _record(self, query: CohortQuery, mode: str, now_s: float) -> None:
        paid = self.ledger.checkpoint().digest
        self.consent.record(PURPOSE, query.dimension, now_s=now_s, detail=f"{query}, {mode}", paid=paid)
