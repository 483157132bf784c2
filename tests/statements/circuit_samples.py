"""Honest instances of the statements' circuits, and runs of their witness programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381, Curve
from zkfed.algebra.field import Ints, as_ints, centred
from zkfed.policy import FEATURE_LIMIT, LinearModel
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark, PublicTerms, improvement_circuit
from zkfed.statements.update_bound import squared_norm_max

__all__ = ["HALF", "Sample", "bounded_run", "reducing", "root_of_two", "sample"]

HALF = 1 << 15


@dataclass(frozen=True)
class Sample:
    """One instance of S2.

    Attributes:
        update: D, which improves the benchmark.
    """

    model: LinearModel
    rows: int
    terms: PublicTerms
    update: Ints
    curve: Curve = BLS12_381

    @property
    def system(self) -> System:
        return improvement_circuit(self.model, self.rows, self.curve.name)

    def run(self, update: Any = None, *, system: System | None = None, is_strict: bool = True, **static: int) -> Run:
        """Returns a run for an update; B2 and M are exactly its norm and change, unless given."""
        d = as_ints(np.asarray(self.update if update is None else update, dtype=object)).reshape(self.update.shape)
        norm = min(int((d * d).sum()), squared_norm_max(self.model.parameters, 16))
        bounds = {
            "squared_norm_max": static.get("squared_norm_max", norm),
            "loss_change_max": static.get("loss_change_max", self.terms.loss_change(d)),
        }
        instance = self.terms.instance(bytes(32), np.zeros((0, 0), dtype=np.uint64), curve=self.curve, **bounds)
        private = {"update": d.ravel(), "gram": self.terms.gram, "gradient": self.terms.gradient}
        return Run(system or self.system, dict(instance.static), private, instance.derive, 2, is_strict)


def sample(model: LinearModel, rows: int, *, seed: int = 1, curve: Curve = BLS12_381) -> Sample:
    """Draws data, a base model and an update that goes a third of the way to the optimum."""
    rand = np.random.default_rng(seed)
    x = rand.integers(-FEATURE_LIMIT, FEATURE_LIMIT + 1, (rows, model.features))
    labels = rand.uniform(-1, 1, rows) if model.classes == 1 else rand.integers(0, model.classes, rows)
    benchmark = Benchmark.of(model, x, labels)
    base = rand.integers(-3000, 3001, (model.inputs, model.outputs))
    terms = PublicTerms.of(model, rows, base, benchmark)
    exact = np.linalg.lstsq(terms.gram.astype(float), -terms.gradient.astype(float) / 2, rcond=None)[0]
    # Every step of less than the whole way improves a convex loss; this one is also in range.
    step = min(1 / 3, (HALF - 1) / np.abs(exact).max())
    update = as_ints(np.rint(exact * step).astype(np.int64))
    return Sample(model, rows, terms, update, curve)


def bounded_run(system: System, update: Any, norm_max: int | None = None, *, is_strict: bool = True) -> Run:
    """Returns a run of S0 or N; B2 is exactly the squared norm, unless it is given."""
    d = as_ints(np.asarray(update, dtype=object)).ravel()
    limit = int((d * d).sum()) if norm_max is None else norm_max
    return Run(system, {"squared-norm-max": limit}, {"update": d}, is_strict=is_strict)


def reducing(system: System) -> System:
    """Returns the system of a cheat: every value is reduced modulo r before it is used on."""
    order = system.curve.order

    def reduced(hint: Any) -> Any:
        return lambda values: centred(np.asarray(hint(values), dtype=object).reshape(-1) % order, order)

    return replace(system, steps=tuple((stage, wires, reduced(hint)) for stage, wires, hint in system.steps))


def root_of_two(curve: Curve) -> int:
    """Returns s with s^2 = 2: for a primitive 8th root w, (w + 1/w)^2 = w^2 + w^-2 + 2 = 2."""
    w = curve.root_of_unity(8)
    return (w + pow(w, -1, curve.order)) % curve.order
