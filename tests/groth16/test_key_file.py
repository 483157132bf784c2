"""A proving key's file is opened where it lies, and refused unless every byte of it is right.

Sizes are refused before anything is allocated, points before anything is proven: not canonical,
off the curve, of small order, the identity. A killed writer leaves the old file.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.algebra.conftest import BACKENDS, made, of_curve
from tests.groth16.samples import Case, improvement, keys_of, noise, s0
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import to_limbs
from zkfed.algebra.points import encode_affine
from zkfed.encoding import Writer, item
from zkfed.errors import KeyRefused, LimitExceeded, ZkfedError
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.r1cs.system import Input, Label, SparseMatrix, System
from zkfed.statements.update_bound import update_circuit

TAG = "zkfed/v2/proving-key"
G1, G2 = 96, 192
THIRD = encode_affine(BLS12_381, (0, 2))
"""(0, 2) is on the curve and has order 3."""


def header_end(data: bytes) -> int:
    return 4 + int.from_bytes(data[:4], "big")


def padded(end: int) -> int:
    return -(-end // 64) * 64


def section_of_a(data: bytes) -> int:
    """The sections before it are beta_g1 and delta_g1, of one point each."""
    return padded(padded(padded(header_end(data)) + G1) + G1)


def with_bytes(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(KeyRefused) as caught:
        ProvingKey.load(path)
    with pytest.raises(KeyRefused):
        ProvingKey.decode(data)
    return str(caught.value)


def proves(case: Case, key: ProvingKey) -> None:
    proof = Prover(key, case.system).prove(case.instance, case.private, (case.blinder,))
    verify(case.vk, case.instance, proof)


def test_a_loaded_key_proves_after_its_file_is_replaced_and_gone(tmp_path: Path) -> None:
    case, path = improvement(), tmp_path / "key"
    case.key.save(path)
    key = ProvingKey.load(path)
    s0().key.save(path)
    path.unlink()
    proves(case, key)
    assert key.encode() == case.key.encode()


@pytest.mark.parametrize("name", of_curve("bls12-381"))
def test_every_backend_opens_and_writes_the_same_file(name: str, tmp_path: Path) -> None:
    case, path = s0(), tmp_path / "key"
    case.key.save(path)
    assert path.read_bytes() == case.key.encode()
    key = ProvingKey.load(path, made(name))
    assert key.encode() == case.key.encode()
    assert key.verifying.digest == case.vk.digest


@pytest.mark.parametrize("name", of_curve("bn254"))
def test_keys_of_bn254_survive_their_file(name: str, tmp_path: Path) -> None:
    key, _ = keys_of(update_circuit(4, "bn254"), made(name))
    key.save(tmp_path / "key")
    again = ProvingKey.load(tmp_path / "key", made(name))
    assert again.encode() == key.encode()
    assert again.verifying.layout.curve == BN254


def test_every_section_starts_at_a_multiple_of_64_bytes_and_holds_the_points_as_they_are() -> None:
    case = s0()
    data, at = case.key.encode(), padded(header_end(case.key.encode()))
    for points in case.key._parts():
        size = len(points) * (G1 if points.group == "G1" else G2)
        assert data[at : at + size] == case.backend.encode_affine(points)
        at = padded(at + size)
    assert len(data) == at


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_private_wire_that_stands_in_no_row_survives_the_file(name: str, tmp_path: Path) -> None:
    """Circuits that came from elsewhere have such wires; their points of K are the identity."""
    backend, path = made(name), tmp_path / "key"
    row = SparseMatrix(np.array([0, 1]), np.array([3]), np.array([1], dtype=object))
    out = SparseMatrix(np.array([0, 2]), np.array([0, 1]), np.array([1, 1], dtype=object))
    public = Input("public", (), 1, 0, False, None)
    # 1 | public | idle, root, idle: root^2 = public + 1
    system = System(
        "square", 1, backend.curve, (public,), (), (), 5, row, row, out, (Label("row", (1,), 0),), (), np.arange(5)
    )
    key, _ = keys_of(system, backend)
    key.save(path)
    again = ProvingKey.load(path, backend)
    assert backend.is_identity(again.k).tolist() == [True, False, True]
    assert backend.is_equal(again.k, key.k).all()
    assert again.encode() == key.encode()
    proof = Prover(again, system).prove_assignment(Instance(b"", {"public": 8}, ()), to_limbs([1, 8, 5, 3, 7]))
    verify(key.verifying, Instance(b"", {"public": 8}, ()), proof)
    # An idle wire that the file does not have, and a wire whose point is missing.
    whole, idle = key.encode(), item(bytes([0, 0, 0, 0, 0, 0, 0, 2]))
    at = header_end(whole) - len(idle)
    assert whole[at : at + len(idle)] == idle
    for wrong, text in ((item(bytes([0, 0, 0, 0, 0, 0, 0, 3])), "idle wire 3 of 3"), (item(bytes(8)), "ascend")):
        assert text in refusal(path, with_bytes(whole, at, wrong))


# -- sizes -----------------------------------------------------------------------------------------


def test_a_file_of_100_bytes_that_announces_2_to_the_32_points_is_refused_before_it_allocates() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (64 << 20), hard))
    try:
        for k, h in ((1 << 32, 2), (1, 1 << 32), ((1 << 64) - 1, (1 << 63))):
            body = Writer(TAG).u64(k).u64(h).finish()
            with pytest.raises(LimitExceeded):
                ProvingKey.decode((item(body) + bytes(100))[:100])
        for size in (1 << 29, (1 << 32) - 1):
            with pytest.raises(LimitExceeded):
                ProvingKey.decode(size.to_bytes(4, "big") + bytes(96))
        # Allowed numbers that the file does not have.
        whole = s0().key.encode()
        header = whole[4 : header_end(whole)]
        after = header[len(Writer(TAG).u64(0).u64(0).finish()) :]
        huge = item(Writer(TAG).u64(1 << 28).u64(1 << 28).finish() + after)
        with pytest.raises(KeyRefused, match="the header announces"):
            ProvingKey.decode(huge + bytes(-len(huge) % 64) + whole[padded(header_end(whole)) :])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_truncated_and_longer_files_are_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "key", s0().key.encode()
    cuts = [0, 1, 3, 4, 30, 100, header_end(whole) - 1, header_end(whole), padded(header_end(whole)), len(whole) - 64]
    for cut in [*cuts, len(whole) - 1]:
        refusal(path, whole[:cut])
    for tail in (b"\0", bytes(64), whole):
        refusal(path, whole + tail)
    case = s0()
    for kind, data in ((VerifyingKey, case.vk.encode()), (ProvingKey, whole)):
        path.write_bytes(data[:-1])
        with pytest.raises(KeyRefused):
            kind.load(path)


def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    assert "verifying-key" in refusal(tmp_path / "key", item(s0().vk.encode()))
    old = Writer("zkfed/v1/proving-key").bytes(s0().vk.encode()).finish()
    assert "zkfed/v1/proving-key" in refusal(tmp_path / "key", item(old))


def test_padding_is_0(tmp_path: Path) -> None:
    whole = s0().key.encode()
    gaps = [(header_end(whole), padded(header_end(whole))), (section_of_a(whole) - 32, section_of_a(whole))]
    for start, stop in gaps:
        assert not any(whole[start:stop])
        for at in {start, stop - 1} if start < stop else ():
            assert "padding" in refusal(tmp_path / "key", with_bytes(whole, at, b"\1"))
    assert gaps[1][1] - gaps[1][0] == 32


# -- points ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", of_curve("bls12-381"))
def test_a_point_that_is_none_is_refused_before_any_proving(name: str, tmp_path: Path) -> None:
    whole, backend = s0().key.encode(), made(name)
    at, q = section_of_a(whole), BLS12_381.base_modulus
    x = int.from_bytes(whole[at : at + 48], "little")
    bad = {
        "off the curve": with_bytes(whole, at, bytes([whole[at] ^ 1])),
        "identity": with_bytes(whole, at, bytes(G1)),
        "not below q": with_bytes(whole, at, (x + q).to_bytes(48, "little")),
        "subgroup": with_bytes(whole, at, THIRD),
    }
    for text, data in bad.items():
        path = tmp_path / "key"
        path.write_bytes(data)
        with pytest.raises(KeyRefused, match=text):
            ProvingKey.load(path, backend)


def test_keys_of_another_circuit_or_curve_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    noise().key.save(path)
    with pytest.raises(KeyRefused, match="another circuit"):
        Prover(ProvingKey.load(path), s0().system)
    with pytest.raises(KeyRefused, match="bn254"):
        ProvingKey.load(path, made("reference/bn254"))


# -- faults ----------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from zkfed.groth16.keys import ProvingKey

key = ProvingKey.load(Path(sys.argv[1]))
encode, seen = type(key.verifying.backend).encode_affine, []

def stop(backend, points):
    seen.append(points)
    if len(seen) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(backend, points)

type(key.verifying.backend).encode_affine = stop
key.save(Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux has files without a name")
def test_a_process_that_is_killed_while_it_saves_leaves_no_partial_file(tmp_path: Path) -> None:
    case, path = s0(), tmp_path / "key"
    case.key.save(path)
    code = textwrap.dedent(KILLED)
    killed = subprocess.run([sys.executable, "-c", code, str(path)], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == ["key"]
    assert ProvingKey.load(path).encode() == case.key.encode()
    case.key.save(path)


def test_a_refused_file_does_not_stop_the_next_one(tmp_path: Path) -> None:
    case, path = s0(), tmp_path / "key"
    case.key.save(path)
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        (tmp_path / "bad").write_bytes(with_bytes(whole, at, bytes([whole[at] ^ 0x55])))
        with contextlib.suppress(ZkfedError):
            ProvingKey.load(tmp_path / "bad")
        assert ProvingKey.load(path).verifying.digest == case.vk.digest
