"""A finished constraint system: matrices, wire order, labels, digest.

    (A z) o (B z) = C z  (mod r),   z = 1 | static | derived | segments | private

A segment is a block of committed wires; its last wire is its mask. Rows that hold one
public input or one mask and nothing else stand at the end (protocol.md section 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import CURVES, Curve
from zkfed.algebra.field import Ints
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, LimitExceeded, ProofInvalid, UnsatisfiedConstraint, excerpt
from zkfed.r1cs.linear import row_sums

if TYPE_CHECKING:
    from zkfed.r1cs.estimate import Estimate

__all__ = ["CONTEXT", "Input", "Label", "Layout", "LinkSpec", "Segment", "SparseMatrix", "System", "domain_size"]

CONTEXT = "ctx"
"""The name of the input that holds ctx, what a proof is bound to; every circuit of `Builder` has it."""


def domain_size(constraints: int) -> int:
    """Returns n, the smallest power of two with n >= constraints, at least 2."""
    return 1 << max(constraints - 1, 1).bit_length()


@dataclass(frozen=True, slots=True)
class SparseMatrix:
    """Compressed rows; `columns` are final wire numbers, coefficients lie in [0, r)."""

    indptr: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    coefficients: Ints

    def times(self, z: Ints, order: int) -> Ints:
        """Returns M z modulo `order`."""
        return row_sums(self.coefficients * z[self.columns], self.indptr) % order

    def rows_of_entries(self) -> npt.NDArray[np.int64]:
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))


@dataclass(frozen=True, slots=True)
class Input:
    """A named tensor of public inputs.

    Attributes:
        stage: 0 for a static input; t >= 1 if it is derived after challenge stage t.
        is_challenge: Whether the value is an output of the challenge hash itself.
        bounds: (lowest, highest) integer that the verifier accepts, or None for any scalar.
    """

    name: str
    shape: tuple[int, ...]
    start: int
    stage: int
    is_challenge: bool
    bounds: tuple[int, int] | None

    @property
    def size(self) -> int:
        # Not np.prod: a shape that was read may have a product above 2^63.
        return math.prod(self.shape)

    @property
    def span(self) -> slice:
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True, slots=True)
class Segment:
    """A block of committed wires [start, stop); wire stop - 1 is the mask."""

    name: str
    stage: int
    start: int
    stop: int
    is_linked: bool


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """Ties the wires of a segment, lane by lane, to a transparent Pedersen commitment.

    Wire i opens the coordinate i of sum_i w_i 2^(lane_bits (i mod lanes)) G_(i div lanes).

    The stage of the segment says whose commitment it is: at stage 0 the instance names it; at
    stage t >= 1 the verifier derives it, from commitments fixed before and the challenges up to t.
    """

    segment: str
    use: str
    lanes: int
    lane_bits: int


@dataclass(frozen=True, slots=True)
class Label:
    """Names the constraints [start, start + size) of one tensor."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """What a verifier knows of a circuit: its digest, public inputs, segments and links."""

    name: str
    version: int
    curve: Curve
    circuit_digest: bytes
    inputs: tuple[Input, ...]
    segments: tuple[Segment, ...]
    links: tuple[LinkSpec, ...]

    @property
    def public_count(self) -> int:
        """The number of public wires, the wire 1 included."""
        return 1 + sum(i.size for i in self.inputs)

    @property
    def stage_count(self) -> int:
        """The number of challenge stages."""
        return max((i.stage for i in self.inputs), default=0)

    @property
    def is_plain(self) -> bool:
        """Whether the circuit came from elsewhere (`zkfed.interop`): no ctx, segments or challenges."""
        return all(i.name != CONTEXT for i in self.inputs)

    @property
    def unlinked(self) -> tuple[Segment, ...]:
        """The segments that need their own proof of knowledge."""
        return tuple(s for s in self.segments if not s.is_linked)

    def links_at(self, stage: int) -> int:
        """Returns how many links have their segment at a stage; links stand in the order of stages."""
        return sum(s.is_linked and s.stage == stage for s in self.segments)

    def encode(self) -> bytes:
        """Returns the canonical bytes, which enter the verifying key's digest."""
        w = Writer("zkfed/v1/layout").text(self.name).u64(self.version).text(self.curve.name)
        w.bytes(self.circuit_digest).u64(len(self.inputs))
        for i in self.inputs:
            w.text(i.name).list([n.to_bytes(8, "big") for n in i.shape]).u64(i.stage).u64(int(i.is_challenge))
            w.u64(int(i.bounds is not None)).integer((i.bounds or (0, 0))[0]).integer((i.bounds or (0, 0))[1])
        w.u64(len(self.segments))
        for s in self.segments:
            w.text(s.name).u64(s.stage).u64(s.stop - s.start).u64(int(s.is_linked))
        w.u64(len(self.links))
        for link in self.links:
            w.text(link.segment).text(link.use).u64(link.lanes).u64(link.lane_bits)
        return w.finish()

    @classmethod
    def decode(cls, data: bytes) -> Layout:
        """Reads a layout.

        Raises:
            DecodeError: Not the canonical encoding of one, or of none that `Builder` makes.
        """
        r = Reader(data, "zkfed/v1/layout", limit=1 << 20)
        name, version, curve_name = r.text(), r.u64(1 << 16), r.text()
        if curve_name not in CURVES:
            raise DecodeError(f"layout: unknown curve {excerpt(curve_name, 32)!r}")
        circuit_digest, inputs, at = r.bytes(exact=32), [], 1
        for _ in range(r.u64(1 << 12)):
            text, shape = r.text(), tuple(int.from_bytes(n, "big") for n in r.list(4, exact=8))
            stage, is_challenge, is_bounded = r.u64(16), bool(r.u64(1)), bool(r.u64(1))
            low, high = r.integer(), r.integer()
            inputs.append(Input(text, shape, at, stage, is_challenge, (low, high) if is_bounded else None))
            if inputs[-1].size > 1 << 24:
                raise LimitExceeded(f"layout: the input {excerpt(text, 32)!r} has {inputs[-1].size} values")
            at += inputs[-1].size
        segments = []
        for _ in range(r.u64(64)):
            text, stage, size, is_linked = r.text(), r.u64(16), r.u64(1 << 28), bool(r.u64(1))
            segments.append(Segment(text, stage, at, at + size, is_linked))
            at += size
        links = [LinkSpec(r.text(), r.text(), r.u64(64), r.u64(64)) for _ in range(r.u64(64))]
        r.finish()
        out = cls(name, version, CURVES[curve_name], circuit_digest, tuple(inputs), tuple(segments), tuple(links))
        if out.encode() != data:
            raise DecodeError("layout: not the canonical encoding")
        out._check_form()
        return out

    def _check_form(self) -> None:
        """Refuses what no circuit has: a verifier must never meet an ambiguous name or an empty block."""
        for kind, names in (("input", [i.name for i in self.inputs]), ("segment", [s.name for s in self.segments])):
            if len(set(names)) != len(names):
                raise DecodeError(f"layout: two of the {kind}s have the same name")
        for parts in (self.inputs, self.segments):
            stages = [part.stage for part in parts]
            if stages != sorted(stages):
                raise DecodeError("layout: the stages do not stand in order")
        for i in self.inputs:
            is_flat = i.shape == () or (len(i.shape) == 1 and i.size > 1)
            is_bounded_well = i.bounds is None or (i.bounds[0] <= i.bounds[1] and i.stage == 0)
            if not is_flat or not is_bounded_well or (i.is_challenge and i.stage == 0):
                raise DecodeError(f"layout: the input {excerpt(i.name, 32)!r} has a form that no circuit has")
        if self.is_plain and (self.segments or self.stage_count):
            raise DecodeError("layout: segments or challenges, and no ctx that they could be bound to")
        # In one order: the commitments of an instance are told apart by it.
        if [s.name for s in self.segments if s.is_linked] != [link.segment for link in self.links]:
            raise DecodeError("layout: links and linked segments differ")
        if any(s.stop == s.start for s in self.segments) or any(not k.lanes or not k.lane_bits for k in self.links):
            raise DecodeError("layout: a segment without a mask, or a link without lanes")

    def check_static(self, values: dict[str, Any]) -> list[int]:
        """Returns the static inputs as scalars, in order, after checking names and bounds.

        Raises:
            DecodeError: A value is missing, unknown, of another size or not an integer.
            ProofInvalid: A value lies outside the bounds that the circuit was built for.
        """
        static = [i for i in self.inputs if i.stage == 0]
        if set(values) != {i.name for i in static}:
            raise DecodeError(f"{self.name}: expected the inputs {[i.name for i in static]}, got {sorted(values)}")
        out: list[int] = []
        for i in static:
            given = np.asarray(values[i.name], dtype=object).ravel().tolist()
            if len(given) != i.size:
                raise DecodeError(f"{self.name}: input {i.name} has {len(given)} values, expected {i.size}")
            low, high = i.bounds or (0, self.curve.order - 1)
            for value in given:
                if type(value) is not int:
                    raise DecodeError(f"{self.name}: input {i.name} holds a {type(value).__name__}, expected int")
                if not low <= value <= high:
                    raise ProofInvalid(f"{self.name}: input {i.name} is outside its range")
                out.append(value % self.curve.order)
        return out


