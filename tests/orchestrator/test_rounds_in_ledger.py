"""The rounds of a federation and the statistics about the same people spend one budget, whatever happens to either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zkfed
from tests.layers.parties import make_policy, proving_keys
from zkfed.dp.ledger import Ledger
from zkfed.errors import BudgetExceeded, IntegrityError, PolicyError, StoreFault, TransportError
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.client import Client
from zkfed.orchestrator.events import AttemptFailed, Released
from zkfed.orchestrator.options import Options

DELTA = 1e-6
DEVICES = 3
PEOPLE = [f"person {i}" for i in range(DEVICES)]


def ledger_at(path: Path | None, epsilon: float = 100.0) -> Ledger:
    return Ledger(path, epsilon_max=epsilon, delta=DELTA, period="lifetime")


def federation(ledger: Ledger, *, people: Any = PEOPLE, **more: Any) -> zkfed.LocalFederation:
    options = Options(keys=proving_keys(), ledger=ledger, people=people, **more)
    return zkfed.LocalFederation(make_policy(), DEVICES, options=options)


def spent(ledger: Ledger, *people: str) -> float:
    return ledger.spent(ledger.people(people or PEOPLE), now_s=0).epsilon


def test_a_round_is_charged_to_everybody_enrolled(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "l.db")
    run = federation(ledger)
    released = [e for e in run.run(rounds=2) if isinstance(e, Released)]
    assert len(released) == 2
    assert spent(ledger) == pytest.approx(run.spending.total()[0])
    assert [e.kind for e in ledger.entries()] == ["reserve", "settle"] * 2
    assert f"by the ledger, over all periods ({spent(ledger):.4g}, 1e-06)" in run.guarantee()
    # A restart with the same policy goes on where the ledger stands.
    again = federation(ledger_at(tmp_path / "l.db"))
    assert (again.spending.rounds, again.spending.total()) == (2, run.spending.total())


def test_statistics_and_rounds_add_up() -> None:
    ledger = ledger_at(None, 16.0)
    run = federation(ledger)
    list(run.run(rounds=1))
    rounds_alone = spent(ledger)
    query = zkfed.How("method", ["a", "b"], k=2)
    cohort = zkfed.Cohort(ledger, epsilon_per_person=16.0, delta=DELTA)
    answer = cohort.ask(query, query.reports([(p, "a") for p in (*PEOPLE[:2], "somebody else")]), epsilon=1)
    assert answer.cost.spent == spent(ledger, PEOPLE[0]) > rounds_alone
    assert spent(ledger, PEOPLE[2]) == rounds_alone
    assert spent(ledger, "somebody else") < 1.01


def test_a_round_beyond_the_budget_does_not_begin() -> None:
    ledger = ledger_at(None, 5.0)
    run = federation(ledger)
    cohort = zkfed.Cohort(ledger, epsilon_per_person=5.0, delta=DELTA)
    query = zkfed.How("method", ["a", "b"], k=2)
    cohort.ask(query, query.reports([(p, "a") for p in PEOPLE]), epsilon=4.5)
    before = ledger.checkpoint()
    with pytest.raises(BudgetExceeded):
        list(run.run(rounds=1))
    assert ledger.checkpoint() == before
    assert run.transcript.rounds == []


def test_failed_attempts_are_charged() -> None:
    class Stuffed(Client):
        """Proves one update and encrypts another."""

        def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
            current = self.device._current()
            if not current.proof:
                current.proof = self.device._prove(current)
            current.update.integers[:] = 0
            return super().seal(announcement, encryption_key)

    ledger = ledger_at(None)
    run = federation(ledger, make_client=lambda i, d, s: (Stuffed if i == 0 else Client)(d, s))
    events = list(run.run(rounds=1))
    assert any(isinstance(e, AttemptFailed) for e in events)
    totals = ledger.rounds(run.spending.account.question)  # type: ignore[union-attr]
    assert totals.failed >= 1
    assert totals.begun == run.spending.view("holder").attempts
    assert spent(ledger) == pytest.approx(run.spending.total()[0])


def test_a_sum_that_may_have_been_decrypted_is_paid() -> None:
    """The key holder decrypts and says nothing: the attempt is spent, the rest of the reservation is not."""
    ledger = ledger_at(None)
    run = federation(ledger)
    honest = run._holder.open

    def silent(*args: Any, **more: Any) -> bytes:
        honest(*args, **more)
        raise TransportError("lost")

    run._holder.open = silent  # type: ignore[method-assign]
    with pytest.raises((TransportError, IntegrityError)):
        list(run.run(rounds=1))
    assert spent(ledger) > 0


def test_a_process_that_dies_in_a_round_has_spent_all_attempts(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "l.db")
    run = federation(ledger)
    events = run.run(rounds=1)
    next(events)
    ledger.close()  # the process is gone; its generator never ends the round
    again = federation(ledger_at(tmp_path / "l.db"))
    assert again.spending.view("holder").attempts == make_policy().attempts
    with pytest.raises(StoreFault):
        events.close()


def test_a_rollback_of_the_model_gives_nothing_back() -> None:
    ledger = ledger_at(None)
    run = federation(ledger)
    list(run.run(rounds=1))
    before = spent(ledger)
    run.base = np.zeros_like(run.base)
    run.transcript = Transcript(run.agreement, run.base)
    assert spent(ledger) == before
    assert federation(ledger).spending.total()[0] == pytest.approx(before)


def test_each_device_has_a_person() -> None:
    with pytest.raises(PolicyError, match="2 people behind 3 devices"):
        federation(ledger_at(None), people=PEOPLE[:2])
    unnamed = federation(ledger_at(None), people=None)
    assert len(unnamed.spending.account.people) == DEVICES  # type: ignore[union-attr]


def test_without_a_ledger_the_guarantee_says_so() -> None:
    run = zkfed.LocalFederation(make_policy(), DEVICES, options=Options(keys=proving_keys()))
    assert "there is no ledger" in run.guarantee()
