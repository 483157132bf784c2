"""What a careless or hostile caller of the ledger tries: late answers, odd cohorts, triggers, two names of one file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.dp.test_ledger import DELTA, NOW, open_ledger, spend
from zkfed.dp.ledger import Ledger, People, Request
from zkfed.dp.loss import PrivacyLoss
from zkfed.errors import BudgetExceeded, DecodeError, LedgerCorrupt, PolicyError


def request(ledger: Ledger, question: int, loss: PrivacyLoss | None = None) -> Request:
    return Request("q", bytes([question] * 32), ledger.people(["ada"]), loss or PrivacyLoss.pure(0.1))


def test_an_answer_after_the_end_is_refused_and_the_ledger_opens(tmp_path: Path) -> None:
    """Outside the critical section it would be written behind later entries, and nobody could open the ledger."""
    ledger = open_ledger(tmp_path / "l.db")
    with ledger.release(request(ledger, 1), now_s=NOW) as slot:
        pass
    with ledger.release(request(ledger, 2), now_s=NOW + 10**8) as later:
        later.store(b"2")
    with pytest.raises(PolicyError, match="has ended"):
        slot.store(b"1")
    ledger.close()
    assert len(list(open_ledger(tmp_path / "l.db").entries())) == 3


def test_a_cohort_has_one_form(tmp_path: Path) -> None:
    """In another order it would be another cohort, and a person who stands there twice would be two."""
    a, b = open_ledger(tmp_path / "l.db").people(["ada", "bob"]).pseudonyms()
    for members in (b + a, a + a):
        with pytest.raises(DecodeError, match="one form"):
            People(members)
    assert len(People(a + b)) == 2


def test_a_loss_that_could_not_be_read_again_is_refused_before_it_is_written(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "l.db")
    loss = PrivacyLoss.gaussian(Fraction(1, 3**9000))
    with pytest.raises(PolicyError, match="nothing was charged"), ledger.release(request(ledger, 1, loss), now_s=NOW):
        pass
    spend(ledger, "1")
    ledger.close()
    assert len(list(open_ledger(tmp_path / "l.db").entries())) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM entry WHERE idx = new.idx; END",
        "CREATE TABLE other (x)",
        "ALTER TABLE entry ADD COLUMN x INT",
    ],
)
def test_a_ledger_with_a_trigger_or_another_table_does_not_open(statement: str, tmp_path: Path) -> None:
    """The trigger would take every charge out again as soon as it is written, and the chain would hold."""
    open_ledger(tmp_path / "l.db").close()
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute(statement)
    db.close()
    with pytest.raises(LedgerCorrupt, match="triggers"):
        open_ledger(tmp_path / "l.db")


def test_the_database_of_another_program_is_no_ledger(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(LedgerCorrupt, match="no ledger"):
        open_ledger(tmp_path / "l.db")


def test_two_names_of_one_file_have_one_gate(tmp_path: Path) -> None:
    path, link = tmp_path / "l.db", tmp_path / "link.db"
    first = open_ledger(path)
    link.symlink_to(path)
    second = open_ledger(link)
    order: list[str] = []
    inside = threading.Event()

    def other() -> None:
        inside.wait(60)
        with second.release(request(second, 2), now_s=NOW) as slot:
            order.append("second")
            slot.store(b"2")

    thread = threading.Thread(target=other)
    thread.start()
    with first.release(request(first, 1), now_s=NOW) as slot:
        inside.set()
        thread.join(0.5)  # without the gate it is in by now
        order.append("first")
        slot.store(b"1")
    thread.join(60)
    assert order == ["first", "second"]
    assert not (tmp_path / "link.db-lock").exists()


def test_a_ledger_named_memory_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's name for a database in memory would be a durable ledger that forgets."""
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger(Path(":memory:"))
    spend(ledger, "1")
    ledger.close()
    assert len(list(open_ledger(Path(":memory:")).entries())) == 2


