"""Computes a witness in bulk, stage by stage, by the program that the builder recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from zkfed.algebra.field import Ints
from zkfed.r1cs.builder import Values
from zkfed.r1cs.system import Segment, System

__all__ = ["Assignment"]


class Assignment:
    """The wires of one proof while they are being filled. Secret: its repr shows no value."""

    def __init__(self, system: System, static: list[int], private: dict[str, Any]) -> None:
        self.system = system
        self._builder_of = np.argsort(system.final_of)
        z = np.zeros(system.wire_count, dtype=object)
        z[0] = 1
        self.values = Values(z, private, system.curve.order)
        count = sum(i.size for i in system.inputs if i.stage == 0)
        self.values.z[self._builder_of[1 : 1 + count]] = self._signed(static)

    def __repr__(self) -> str:
        return f"Assignment({self.system.name}, {self.system.wire_count} wires, values hidden)"

    def _signed(self, scalars: list[int]) -> Ints:
        # Integer-typed inputs keep their sign: hints compute on integers.
        half, order = self.system.curve.order // 2, self.system.curve.order
        out = np.empty(len(scalars), dtype=object)
        out[:] = [v - order if v > half else v for v in scalars]
        return out

    def set_mask(self, segment: Segment, mask: int) -> None:
        self.values.z[self._builder_of[segment.stop - 1]] = mask

    def set_inputs(self, stage: int, values: dict[str, Any]) -> None:
        """Assigns the challenges and derived inputs of one stage."""
        for i in self.system.inputs:
            if i.stage == stage:
                flat = np.asarray(values[i.name], dtype=object).ravel()
                self.values.z[self._builder_of[i.span]] = flat

    def run(self, stage: int) -> None:
        """Runs the hints of one stage.

        Raises:
            UnsatisfiedConstraint: A hint found that no assignment can satisfy its gadget.
            TypeError: A hint returned other things than Python integers: floats are inexact
                and machine integers wrap.
        """
        for step_stage, wires, hint in self.system.steps:
            if step_stage == stage:
                result = np.asarray(hint(self.values), dtype=object).ravel()
                if len(result) != len(wires):
                    raise ValueError(f"a hint returned {len(result)} values for {len(wires)} wires")
                wrong = {type(v) for v in result.tolist()} - {int}
                if wrong:
                    raise TypeError(f"{self.system.name}: a hint returned {wrong.pop().__name__}, expected int")
                self.values.z[wires] = result

    def segment(self, segment: Segment) -> Ints:
        """Returns the segment's wires, mask included, as scalars in [0, r)."""
        return np.asarray(
            self.values.z[self._builder_of[segment.start : segment.stop]] % self.system.curve.order,
            dtype=object,
        )

    def final(self) -> Ints:
        """Returns all wires in final order, as scalars in [0, r)."""
        return np.asarray(self.values.z[self._builder_of] % self.system.curve.order, dtype=object)
