"""Honest instances of `evaluation_circuit`, and runs of their witness programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tests.witness_runner import Run
from zkfed.algebra.backend import use
from zkfed.algebra.curve import BLS12_381, Curve
from zkfed.algebra.field import Ints, to_limbs
from zkfed.model import MLP, LinearModel
from zkfed.policy import Improvement, Registration
from zkfed.r1cs.system import System
from zkfed.statements.evaluation import evaluation_circuit, target_unit
from zkfed.statements.improvement import Benchmark
from zkfed.statements.own_data import DrawnRows, OwnTerms
from zkfed.statements.terms import BenchmarkTerms

__all__ = ["SHAPES", "Subject", "subject"]

ROWS = 4
SHAPES: dict[str, Any] = {
    "linear": LinearModel(3, 3),
    "binary": LinearModel(3, 2),
    "regression": LinearModel(3, 1),
    "one hidden layer": MLP(3, (4,), 3),
    "two hidden layers, binary": MLP(3, (3, 2), 2),
}


@dataclass(frozen=True)
class Subject:
    """One claim that is true.

    Attributes:
        base: W0.
        features: Rows without the bias.
        targets: In units of `target_unit`.
        update: D; the model that S3 publishes is W0 + D.
    """

    statement: Improvement
    kind: str
    base: Ints
    features: Ints
    targets: Ints
    update: Ints
    curve: Curve = BLS12_381

    @cached_property
    def system(self) -> System:
        return evaluation_circuit(self.statement, self.kind, self.curve.name)

    def run(self, *, is_strict: bool = True, seed: int = 1, **changes: Any) -> Run:
        """Returns a run; `changes` replace fields, private inputs or static inputs."""
        one = replace(self, **{k: v for k, v in changes.items() if k in ("base", "features", "targets", "update")})
        static, private, derive = one.benchmark() if self.kind == "S2" else one.own()
        static |= {k: changes[k] for k in static if k in changes}
        private |= {k: changes[k] for k in private if k in changes}
        return Run(self.system, static, private, derive, seed, is_strict)

    def benchmark(self) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Returns static inputs, private inputs and the derivation of S2."""
        bias = np.full((len(self.features), 1), 127, dtype=np.int64)
        x = np.concatenate([self.features, bias], axis=1)
        terms = BenchmarkTerms.of(self.statement, self.base, Benchmark(x, self.targets * target_unit(self.statement)))
        norm, change = int((self.update**2).sum()), terms.loss_change(self.update)
        instance = terms.instance(bytes(32), None, squared_norm_max=norm, loss_change_max=change, curve=self.curve)
        return dict(instance.static), terms.private(self.update), instance.derive

    def own(self) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Returns static inputs, private inputs and the derivation of S1 or S3."""
        backend = use(self.curve)
        n = len(self.features)
        drawn = DrawnRows(bytes(32), tuple(range(n)), bytes(32), backend.generator("G1", to_limbs([1] * n)))
        published = (self.base.ravel() + self.update).reshape(self.base.shape) if self.kind == "S3" else None
        terms = OwnTerms.of(self.statement, self.base, drawn, published)
        update = self.update if self.kind == "S1" else None
        norm = int((self.update**2).sum())
        instance = terms.instance(bytes(32), None, squared_norm_max=norm, millionths=1, backend=backend)
        static = dict(instance.static) | ({"squared-norm-max": norm} if self.kind == "S1" else {})
        return static, terms.private(update, self.features, self.targets), instance.derive


def subject(shape: str, kind: str, *, loss: str = "squared", seed: int = 1, **more: Any) -> Subject:
    """Draws rows and a base model, and an update that improves it: a step towards smaller weights."""
    model, rand = SHAPES[shape], np.random.default_rng(seed)
    own = {} if kind == "S2" else {"registration": Registration(4 * ROWS), **more}
    statement = Improvement(model, ROWS, "1%", loss=loss, **own)
    x = rand.integers(-127, 128, (ROWS, model.features))
    if model.classes == 1:
        targets = rand.integers(-127, 128, (ROWS, 1))
    else:
        labels = rand.integers(0, model.classes, ROWS)
        targets = np.where(labels[:, None] == np.arange(model.classes), 1, 0)
        targets = targets if model.classes > 2 else 2 * labels[:, None] - 1
    base = rand.integers(-400_000, 400_001, model.shape)
    update = -base.ravel() // 20
    if loss == "accuracy":
        # Towards weights that label every row rightly: n rows in n dimensions.
        base = rand.integers(-2000, 2001, model.shape)
        right = np.linalg.solve(np.concatenate([x, np.full((ROWS, 1), 127)], axis=1), 2.0 * targets - (targets > 1))
        update = np.rint(right / np.abs(right).max() * 32_000).astype(np.int64).ravel()
    return Subject(statement, kind, base, x, targets, update)
