"""Builds a constraint system from tensors of wires.

A circuit is a script: `input`, `witness`, `product`, `enforce`, one call per tensor. Stages
follow the script: what stands after `challenge` belongs to the next stage and may use it.

Two things are checked while the script runs, and a circuit that fails them is not built:

*Bit budget.* A wire is integer-typed, with bounds, or a full-size scalar, without. Bounds of
sums and products follow by interval arithmetic; where they could reach r/2 and wrap, the
builder refuses. A witness whose bounds are only claimed must be proven by a gadget
(`justify`) before `finish`.

*Operands of randomised identities* must be committed before their challenge: `operand`
refuses every wire that is neither a static input nor in a segment of an earlier stage. The one
exception are `sketches`: linked segments after a challenge. Their commitment is derived from
others that were fixed before it, so each wire is a polynomial in the challenges of its stage,
with coefficients that nobody chooses any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import BLS12_381, Curve
from zkfed.algebra.field import Ints
from zkfed.r1cs.linear import ONE, Linear, row_sums
from zkfed.r1cs.system import CONTEXT, Input, Label, LinkSpec, Segment, SparseMatrix, Step, System
from zkfed.r1cs.wires import Bounds, WireTable

__all__ = ["Bounds", "Builder", "Values"]

Hint = Callable[["Values"], Any]


class Values:
    """What a hint sees: the wires assigned so far, and the prover's private inputs.

    `values(linear)` is the object array of its integers (integer-typed wires unreduced and
    signed); `values.private[name]` is a private input; `is_strict` is False only where tests
    forge a witness.
    """

    __slots__ = ("is_strict", "order", "private", "z")

    def __init__(self, z: Ints, private: dict[str, Any], order: int) -> None:
        self.z, self.private, self.order, self.is_strict = z, private, order, True

    def __call__(self, linear: Linear) -> Ints:
        return row_sums(linear.coefficients * self.z[linear.wires], linear.indptr).reshape(linear.shape)

    def reduced(self, linear: Linear) -> Ints:
        return np.asarray(self(linear) % self.order, dtype=object)


@dataclass
class _Segment:
    name: str
    stage: int
    link: LinkSpec | None
    wires: list[npt.NDArray[np.int64]]


class Builder:
    """Collects wires, constraints and the witness program of one circuit; see the module."""

    def __init__(self, name: str, *, version: int = 1, curve: Curve = BLS12_381) -> None:
        self.name, self.version, self.curve = name, version, curve
        self.stage = 0
        self._table = WireTable()
        self._table.extend(1, (1, 1))
        self._table.fixed_at[ONE] = -1
        self._claims: list[str] = []
        self._inputs: list[tuple[str, npt.NDArray[np.int64], int, bool, Bounds]] = []
        self._segments: list[_Segment] = []
        self._rows: list[tuple[str, Linear, Linear, Linear]] = []
        self._steps: list[Step] = []
        self._owed: dict[object, str] = {}
        self.context = self.input(CONTEXT)

    # -- wires ---------------------------------------------------------------------------

    def _new(self, shape: tuple[int, ...], bounds: Bounds) -> Linear:
        span = self._table.extend(int(np.prod(shape, dtype=np.int64)), bounds)
        return Linear.of_wires(np.arange(span.start, span.stop, dtype=np.int64).reshape(shape))

    def input(self, name: str, shape: tuple[int, ...] = (), *, bounds: Bounds = None) -> Linear:
        """Declares public inputs: static before the first challenge, derived after it.

        Raises:
            ValueError: The name is taken, or bounds are given for a derived input: no
                verifier checks them.
        """
        self._refuse_taken(name)
        if bounds is not None and self.stage:
            raise ValueError(f"{self.name}: the derived input {name} has no bounds; only static inputs are checked")
        wires = self._new(shape, bounds)
        if self.stage == 0:
            self._table.fixed_at[wires.wires] = -1
        self._inputs.append((name, wires.wires, self.stage, False, bounds))
        return wires

    def _refuse_taken(self, name: str) -> None:
        if any(name == n for n, *_ in self._inputs):
            raise ValueError(f"{self.name}: the input {name} is declared twice")

    def challenge(self, *names: str) -> tuple[Linear, ...]:
        """Ends the stage: its segments are committed, then these challenges are drawn."""
        self.stage += 1
        out = []
        for name in names:
            self._refuse_taken(name)
            wires = self._new((), None)
            self._inputs.append((name, wires.wires, self.stage, True, None))
            out.append(wires)
        return tuple(out)

    def segment(self, name: str, link: LinkSpec | None = None) -> str:
        """Declares a segment of the current stage, tied to an external commitment by `link`.

        After a challenge the commitment is a derived one (`LinkSpec`), and the segment is one of
        `sketches`.
        """
        if any(name == s.name for s in self._segments) or (link is not None and link.segment != name):
            raise ValueError(f"{self.name}: the segment {name} is declared twice, or its link names another one")
        self._segments.append(_Segment(name, self.stage, link, []))
        return name

    @property
    def sketches(self) -> tuple[str, ...]:
        """The segments whose wires count as fixed before the challenge of their own stage; see the module."""
        return tuple(s.name for s in self._segments if s.link is not None and s.stage)

    def witness(
        self,
        name: str,
        shape: tuple[int, ...],
        hint: Hint,
        *,
        segment: str | None = None,
        bounds: Bounds = None,
    ) -> Linear:
        """Adds prover's wires; `hint(values)` computes them.

        Args:
            name: For error texts.
            shape: Of the tensor.
            hint: Gets `Values`, returns an array that fills `shape`.
            segment: Commits the wires in this segment of the current stage; else private.
            bounds: Claimed integer bounds; a gadget must prove them (`justify`).
        """
        wires = self._new(shape, bounds)
        if bounds is not None:
            self._table.claim[wires.wires] = len(self._claims)
            self._claims.append(name)
        if segment is not None:
            target = next((s for s in self._segments if s.name == segment), None)
            if target is None or target.stage != self.stage:
                raise ValueError(f"{self.name}: {name} cannot enter segment {segment} at stage {self.stage}")
            target.wires.append(wires.wires)
            self._table.fixed_at[wires.wires] = self.stage - (segment in self.sketches)
        self._steps.append((self.stage, wires.wires, hint))
        return wires

    # -- the two checks ------------------------------------------------------------------

    def bounds(self, linear: Linear) -> Bounds:
        """Returns the worst-case (lowest, highest) over all entries, None for scalars.

        Raises:
            ValueError: An integer-typed combination can reach r/2 in absolute value.
        """
        table = self._table
        if not bool(table.is_bounded[linear.wires].all()):
            return None
        c, at_low, at_high = linear.coefficients, table.low[linear.wires], table.high[linear.wires]
        positive = c > 0
        lows = row_sums(c * np.where(positive, at_low, at_high), linear.indptr)
        highs = row_sums(c * np.where(positive, at_high, at_low), linear.indptr)
        result = (int(min(lows.tolist(), default=0)), int(max(highs.tolist(), default=0)))
        self.check_budget(result)
        return result

    def proven_bounds(self, linear: Linear) -> tuple[int, int]:
        """Returns `bounds`, for a gadget that relies on an integer where it would prove a range.

        Raises:
            ValueError: A wire is no integer, or its bounds are claimed and not yet justified.
        """
        found = self.bounds(linear)
        if found is None or (self._table.claim[linear.wires] >= 0).any():
            raise ValueError(f"{self.name}: an integer is needed whose bounds are proven before")
        return found

    def check_budget(self, bounds: tuple[int, int]) -> None:
        """Refuses bounds that could wrap around the field (ValueError)."""
        worst = max(abs(bounds[0]), abs(bounds[1]))
        if worst * 2 >= self.curve.order:
            raise ValueError(
                f"{self.name}: a value of up to {worst.bit_length()} bits can wrap around the field of "
                f"{self.curve.order.bit_length()} bits; use fewer rows, narrower weights or features"
            )

    def justify(self, linear: Linear, proven: tuple[int, int]) -> None:
        """Records that the entries, single wires plus constants, lie in `proven`.

        Raises:
            ValueError: An entry is not a wire plus a constant, or its claim is narrower.
        """
        row_of = np.repeat(np.arange(linear.size), np.diff(linear.indptr))
        is_one = linear.wires == ONE
        offsets = np.zeros(linear.size, dtype=object)
        np.add.at(offsets, row_of[is_one], linear.coefficients[is_one])
        wires = linear.wires[~is_one]
        if not np.array_equal(row_of[~is_one], np.arange(linear.size)) or (linear.coefficients[~is_one] != 1).any():
            raise ValueError(f"{self.name}: justify takes single wires plus a constant")
        table = self._table
        if (table.claim[wires] < 0).any() or not table.is_bounded[wires].all():
            raise ValueError(f"{self.name}: justify takes witnesses whose bounds are claimed and not yet proven")
        narrow = (table.low[wires] > proven[0] - offsets) | (table.high[wires] < proven[1] - offsets)
        if narrow.any():
            name = self._claims[int(table.claim[wires][narrow][0])]
            raise ValueError(f"{self.name}: {name} claims narrower bounds than are proven")
        table.claim[wires] = -1

    def operand(self, linear: Linear) -> Linear:
        """Marks an operand of a randomised identity of the current stage.

        Raises:
            ValueError: A wire of it was not fixed before the challenge.
        """
        late = self._table.fixed_at[linear.wires] >= self.stage
        if late.any():
            wire = int(linear.wires[late][0])
            raise ValueError(f"{self.name}: wire {wire} is not committed before the challenge of stage {self.stage}")
        return linear

    def expect(self, linear: Linear, bounds: tuple[int, int]) -> None:
        """Says how large single wires will be, for `System.estimate` alone: no check relies on it."""
        self._table.expect(linear.wires, bounds)

    def owe(self, key: object, what: str) -> None:
        """Records that `what` is used before its proof; `finish` refuses until `settle(key)`."""
        self._owed[key] = what

    def settle(self, key: object) -> None:
        self._owed.pop(key, None)

    # -- constraints ---------------------------------------------------------------------

    def enforce(self, name: str, a: Linear, b: Linear, c: Linear) -> None:
        """Adds the rows a o b = c, entry by entry (shapes broadcast).

        Raises:
            ValueError: A side, or the product of integer-typed sides, could wrap.
        """
        shape = np.broadcast_shapes(a.shape, b.shape, c.shape)
        sides = [x.broadcast_to(shape) for x in (a, b, c)]
        left, right, _ = (self.bounds(side) for side in sides)
        if left is not None and right is not None:
            corners = [p * q for p in left for q in right]
            self.check_budget((min(corners), max(corners)))
        self._rows.append((name, sides[0], sides[1], sides[2]))

    def product(self, name: str, a: Linear, b: Linear, *, segment: str | None = None) -> Linear:
        """Returns new wires a o b, with their rows; integer-typed if both factors are."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        x, y = a.broadcast_to(shape), b.broadcast_to(shape)
        left, right = self.bounds(x), self.bounds(y)
        bounds: Bounds = None
        if left is not None and right is not None:
            corners = [p * q for p in left for q in right]
            # A square is never negative, whatever the signs of its factor.
            bounds = (min(corners) if a is not b else 0, max(corners))
            self.check_budget(bounds)
        order = self.curve.order

        def hint(values: Values) -> Ints:
            result = values(x) * values(y)
            return result if bounds is not None else np.asarray(result % order, dtype=object)

        out = self.witness(name, shape, hint, segment=segment)
        self._set_bounds(out, bounds)
        self._rows.append((name, x, y, out))
        return out

    def define(self, name: str, value: Linear, *, segment: str) -> Linear:
        """Returns committed wires that equal `value`, with their rows and its exact bounds.

        A sum of private products is fixed by committed wires but is none itself; this makes
        it one, so that it may be an operand of a randomised identity.
        """
        bounds = self.bounds(value)
        out = self.witness(name, value.shape, lambda values: values(value), segment=segment)
        self._set_bounds(out, bounds)
        self._rows.append((name, value, Linear.of_wires(np.zeros(value.shape, np.int64)), out))
        return out

    def _set_bounds(self, wires: Linear, bounds: Bounds) -> None:
        # Exact, not a claim: the wires' own row fixes them to a bounded integer.
        if bounds is not None:
            self._table.set_bounds(wires.wires, bounds)

    # -- the end -------------------------------------------------------------------------

    def finish(self) -> System:
        """Returns the finished system, with masks, isolated rows and the final wire order.

        Raises:
            ValueError: Claimed bounds or owed proofs are missing, or a public or committed
                wire has a zero column.
        """
        if self._owed:
            raise ValueError(f"{self.name}: never proven: {', '.join(self._owed.values())}")
        unproven = self._table.claim[: self._table.count]
        if (unproven >= 0).any():
            name = self._claims[int(unproven.max())]
            raise ValueError(f"{self.name}: the bounds of {name} are claimed and never proven")
        masks = [self._new((), None) for _ in self._segments]
        zero = Linear((), np.zeros(2, np.int64), np.zeros(0, np.int64), np.zeros(0, dtype=object))
        for name, wires, *_ in self._inputs:
            single = Linear.of_wires(wires)
            empty = zero.broadcast_to(single.shape)
            self._rows.append((f"isolated/{name}", single, empty, empty))
        for segment, mask in zip(self._segments, masks, strict=True):
            self._rows.append((f"isolated/mask/{segment.name}", mask, zero, zero))
        final_of, inputs, segments = self._order(masks)
        labels, start = [], 0
        for name, a, _, _ in self._rows:
            labels.append(Label(name, a.shape, start))
            start += a.size
        sides = zip(*[(a, b, c) for _, a, b, c in self._rows], strict=True)
        matrices = [self._matrix(list(side), final_of) for side in sides]
        system = System(
            self.name, self.version, self.curve, inputs, segments,
            tuple(s.link for s in self._segments if s.link), self._table.count,
            matrices[0], matrices[1], matrices[2], tuple(labels), tuple(self._steps), final_of,
            self._table.magnitudes[np.argsort(final_of)],
        )  # fmt: skip
        self._refuse_zero_columns(system)
        return system

    def _order(self, masks: list[Linear]) -> tuple[npt.NDArray[np.int64], tuple[Input, ...], tuple[Segment, ...]]:
        """Places wires as 1 | static | derived | segments | private."""
        final_of = np.full(self._table.count, -1, np.int64)
        final_of[ONE], at = 0, 1
        inputs, segments = [], []
        for name, wires, stage, is_challenge, bounds in sorted(self._inputs, key=lambda i: i[2]):
            final_of[wires] = np.arange(at, at + len(wires))
            shape = () if len(wires) == 1 else (len(wires),)
            inputs.append(Input(name, shape, at, stage, is_challenge, bounds))
            at += len(wires)
        for segment, mask in sorted(zip(self._segments, masks, strict=True), key=lambda s: s[0].stage):
            wires = np.concatenate([*segment.wires, mask.wires])
            final_of[wires] = np.arange(at, at + len(wires))
            segments.append(Segment(segment.name, segment.stage, at, at + len(wires), segment.link is not None))
            at += len(wires)
        rest = np.flatnonzero(final_of < 0)
        final_of[rest] = np.arange(at, at + len(rest))
        return final_of, tuple(inputs), tuple(segments)

    def _matrix(self, parts: list[Linear], final_of: npt.NDArray[np.int64]) -> SparseMatrix:
        """Stacks one side of all rows; merges equal wires, drops zeros, reduces modulo r."""
        lengths = np.concatenate([np.diff(p.indptr) for p in parts])
        row_of = np.repeat(np.arange(len(lengths)), lengths)
        columns = final_of[np.concatenate([p.wires for p in parts])]
        coefficients = np.concatenate([p.coefficients for p in parts])
        order = np.lexsort((columns, row_of))
        row_of, columns, coefficients = row_of[order], columns[order], coefficients[order]
        first = np.ones(len(row_of), dtype=bool)
        first[1:] = (row_of[1:] != row_of[:-1]) | (columns[1:] != columns[:-1])
        starts = np.flatnonzero(first)
        merged = np.add.reduceat(coefficients, starts) % self.curve.order if len(starts) else coefficients
        keep = merged != 0
        rows, columns, merged = row_of[starts][keep], columns[starts][keep], merged[keep]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(lengths)))]).astype(np.int64)
        return SparseMatrix(indptr, columns, merged)

    def _refuse_zero_columns(self, system: System) -> None:
        used = np.zeros(system.wire_count, dtype=bool)
        for matrix in (system.a, system.b, system.c):
            used[matrix.columns] = True
        empty = np.flatnonzero(~used[1 : system.private_start])
        if len(empty):
            raise ValueError(f"{self.name}: the public or committed wire {int(empty[0]) + 1} is in no constraint")
