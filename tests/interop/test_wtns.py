"""Shows that `.wtns` files are read and written exactly, and nothing else is read.

The file is its owner's alone: a witness is secret.
"""

from __future__ import annotations

import stat
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.interop.iden3_files import Circuit, container, dense
from zkfed.algebra.curve import BLS12_381, BN254, CURVES, Curve
from zkfed.algebra.field import from_limbs, to_limbs
from zkfed.errors import DecodeError, LimitExceeded, StoreFault
from zkfed.interop import instance_of, read_wtns, write_wtns
from zkfed.r1cs.builder import Builder

R = BN254.order
SYSTEM = dense(BN254, 4, 2, [({1: 1}, {2: 1}, {3: 1})])
VALUES = [1, 6, R - 1, 2**200]


def sections(
    values: list[int] = VALUES, prime: int = R, n8: int = 32, count: int | None = None
) -> list[tuple[int, bytes]]:
    announced = len(values) if count is None else count
    head = struct.pack("<I", n8) + prime.to_bytes(n8, "little") + struct.pack("<I", announced)
    return [(1, head), (2, b"".join(v.to_bytes(32, "little") for v in values))]


def file_of(**changes: object) -> bytes:
    return container(b"wtns", 2, sections(**changes))  # type: ignore[arg-type]


def read(tmp_path: Path, data: bytes) -> list[int]:
    (tmp_path / "file.wtns").write_bytes(data)
    return from_limbs(read_wtns(tmp_path / "file.wtns", SYSTEM)).tolist()


@given(data=st.data(), curve=st.sampled_from(list(CURVES.values())))
def test_any_assignment_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, curve: Curve
) -> None:
    values = data.draw(st.lists(st.integers(0, curve.order - 1), min_size=1, max_size=20))
    system, path = dense(curve, len(values), 0, []), tmp_path_factory.getbasetemp() / "any.wtns"
    write_wtns(to_limbs(values), system, path)
    assert path.read_bytes() == container(b"wtns", 2, sections(values, curve.order))
    assert from_limbs(read_wtns(path, system)).tolist() == values


def test_a_file_is_read_as_the_specification_says(tmp_path: Path) -> None:
    assert read(tmp_path, file_of()) == VALUES
    assert read(tmp_path, container(b"wtns", 2, [(9, b"odd"), *reversed(sections())])) == VALUES


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "other-magic": b"r1cs" + file_of()[4:],
    "other-version": container(b"wtns", 1, sections()),
    "truncated": file_of()[:-1],
    "longer": file_of() + b"\0",
    "without-header": container(b"wtns", 2, sections()[1:]),
    "without-values": container(b"wtns", 2, sections()[:1]),
    "header-twice": container(b"wtns", 2, [*sections(), sections()[0]]),
    "values-twice": container(b"wtns", 2, [*sections(), sections()[1]]),
    "other-prime": file_of(prime=R + 2),
    "other-curve": file_of(prime=BLS12_381.order),
    "values-of-64-bytes": file_of(n8=64),
    "value-r": file_of(values=[1, 6, R, 3]),
    "value-2^256-1": file_of(values=[1, 6, 2**256 - 1, 3]),
    "one-value-fewer": file_of(values=VALUES[:-1]),
    "one-value-more": file_of(values=[*VALUES, 0]),
    "counts-one-fewer": file_of(count=3),
    "counts-one-more": file_of(count=5),
}  # fmt: skip


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_malformed_files_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^file\.wtns: "):
        read(tmp_path, data)


def test_a_huge_announcement_is_refused_before_allocation(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            read(tmp_path, file_of(values=[1], count=2**32 - 1))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_only_assignments_of_the_circuit_are_written(tmp_path: Path) -> None:
    for wrong in (to_limbs(VALUES[:-1]), to_limbs([1, 2, 3, R]), np.zeros((4, 3), np.uint64)):
        with pytest.raises(ValueError, match=r"wires|below r"):
            write_wtns(wrong, SYSTEM, tmp_path / "x.wtns")
    with pytest.raises(StoreFault, match="cannot be written"):
        write_wtns(to_limbs(VALUES), SYSTEM, tmp_path / "no-folder" / "x.wtns")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_readable_for_its_owner_only(tmp_path: Path) -> None:
    write_wtns(to_limbs(VALUES), SYSTEM, tmp_path / "x.wtns")
    assert stat.S_IMODE((tmp_path / "x.wtns").stat().st_mode) == 0o600


def test_the_instance_is_the_public_part(tmp_path: Path) -> None:
    instance = instance_of(SYSTEM, to_limbs(VALUES))
    assert (instance.context, instance.static) == (b"", {"public": [6, R - 1]})
    builder = Builder("ours", curve=BN254)
    builder.enforce("one", builder.input("x"), builder.input("y"), builder.input("z") + 1)
    with pytest.raises(ValueError, match="has a ctx"):
        instance_of(builder.finish(), to_limbs([1, 2, 3, 4, 5]))


def test_the_oracle_writes_what_it_should() -> None:
    """A control: the fixtures of the other tests are the layout of the specification."""
    assert file_of()[:12] == b"wtns" + bytes([2, 0, 0, 0, 2, 0, 0, 0])
    assert len(Circuit(R, 1, []).header()) == 64
