"""An edited, cut, swapped or restored ledger does not open; one that ends early is found by a checkpoint."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dp.test_ledger import DELTA, NOW, open_ledger, spend
from zkfed.dp.entries import Checkpoint, Entry
from zkfed.dp.ledger import Ledger
from zkfed.dp.loss import PrivacyLoss
from zkfed.errors import DecodeError, LedgerCorrupt, PolicyError, ZkfedError

# -- edits and old copies --------------------------------------------------------------------------


def edited(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as db:
        assert db.execute(statement, values).rowcount >= 1
    db.close()


def replaced_entry(path: Path, **changes: Any) -> None:
    """Writes entry 0 anew with another content, as somebody would who knows the format."""
    with sqlite3.connect(path) as db:
        body = bytes(db.execute("SELECT body FROM entry WHERE idx = 0").fetchone()[0])
        entry = dataclasses.replace(Entry.decode(body), **changes)
        db.execute("UPDATE entry SET body = ? WHERE idx = 0", (entry.encode(),))
    db.close()


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: edited(p, "DELETE FROM entry WHERE idx = 0"),
        lambda p: edited(p, "DELETE FROM entry WHERE idx = 1"),
        lambda p: edited(p, "UPDATE entry SET idx = 9 WHERE idx = 3"),
        lambda p: edited(p, "UPDATE entry SET body = x'00' WHERE idx = 2"),
        lambda p: replaced_entry(p, loss=PrivacyLoss.pure(0.01)),
        lambda p: replaced_entry(p, question=bytes(32)),
        lambda p: replaced_entry(p, period="2023-Q3"),
        lambda p: replaced_entry(p, time_s=NOW - 1),
        lambda p: replaced_entry(p, kind="settle"),
        lambda p: edited(p, "UPDATE cohort SET members = x'00112233445566778899aabbccddeeff'"),
        lambda p: edited(p, "UPDATE cohort SET members = x'00'"),
        lambda p: edited(p, "DELETE FROM cohort"),
        lambda p: edited(p, "UPDATE answer SET body = x'00'"),
        lambda p: edited(p, "DELETE FROM answer"),
        lambda p: edited(p, "DELETE FROM header"),
        lambda p: edited(p, "UPDATE header SET body = x'00'"),
        lambda p: edited(p, "INSERT INTO header SELECT body FROM header"),
        lambda p: p.write_bytes(b"not a database, but long enough to be taken for one" * 40),
        lambda p: edited(p, "INSERT INTO entry SELECT 4, body FROM entry WHERE idx = 0"),
    ],
)  # fmt: skip
def test_an_edited_ledger_does_not_open(edit: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    ledger = open_ledger(path)
    spend(ledger, "1")
    spend(ledger, "2")
    ledger.close()
    edit(path)
    with pytest.raises(LedgerCorrupt):
        open_ledger(path)


def test_the_last_entries_are_missed_by_a_checkpoint(tmp_path: Path) -> None:
    """A chain cannot see that it ends early; whoever keeps a checkpoint can."""
    path = tmp_path / "l.db"
    ledger = open_ledger(path)
    spend(ledger, "1")
    spend(ledger, "2")
    checkpoint = ledger.checkpoint()
    ledger.close()
    edited(path, "DELETE FROM entry WHERE idx >= 2")
    open_ledger(path).close()
    with pytest.raises(LedgerCorrupt, match="old copy"):
        open_ledger(path, checkpoint=checkpoint)


def test_another_history_of_equal_length_is_found(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    ledger = open_ledger(path)
    spend(ledger, "1", loss=0.4)
    checkpoint = ledger.checkpoint()
    salt = ledger._salt
    ledger.close()
    edited(path, "DELETE FROM entry")
    again = open_ledger(path)
    assert again._salt == salt
    spend(again, "1", loss=0.01)
    again.close()
    with pytest.raises(LedgerCorrupt, match="not those of the checkpoint"):
        open_ledger(path, checkpoint=checkpoint)


def test_a_fresh_ledger_is_no_continuation(tmp_path: Path) -> None:
    checkpoint = open_ledger(tmp_path / "a.db").checkpoint()
    with pytest.raises(LedgerCorrupt, match="another ledger"):
        open_ledger(tmp_path / "b.db", checkpoint=checkpoint)
    assert Checkpoint.decode(checkpoint.encode()) == checkpoint
    for wrong in (checkpoint.encode()[:-1], checkpoint.encode() + b"\0"):
        with pytest.raises(DecodeError):
            Checkpoint.decode(wrong)


@pytest.mark.parametrize("other", [{"epsilon": 2.0}, {"epsilon": None}, {"period": "day"}])
def test_a_budget_is_not_changed(other: dict[str, Any], tmp_path: Path) -> None:
    open_ledger(tmp_path / "l.db").close()
    with pytest.raises(PolicyError, match="a budget is not changed"):
        open_ledger(tmp_path / "l.db", **other)


@pytest.mark.parametrize(
    "values",
    [
        {"epsilon_max": 0}, {"epsilon_max": math.nan}, {"epsilon_max": True}, {"epsilon_max": "1"}, {"delta": 0},
        {"delta": 1}, {"delta": math.inf}, {"delta": None}, {"period": "fortnight"}, {"period": None},
    ],
)  # fmt: skip
def test_a_budget_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, ZkfedError)):
        Ledger(None, **({"epsilon_max": 1.0, "delta": DELTA} | values))
