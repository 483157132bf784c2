"""A transcript on disk: what is read is what was written, or an error; and `python -m zkfed check` says so.

The folder is content-addressed, so a changed file has another name. Somebody who also writes a new index
gets past that, and then meets the checks of signatures and proofs.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.parties import Cohort
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, IntegrityError, KeyRefused, PolicyError, StoreFault, ZkfedError
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript, outcome_of

HEAD = ("policy", "benchmark", "enrolled", "improvement-key", "noise-key", "base")


@functools.cache
def cohort() -> Cohort:
    out = Cohort()
    for _ in range(2):
        out.honest_round()
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cohort().transcript.save(tmp_path / "transcript")
    return tmp_path / "transcript"


def names_of(folder: Path) -> list[bytes]:
    r = Reader((folder / "index").read_bytes(), "zkfed/v1/transcript")
    names = r.list(100, exact=32)
    r.finish()
    return names


def replace_object(folder: Path, position: int, data: bytes) -> None:
    """Writes another object and an index that names it, as a forger would."""
    names = names_of(folder)
    names[position] = digest("zkfed/v1/object", data)
    (folder / "objects" / names[position].hex()).write_bytes(data)
    (folder / "index").write_bytes(Writer("zkfed/v1/transcript").list(names).finish())


def refused(folder: Path, error: type[ZkfedError], text: str | None = None) -> None:
    with pytest.raises(error, match=text) as caught:
        check_release(Transcript.load(folder))
    assert type(caught.value) is error


def test_saving_what_was_loaded_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    loaded = Transcript.load(folder)
    check_release(loaded)
    loaded.save(tmp_path / "again")
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*") if p.is_file()}
    assert files == again
    assert len(files) == 1 + len(HEAD) + 2
    loaded.save(tmp_path / "again")  # twice is once


@pytest.mark.parametrize("position", range(8))
def test_a_changed_object(folder: Path, position: int) -> None:
    path = folder / "objects" / names_of(folder)[position].hex()
    data = bytearray(path.read_bytes())
    for at in (0, len(data) // 2, len(data) - 1):
        changed = data.copy()
        changed[at] ^= 1
        path.write_bytes(changed)
        refused(folder, IntegrityError, "has another content")
    path.write_bytes(data[:-1])
    refused(folder, IntegrityError, "has another content")
    path.write_bytes(data)
    check_release(Transcript.load(folder))


@pytest.mark.parametrize("position", [0, 5, 7])
def test_a_missing_or_renamed_object(folder: Path, position: int) -> None:
    path = folder / "objects" / names_of(folder)[position].hex()
    path.rename(path.with_name("00" * 32))
    refused(folder, StoreFault, "cannot be read")
    path.mkdir()
    refused(folder, StoreFault, "cannot be read")
    path.rmdir()
    os.mkfifo(path)  # nobody will ever write to it
    refused(folder, StoreFault, "it is no file")


def test_two_objects_that_change_names(folder: Path) -> None:
    one, two = (folder / "objects" / names_of(folder)[i].hex() for i in (6, 7))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    refused(folder, IntegrityError)


def test_an_index_that_is_missing_cut_or_false(folder: Path) -> None:
    index = folder / "index"
    data, names = index.read_bytes(), names_of(folder)
    for cut in range(0, len(data), 7):
        index.write_bytes(data[:cut])
        refused(folder, DecodeError)
    index.write_bytes(data + b"\0")
    refused(folder, DecodeError)
    index.write_bytes(Writer("zkfed/v1/transcript").list(names[:5]).finish())
    refused(folder, DecodeError, "5 objects")
    for order in (names[:6] + names[:5:-1], names[:6] + names[7:], names + names[7:]):
        index.write_bytes(Writer("zkfed/v1/transcript").list(order).finish())
        refused(folder, PolicyError)
    index.write_bytes(Writer("zkfed/v1/transcript").list([names[1], names[0], *names[2:]]).finish())
    refused(folder, DecodeError)
    index.unlink()
    refused(folder, StoreFault, "index cannot be read")


@pytest.mark.parametrize("position", [1, 2, 5])
def test_another_benchmark_enrolment_or_base_model_under_a_true_name(folder: Path, position: int) -> None:
    path = folder / "objects" / names_of(folder)[position].hex()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    replace_object(folder, position, bytes(data))
    with pytest.raises((PolicyError, DecodeError)):
        check_release(Transcript.load(folder))


def test_a_production_policy_with_development_keys(folder: Path) -> None:
    policy = replace(cohort().agreement.policy, setup="production")
    replace_object(folder, 0, policy.encode())
    refused(folder, KeyRefused, "development key")


@settings(max_examples=80)
@given(st.integers(0, 7), st.data())
def test_no_changed_byte_of_an_object_passes_and_none_is_a_crash(position: int, data: st.DataObject) -> None:
    """One byte anywhere, under a new name and a new index: always one of our errors."""
    transcript = cohort().transcript
    objects = [*transcript._head().values(), *(r.encode() for r in transcript.rounds)]
    changed = bytearray(objects[position])
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= data.draw(st.integers(1, 255))
    folder = scratch()
    replace_object(folder, position, bytes(changed))
    try:
        with pytest.raises(ZkfedError):
            check_release(Transcript.load(folder))
    finally:
        cohort().transcript.save(folder)


@functools.cache
def scratch() -> Path:
    import atexit
    import tempfile

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cohort().transcript.save(folder)
    return folder


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFault, match="cannot be written"):
        cohort().transcript.save(tmp_path / "file")


def test_records_and_attempts_read_back_what_they_wrote() -> None:
    for record in (*cohort().transcript.rounds, RoundRecord((), ()), RoundRecord((b"a",), (Attempt(b"b"),), b"c")):
        data = record.encode()
        assert RoundRecord.decode(data) == record
        for cut in (0, 10, len(data) - 1):
            with pytest.raises(DecodeError):
                RoundRecord.decode(data[:cut])
        with pytest.raises(DecodeError):
            RoundRecord.decode(data + b"\0")
    assert outcome_of(Attempt(b"")) == ("", None)


def test_the_closing_is_not_part_of_what_it_signs() -> None:
    record = cohort().transcript.rounds[0]
    assert replace(record, closing=b"").digest == record.digest
    assert replace(record, commits=record.commits[1:]).digest != record.digest


# -- in a fresh process ---------------------------------------------------------------------------


def check(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-m", "zkfed", "check", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.mark.parametrize("flags", [[], ["-O"]])
def test_a_stranger_checks_a_true_and_a_false_record(folder: Path, flags: list[str]) -> None:
    done = check(folder, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    policy = cohort().agreement.policy
    for text in (
        "holds: 2 rounds",
        policy.digest.hex(),
        policy.adder_key.hex(),
        policy.holder_key.hex(),
        "development",
    ):
        assert text in done.stdout
    # A record that is false although every file is what its name says.
    record = cohort().transcript.rounds[1]
    other = replace(record, commits=record.commits[1:])
    closing = cohort().adder_key.sign("transcript", other.digest).encode()
    replace_object(folder, 7, replace(other, closing=closing).encode())
    done = check(folder, *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("not-authorised: ")
    assert done.stdout == ""
