"""A prover who cheats by himself: looks for a false claim that a weakened circuit accepts.

He starts from an honest run of the real witness program and

1. changes a few wires where they are assigned; the hints compute on from there;
2. after each stage repairs the rows that fail, by solving a linear system modulo r for the
   wires that are still his to choose, and for which these rows are affine.

What a protocol run would have fixed stays fixed: the wires of a segment are changed at their own
stage only, never by anything that looks at a later challenge. Private wires are his to the end.
A forgery counts only if the same changes succeed for several draws of the challenges.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np

from tests.evidence.elimination import Row, solve
from tests.evidence.subjects import Subject
from tests.witness_runner import Run
from zkfed.algebra.field import Ints, centred
from zkfed.errors import ZkfedError
from zkfed.r1cs.system import System
from zkfed.r1cs.witness import Assignment

__all__ = ["DOUBLE", "KEEP", "SOLVE", "Change", "Forger", "Seed", "rows_of"]


class Rule(Enum):
    """What a wire becomes, where no number says what is added to it."""

    KEEP = "the honest run's value, whatever the hint says"
    DOUBLE = "twice what the hint says"
    SOLVE = "what makes the one row that fails hold: only for a wire that is committed nowhere"


KEEP, DOUBLE, SOLVE = Rule.KEEP, Rule.DOUBLE, Rule.SOLVE
Change = tuple[int, int | Rule]
"""A wire, and what is added to it."""

Seed = int | tuple[int, ...]
"""Draws the challenges; the entries 0 .. t of a tuple decide those of stage t."""
Sides = tuple[Row, Row, Row]
SEEDS = (1, 2, 3)
MOVABLE_MAX = 150
SOLVED_MAX = 3


def rows_of(system: System) -> list[Sides]:
    """Returns the constraints as sparse rows."""
    parts = []
    for matrix in system.matrices:
        starts, columns, values = matrix.indptr.tolist(), matrix.columns.tolist(), matrix.coefficients.tolist()
        spans = itertools.pairwise(starts)
        parts.append([dict(zip(columns[i:j], values[i:j], strict=True)) for i, j in spans])
    return list(zip(*parts, strict=True))


class Forger:
    """Runs and repairs of one subject."""

    def __init__(
        self, subject: Subject, work: Run | None = None, *, live: Any = None, first: Forger | None = None
    ) -> None:
        self.subject, self.work, self.live = subject, work or subject.run(), live or subject.live
        self.first = first or self
        self.system = self.work.system
        self.order = self.system.curve.order
        self.rows = rows_of(self.system)
        self.wires_of = [set().union(*sides) - {0} for sides in self.rows]
        self.rows_with: list[set[int]] = [set() for _ in range(self.system.wire_count)]
        for row, wires in enumerate(self.wires_of):
            for wire in wires:
                self.rows_with[wire].add(row)
        self.masks = {s.stop - 1 for s in self.system.segments}
        self._honest: dict[Seed, Ints] = {}

    # -- what is whose, and when -----------------------------------------------------------------

    @cached_property
    def stage_of(self) -> list[int]:
        """The stage at which each wire is assigned."""
        stage = np.zeros(self.system.wire_count, np.int64)
        for i in self.system.inputs:
            stage[i.span] = i.stage
        for t, wires, _ in self.system.steps:
            stage[self.system.final_of[wires]] = t
        for s in self.system.segments:
            stage[s.stop - 1] = 0
        return [int(t) for t in stage]

    @cached_property
    def committed(self) -> dict[int, int]:
        """The stage of each committed wire but masks."""
        return {w: s.stage for s in self.system.segments for w in range(s.start, s.stop - 1)}

    @cached_property
    def tied(self) -> set[int]:
        """Wires whose values come from outside the circuit."""
        return {w for name in self.subject.tied for w in self._wires(name)}

    def _wires(self, segment: str) -> range:
        s = self.system.segment(segment)
        return range(s.start, s.stop - 1)

    @cached_property
    def open_wires(self) -> list[int]:
        """Wires that a prover fills, without masks; static inputs with bounds he may claim otherwise."""
        static = [w for i in self.system.inputs if i.stage == 0 and i.bounds for w in range(i.start, i.start + i.size)]
        own = range(self.system.public_count, self.system.wire_count)
        return static + [w for w in own if w not in self.masks and w not in self.tied]

    @cached_property
    def ready_at(self) -> list[int]:
        """The first stage at which all wires of a row are assigned."""
        return [max((self.stage_of[w] for w in wires), default=0) for wires in self.wires_of]

    # -- a run -----------------------------------------------------------------------------------

    def honest(self, seed: Seed) -> Ints:
        if self.first is not self:
            return self.first.honest(seed)
        if seed not in self._honest:
            z = self.assign(seed)
            if z is None or self.failing(z):
                raise ValueError(f"{self.subject.name}: the honest run does not satisfy its circuit")
            self._honest[seed] = z
        return self._honest[seed]

    def assign(self, seed: Seed, changes: Iterable[Change] = (), *, deleted: int | None = None) -> Ints | None:
        """Returns all wires after the changes, with repairs if a row is deleted; None if a hint gives up."""
        by_wire, system, order = dict(changes), self.system, self.order
        if SOLVE in by_wire.values():
            return self._solved(seed, by_wire, deleted)
        kept = self.honest(seed) if KEEP in by_wire.values() else None
        static = self._static(seed, by_wire)
        if static is None:
            return None
        changed = self._changed_steps(by_wire, kept)
        run = Assignment(replace(system, steps=changed), static, self.work.private)
        run.values.is_strict = False
        if self.live is not None:
            run.values.private = self.live(run.values)
        challenges: dict[str, int] = {}
        try:
            for stage in range(system.stage_count + 1):
                if stage:
                    rand = random.Random(f"{seed[: stage + 1] if isinstance(seed, tuple) else seed} {stage}")
                    names = [i.name for i in system.inputs if i.stage == stage and i.is_challenge]
                    drawn = {name: rand.randrange(order) for name in names}
                    challenges |= drawn
                    run.set_inputs(stage, {**drawn, **self.work.derive(stage, challenges)})
                run.run(stage)
                if deleted is not None:
                    self._repair(run, stage, deleted, set(by_wire))
        except (ValueError, OverflowError, IndexError, ZkfedError):
            return None
        return run.final()

    def _solved(self, seed: Seed, changes: dict[int, int | Rule], deleted: int | None) -> Ints | None:
        """Finds the step of one late wire for which the one row that fails holds, if it is linear in it."""
        (wire,) = [w for w, step in changes.items() if step is SOLVE]
        if wire in self.committed or wire < self.system.public_count:
            return None
        tries = [self.assign(seed, {**changes, wire: step}.items()) for step in (0, 1)]
        if tries[0] is None or tries[1] is None:
            return None
        before, after = (
            (az * bz - cz) % self.order for az, bz, cz in (self.system.evaluate(z) for z in tries if z is not None)
        )
        wrong = set(np.flatnonzero((before != 0) | (after != 0)).tolist()) - {deleted}
        row = next((row for row in wrong if after[row] != before[row]), None)
        if row is None or len(wrong) > SOLVED_MAX:
            return None
        slope = int(after[row] - before[row]) % self.order
        step = -int(before[row]) * pow(slope, -1, self.order) % self.order
        return self.assign(seed, {**changes, wire: step}.items())

    def _static(self, seed: Seed, changes: dict[int, int | Rule]) -> list[int] | None:
        rand = random.Random(f"{seed[0] if isinstance(seed, tuple) else seed}")
        flat: list[int] = []
        for i in self.system.inputs:
            if i.stage:
                break
            value = rand.randrange(self.order) if i.name == "ctx" else self.work.static[i.name]
            numbers = [int(v) for v in np.asarray(value, dtype=object).ravel()]
            for position in range(i.size):
                step = changes.get(i.start + position, 0)
                numbers[position] += step if isinstance(step, int) else 0
                if i.bounds and not i.bounds[0] <= numbers[position] <= i.bounds[1]:
                    return None
            flat += [v % self.order for v in numbers]
        return flat

    def _changed_steps(self, changes: dict[int, int | Rule], kept: Ints | None) -> tuple[Any, ...]:
        steps = []
        for stage, wires, hint in self.system.steps:
            final = self.system.final_of[wires].tolist()
            here = [(at, w, changes[w]) for at, w in enumerate(final) if w in changes]
            steps.append((stage, wires, self._changed(hint, here, kept) if here or changes else hint))
        return tuple(steps)

    def _changed(self, hint: Any, here: list[tuple[int, int, int | Rule]], kept: Ints | None) -> Any:
        def cheat(values: Any) -> Any:
            flat = np.asarray(hint(values), dtype=object).ravel().copy()
            for at, wire, add in here:
                if isinstance(add, int):
                    flat[at] += add
                elif add is DOUBLE:
                    flat[at] *= 2
                elif kept is not None:
                    flat[at] = int(kept[wire])
            return centred(flat % self.order, self.order)

        return cheat

    def failing(self, z: Ints) -> set[int]:
        az, bz, cz = self.system.evaluate(z)
        return {int(row) for row in np.flatnonzero((az * bz - cz) % self.order)}

    # -- repairs ---------------------------------------------------------------------------------

    def _repair(self, run: Assignment, stage: int, deleted: int, held: set[int]) -> None:
        """Makes the rows hold that can be read at this stage, if the prover can; else changes nothing."""
        z = run.final()
        ready = {row for row, at in enumerate(self.ready_at) if at <= stage} - {deleted}
        broken = self.failing(z) & ready
        if not broken:
            return
        mine = {
            w for w in self.open_wires
            if w >= self.system.public_count and w not in held and self.stage_of[w] <= stage
            and self.committed.get(w, stage) == stage
        }  # fmt: skip
        movable = self._movable(deleted, broken, ready, mine)
        equations = self._equations(z, movable, ready, broken)
        moved = solve(equations, self.order) if equations is not None else None
        for wire, step in (moved or {}).items():
            value = np.array([(int(z[wire]) + step) % self.order], dtype=object)
            run.values.z[run._builder_of[wire]] = centred(value, self.order)[0]
        if moved and stage < self.system.stage_count:
            self._go_on(run, stage, held.union(moved))

    def _go_on(self, run: Assignment, stage: int, held: set[int]) -> None:
        """Runs the hints of a stage again that come after a repaired wire."""
        is_after = False
        for step_stage, wires, hint in run.system.steps:
            if step_stage == stage:
                is_held = not held.isdisjoint(self.system.final_of[wires].tolist())
                if is_after and not is_held:
                    run.values.z[wires] = np.asarray(hint(run.values), dtype=object).ravel()
                is_after |= is_held

    def _movable(self, deleted: int, broken: set[int], ready: set[int], mine: set[int]) -> set[int]:
        """Wires near the deleted row, in which all other rows that are ready are affine."""
        movable: set[int] = set()
        queue = sorted(self.wires_of[deleted] & mine) + sorted(w for row in broken for w in self.wires_of[row] & mine)
        seen = set(queue)
        while queue and len(movable) < MOVABLE_MAX:
            wire = queue.pop(0)
            if self._is_affine(wire, movable, ready):
                movable.add(wire)
                new = {w for row in self.rows_with[wire] & ready for w in self.wires_of[row] & mine} - seen
                seen |= new
                queue += sorted(new)
        return movable

    def _is_affine(self, wire: int, movable: set[int], ready: set[int]) -> bool:
        for row in self.rows_with[wire] & ready:
            a, b, _ = self.rows[row]
            if (wire in a and (wire in b or not movable.isdisjoint(b))) or (wire in b and not movable.isdisjoint(a)):
                return False
        return True

    def _equations(self, z: Ints, movable: set[int], ready: set[int], broken: set[int]) -> list[Row] | None:
        touched = {row for wire in movable for row in self.rows_with[wire]} & ready
        if not broken <= touched:
            return None
        out = []
        for row in touched:
            a, b, c = self.rows[row]
            az, bz, cz = (sum(v * int(z[w]) for w, v in side.items()) % self.order for side in (a, b, c))
            equation = {
                w: (a.get(w, 0) * bz + az * b.get(w, 0) - c.get(w, 0)) % self.order
                for w in self.wires_of[row] & movable
            }
            equation[-1] = (cz - az * bz) % self.order
            out.append(equation)
        return out

    # -- a forgery -------------------------------------------------------------------------------

    def succeeds(self, changes: Iterable[Change], deleted: int | None, seeds: Iterable[int] = SEEDS) -> bool:
        """Returns whether all rows but the deleted one hold, and the claim is false, for every seed."""
        fixed: set[tuple[int, ...]] = set()
        first = [w for w, stage in self.committed.items() if stage == 0 and self.system.stage_count]
        for seed in seeds:
            z = self.assign(seed, changes, deleted=deleted)
            if z is None or self.failing(z) - {deleted} or self.subject.holds(z, self.work.private):
                return False
            fixed.add(tuple(z[first].tolist()))
        # What is committed before any challenge must not depend on one.
        return len(fixed) == 1
