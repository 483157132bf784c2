"""The command line: one JSON envelope, documented exit codes, no traceback, no secret, whatever file it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.layers.parties import Cohort, proving_keys
from tests.orchestrator.test_rounds_in_ledger import ledger_at
from zkfed.cli import main as command_line
from zkfed.cli.main import COMMANDS, main
from zkfed.orchestrator.events import Event
from zkfed.renderers import following
from zkfed.renderers.plain import PlainRenderer
from zkfed.updates.key_file import create_key, load_key
from zkfed.updates.signing import SigningKey


def envelope(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    code = main([*arguments, "--format", "json"])
    value: dict[str, object] = json.loads(capsys.readouterr().out)
    assert value["exit_code"] == code
    assert (value["schema_version"], value["command"]) == (1, arguments[0])
    return value


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of every kind of file that zkfed writes."""
    folder = tmp_path_factory.mktemp("files")
    cohort = Cohort()
    cohort.honest_round()
    cohort.transcript.save(folder / "transcript")
    proving_keys()[0].save(folder / "proving")
    proving_keys()[0].verifying.save(folder / "verifying")
    create_key(folder / "signing")
    policy = cohort.transcript.agreement.policy
    record = cohort.transcript.rounds[0]
    (folder / "policy").write_bytes(policy.encode())
    (folder / "record").write_bytes(record.encode())
    (folder / "signed").write_bytes(record.closing)
    (folder / "round-state").write_bytes(cohort.devices[0].save())
    ledger_at(folder / "ledger").close()
    names = ["transcript", "proving", "verifying", "signing", "policy", "record", "signed", "round-state", "ledger"]
    return {name: folder / name for name in names}


KINDS = {
    "transcript": "transcript", "proving": "proving key", "verifying": "verifying key",
    "signing": "signing key of a device", "policy": "policy", "record": "record of a round",
    "signed": "signed transcript", "round-state": "state of a device's round", "ledger": "privacy ledger",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_file_is_recognised(name: str, written: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = envelope(["inspect", str(written[name])], capsys)
    assert found["status"] == "ok"
    assert found["data"]["kind"] == KINDS[name]  # type: ignore[index]


def test_secrets_are_named_and_not_shown(written: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    seed = written["signing"].read_bytes()[-32:].hex()
    for name in ("signing", "round-state"):
        assert main(["inspect", str(written[name])]) == 0
        out = capsys.readouterr().out
        assert "not shown" in out
        assert seed not in out
        assert len(out) < 400


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"", "cut": lambda data: data[: len(data) // 3], "flipped": flipped,
    "garbage": lambda data: bytes(range(256)) * 3, "zeros": lambda data: bytes(5000),
    "longer": lambda data: data + b"\0" * 7,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["verifying", "policy", "record", "signed", "ledger"])
def test_a_damaged_file_is_one_line(
    name: str, damage: str, written: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(DAMAGES[damage](written[name].read_bytes()))
    code = main(["inspect", str(path)])
    out, err = capsys.readouterr()
    # A bit of an SQLite page or of a policy's free field may change and the file still be one.
    assert code == 1 or (damage in ("flipped", "longer", "cut") and name in ("ledger", "policy", "record"))
    assert "Traceback" not in err
    assert code == 0 or (out, err.count("\n")) == ("", 1)


def test_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(10 << 30)
    for path in (tmp_path, tmp_path / "pipe", sparse, tmp_path / "nowhere"):
        for command in (["inspect"], ["keys", "show"], ["check"]):
            assert main([*command, str(path)]) == 1
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)


def test_doctor_says_what_is_here(written: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = envelope(["doctor", "--keys", str(written["proving"])], capsys)
    assert found["status"] == "ok"
    assert main(["doctor", "--keys", str(written["policy"])]) == 3
    assert "key file    policy: refused (limit-exceeded)" in capsys.readouterr().out


def test_doctor_names_the_command_that_gets_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zkfed.cli import doctor

    monkeypatch.setitem(doctor.EXTRAS, "http", ("no-such-package-of-anybody",))
    monkeypatch.setattr(doctor, "_found", lambda server: False)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "get it: pip install 'zkfed[http]'" in out
    assert "get it: apt-get install mosquitto" in out


def test_keys_are_made_and_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "keys"
    made = envelope(["keys", "setup", "--features", "2", "--classes", "1", "--rows", "8", "--out", str(out)], capsys)
    assert set(made["data"]) == {"statement", "noise"}  # type: ignore[call-overload]
    shown = envelope(["keys", "show", str(out / "statement.key")], capsys)
    assert shown["data"]["digest"] == made["data"]["statement"]  # type: ignore[index]
    assert shown["data"]["origin"] == "development"  # type: ignore[index]
    key = tmp_path / "device.key"
    signing = envelope(["keys", "sign", "--out", str(key)], capsys)
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_key(key).public.hex() == signing["data"]["public_key"]  # type: ignore[index]
    assert envelope(["keys", "sign", "--out", str(key)], capsys)["status"] == "refused"
    key.chmod(0o644)
    assert main(["inspect", str(key)]) == 0
    assert "chmod 600" in capsys.readouterr().out


def test_a_bug_tells_its_place_and_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zkfed.cli import backends

    def broken(*_: object) -> int:
        raise RuntimeError("a secret value")

    monkeypatch.setattr(backends, "run", broken)
    assert main(["backends"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("bug: RuntimeError at tests")
    assert "secret" not in err


def test_an_interrupt_has_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zkfed.cli import backends

    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(backends, "run", stopped)
    assert envelope(["backends"], capsys)["status"] == "interrupted"


def test_a_reader_that_goes_away_ends_the_output_quietly() -> None:
    command = f"{sys.executable} -m zkfed doctor | head -n 0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")


def test_demo_that_is_stopped_keeps_the_rounds_that_were_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stops(PlainRenderer):
        def show(self, event: Event) -> None:
            if getattr(event, "round", 0) == 2:
                raise KeyboardInterrupt
            super().show(event)

    monkeypatch.setitem(following.RENDERERS, "plain", Stops)
    small = ["demo", "--devices", "4", "--rounds", "2", "--out", str(tmp_path / "record")]
    assert envelope(small, capsys)["status"] == "interrupted"
    assert main(["check", str(tmp_path / "record")]) == 0
    assert capsys.readouterr().out.startswith("holds: 1 rounds")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert command in capsys.readouterr().out
    assert command_line.__doc__
    assert SigningKey.generate().public
