"""`zkfed serve`, `zkfed hold` and three `zkfed join` are a federation; its record holds for a sixth process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from examples.serve_and_join import run
from tests.cli.documented import fields_of
from tests.orchestrator.hosting import carry, federation
from zkfed.cli.main import main
from zkfed.cli.rows import read_model, read_rows
from zkfed.cli.serve import may_answer
from zkfed.errors import DecodeError, ModelRefused, StoreFault
from zkfed.orchestrator.exchange import federation_name


def test_five_processes_and_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node, holder, *devices = run(tmp_path)
    assert node["status"] == "ok"
    assert holder["data"] == {"rounds": 1, "opened": 1, "policy": node["data"]["federation"]}
    for command, said in (("serve", node), ("hold", holder), ("join", devices[0])):
        assert set(said["data"]) == fields_of(command)
    assert len((tmp_path / "holder.journal").read_text().split()) == 1
    assert [(d["data"]["rounds"], d["data"]["counted"]) for d in devices] == [(1, 1)] * 3
    assert {d["data"]["policy"] for d in devices} == {node["data"]["federation"]}
    assert main(["check", str(tmp_path / "transcript"), "--format", "json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["data"]["policy"] == node["data"]["federation"]
    state = tmp_path / "state-0"
    assert state.stat().st_mode & 0o777 == 0o600
    assert main(["inspect", str(state)]) == 0
    assert "not shown" in capsys.readouterr().out


def test_nothing_is_made_for_a_call_that_cannot_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A federation that is no digest, or certificates that are none: no key file is left behind."""
    key, none = tmp_path / "device.key", tmp_path / "ca.pem"
    none.write_text("no certificate")
    join = ["join", "http://127.0.0.1:1", "--data", "x", "--key", str(key), "--wait", "0", "--format", "json"]
    assert main([*join, "--federation", "00" * 31]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
    for path in (none, tmp_path / "nowhere"):
        assert main([*join, "--federation", "00" * 32, "--ca", str(path)]) == 1
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "store-fault"
    assert not key.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["join", "http://127.0.0.1:1", "--federation", "zz", "--data", "x"], 2),
        (["join", "http://127.0.0.1:1", "--federation", "00" * 32, "--data", "x", "--wait", "0"], 1),
        (["join", "ftp://h", "--federation", "00" * 32, "--data", "x"], 1),
        (["serve", "--benchmark", "nowhere.csv", "--classes", "2", "--devices", "2"], 1),
        (["serve", "--benchmark", "nowhere.csv", "--classes", "2", "--devices", "2", "--holder", "zz"], 2),
        (["hold", "http://127.0.0.1:1", "--federation", "zz", "--key", "x"], 2),
        (["hold", "http://127.0.0.1:1", "--federation", "00" * 32, "--key", "nowhere"], 1),
    ],
    ids=range(7),
)
def test_what_cannot_work_ends_with_one_line(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_rows_and_models_are_read_without_running_anything(tmp_path: Path) -> None:
    good = tmp_path / "rows.csv"
    good.write_text("0.5,-1,1\n0.25,1,0\n")
    x, y = read_rows(good)
    assert x.tolist() == [[0.5, -1], [0.25, 1]]
    assert (y.tolist(), y.dtype.kind) == ([1, 0], "i")
    np.savez(tmp_path / "rows.npz", X=x, y=y)
    assert read_rows(tmp_path / "rows.npz")[0].tolist() == x.tolist()
    for text in ("", "a,b\n", "1,2\n3\n", "2.5,1\n", "nan,1\n", "SECRET,1\n"):
        good.write_text(text)
        with pytest.raises(DecodeError) as caught:
            read_rows(good)
        assert "SECRET" not in str(caught.value)
    np.savez(tmp_path / "object.npz", X=np.array([object()]), y=np.array([0]))
    with pytest.raises(DecodeError):
        read_rows(tmp_path / "object.npz")
    with pytest.raises(StoreFault):
        read_rows(tmp_path)
    (tmp_path / "model.joblib").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelRefused, match="runs whatever it says"):
        read_model(tmp_path / "model.joblib", (3, 1))
    np.savez(tmp_path / "model.npz", coef=np.ones((1, 2)), intercept=np.ones(1))
    assert read_model(tmp_path / "model.npz", (3, 1)).tolist() == [[1], [1], [1]]
    with pytest.raises(ModelRefused, match="expected them to make"):
        read_model(tmp_path / "model.npz", (4, 1))


def test_only_who_may_enrol_writes_and_then_only_who_has() -> None:
    node, members = federation(devices=4)
    name = federation_name(node.policy)
    keys, stranger, holder = [m.public_key for m in members], bytes(32), node.policy.holder_key

    def writers(channel: str) -> list[bool]:
        return [may_answer(node, f"{name}/{channel}", key) for key in (*keys, stranger, holder)]

    assert writers("answers/0") == [True] * 6
    node._allowed = frozenset(keys)
    assert writers("answers/0") == [True] * 4 + [False] * 2
    carry(node.enrol(), members[:3])
    assert writers("answers/1") == [True] * 3 + [False] * 3
    for channel in (
        "asks/1",
        "keys",
        "keys/0",
        "own/1/x",
        "records",
        "policy",
        "holder/asks/1",
        "answers",
        "x/answers/1",
    ):
        assert not any(writers(channel)), channel
    assert writers("holder/answers/0") == [False] * 5 + [True]
    assert not any(writers("asks/0") + writers("holder/asks/0") + writers("records") + writers("policy"))
