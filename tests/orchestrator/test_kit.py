"""A kit whose files were exchanged is a typed refusal, and none of them runs code."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import ROWS, make_policy, proving_keys
from tests.orchestrator.hosting import carry
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded, PolicyError, StoreFault, ZkfedError
from zkfed.orchestrator.events import Refused, Released
from zkfed.orchestrator.kit import open_node, open_provers, write_kit
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.options import make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.updates.signing import SigningKey


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    policy = make_policy()
    write_kit(tmp_path / "kit", policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, ROWS)[1])
    return tmp_path / "kit"


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def says_more() -> bytes:
    """Returns a file of a few bytes whose header says that 2^42 numbers follow."""
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 42,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(80)


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3), b=np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("labels.npy", lambda: npy(np.array([{"a": 1}, None], dtype=object)), DecodeError),
        ("labels.npy", lambda: b"\x80\x04.", DecodeError),
        ("labels.npy", lambda: b"", DecodeError),
        ("labels.npy", lambda: npy(np.zeros((4, 3)))[:-8], DecodeError),
        ("labels.npy", lambda: npy(np.zeros((4, 3))) + bytes(8), DecodeError),
        ("base.npy", says_more, DecodeError),
        ("labels.npy", npz, PolicyError),
        ("policy.bin", lambda: bytes(100), DecodeError),
        ("policy.bin", lambda: bytes(1 << 20), LimitExceeded),
        ("noise.key", lambda: b"x" * 1000, DecodeError),
    ],
    ids=["objects", "pickle", "empty", "cut", "longer", "says-more", "several", "policy", "long-policy", "key"],
)  # fmt: skip
def test_a_file_of_another_kind(kit: Path, name: str, data: Callable[[], bytes], error: type[ZkfedError]) -> None:
    open_node(kit)
    (kit / name).write_bytes(data())
    with pytest.raises(error):
        open_node(kit)


def test_the_key_of_another_circuit(kit: Path) -> None:
    (kit / "statement.key").write_bytes((kit / "noise.key").read_bytes())
    with pytest.raises(KeyRefused):
        open_provers(kit)


def test_a_device_takes_what_verifies_the_noise_from_its_own_kit(kit: Path) -> None:
    """Of N's key it reads no more than that, and a node with another setup of N gets no update."""
    node, shards = open_node(kit), synthetic_cohort(make_policy().model, 2, ROWS)[0]
    assert open_provers(kit).noise.digest == node._keys[1].verifying.digest
    make_keys(node.policy)[1].save(kit / "noise.key")
    members = [Member(open_provers(kit), shard, key=SigningKey.generate()) for shard in shards]
    events = [*carry(node.enrol(), members), *carry(node.run(1), members)]
    assert [e.verdict.code for e in events if isinstance(e, Refused)] == ["key-refused"] * 2
    assert not any(isinstance(e, Released) for e in events)
    with pytest.raises(PolicyError, match="proving keys"):
        Provers(node.policy, [members[0]._provers.noise] * 2)


def test_a_kit_without_a_file(kit: Path) -> None:
    (kit / "features.npy").unlink()
    with pytest.raises(PolicyError, match="public benchmark"):
        open_node(kit)
    (kit / "statement.key").unlink()
    with pytest.raises(StoreFault):
        open_provers(kit)


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._marker,)


def test_a_kit_runs_no_code(kit: Path, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    (kit / "labels.npy").write_bytes(npy(np.array([Evil(marker)], dtype=object)))
    with contextlib.suppress(Exception):
        open_node(kit)
    assert not marker.exists()


def test_an_array_without_an_end_is_refused_before_it_is_read(kit: Path) -> None:
    """A file of a terabyte that takes no room on the disk, and a pipe that nobody writes into."""
    with (kit / "features.npy").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitExceeded):
        open_node(kit)
    (kit / "features.npy").unlink()
    os.mkfifo(kit / "features.npy")
    with pytest.raises(StoreFault, match="no file"):
        open_node(kit)
