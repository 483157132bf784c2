"""Shows that `.r1cs` files of both curves are read and written exactly, and nothing else is read.

A slow parser of the specification is the oracle. A file that announces more than it holds is
refused before anything is allocated; a write that fails leaves what was there.
"""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.interop.iden3_files import Circuit, Row, container, dense, parse_r1cs, rows_of
from tests.statements.circuit_samples import sample
from zkfed.algebra.curve import BLS12_381, BN254, CURVES
from zkfed.errors import DecodeError, LimitExceeded, StoreFault, UnsatisfiedConstraint
from zkfed.interop import r1cs, read_r1cs, write_r1cs
from zkfed.policy import LinearModel
from zkfed.r1cs.system import System

R = BN254.order
# Wires 1 | out, in | a, b.  Rows: a b = out,  (a + 5 in) 1 = b - r/2 in.
ROWS: list[Row] = [({3: 1}, {4: 1}, {1: 1}), ({2: 5, 3: 1}, {0: 1}, {2: R // 2, 4: 1})]
GOOD = Circuit(R, 5, ROWS, outputs=1, inputs=1, private=1)


@st.composite
def systems(draw: st.DrawFn) -> System:
    curve = draw(st.sampled_from(list(CURVES.values())))
    wires = draw(st.integers(1, 12))
    small, negative = st.integers(1, 300), st.integers(1, 300).map(lambda v: curve.order - v)
    values = st.one_of(small, negative, st.integers(1, curve.order - 1))
    sides = st.dictionaries(st.integers(0, wires - 1), values, max_size=4)
    rows = draw(st.lists(st.tuples(sides, sides, sides), max_size=8))
    return dense(curve, wires, draw(st.integers(0, wires - 1)), rows)


@given(systems())
def test_any_system_survives_its_file(tmp_path_factory: pytest.TempPathFactory, system: System) -> None:
    path = tmp_path_factory.getbasetemp() / "any.r1cs"
    write_r1cs(system, path)
    found, rows = parse_r1cs(path), rows_of(system)
    # Trailing rows with empty B and C hold always; they may be left out, and nothing else.
    assert found.rows == rows[: len(found.rows)]
    assert all(not b and not c for _, b, c in rows[len(found.rows) :])
    assert (found.prime, found.wires) == (system.curve.order, system.wire_count)
    assert (found.outputs, found.inputs, found.private) == (0, system.public_count - 1, 0)
    again = read_r1cs(path)
    assert rows_of(again)[: len(found.rows)] == found.rows
    assert (again.curve, again.wire_count, again.inputs) == (system.curve, system.wire_count, system.inputs)
    first = path.read_bytes()
    write_r1cs(again, path)
    assert path.read_bytes() == first


@given(systems())
def test_each_wire_of_a_system_that_was_read_is_in_a_row(
    tmp_path_factory: pytest.TempPathFactory, system: System
) -> None:
    """No point of its key is the identity, and the added rows hold for every assignment."""
    path = tmp_path_factory.getbasetemp() / "used.r1cs"
    write_r1cs(system, path)
    rows, constraints = rows_of(read_r1cs(path)), parse_r1cs(path).rows
    added = rows[len(constraints) :]
    alone = [next(iter(a)) for a, _, _ in added]
    assert added == [({wire: 1}, {}, {}) for wire in alone]
    assert alone == sorted(set(alone))
    assert alone[: system.public_count] == list(range(system.public_count))
    used = {wire for row in constraints for side in row for wire in side}
    assert used | set(alone) == set(range(system.wire_count))
    assert used.isdisjoint(alone[system.public_count :])


def read(tmp_path: Path, data: bytes) -> System:
    path = tmp_path / "file.r1cs"
    path.write_bytes(data)
    return read_r1cs(path, name="file")


def test_a_file_is_read_as_the_specification_says(tmp_path: Path) -> None:
    system = read(tmp_path, GOOD.encode())
    assert (system.name, system.curve, system.wire_count, system.public_count) == ("file", BN254, 5, 3)
    assert rows_of(system) == [*ROWS, *(({wire: 1}, {}, {}) for wire in range(3))]
    assert [i.shape for i in system.inputs] == [(2,)]
    assert system.layout.is_plain


def test_sections_stand_in_any_order_and_unknown_ones_are_skipped(tmp_path: Path) -> None:
    plain = read(tmp_path, GOOD.encode())
    sections = [(77, b"odd"), *reversed(GOOD.sections()), (4, bytes(4)), (5, bytes(4))]
    assert read(tmp_path, container(b"r1cs", 1, sections)).digest == plain.digest


@given(data=st.data())
def test_wires_in_any_order_are_the_same_circuit(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Circom leaves some rows unsorted where it has substituted signals."""
    side = st.dictionaries(st.integers(0, 4), st.integers(1, R - 1), max_size=5)
    rows = data.draw(st.lists(st.tuples(side, side, side), min_size=1, max_size=5))
    shuffled = [tuple(dict(data.draw(st.permutations(list(s.items())))) for s in row) for row in rows]
    ordered = [tuple(dict(sorted(s.items())) for s in row) for row in rows]
    digests = []
    for i, version in enumerate((shuffled, ordered)):
        path = tmp_path_factory.getbasetemp() / f"order{i}.r1cs"
        path.write_bytes(replace(GOOD, rows=version).encode())
        digests.append(read_r1cs(path).digest)
    assert digests[0] == digests[1]


def test_equal_coefficients_are_one_object(tmp_path: Path) -> None:
    big = R - 3
    rows: list[Row] = [({3: big}, {4: 1}, {1: big}) for _ in range(50)]
    system = read(tmp_path, replace(GOOD, rows=rows).encode())
    assert len({id(v) for v in system.a.coefficients[:50]}) == 1


def test_a_bls12_381_circuit_is_known_by_its_prime(tmp_path: Path) -> None:
    small: list[Row] = [({3: 1}, {4: 1}, {1: 1})]
    assert read(tmp_path, Circuit(BLS12_381.order, 5, small, outputs=1).encode()).curve == BLS12_381


def test_a_file_without_constraints_or_public_wires_is_read(tmp_path: Path) -> None:
    system = read(tmp_path, Circuit(R, 2, []).encode())
    assert (system.inputs, rows_of(system)) == ((), [({0: 1}, {}, {}), ({1: 1}, {}, {})])


# -- refused --------------------------------------------------------------------------------------


def with_rows(*rows: Row) -> bytes:
    return replace(GOOD, rows=list(rows)).encode()


def announced(**numbers: int) -> bytes:
    return replace(GOOD, announced=numbers).encode()


def edited(number: int, edit: Callable[[bytes], bytes]) -> bytes:
    return container(b"r1cs", 1, [(n, edit(p) if n == number else p) for n, p in GOOD.sections()])


def twice() -> bytes:
    """A side with wire 3 twice, neither in order nor side by side."""
    side = struct.pack("<I", 3) + b"".join(struct.pack("<I", w) + bytes([1]) + bytes(31) for w in (3, 2, 3))
    return edited(2, lambda _: side + bytes(8) + bytes(12))


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "cut-in-head": GOOD.encode()[:11],
    "other-magic": b"wtns" + GOOD.encode()[4:],
    "other-version": container(b"r1cs", 2, GOOD.sections()),
    "truncated": GOOD.encode()[:-1],
    "longer": GOOD.encode() + b"\0",
    "section-missing-at-the-end": container(b"r1cs", 1, GOOD.sections(), count=4),
    "section-not-counted": container(b"r1cs", 1, GOOD.sections(), count=2),
    **{f"without-section-{n}": container(b"r1cs", 1, [s for s in GOOD.sections() if s[0] != n]) for n in (1, 2, 3)},
    **{f"section-{n}-twice": container(b"r1cs", 1, [*GOOD.sections(), (n, b"")]) for n in (1, 2, 3)},
    "custom-gates": container(b"r1cs", 1, [*GOOD.sections(), (4, struct.pack("<I", 1) + b"gate\0" + bytes(4))]),
    "custom-gate-uses": container(b"r1cs", 1, [*GOOD.sections(), (5, struct.pack("<I", 1))]),
    "header-longer": edited(1, lambda p: p + b"\0"),
    "header-shorter": edited(1, lambda p: p[:-1]),
    "field-of-64-bytes": announced(fs=64),
    "field-of-24-bytes": announced(fs=24),
    "other-prime": replace(GOOD, prime=R + 2).encode(),
    "prime-of-the-base-field": replace(GOOD, prime=BN254.base_modulus).encode(),
    "more-public-than-wires": announced(inputs=5),
    "more-private-than-wires": announced(private=3),
    "one-wire-fewer": announced(wires=4),
    "no-wire": replace(Circuit(R, 0, []), announced={"wires": 0}).encode(),
    "labels-longer": edited(3, lambda p: p + bytes(8)),
    "one-constraint-fewer": announced(rows=1),
    "one-constraint-more": announced(rows=3),
    "constraints-and-three-bytes": edited(2, lambda p: p + bytes(3)),
    "constraints-and-one-word": edited(2, lambda p: p + bytes(4)),
    "coefficient-zero": with_rows(({3: 0}, {4: 1}, {1: 1})),
    "coefficient-r": with_rows(({3: R}, {4: 1}, {1: 1})),
    "coefficient-2^256-1": with_rows(({3: 2**256 - 1}, {4: 1}, {1: 1})),
    "wire-out-of-range": with_rows(({5: 1}, {4: 1}, {1: 1})),
    "wire-2^32-1": with_rows(({3: 1}, {2**32 - 1: 1}, {1: 1})),
    "wire-twice": twice(),
}  # fmt: skip
HUGE = {
    "wires": announced(wires=2**32 - 1),
    "constraints": announced(rows=2**32 - 1),
    "outputs": announced(outputs=2**32 - 4, wires=2**32 - 1),
    "terms": edited(2, lambda p: struct.pack("<I", 2**32 - 1) + p[4:]),
    "terms-in-the-last-row": edited(2, lambda p: p[:-76] + struct.pack("<I", 2**31) + p[-72:]),
    "sections": container(b"r1cs", 1, GOOD.sections(), count=2**32 - 1),
}  # fmt: skip


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_malformed_files_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^file\.r1cs: "):
        read(tmp_path, data)


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_huge_announcements_are_refused_before_allocation(tmp_path: Path, data: bytes) -> None:
    assert len(data) < 1000
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_more_public_wires_than_a_layout_may_have_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r1cs, "PUBLIC_MAX", 2)
    read(tmp_path, GOOD.encode())
    with pytest.raises(LimitExceeded, match="3 public wires"):
        read(tmp_path, replace(GOOD, inputs=2, private=0).encode())


@given(data=st.data())
def test_changed_bytes_are_refused_or_mean_another_circuit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(GOOD.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
    if kind == "change":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del raw[at:]
    else:
        raw[at:at] = data.draw(st.binary(min_size=1, max_size=40))
    path = tmp_path_factory.getbasetemp() / "changed.r1cs"
    path.write_bytes(bytes(raw))
    try:
        system = read_r1cs(path)
    except DecodeError:
        return
    found = parse_r1cs(path)
    assert rows_of(system)[: len(found.rows)] == found.rows
    assert system.public_count == 1 + found.outputs + found.inputs


# -- our own circuits -----------------------------------------------------------------------------


def test_a_circuit_of_ours_keeps_its_relation(tmp_path: Path) -> None:
    """Committed wires become private ones; what satisfied ours satisfies the file, and only that."""
    ours = sample(LinearModel(3, 2), 20).system
    assert ours.segments
    write_r1cs(ours, tmp_path / "ours.r1cs")
    system = read_r1cs(tmp_path / "ours.r1cs")
    count = len(parse_r1cs(tmp_path / "ours.r1cs").rows)
    assert rows_of(system)[:count] == rows_of(ours)[:count]
    isolated = next(label.start for label in ours.labels if label.name.startswith("isolated/"))
    assert count == isolated
    assert (system.wire_count, system.public_count) == (ours.wire_count, ours.public_count)


def test_an_untrue_assignment_names_its_row(tmp_path: Path) -> None:
    system = read(tmp_path, GOOD.encode())
    z = np.array([1, 6, 0, 2, 3], dtype=object)
    with pytest.raises(UnsatisfiedConstraint, match=r"file: constraint row\[1\]"):
        system.check(*system.evaluate(z))


# -- the disk -------------------------------------------------------------------------------------


def test_files_that_cannot_be_read_or_written_are_faults(tmp_path: Path) -> None:
    system = read(tmp_path, GOOD.encode())
    with pytest.raises(StoreFault, match=r"absent\.r1cs cannot be read"):
        read_r1cs(tmp_path / "absent.r1cs")
    with pytest.raises(StoreFault, match=r"x\.r1cs cannot be written"):
        write_r1cs(system, tmp_path / "no-folder" / "x.r1cs")


@pytest.mark.parametrize("broken", ["write", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    system = read(tmp_path, GOOD.encode())

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"write": (os, "fsync"), "replace": (Path, "replace")}[broken], fail)
    with pytest.raises(StoreFault, match="No space left"):
        write_r1cs(system, tmp_path / "file.r1cs")
    assert [p.name for p in tmp_path.iterdir()] == ["file.r1cs"]
    assert (tmp_path / "file.r1cs").read_bytes() == GOOD.encode()
