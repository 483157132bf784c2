"""Runs the real witness program of a circuit, without keys and proofs.

Challenges are drawn by a seeded generator instead of a hash: a constraint system must hold
for every value of them. Nothing else differs from what `groth16.prove` does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zkfed.algebra.field import Ints
from zkfed.r1cs.system import SparseMatrix, System
from zkfed.r1cs.witness import Assignment

__all__ = ["Run", "free_wires", "tamperings"]

Derive = Callable[[int, dict[str, int]], dict[str, Any]]


def _nothing(_stage: int, _challenges: dict[str, int]) -> dict[str, Any]:
    return {}


@dataclass
class Run:
    """One run of a circuit's witness program.

    Attributes:
        static: The static inputs but ctx.
        private: What the hints read.
        derive: Derived inputs of a stage from all challenges so far.
        is_strict: False lets hints compute on after they saw that nothing can satisfy.
    """

    system: System
    static: dict[str, Any] = field(default_factory=dict)
    private: dict[str, Any] = field(default_factory=dict)
    derive: Derive = _nothing
    seed: int = 1
    is_strict: bool = True
    challenges: dict[str, int] = field(default_factory=dict)

    def assignment(self) -> Ints:
        """Returns all wires in final order."""
        system, rand = self.system, random.Random(self.seed)
        order = system.curve.order
        static = system.layout.check_static({**self.static, "ctx": rand.randrange(order)})
        assignment = Assignment(system, static, self.private)
        assignment.values.is_strict = self.is_strict
        for stage in range(system.stage_count + 1):
            if stage:
                drawn = {i.name: rand.randrange(order) for i in system.inputs if i.stage == stage and i.is_challenge}
                self.challenges.update(drawn)
                assignment.set_inputs(stage, {**drawn, **self.derive(stage, self.challenges)})
            assignment.run(stage)
        for segment in system.segments:
            assignment.set_mask(segment, rand.randrange(order))
        return assignment.final()

    def check(self) -> Ints:
        """Returns all wires; raises UnsatisfiedConstraint if a constraint fails."""
        z = self.assignment()
        self.system.check(*self.system.evaluate(z))
        return z

    def failing(self) -> set[str]:
        """Returns the names of the constraints that fail."""
        az, bz, cz = self.system.evaluate(self.assignment())
        bad = np.flatnonzero((az * bz - cz) % self.system.curve.order != 0)
        return {self.system.violation(int(row), (az, bz, cz), 1).constraint for row in bad}


def _columns(matrix: SparseMatrix, count: int) -> list[dict[int, int]]:
    columns: list[dict[int, int]] = [{} for _ in range(count)]
    rows = matrix.rows_of_entries().tolist()
    for row, column, value in zip(rows, matrix.columns.tolist(), matrix.coefficients.tolist(), strict=True):
        columns[column][row] = value
    return columns


def tamperings(value: int, order: int, rand: random.Random) -> set[int]:
    """Returns other values for a wire: +1, -1, 0, 1, r - 1, r - v, random."""
    candidates = {value + 1, value - 1, 0, 1, -1, -value, rand.randrange(order)}
    return {v % order for v in candidates} - {value % order}


def free_wires(system: System, z: Ints, wires: Iterator[int] | range | None = None) -> dict[int, set[int]]:
    """Tampers with every wire of a satisfying assignment, one at a time.

    Returns:
        For each wire with at least one accepted tampering, the values that were accepted.
    """
    order, rand, z = system.curve.order, random.Random(7), z.tolist()
    sides = [side.tolist() for side in system.evaluate(np.array(z, dtype=object))]
    columns = [_columns(matrix, system.wire_count) for matrix in (system.a, system.b, system.c)]
    accepted: dict[int, set[int]] = {}
    for wire in wires or range(1, system.wire_count):
        touched = {row for column in columns for row in column[wire]}
        for value in tamperings(z[wire], order, rand):
            delta = value - z[wire]
            rows = ([side[row] + delta * column[wire].get(row, 0) for side, column in zip(sides, columns, strict=True)]
                    for row in touched)  # fmt: skip
            if all((a * b - c) % order == 0 for a, b, c in rows):
                accepted.setdefault(wire, set()).add(value)
    return accepted


def names_of(system: System, wires: Iterator[int] | list[int] | set[int] | dict[int, Any]) -> set[str]:
    """Names wires as "mask/<segment>", "input/<name>", "segment/<name>" or "private"."""
    names = set()
    for wire in wires:
        found = [f"input/{i.name}" for i in system.inputs if i.start <= wire < i.start + i.size]
        inside = [s for s in system.segments if s.start <= wire < s.stop]
        found += [f"mask/{s.name}" if wire == s.stop - 1 else f"segment/{s.name}" for s in inside]
        names.add(found[0] if found else "private")
    return names
