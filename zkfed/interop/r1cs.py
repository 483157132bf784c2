"""`.r1cs` files, version 1: the constraint systems of circom and everything that reads them.

    section  content
    1        fs (u32), prime, wires, public outputs, public inputs, private inputs (u32),
             labels (u64), constraints (u32)
    2        for each constraint A, B, C: terms (u32), then wire (u32) and coefficient of each
    3        the label of each wire (u64)
    4, 5     custom gates (PLONK): refused unless empty

The wires stand as 1 | outputs | public inputs | the rest: the order of zkfed, whose public
inputs come first as well. Coefficients are below the prime, little-endian, never 0; no
wire stands twice in a side, since readers disagree about what that means. The text of the format
has the wires ascend; circom does not always, so they are sorted here. The prime decides the
curve: BN254 (circom's bn128) or BLS12-381.

Rows that hold one wire and nothing else (protocol.md section 5) are no part of a file: they
say nothing, and each setup adds its own. `write_r1cs` leaves them out, `read_r1cs` adds one
for the wire 1, each public wire and each wire that no constraint uses.

Source: iden3/r1csfile, doc/r1cs_bin_format.md.
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Ints, to_limbs
from zkfed.errors import DecodeError, LimitExceeded
from zkfed.interop.container import FIELD_BYTES, curve_of_prime, read_sections, write_sections
from zkfed.r1cs.system import Input, Label, SparseMatrix, System

__all__ = ["read_r1cs", "write_r1cs"]

KIND = (b"r1cs", 1)
HEADER, CONSTRAINTS, LABELS, GATES, GATE_USES = 1, 2, 3, 4, 5
PUBLIC_MAX = 1 << 24
"""The most public wires that a layout may have."""
TERM_WORDS = 1 + FIELD_BYTES // 4
"""32-bit words of one term: the wire and its coefficient."""

Words = npt.NDArray[np.uint32]
IntVector = npt.NDArray[np.int64]


def read_r1cs(path: str | Path, *, name: str = "r1cs") -> System:
    """Reads a circuit that another tool compiled.

    It is a plain circuit (`Layout.is_plain`): its proofs are bound to their public inputs and to
    nothing else. Its public wires are one static input, "public".

    Args:
        path: The file.
        name: Becomes the circuit's name, which stands in its digest.

    Returns:
        A system that `Prover.prove_assignment` proves.

    Raises:
        DecodeError: Not a well-formed `.r1cs` of either curve, or one with custom gates.
        LimitExceeded: It announces more wires, constraints or terms than it holds, or has more
            than 2^24 public wires.
        StoreFault: It cannot be read.
    """
    path = Path(path)
    sections = read_sections(path, KIND, (HEADER, CONSTRAINTS, LABELS))
    for number in (GATES, GATE_USES):
        if any(sections.get(number, b"")):
            raise DecodeError(f"{path.name}: custom gates, which are no rank-1 constraints")
    curve, wires, public, rows = _read_header(path.name, sections)
    if len(sections[CONSTRAINTS]) % 4:
        raise DecodeError(
            f"{path.name}: {len(sections[CONSTRAINTS])} bytes of constraints are no whole number of words"
        )
    # Sections of odd sizes may stand before it.
    words = np.require(np.frombuffer(sections[CONSTRAINTS], dtype="<u4"), requirements=["ALIGNED"])
    starts = _block_starts(path.name, words, 3 * rows)
    a, b, c = (_read_matrix(path.name, words, starts[side::3], (wires, curve)) for side in range(3))
    used = np.zeros(wires, dtype=bool)
    for matrix in (a, b, c):
        used[matrix.columns] = True
    used[: 1 + public] = False
    alone = np.flatnonzero(~used)
    labels = (Label("row", (rows,), 0), Label("isolated", (len(alone),), rows))
    shape = () if public == 1 else (public,)
    inputs = (Input("public", shape, 1, 0, False, None),) if public else ()
    return System(
        name, 1, curve, inputs, (), (), wires, _append_single(a, alone), _append_empty(b, len(alone)),
        _append_empty(c, len(alone)), labels if rows else labels[1:], (), np.arange(wires),
    )  # fmt: skip


def write_r1cs(system: System, path: str | Path) -> None:
    """Writes a circuit for another tool.

    All public inputs, ctx and derived ones too, become public inputs; committed wires become
    private ones. What ties a circuit's challenges to its committed wires is no constraint and
    is lost: a proof that another tool makes of a circuit with challenges shows nothing.

    Args:
        system: Of either curve.
        path: The file, written all or nothing.

    Raises:
        StoreFault: It cannot be written.
    """
    matrices = system.matrices
    # Rows a * 0 = 0 at the end hold for every assignment.
    filled = np.flatnonzero(np.diff(system.b.indptr) + np.diff(system.c.indptr))
    rows = int(filled[-1]) + 1 if len(filled) else 0
    order = system.curve.order.to_bytes(FIELD_BYTES, "little")
    counts = (system.wire_count, 0, system.public_count - 1, 0, system.wire_count, rows)
    sections = {
        HEADER: struct.pack("<I", FIELD_BYTES) + order + struct.pack("<IIIIQI", *counts),
        CONSTRAINTS: _pack_rows(matrices, rows),
        LABELS: np.arange(system.wire_count, dtype="<u8").tobytes(),
    }
    write_sections(Path(path), KIND, sections)


def _read_header(name: str, sections: dict[int, memoryview]) -> tuple[Curve, int, int, int]:
    """Returns the curve and the numbers of wires, public wires and constraints, all checked."""
    header = sections[HEADER]
    if len(header) != 32 + FIELD_BYTES or struct.unpack_from("<I", header)[0] != FIELD_BYTES:
        raise DecodeError(f"{name}: a header of {len(header)} bytes, or field elements of other than {FIELD_BYTES}")
    curve = curve_of_prime(bytes(header[4 : 4 + FIELD_BYTES]), name)
    wires, outputs, inputs, private, _, rows = struct.unpack_from("<IIIIQI", header, 4 + FIELD_BYTES)
    if wires < 1 + outputs + inputs + private:
        raise DecodeError(f"{name}: {wires} wires, fewer than its outputs and inputs and the wire 1")
    if outputs + inputs > PUBLIC_MAX:
        raise LimitExceeded(f"{name}: {outputs + inputs} public wires, at most {PUBLIC_MAX} are accepted")
    for count, each, number, what in ((wires, 8, LABELS, "wires"), (rows, 12, CONSTRAINTS, "constraints")):
        if count * each > len(sections[number]):
            raise LimitExceeded(f"{name}: {count} {what} announced, section {number} has {len(sections[number])} bytes")
    if wires * 8 != len(sections[LABELS]):
        raise DecodeError(f"{name}: {len(sections[LABELS])} bytes of labels for {wires} wires")
    return curve, wires, outputs + inputs, rows


def _block_starts(name: str, words: Words, count: int) -> IntVector:
    """Returns where each side of each row begins: its count, then its terms.

    Each start depends on the one before, so this is the one loop that cannot be vectorised.
    """
    view, at, starts = words.astype(np.uint32, copy=False).data, 0, array("q")
    for _ in range(count):
        if at >= len(words):
            break
        starts.append(at)
        at += 1 + TERM_WORDS * view[at]
    if at > len(words):
        raise LimitExceeded(f"{name}: constraint {(len(starts) - 1) // 3} announces more terms than are left")
    if len(starts) < count or at < len(words):
        raise DecodeError(f"{name}: {len(starts)} of {count} sides in {4 * at} of {4 * len(words)} bytes")
    return np.frombuffer(starts, dtype=np.int64)


def _read_matrix(name: str, words: Words, starts: IntVector, size: tuple[int, Curve]) -> SparseMatrix:
    """Reads one side of all rows, at once."""
    wires, curve = size
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(words[starts], dtype=np.int64)])
    terms = _terms(words, starts, indptr)
    columns = terms[:, 0].astype(np.int64)
    if len(columns) and int(columns.max()) >= wires:
        raise DecodeError(f"{name}: wire {int(columns.max())} of {wires} in a constraint")
    coefficients = _coefficients(name, terms[:, 1:].tobytes(), curve)
    if not _ascends(indptr, columns):
        # circom writes such rows, against the format's text.
        order = np.lexsort((columns, np.repeat(np.arange(len(starts)), np.diff(indptr))))
        columns, coefficients = columns[order], coefficients[order]
        if not _ascends(indptr, columns):
            raise DecodeError(f"{name}: a wire stands twice in one side of a constraint")
    return SparseMatrix(indptr, columns, coefficients)


def _ascends(indptr: IntVector, columns: IntVector) -> bool:
    """Returns whether the columns of each row ascend strictly."""
    is_step = np.diff(columns) > 0
    ends = indptr[1:-1]
    is_step[ends[(ends > 0) & (ends < len(columns))] - 1] = True
    return bool(is_step.all())


def _terms(words: Words, starts: IntVector, indptr: IntVector) -> Words:
    """Returns the words of all terms of the blocks at `starts`, one term a row."""
    return _windows(words)[_term_positions(starts, indptr)]


def _windows(words: Words) -> Words:
    if len(words) < TERM_WORDS:
        return np.zeros((0, TERM_WORDS), np.uint32)
    return np.lib.stride_tricks.sliding_window_view(words, TERM_WORDS, writeable=words.flags.writeable)


def _term_positions(starts: IntVector, indptr: IntVector) -> IntVector:
    first: IntVector = np.repeat(starts + 1 - TERM_WORDS * indptr[:-1], np.diff(indptr))
    first += TERM_WORDS * np.arange(indptr[-1])
    return first


class _Known(dict[bytes, int]):
    """The integers met so far, by their little-endian bytes."""

    def __missing__(self, key: bytes) -> int:
        value = self[key] = int.from_bytes(key, "little")
        return value


def _coefficients(name: str, data: bytes, curve: Curve) -> Ints:
    """Returns the coefficients; equal ones are one object, since circuits repeat a few."""
    known = _Known()
    out = np.empty(len(data) // FIELD_BYTES, dtype=object)
    out[:] = [known[data[i : i + FIELD_BYTES]] for i in range(0, len(data), FIELD_BYTES)]
    if not all(0 < value < curve.order for value in known.values()):
        raise DecodeError(f"{name}: a coefficient is 0 or not below the prime")
    return out


def _append_single(matrix: SparseMatrix, wires: IntVector) -> SparseMatrix:
    indptr = np.concatenate([matrix.indptr, matrix.indptr[-1] + 1 + np.arange(len(wires))])
    ones = np.full(len(wires), 1, dtype=object)
    return SparseMatrix(
        indptr, np.concatenate([matrix.columns, wires]), np.concatenate([matrix.coefficients, ones])
    )  # fmt: skip


def _append_empty(matrix: SparseMatrix, rows: int) -> SparseMatrix:
    indptr = np.concatenate([matrix.indptr, np.full(rows, matrix.indptr[-1])])
    return SparseMatrix(indptr, matrix.columns, matrix.coefficients)


def _pack_rows(matrices: tuple[SparseMatrix, ...], rows: int) -> bytes:
    """Returns section 2 for the first `rows` rows."""
    indptrs = [m.indptr[: rows + 1] for m in matrices]
    counts = np.stack([np.diff(p) for p in indptrs], axis=1).ravel()
    ends = np.cumsum(1 + TERM_WORDS * counts, dtype=np.int64)
    starts = ends - (1 + TERM_WORDS * counts)
    words = np.zeros(int(ends[-1]) if rows else 0, dtype="<u4")
    words[starts] = counts
    for side, (matrix, indptr) in enumerate(zip(matrices, indptrs, strict=True)):
        at, terms = _term_positions(starts[side::3], indptr), int(indptr[-1])
        words[at] = matrix.columns[:terms]
        limbs = to_limbs(matrix.coefficients[:terms].tolist()).astype("<u8", copy=False)
        if terms:
            _windows(words)[at, 1:] = limbs.view("<u4")
    return words.tobytes()
