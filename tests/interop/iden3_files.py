"""The iden3 formats, slowly and one number at a time: the oracle of readers and writers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zkfed.algebra.curve import Curve
from zkfed.algebra.field import as_ints
from zkfed.r1cs.system import Input, Label, SparseMatrix, System

__all__ = ["Circuit", "Row", "container", "dense", "parse_r1cs", "rows_of"]

Row = tuple[dict[int, int], dict[int, int], dict[int, int]]
"""A, B, C of one constraint: wire -> coefficient."""


def container(magic: bytes, version: int, sections: list[tuple[int, bytes]], count: int | None = None) -> bytes:
    """Returns a file of these sections, in this order."""
    head = magic + struct.pack("<II", version, len(sections) if count is None else count)
    return head + b"".join(struct.pack("<IQ", number, len(payload)) + payload for number, payload in sections)


@dataclass
class Circuit:
    """A circuit by its rows, and the sections of its file; tests change what they like."""

    prime: int
    wires: int
    rows: list[Row]
    outputs: int = 0
    inputs: int = 0
    private: int = 0
    announced: dict[str, int] = field(default_factory=dict)

    def header(self) -> bytes:
        numbers = {
            "fs": 32, "wires": self.wires, "outputs": self.outputs, "inputs": self.inputs, "private": self.private,
            "labels": self.wires, "rows": len(self.rows),
        } | self.announced  # fmt: skip
        prime = self.prime.to_bytes(max(numbers["fs"], 32), "little")
        return struct.pack("<I", numbers["fs"]) + prime + struct.pack("<IIIIQI", *list(numbers.values())[1:])

    def constraints(self) -> bytes:
        out = b""
        for row in self.rows:
            for side in row:
                out += struct.pack("<I", len(side))
                for wire, value in side.items():
                    out += struct.pack("<I", wire) + value.to_bytes(32, "little")
        return out

    def labels(self) -> bytes:
        return b"".join(i.to_bytes(8, "little") for i in range(self.wires))

    def sections(self) -> list[tuple[int, bytes]]:
        return [(1, self.header()), (2, self.constraints()), (3, self.labels())]

    def encode(self) -> bytes:
        return container(b"r1cs", 1, self.sections())


def parse_r1cs(path: Path) -> Circuit:
    """Reads a well-formed file as the specification says, section by section."""
    data = path.read_bytes()
    assert data[:8] == b"r1cs" + struct.pack("<I", 1)
    sections, at = {}, 12
    for _ in range(struct.unpack_from("<I", data, 8)[0]):
        number, size = struct.unpack_from("<IQ", data, at)
        sections[number] = data[at + 12 : at + 12 + size]
        at += 12 + size
    assert at == len(data)
    header, body = sections[1], sections[2]
    wires, outputs, inputs, private, labels, count = struct.unpack_from("<IIIIQI", header, 36)
    assert (len(header), len(sections[3])) == (64, 8 * wires)
    assert labels >= wires
    rows, at = [], 0
    for _ in range(count):
        sides: list[dict[int, int]] = []
        for _ in range(3):
            (terms,) = struct.unpack_from("<I", body, at)
            at += 4
            sides.append({})
            for _ in range(terms):
                (wire,) = struct.unpack_from("<I", body, at)
                sides[-1][wire] = int.from_bytes(body[at + 4 : at + 36], "little")
                at += 36
        rows.append((sides[0], sides[1], sides[2]))
    assert at == len(body)
    return Circuit(int.from_bytes(header[4:36], "little"), wires, rows, outputs, inputs, private)


def _matrix(sides: list[dict[int, int]]) -> SparseMatrix:
    indptr = np.cumsum([0, *map(len, sides)]).astype(np.int64)
    columns = np.array([wire for side in sides for wire in sorted(side)], np.int64)
    return SparseMatrix(indptr, columns, as_ints([side[wire] for side in sides for wire in sorted(side)]))


def dense(curve: Curve, wires: int, public: int, rows: list[Row]) -> System:
    """Returns the plain system of these rows, with nothing added."""
    a, b, c = (_matrix([row[i] for row in rows]) for i in range(3))
    inputs = (Input("public", () if public == 1 else (public,), 1, 0, False, None),) if public else ()
    label = (Label("row", (len(rows),), 0),)
    return System("r1cs", 1, curve, inputs, (), (), wires, a, b, c, label, (), np.arange(wires))


def rows_of(system: System) -> list[Row]:
    """Returns a system's rows."""

    def sides(matrix: SparseMatrix) -> Iterator[dict[int, int]]:
        for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
            yield dict(zip(matrix.columns[start:stop].tolist(), matrix.coefficients[start:stop].tolist(), strict=True))

    return list(zip(sides(system.a), sides(system.b), sides(system.c), strict=True))