@pytest.mark.parametrize("ids", ["alice", ["\ud800"], [1], []])
def test_what_names_nobody_is_refused(ids: list[str]) -> None:
    """A single string would charge a person for every letter."""
    with pytest.raises(DecodeError):
        open_ledger(None).people(ids)


def test_a_loss_beyond_all_budgets_is_refused_like_any_other() -> None:
    """The message of the refusal converts it too: it must not end in the library's overflow."""
    ledger, loss = open_ledger(None), PrivacyLoss.gaussian(1e300)
    with pytest.raises(BudgetExceeded, match="inf"), ledger.release(request(ledger, 1, loss), now_s=NOW):
        pass
    unlimited = Ledger(None, epsilon_max=None, delta=DELTA)
    with unlimited.release(request(unlimited, 1, loss), now_s=NOW) as slot:
        slot.store(b"1")
    assert unlimited.spent(unlimited.people(["ada"]), now_s=NOW).epsilon == float("inf")


def test_an_interrupt_between_the_disk_and_the_sums_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums have the entry, the ledger does not know it yet: read once more, it must not be added twice."""
    ledger = open_ledger(tmp_path / "l.db")
    charge = ledger._totals.charge

    def interrupted(cohort: bytes, loss: PrivacyLoss, load: Callable[[bytes], People]) -> None:
        charge(cohort, loss, load)
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger._totals, "charge", interrupted)
    with pytest.raises(KeyboardInterrupt), ledger.release(request(ledger, 1), now_s=NOW):
        pass
    monkeypatch.undo()
    people = ledger.people(["ada"])
    here, anew = ledger.spent(people, now_s=NOW), open_ledger(tmp_path / "l.db").spent(people, now_s=NOW)
    assert here == anew
    assert here.epsilon == pytest.approx(0.1)  # the interrupted one is on the disk, so it is spent


def forged(ledger: Ledger, of: int, **changes: Any) -> None:
    """Appends a copy of an entry with a true chain, as somebody would who can write the file."""
    entry = replace(list(ledger.entries())[of], index=ledger._count, previous=ledger._head, **changes)
    ledger._file.append(entry.index, entry.encode(), cohort=None, answer=None)


@pytest.mark.parametrize(
    ("of", "changes", "said"),
    [
        (0, {"time_s": NOW - 1}, "does not continue"),
        (0, {"period": "2023-Q3"}, "does not continue"),
        (1, {}, "a second time"),
    ],
    ids=["earlier", "earlier period", "second answer"],
)
def test_a_well_chained_entry_that_could_not_be_is_found(
    of: int, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    ledger = open_ledger(tmp_path / "l.db")
    spend(ledger, "1")
    forged(ledger, of, **changes)
    ledger.close()
    with pytest.raises(LedgerCorrupt, match=said):
        open_ledger(tmp_path / "l.db")


def test_work_grows_with_the_releases_and_not_with_releases_times_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 people, 1,000 releases: the cohort is walked once for all, and a release costs as much as the first."""
    walks, additions = [0], [0]
    walk, add = People.pseudonyms, PrivacyLoss.__add__

    def walked(people: People) -> list[bytes]:
        walks[0] += 1
        return walk(people)

    def added(loss: PrivacyLoss, other: PrivacyLoss) -> PrivacyLoss:
        additions[0] += 1
        return add(loss, other)

    ledger = Ledger(None, epsilon_max=1000, delta=DELTA)
    people = ledger.people(str(i) for i in range(100_000))
    monkeypatch.setattr(People, "pseudonyms", walked)
    monkeypatch.setattr(PrivacyLoss, "__add__", added)
    seen = []
    for number in range(1000):
        one = Request("q", number.to_bytes(32, "big"), people, PrivacyLoss.gaussian(Fraction(1, 1000)))
        with ledger.release(one, now_s=NOW) as slot:
            slot.store(b"1")
        seen.append((walks[0], additions[0]))
    first, last = seen[0], seen[-1]
    assert 0 < first[0] <= 4
    assert last[0] == first[0], "a cohort that is known is walked again"
    assert last[1] == 1000 * first[1], "a release costs more additions than the first"