Step = tuple[int, npt.NDArray[np.int64], Callable[[Any], Any]]
"""(stage, builder wires, hint): one line of the witness program."""


@dataclass(frozen=True)
class System:
    """A finished circuit. Built by `Builder.finish`; see the module.

    Attributes:
        magnitudes: Bits of the largest absolute value of each wire, for `estimate` alone, which
            finds the wires that are bits if it is None. The digest does not depend on it.
    """

    name: str
    version: int
    curve: Curve
    inputs: tuple[Input, ...]
    segments: tuple[Segment, ...]
    links: tuple[LinkSpec, ...]
    wire_count: int
    a: SparseMatrix
    b: SparseMatrix
    c: SparseMatrix
    labels: tuple[Label, ...]
    steps: tuple[Step, ...] = field(repr=False)
    final_of: npt.NDArray[np.int64] = field(repr=False)
    magnitudes: npt.NDArray[np.uint8] | None = field(default=None, repr=False)

    @property
    def constraint_count(self) -> int:
        return len(self.a.indptr) - 1

    @property
    def domain_size(self) -> int:
        return domain_size(self.constraint_count)

    @property
    def matrices(self) -> tuple[SparseMatrix, SparseMatrix, SparseMatrix]:
        return self.a, self.b, self.c

    @property
    def private_start(self) -> int:
        return self.segments[-1].stop if self.segments else self.public_count

    def segment(self, name: str) -> Segment:
        return next(s for s in self.segments if s.name == name)

    @cached_property
    def layout(self) -> Layout:
        """What the verifier sees of this circuit."""
        return Layout(
            self.name, self.version, self.curve, self.digest, self.inputs, self.segments, self.links
        )  # fmt: skip

    @property
    def public_count(self) -> int:
        return self.segments[0].start if self.segments else 1 + sum(i.size for i in self.inputs)

    @property
    def stage_count(self) -> int:
        return max((i.stage for i in self.inputs), default=0)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over everything that makes the statement: layout and matrices."""
        w = Writer("zkfed/v1/circuit").text(self.name).u64(self.version).text(self.curve.name)
        w.u64(self.wire_count).u64(self.constraint_count)
        for i in self.inputs:
            w.text(i.name).list([n.to_bytes(8, "big") for n in i.shape]).u64(i.stage).u64(int(i.is_challenge))
            w.text("any" if i.bounds is None else f"{i.bounds[0]}..{i.bounds[1]}")
        for s in self.segments:
            w.text(s.name).u64(s.stage).u64(s.stop - s.start).u64(int(s.is_linked))
        for link in self.links:
            w.text(link.segment).text(link.use).u64(link.lanes).u64(link.lane_bits)
        for m in (self.a, self.b, self.c):
            w.bytes(m.indptr.astype(">u8").tobytes()).bytes(m.columns.astype(">u8").tobytes())
            w.bytes(b"".join(v.to_bytes(32, "big") for v in m.coefficients.tolist()))
        return digest("zkfed/v1/circuit-digest", w.finish())

    def estimate(self, backend: str | None = None, threads: int | None = None) -> Estimate:
        """Predicts what keys and proofs of this circuit cost, before any key is made.

        Counts are exact; times and memory are a model's, fitted on one machine (costs.py).

        Args:
            backend: Its name; the one that `use` would choose if it is None.
            threads: As many as this process may use if it is None.

        Raises:
            ValueError: There are no measured costs of that backend on this curve, or no thread.
        """
        from zkfed.r1cs.estimate import estimate

        return estimate(self, backend, threads)

    def evaluate(self, z: Ints) -> tuple[Ints, Ints, Ints]:
        """Returns (A z, B z, C z) modulo r for an assignment in final order."""
        r = self.curve.order
        return self.a.times(z, r), self.b.times(z, r), self.c.times(z, r)

    def check(self, az: Ints, bz: Ints, cz: Ints) -> None:
        """Checks (A z) o (B z) = C z.

        Raises:
            UnsatisfiedConstraint: Names the first row that fails, its position in its
                tensor and the sizes of the values.
        """
        bad = np.flatnonzero((az * bz - cz) % self.curve.order != 0)
        if len(bad):
            raise self.violation(int(bad[0]), (az, bz, cz), len(bad))

    def violation(self, row: int, sides: tuple[Ints, Ints, Ints], count: int) -> UnsatisfiedConstraint:
        """Describes constraint `row` as an error."""
        label = next(x for x in reversed(self.labels) if x.start <= row)
        position = tuple(int(i) for i in np.unravel_index(row - label.start, label.shape or (1,)))
        r = self.curve.order
        bits = ", ".join(
            f"{n} {min(int(s[row]), r - int(s[row])).bit_length()} bits" for n, s in zip("ABC", sides, strict=True)
        )
        return UnsatisfiedConstraint(
            f"{self.name}: constraint {label.name}{list(position)} does not hold ({bits}); "
            f"{count} of {self.constraint_count} constraints fail",
            label.name,
            position,
        )
