"""The command line, called wrongly, on files made to hurt it, and with outputs that do not take what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.cli.documented import fields_of
from tests.layers.parties import Cohort, proving_keys
from zkfed.cli import rows
from zkfed.cli.inspect import describe, in_lines
from zkfed.cli.main import COMMANDS, main
from zkfed.cli.rows import check_labels, read_model, read_rows
from zkfed.device.consent import ConsentBook
from zkfed.errors import DecodeError, LimitExceeded, ModelRefused
from zkfed.policy import LinearModel
from zkfed.updates.key_file import create_key

Capture = pytest.CaptureFixture[str]
JOIN = ["join", "http://127.0.0.1:1", "--federation", "00" * 32, "--data", "x"]
SERVE = ["serve", "--benchmark", "x", "--classes", "2", "--devices", "2"]
FULL = "store-fault: the result cannot be written to stdout: No space left on device\n"
WRONG = [
    [], ["nonsense"], ["inspect"], ["check", "a", "b"], ["keys"], ["keys", "frob"], ["demo", "--devices", "x"],
    ["demo", "--devices", "-5"], ["demo", "--rounds", "0"], [*SERVE, "--port", "70000"], [*SERVE, "--rounds", "-3"],
    [*SERVE, "--window", "nan"], [*JOIN, "--wait", "-1"], [*JOIN, "--wait", "1e99"],
    ["hold", "http://127.0.0.1:1", "--federation", "00" * 32, "--key", "x.journal"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", WRONG, ids=range(len(WRONG)))
def test_wrong_usage_is_one_line_and_an_envelope(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:7]) == ("", 1, "usage: ")
    assert main([*arguments, "--format=json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["error"]["docs"]) == ("usage", "docs/how-to/command-line.md")
    assert found["command"] == (arguments[0] if arguments and arguments[0] in COMMANDS else "")


def test_format_may_stand_in_front_and_an_error_names_its_page(tmp_path: Path, capsys: Capture) -> None:
    assert main(["--format", "json", "inspect", str(tmp_path / "nowhere")]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["docs"] == "docs/errors/store-fault.md"


def test_a_files_name_moves_no_cursor(tmp_path: Path, capsys: Capture) -> None:
    for name in ("two\nlines\x1b[31m", b"\xff\xfe".decode("utf-8", "surrogateescape")):
        assert main(["inspect", str(tmp_path / name)]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err[:-1].isprintable()
        assert main(["doctor", "--keys", str(tmp_path / name)]) == 3
        assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">/dev/full", 1, FULL), ("--format json >/dev/full", 1, FULL),
        (">&-", 0, ""), ("2>&-", 0, None), ("2>/dev/full <&-", 0, None),
    ],
    ids=range(5),
)  # fmt: skip
def test_an_output_that_takes_nothing(redirection: str, code: int, said: str | None) -> None:
    command = f"{sys.executable} -m zkfed backends {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in (None, done.stderr)


def test_a_narrow_encoding_takes_every_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zkfed", "doctor", "--keys", str(tmp_path / "schlüssel")]
    done = subprocess.run(command, capture_output=True, check=False, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (3, b"")
    assert rb"key file    schl\xfcssel: refused" in done.stdout


def test_a_package_that_is_missing_is_named() -> None:
    """Without the folder of installed packages there is no numpy either."""
    bare = [sys.executable, "-S", "-m", "zkfed"]
    done = subprocess.run([*bare, "doctor"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert "needed      numpy MISSING" in done.stdout
    done = subprocess.run([*bare, "backends", "--format", "json"], capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (3, "missing")
    assert done.stderr.startswith("missing: the module numpy is not installed")


def test_doctor_tells_of_every_key_whatever_its_name(tmp_path: Path, capsys: Capture) -> None:
    paths = [str(tmp_path / folder / "noise.key") for folder in "ab"]
    assert main(["doctor", "--keys", *paths, "--format", "json"]) == 3
    assert list(json.loads(capsys.readouterr().out)["data"]["keys"]) == paths


def test_keys_are_not_set_up_twice(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "noise.key").touch()
    setup = ["keys", "setup", "--features", "2", "--classes", "1", "--rows", "8", "--out", str(tmp_path)]
    assert main(setup) == 1
    assert "noise.key is in" in capsys.readouterr().err
    assert not (tmp_path / "statement.key").exists()


def test_a_path_that_the_system_refuses_to_look_at(capsys: Capture) -> None:
    """Too long a name, for one; a folder that others closed is the same to those who are not root."""
    long = "a" * 300
    for command in (["inspect", long], ["keys", "show", long], ["check", long], [*JOIN, "--wait", "0", "--key", long]):
        assert main(command) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n"), err[:12]) == ("", 1, "store-fault:")


def test_archives_that_unpack_to_more_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "FILE_BYTES_MAX", 1 << 20)
    bomb, claim = tmp_path / "bomb.npz", tmp_path / "claim.npz"
    zeros = np.zeros((1 << 14, 16))
    np.savez_compressed(bomb, X=zeros, y=zeros, coef=zeros, intercept=zeros)
    head = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624, 16), }"
    with zipfile.ZipFile(claim, "w") as packed:
        for name in ("X", "y", "coef", "intercept"):
            packed.writestr(f"{name}.npy", head.ljust(127) + b"\n" + bytes(64))
    assert bomb.stat().st_size < 1 << 17
    for call in (read_rows, lambda path: read_model(path, (3, 1))):
        with pytest.raises(LimitExceeded, match="unpacks to"):
            call(bomb)
        with pytest.raises(DecodeError, match="cannot be used"):
            call(claim)


def test_lines_without_an_end_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "endless.csv"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(LimitExceeded, match="a line of more than"):
        read_rows(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b,label\n0.1,0.2,1\n", "line 1"), ("# a,b\n0.1,0.2,1\n0.7SECRET,0.2,1\n", "line 3"),
        ("0.1,0.2,1\n0.1,1\n", "line 2"), ('"0.1","0.2","1"\n', "line 1"), ("0.1;0.2;1\n", "line 1"),
        ("\n\n", "holds no rows"), ("1\n0\n", "expected features"), ("0.1,0.2,nan\n", "the label of row 1 is NaN"),
        ("0.1,0.2,1e400\n", "the label of row 1"), ("0.5,0.1,1\n0.5,nan,1\n1e400,0,1\n", "feature 2 of row 2.*1 more"),
        ("0.5,0.1,1\n0.5,-7,1\n", "feature 2 of row 2 is outside"),
    ],
)  # fmt: skip
def test_a_csv_that_holds_no_rows_says_where(
    text: str, why: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(DecodeError, match=why) as caught:
        read_rows(path)
    assert "SECRET" not in str(caught.value)
    assert not list(recwarn)


def test_what_a_spreadsheet_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbf0.1,0.2,1\r\n0.1,0.3,0\r\n")
    assert read_rows(path)[1].tolist() == [1, 0]


def test_labels_that_do_not_fit_the_model(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("0.1,0.2,7\n0.1,0.2,0.5\n")
    for classes in ("1", "2"):
        assert main(["serve", "--benchmark", str(path), "--classes", classes, "--devices", "2"]) == 1
        assert capsys.readouterr().err.startswith("decode: rows.csv: ")
    ones = np.ones((2, 2))
    check_labels(path, LinearModel(features=2, classes=1), (ones, np.array([0.5, 1])))
    for y in (np.array(["a", "b"]), np.array([1j, 2]), np.array(1), np.ones((2, 1))):
        np.savez(tmp_path / "rows.npz", X=ones, y=y)
        with pytest.raises(DecodeError, match="one number"):
            read_rows(tmp_path / "rows.npz")
    np.savez(tmp_path / "rows.npz", X=np.array([["a"]]), y=np.ones(1))
    with pytest.raises(DecodeError, match="expected features"):
        read_rows(tmp_path / "rows.npz")
    np.savez(tmp_path / "model.npz", coef=np.array([["a"]]), intercept=np.ones(1))
    with pytest.raises(ModelRefused, match="real numbers"):
        read_model(tmp_path / "model.npz", (2, 1))


def test_nothing_runs_before_its_output_can_be_written(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "rows.csv").write_text("0.1,0.2,1\n0.1,0.3,0\n")
    for command in (
        ["demo", "--out", str(tmp_path / "file")],
        [*SERVE[:2], str(tmp_path / "rows.csv"), *SERVE[3:], "--out", str(tmp_path / "file")],
        [*JOIN, "--out", str(tmp_path / "file")],
        [*JOIN, "--key", "x", "--state", str(tmp_path / "file" / "state")],
    ):
        assert main(command) == 1
        assert capsys.readouterr() == ("", "store-fault: the folder file cannot be made: File exists\n")


@pytest.mark.parametrize("url", ["http://[::1", f"http://{'a' * 5000}", "http://a\nb", "", "foo"], ids=range(5))
def test_what_is_no_url(url: str, capsys: Capture) -> None:
    assert main([JOIN[0], url, *JOIN[2:], "--wait", "0"]) == 1
    err = capsys.readouterr().err
    assert (err[:10], err.count("\n"), len(err) < 300) == ("transport:", 1, True)


def test_certificates_that_cannot_be_used(tmp_path: Path, capsys: Capture) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("0.1,0.2,1\n0.1,0.3,0\n")
    serve = ["serve", "--benchmark", str(data), "--classes", "2", "--devices", "2", "--port", "0", "--window", "0"]
    for path in (data, tmp_path / "nowhere"):
        assert main([*serve, "--tls", str(path), str(path)]) == 1
        err = capsys.readouterr().err
        assert (err[:14], err.count("\n")) == ("transport: TLS", 1)


def test_other_files_are_told_and_names_of_any_length_stand_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data, kind in (
        (b"0" * 64 + b"\n", "journal of decryptions"), (b'{"pi_a": [], "protocol": "groth16"}', "proof (snarkjs)"),
        (b"r1cs\1\0\0\0\0\0\0\0", "constraints of a circuit (r1cs)"),
        (b"wtns\2\0\0\0\0\0\0\0", "witness of a circuit (wtns)"),
    ):  # fmt: skip
        path.write_bytes(data)
        assert describe(path)["kind"] == kind
    for data in (b"", b"[" * 100_000, b'{"a":' * 100_000, b"0" * 63 + b"\n", b"r1cs"):
        path.write_bytes(data)
        with pytest.raises(DecodeError):
            describe(path)
    assert in_lines({"ciphertext bytes": 1, "a": 2}) == "ciphertext bytes  1\na                 2"


def test_no_digest_of_what_could_be_guessed(tmp_path: Path) -> None:
    ConsentBook(tmp_path / "book", version=1).grant("training", "model", now_s=1000)
    create_key(tmp_path / "key")
    for name in ("book", "key"):
        assert "sha256" not in describe(tmp_path / name)


def test_data_is_as_documented(tmp_path: Path, capsys: Capture) -> None:
    """Those of serve, hold and join are compared where all five processes run."""
    cohort = Cohort()
    cohort.honest_round()
    cohort.transcript.save(tmp_path / "record")
    proving_keys()[0].save(tmp_path / "proving")
    setup = ["keys", "setup", "--features", "2", "--classes", "1", "--rows", "8", "--out", str(tmp_path / "keys")]
    for command, rest in {
        "doctor": [], "backends": [], "check": [str(tmp_path / "record")], "keys show": [str(tmp_path / "proving")],
        "keys setup": setup[2:], "keys sign": ["--out", str(tmp_path / "key")],
        "demo": ["--devices", "4", "--rounds", "1"],
    }.items():  # fmt: skip
        assert main([*command.split(), *rest, "--format", "json"]) == 0
        assert set(json.loads(capsys.readouterr().out)["data"]) == fields_of(command)
    assert main(["inspect", str(tmp_path / "proving"), "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert fields_of("inspect") < set(data)
    assert not any(" " in name for name in data)
