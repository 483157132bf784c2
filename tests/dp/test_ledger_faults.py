"""Killed, torn, unplugged or full at every single write of a release.

Spent without an answer may be; released without being spent never is; the next honest release works.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dp.fault_files import MODES, FaultConnection, FaultFiles, Faults
from tests.dp.test_ledger import NOW, epsilon, open_ledger, request, spend
from zkfed.dp.ledger import Ledger
from zkfed.dp.ledger_file import LedgerFile
from zkfed.errors import StoreFault

PEOPLE = ("a", "b")
Work = Callable[[Ledger, int], None]


def release(ledger: Ledger, out: int) -> None:
    """Asks; the answer leaves the process only when it is stored."""
    os.write(out, spend(ledger, "new", answer=b"released"))


def round_of_two_attempts(ledger: Ledger, out: int) -> None:
    """Reserves a round, opens one attempt (its sum leaves), settles."""
    number = ledger.reserve(request(ledger, "round", loss=0.1), attempts=2, now_s=NOW)
    os.write(out, b"released")
    ledger.settle(number, begun=1, failed=0, now_s=NOW)


def history(folder: Path, *, with_file: bool) -> Path:
    """A ledger that has something to lose; or none, so that making it is among what fails."""
    path = folder / "l.db"
    if with_file:
        ledger = open_ledger(path)
        spend(ledger, "old", loss=0.3, answer=b"old")
        ledger.close()
    return path


def faulty(faults: Faults) -> Callable[[str], FaultConnection]:
    files = FaultFiles(faults)
    return lambda name: FaultConnection(name, files)


def run_in_child(path: Path, work: Work, faults: Faults) -> tuple[bytes, bool]:
    """Returns what left the process, and whether it came to its end."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            LedgerFile._connect = staticmethod(faulty(faults))  # type: ignore[method-assign, assignment]
            work(open_ledger(path), write)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return said, os.waitstatus_to_exitcode(status) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child runs SQLite and nothing else
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("with_file", [True, False], ids=["a ledger with a history", "a new ledger"])
@pytest.mark.parametrize(("work", "cost"), [(release, 0.1), (round_of_two_attempts, 0.1)])
def test_at_every_write(mode: str, with_file: bool, work: Work, cost: float, tmp_path: Path) -> None:
    at, before = 0, 0.3 if with_file else 0.0
    while True:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        path = history(folder, with_file=with_file)
        said, is_done = run_in_child(path, work, Faults(mode, at))
        if mode == "power":
            Path(f"{path}-shm").unlink(missing_ok=True)  # memory that SQLite maps: it does not survive
        ledger = open_ledger(path)  # verifies everything
        spent = epsilon(ledger, *PEOPLE)
        assert spent >= before
        if said:
            assert spent >= before + cost - 1e-12
        assert spent <= before + 2 * cost + 1e-12
        if with_file:
            assert spend(ledger, "old", loss=0.3, answer=b"another") == b"old"
        if work is release and said:
            assert spend(ledger, "new", answer=b"another") == b"released"
        assert spend(ledger, "next", answer=b"honest") == b"honest"
        assert epsilon(ledger, *PEOPLE) == pytest.approx(spent + 0.1)
        ledger.close()
        shutil.rmtree(folder)
        if is_done:
            break
    # A release is two transactions of several writes each, a ledger's making comes on top.
    assert at > (8 if with_file else 16)


def test_a_disk_that_is_full_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is typed, nothing is released, and with space again the same ledger goes on."""
    at, refused = 0, 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        path = history(folder, with_file=True)
        faults = Faults("full", at)
        monkeypatch.setattr(LedgerFile, "_connect", staticmethod(faulty(faults)))
        said = b""
        try:
            ledger = open_ledger(path)
        except StoreFault:
            refused += 1
            monkeypatch.undo()
            open_ledger(path).close()
            continue
        try:
            said = spend(ledger, "new", answer=b"released")
        except StoreFault:
            refused += 1
        faults.at = 1 << 30  # there is space again
        before = epsilon(ledger)
        assert before in (0.3, 0.4)
        assert not said or before == 0.4
        assert spend(ledger, "next", answer=b"honest") == b"honest"
        ledger.verify()
        ledger.close()
        monkeypatch.undo()
        if said:
            break
    assert refused > 4


def test_a_ledger_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = history(tmp_path, with_file=True)
    ledger = open_ledger(path)
    ledger._file._db.execute("PRAGMA query_only = ON")
    before = ledger.checkpoint()
    with pytest.raises(StoreFault):
        spend(ledger, "new")
    assert ledger.checkpoint() == before
    ledger._file._db.execute("PRAGMA query_only = OFF")
    assert spend(ledger, "new") == b"42"


def test_an_answer_that_cannot_be_stored_does_not_leave(tmp_path: Path) -> None:
    path = history(tmp_path, with_file=True)
    ledger = open_ledger(path)
    with ledger.release(request(ledger, "new"), now_s=NOW) as slot:
        ledger._file._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreFault):
            slot.store(b"released")
    ledger._file._db.execute("PRAGMA query_only = OFF")
    assert epsilon(ledger) == 0.4
    assert spend(ledger, "new", answer=b"second") == b"second"
