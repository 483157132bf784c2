"""Shows `zkfed inspect` on a book of consents, a ledger in use and messages cut off, and `keys setup` onto a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers.parties import Cohort
from tests.orchestrator.test_rounds_in_ledger import ledger_at
from zkfed.cli.inspect import describe
from zkfed.cli.main import main
from zkfed.device.consent import ConsentBook
from zkfed.errors import DecodeError, IntegrityError


def test_a_book_of_consents_is_counted_and_not_told(tmp_path: Path) -> None:
    path = tmp_path / "book"
    book = ConsentBook(path, version=1)
    book.grant("training", "model", now_s=1000)
    found = describe(path)
    assert (found["kind"], found["entries"], found["head"]) == ("book of consents", 1, book.head.hex())
    assert "training" not in str(found)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="ends inside an entry"):
        describe(path)


def test_a_ledger_is_told_while_it_is_in_use(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "ledger")
    try:
        assert describe(tmp_path / "ledger")["kind"] == "privacy ledger"
    finally:
        ledger.close()
    assert describe(tmp_path / "ledger")["kind"] == "privacy ledger"


def test_no_message_that_was_cut_off_passes_for_a_whole_one(tmp_path: Path) -> None:
    cohort = Cohort()
    cohort.honest_round()
    cohort.transcript.save(tmp_path)
    for whole in [tmp_path / "index", *(tmp_path / "objects").iterdir()]:
        assert describe(whole)["kind"]
        cut = tmp_path / "cut"
        for data in (whole.read_bytes()[:-1], whole.read_bytes()[:-9], whole.read_bytes() + b"\0"):
            cut.write_bytes(data)
            with pytest.raises(DecodeError):
                describe(cut)


def test_keys_are_not_set_up_onto_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.touch()
    assert main(["keys", "setup", "--features", "2", "--classes", "1", "--rows", "8", "--out", str(path)]) == 1
    assert capsys.readouterr().err == "store-fault: the folder file cannot be made: File exists\n"
