"""Mistakes of somebody's first afternoon with the command line: each is told with what to do."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.layers.parties import make_policy, proving_keys
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.cli.connection import check_still_there
from zkfed.cli.main import main
from zkfed.cli.serve import _from_elsewhere
from zkfed.errors import StoreFault, TransportError
from zkfed.files import alone
from zkfed.orchestrator import holding
from zkfed.orchestrator.exchange import federation_name
from zkfed.orchestrator.key_parts import publish_keys
from zkfed.policy import Improvement, LinearModel, RoundPolicy
from zkfed.updates.key_file import create_key
from zkfed.updates.signing import SigningKey

Capture = pytest.CaptureFixture[str]
NOBODY = ["http://127.0.0.1:1", "--federation", "00" * 32, "--wait", "0"]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("0.1,0.2,1\n0.1,0.3,0\n")
    return str(path)


def test_a_wrong_file_is_found_before_anybody_waits_for_a_node(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "rows.csv").write_text("0.1,0.2,1\n0.1,nan,0\n")
    assert main(["join", *NOBODY, "--data", str(tmp_path / "rows.csv")]) == 1
    assert capsys.readouterr().err.startswith("decode: rows.csv: feature 2 of row 2 is NaN")


def test_two_processes_with_one_key_are_one_too_many(tmp_path: Path, rows: str, capsys: Capture) -> None:
    """They would commit twice in a round and both be refused, each with a text about the other's commit."""
    key = tmp_path / "device.key"
    create_key(key)
    with alone(key):
        for command in (["join", *NOBODY, "--data", rows], ["hold", *NOBODY]):
            assert main([*command, "--key", str(key)]) == 1
            assert "device.key is in use by another process" in capsys.readouterr().err
    with alone(key):
        pass
    with pytest.raises(StoreFault, match="cannot be read"), alone(tmp_path / "nowhere"):
        pass


def test_a_state_without_a_key_is_refused(rows: str, tmp_path: Path, capsys: Capture) -> None:
    """A fresh key at each start: the state could never be used again."""
    assert main(["join", *NOBODY, "--data", rows, "--state", str(tmp_path / "state")]) == 2
    assert "expected --key too" in capsys.readouterr().err


def test_who_is_not_there_and_why(rows: str, capsys: Capture) -> None:
    assert main(["join", *NOBODY, "--data", rows]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_a_node_that_was_restarted_has_other_keys() -> None:
    """The device would wait for ever: the new node is at the same URL, and asks nothing in the old one's channels."""
    statement = Improvement(model=LinearModel(features=2, classes=1), rows=8, at_least="1%")
    policy = RoundPolicy(statement=statement, clip_norm=1.0, epsilon=2.0, delta=1e-6, min_clients=2)
    policy = policy.pinned(adder_key=b"a" * 32, holder_key=b"b" * 32)
    store = MemoryTransport()
    with serving(HttpNode(store, may_write=lambda *_: False)) as url:
        client = HttpTransport(url, timeout_s=5)
        with pytest.raises(TransportError, match="knows this federation no longer"):
            check_still_there(client, policy)
        store.publish(f"{federation_name(policy)}/policy", policy.encode())
        check_still_there(client, policy)
        client.close()


def test_a_key_holder_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    key, adder, store = tmp_path / "holder.key", SigningKey.generate(), MemoryTransport()
    policy = make_policy().pinned(adder_key=adder.public, holder_key=create_key(key).public)
    publish_keys(store, policy, proving_keys(), adder.sign)
    channel = f"{federation_name(policy)}/policy"
    store.publish(channel, policy.encode())
    monkeypatch.setattr(holding, "WAIT_S", 1)
    with serving(HttpNode(store, may_write=lambda *_: False)) as url:
        restarted = threading.Timer(1.0, lambda: store._channels.pop(channel))
        restarted.start()
        hold = ["hold", url, "--federation", policy.digest.hex(), "--key", str(key), "--wait", "1"]
        assert main(hold) == 1
        restarted.join()
    assert "knows this federation no longer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "host", "reached"),
    [
        ("http://0.0.0.0:8790", "0.0.0.0", "http://THIS-MACHINE:8790"),  # noqa: S104
        ("https://[::]:1", "::", "https://THIS-MACHINE:1"), ("http://127.0.0.1:1", "127.0.0.1", "http://127.0.0.1:1"),
        ("http://node.example:1", "node.example", "http://node.example:1"),
    ],
    ids=range(4),
)  # fmt: skip
def test_an_address_that_stands_for_all_is_none_to_join(url: str, host: str, reached: str) -> None:
    assert _from_elsewhere(url, host) == reached


def test_files_of_another_kind_are_named(tmp_path: Path, rows: str, capsys: Capture) -> None:
    """And no row of a file that was taken for another is shown."""
    key = tmp_path / "device.key"
    create_key(key)
    assert main(["check", str(key)]) == 1
    assert "device.key is no transcript: expected a folder" in capsys.readouterr().err
    assert main(["doctor", "--keys", str(key)]) == 3
    assert "it is a signing key of a device, expected a proving key" in capsys.readouterr().out
    assert main(["inspect", rows]) == 1
    assert capsys.readouterr().err == "decode: no file of zkfed: it is text\n"
    (tmp_path / "big").write_text("1" * 300)
    assert main(["join", *NOBODY, "--data", rows, "--key", str(tmp_path / "big")]) == 1
    assert "expected a signing key" in capsys.readouterr().err


def test_a_port_that_is_taken(rows: str, capsys: Capture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--benchmark", rows, "--classes", "2", "--devices", "2", "--port", port]) == 1
    assert "Address already in use" in capsys.readouterr().err
    assert not [t for t in threading.enumerate() if t.name == "zkfed-http"]
