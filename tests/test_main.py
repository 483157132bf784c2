"""`python -m zkfed`: exit code 0 if a record holds, 1 and the error's code if not, 2 for wrong usage."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from tests.layers.own_rows import OwnCohort
from tests.layers.parties import Cohort, make_policy
from zkfed.__main__ import main
from zkfed.layers.certificate import Certificate, certificates
from zkfed.layers.transcript import Transcript


@functools.cache
def cohort() -> Cohort:
    out = Cohort()
    out.honest_round()
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cohort().transcript.save(tmp_path / "transcript")
    return tmp_path / "transcript"


def last_object(folder: Path) -> Path:
    name = (folder / "index").read_bytes()[-32:].hex()
    return folder / "objects" / name


def test_a_record_that_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("holds: 1 rounds, checked in ")
    assert "a record says nothing about who made it" in out
    assert f"last round  {Transcript.load(folder).rounds[-1].digest.hex()}" in out
    (certificate,) = certificates(Transcript.load(folder))
    assert isinstance(certificate, Certificate)
    assert f"{certificate}\n" in out
    assert err == ""


def test_a_record_whose_sums_compose_to_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = Cohort(make_policy(server_rate=2.0))
    cohort.honest_round()
    cohort.transcript.save(tmp_path)
    assert main(["check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "round 1: no certificate for the sum: the server's step is 2 times the mean" in out
    assert "at least" not in out


def test_a_record_about_own_rows_names_who_stopped_a_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = OwnCohort()
    opened = cohort.committed()
    cohort.reveals = (cohort.adder.reveal(),)
    cohort.close([opened])
    cohort.honest_round()
    cohort.transcript.save(tmp_path)
    assert main(["check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "own rows    4 drawn of 16, 3 clients" in out
    assert cohort.registry.root.hex() in out
    assert "round 1: nothing was summed: the key holder did not open the beacon nonce" in out
    assert "round 2: nothing was summed" not in out


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def renamed(path: Path) -> None:
    path.rename(path.with_name("ab" * 32))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def missing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "code"),
    [(changed, "integrity"), (renamed, "store-fault"), (truncated, "integrity"), (missing, "store-fault")],
)
def test_a_record_that_was_damaged(folder: Path, capsys: pytest.CaptureFixture[str], damage: object, code: str) -> None:
    damage(last_object(folder))  # type: ignore[operator]
    assert main(["check", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{code}: ")
    assert err.count("\n") == 1
    assert str(folder) not in err


def test_a_folder_that_is_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("store-fault: ")
    (tmp_path / "index").write_bytes(b"\0\0\0\x05hello")
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("decode: ")


@pytest.mark.parametrize("arguments", [[], ["check"], ["open", "x"], ["check", "a", "b"], ["check", "--force", "x"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: ")
    assert re.search(r"; see `python -m zkfed (check )?--help`\n$", err)
    assert err.count("\n") == 1


def test_the_backends_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("reference" in line and "bls12-381" in line for line in lines)
    assert sum(line.startswith("*") for line in lines) >= 1
