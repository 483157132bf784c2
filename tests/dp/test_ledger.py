"""The ledger: what was spent stays spent, to the last bit, over processes, periods, restarts and edits."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zkfed.dp.entries import period_of
from zkfed.dp.ledger import Ledger, Request
from zkfed.dp.loss import PrivacyLoss
from zkfed.errors import BudgetExceeded, PolicyError, StoreFault

DELTA = 1e-6
NOW = 1_700_000_000
DAY = 86400


def open_ledger(path: Path | None = None, *, epsilon: Any = 1.0, period: str = "quarter", **more: Any) -> Ledger:
    return Ledger(path, epsilon_max=epsilon, delta=DELTA, period=period, **more)


def request(ledger: Ledger, question: str = "q", *, people: Any = ("a", "b"), loss: Any = 0.1) -> Request:
    cost = loss if isinstance(loss, PrivacyLoss) else PrivacyLoss.pure(loss)
    return Request(question, hashlib.sha256(question.encode()).digest(), ledger.people(people), cost)


def spend(ledger: Ledger, question: str = "q", *, now: float = NOW, answer: bytes = b"42", **more: Any) -> bytes:
    with ledger.release(request(ledger, question, **more), now_s=now) as slot:
        if slot.stored is None:
            slot.store(answer)
            return answer
        return slot.stored


def epsilon(ledger: Ledger, *people: str, now: float = NOW) -> float:
    return ledger.spent(ledger.people(people or ("a", "b")), now_s=now).epsilon


# -- spending --------------------------------------------------------------------------------------


def test_spent_on_disk_is_spent_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    ledger = open_ledger(path)
    for number in range(10):
        spend(ledger, f"q{number}")
    for one in (ledger, open_ledger(path)):
        with pytest.raises(BudgetExceeded, match="Nothing was spent"):
            spend(one, "q11")
        assert epsilon(one) == 1.0
        assert spend(one, "q3") == b"42"


def test_a_charge_without_an_answer_stays_spent_and_is_asked_anew() -> None:
    ledger = open_ledger()
    with pytest.raises(KeyError), ledger.release(request(ledger), now_s=NOW):
        raise KeyError("the mechanism broke")
    assert epsilon(ledger) == 0.1
    assert spend(ledger) == b"42"
    assert epsilon(ledger) == 0.2


def test_an_answer_is_stored_once() -> None:
    ledger = open_ledger()
    with ledger.release(request(ledger), now_s=NOW) as slot:
        slot.store(b"1")
        with pytest.raises(PolicyError):
            slot.store(b"2")
    with ledger.release(request(ledger), now_s=NOW) as slot:
        assert slot.stored == b"1"
        with pytest.raises(PolicyError):
            slot.store(b"2")


def test_releases_do_not_nest() -> None:
    ledger = open_ledger()
    with ledger.release(request(ledger), now_s=NOW) as slot:
        for call in (
            lambda: spend(ledger, "other"),
            lambda: ledger.reserve(request(ledger), attempts=1, now_s=NOW),
        ):
            with pytest.raises(PolicyError):
                call()
        slot.store(b"1")
    assert spend(ledger, "other") == b"42"


@pytest.mark.parametrize("other", [{"loss": 0.2}, {"people": ("a",)}, {"people": ("a", "b", "c")}])
def test_a_repeat_is_equal_in_question_people_and_loss(other: dict[str, Any]) -> None:
    ledger = open_ledger()
    spend(ledger, answer=b"first")
    assert spend(ledger, answer=b"second", **other) == b"second"
    assert spend(ledger, answer=b"third") == b"first"
    assert spend(ledger, answer=b"third", people=("b", "a", "a")) == b"first"


def test_everybody_pays_for_what_they_were_in() -> None:
    ledger = open_ledger(epsilon=None)
    spend(ledger, "1", people=("a", "b", "c"), loss=0.1)
    spend(ledger, "2", people=("b", "c", "d"), loss=0.2)
    spend(ledger, "3", people=("c", "e"), loss=0.4)
    spend(ledger, "4", people=("a", "b", "c"), loss=0.8)
    paid = {p: Fraction(str(epsilon(ledger, p))) for p in "abcdef"}
    assert paid == {p: Fraction(x) / 10 for p, x in zip("abcdef", (9, 11, 15, 2, 4, 0), strict=True)}
    assert epsilon(ledger, *"abcdef") == 1.5


def test_pure_and_gaussian_losses_add_up_in_zcdp() -> None:
    ledger = open_ledger(epsilon=4.0)
    spend(ledger, "1", loss=0.5)
    spend(ledger, "2", loss=PrivacyLoss.gaussian(0.01))
    expected = PrivacyLoss.gaussian(Fraction(1, 8) + Fraction(0.01)).at(DELTA)
    spent = ledger.spent(ledger.people(("a",)), now_s=NOW)
    assert spent.epsilon == expected
    assert spent.mu == pytest.approx(math.sqrt(2 * (0.125 + 0.01)))


# -- periods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("day", "2023-11-14"), ("week", "2023-W46"), ("month", "2023-11"), ("quarter", "2023-Q4"), ("year", "2023"),
        ("lifetime", "lifetime"),
    ],
)  # fmt: skip
def test_periods_have_names_that_sort(kind: str, name: str) -> None:
    assert period_of(kind, NOW) == name
    names = [period_of(kind, NOW + 3 * DAY * i) for i in range(500)]
    assert names == sorted(names)


def test_a_new_period_has_a_new_budget_and_the_lifetime_adds_up() -> None:
    ledger = open_ledger()
    spend(ledger, loss=0.9)
    later = NOW + 100 * DAY
    assert epsilon(ledger, now=later) == 0.0
    assert spend(ledger, loss=0.9, now=later, answer=b"new") == b"new"
    spent = ledger.spent(ledger.people(("a",)), now_s=later)
    assert (spent.period, spent.epsilon, spent.lifetime_epsilon) == ("2024-Q1", 0.9, 1.8)


def test_a_clock_that_goes_back_stays_in_the_later_period() -> None:
    ledger = open_ledger()
    spend(ledger, "1", loss=0.9, now=NOW + 100 * DAY)
    with pytest.raises(BudgetExceeded, match="2024-Q1"):
        spend(ledger, "2", loss=0.9, now=NOW)
    assert epsilon(ledger, now=NOW) == 0.9
    spend(ledger, "3", loss=0.1, now=NOW)
    times = [e.time_s for e in ledger.entries()]
    assert times == sorted(times)


@pytest.mark.parametrize("now", [math.nan, math.inf, -1, 1 << 40, True, "0", None])
def test_a_time_is_seconds(now: Any) -> None:
    ledger = open_ledger()
    with pytest.raises((TypeError, ValueError)):
        spend(ledger, now=now)
    assert spend(ledger) == b"42"


# -- rounds ----------------------------------------------------------------------------------------


def test_a_round_pays_all_attempts_and_gets_back_what_was_not_begun() -> None:
    ledger = open_ledger()
    number = ledger.reserve(request(ledger, loss=0.3), attempts=3, bits=1, now_s=NOW)
    assert epsilon(ledger) == 0.9
    with pytest.raises(BudgetExceeded):
        ledger.reserve(request(ledger, loss=0.3), attempts=1, now_s=NOW)
    ledger.settle(number, begun=1, failed=1, now_s=NOW)
    assert epsilon(ledger) == 0.3
    totals = ledger.rounds(request(ledger).question)
    assert (totals.rounds, totals.begun, totals.failed, totals.bits) == (1, 1, 1, 1)
    with pytest.raises(PolicyError):
        ledger.settle(number, begun=1, failed=1, now_s=NOW)


def test_a_round_that_never_ends_has_spent_everything(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "l.db")
    number = ledger.reserve(request(ledger, loss=0.3), attempts=3, now_s=NOW)
    ledger.close()
    again = open_ledger(tmp_path / "l.db")
    assert epsilon(again) == 0.9
    with pytest.raises(PolicyError):  # another process may still run it
        again.settle(number, begun=0, failed=0, now_s=NOW)


def test_what_comes_back_in_a_later_period_does_not_lower_it() -> None:
    ledger = open_ledger()
    number = ledger.reserve(request(ledger, loss=0.3), attempts=3, now_s=NOW)
    later = NOW + 100 * DAY
    spend(ledger, "new", loss=0.2, now=later)
    ledger.settle(number, begun=1, failed=0, now_s=later)
    spent = ledger.spent(ledger.people(("a",)), now_s=later)
    assert (spent.epsilon, spent.lifetime_epsilon) == (0.2, 0.5)


@pytest.mark.parametrize(("begun", "failed"), [(4, 0), (1, 2), (-1, -1)])
def test_a_settlement_that_cannot_be_is_refused(begun: int, failed: int) -> None:
    ledger = open_ledger()
    number = ledger.reserve(request(ledger, loss=0.3), attempts=3, now_s=NOW)
    before = ledger.checkpoint()
    with pytest.raises(PolicyError):
        ledger.settle(number, begun=begun, failed=failed, now_s=NOW)
    assert ledger.checkpoint() == before
    ledger.settle(number, begun=3, failed=0, now_s=NOW)


# -- a plain model ---------------------------------------------------------------------------------


class Model(RuleBasedStateMachine):
    """Any sequence of releases equals adding up fractions in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = open_ledger(epsilon=2)
        self.paid: dict[tuple[str, str], Fraction] = {}
        self.answers: dict[Any, bytes] = {}
        self.now, self.period = NOW, period_of("quarter", NOW)

    @rule(
        people=st.sets(st.sampled_from("abcdef"), min_size=1),
        tenths=st.integers(1, 9),
        question=st.sampled_from("xyz"),
        shift=st.sampled_from([0, 0, 0, -40 * DAY, 40 * DAY]),
    )  # fmt: skip
    def ask(self, people: set[str], tenths: int, question: str, shift: int) -> None:
        self.now += shift
        if self.answers or self.paid:
            self.period = max(self.period, period_of("quarter", self.now))
        else:
            self.period = period_of("quarter", self.now)
        key = (question, frozenset(people), tenths, self.period)
        is_covered = all(self.paid.get((p, self.period), Fraction(0)) + Fraction(tenths, 10) <= 2 for p in people)
        new = f"{len(self.answers)}".encode()
        try:
            got = spend(self.ledger, question, now=self.now, answer=new, people=people, loss=Fraction(tenths, 10))
        except BudgetExceeded:
            assert key not in self.answers
            assert not is_covered
            return
        assert got == self.answers.setdefault(key, new)
        if got == new:
            assert is_covered
            for p in people:
                self.paid[p, self.period] = self.paid.get((p, self.period), Fraction(0)) + Fraction(tenths, 10)

    @invariant()
    def everybody_has_paid_what_the_dictionary_says(self) -> None:
        for p in "abcdef":
            spent = self.ledger.spent(self.ledger.people([p]), now_s=self.now)
            here = sum((x for (q, name), x in self.paid.items() if (q, name) == (p, spent.period)), Fraction(0))
            assert Fraction(str(spent.epsilon)) == here <= 2


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


# -- many at once, and a disk that does not take it ------------------------------------------------


def test_64_threads_never_exceed_the_budget(tmp_path: Path) -> None:
    ledger, released = open_ledger(tmp_path / "l.db"), list[int]()

    def run(number: int) -> None:
        try:
            spend(ledger, f"q{number}")
            released.append(number)
        except BudgetExceeded:
            pass

    threads = [threading.Thread(target=run, args=(i,)) for i in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(released) == 10
    assert epsilon(open_ledger(tmp_path / "l.db")) == 1.0


def _worker(path: str, number: int, out: Any) -> None:
    ledger, released = open_ledger(Path(path)), 0
    for i in range(4):
        try:
            spend(ledger, f"{number}/{i}")
            released += 1
        except BudgetExceeded:
            pass
    spend_again = spend(ledger, f"{number}/0") if released == 4 else b"42"
    out.put((released, spend_again))


def test_8_processes_never_exceed_the_budget(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    workers = [context.Process(target=_worker, args=(str(tmp_path / "l.db"), i, out)) for i in range(8)]
    for w in workers:
        w.start()
    results = [out.get(timeout=120) for _ in workers]
    for w in workers:
        w.join()
    assert sum(released for released, _ in results) == 10
    ledger = open_ledger(tmp_path / "l.db")
    assert epsilon(ledger) == 1.0
    assert sum(e.kind == "charge" for e in ledger.entries()) == 10


def test_a_fork_does_not_go_on_with_an_open_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(tmp_path / "l.db")
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(StoreFault, match="another process"):
        spend(ledger)


def test_a_folder_or_a_missing_one_is_no_ledger(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "l.db"):
        with pytest.raises(StoreFault):
            open_ledger(path)


def test_secrets_do_not_show(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "l.db")
    spend(ledger, people=("anna karenina", "b"), answer=b"the answer")
    shown = repr(ledger) + repr(list(ledger.entries())) + str(ledger.checkpoint()) + repr(request(ledger))
    assert not any(word in shown for word in ("anna", "the answer", ledger._salt.hex()))
    assert b"anna" not in (tmp_path / "l.db").read_bytes() + (tmp_path / "l.db-wal").read_bytes()
