"""Small instances of S1, S2 and S3 for a linear model and a perceptron, whose numbers a cheat can change.

The library's hints read the forward pass from the private inputs. Here it is computed from the
wires as they are, so that a prover who changes a weight or an activation goes on consistently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from tests.evidence.claims import Reading
from tests.statements.evaluation_samples import Subject as Sample
from tests.witness_runner import Run
from zkfed.algebra.field import Ints, as_ints
from zkfed.model import MLP, LinearModel, Model
from zkfed.policy import SHARE_SCALE, Improvement, Registration
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear
from zkfed.statements.evaluation import evaluation_circuit, target_unit

__all__ = ["EVALUATIONS", "Evaluation", "evaluation"]


@contextmanager
def named_wires() -> Iterator[dict[str, Linear]]:
    """Records the wires of every witness that is added meanwhile, by name."""
    names: dict[str, Linear] = {}
    plain = Builder.witness

    def witness(self: Builder, name: str, *args: Any, **kwargs: Any) -> Linear:
        names[name] = plain(self, name, *args, **kwargs)
        return names[name]

    Builder.witness = witness  # type: ignore[method-assign]
    try:
        yield names
    finally:
        Builder.witness = plain  # type: ignore[method-assign]


class _Live:
    """A forward pass over the wires as they are: what `inference.Forward` is to the hints."""

    def __init__(self, of: Evaluation, values: Values, name: str) -> None:
        self.of, self.values, self.name, self.pre = of, values, name, self

    def __getitem__(self, layer: int) -> Ints:
        of = self.of
        weights = of.models[self.name]
        if self.name == "new" and "update" in of.wires:
            weights = weights + self.values(of.wires["update"]).ravel()
        left = of.features
        if layer:
            a = self.values(of.wires[f"{self.name}/layer-{layer}/activation"])
            left = np.concatenate([a, np.full((len(a), 1), 127, dtype=object)], axis=1)
        z = np.asarray(left @ of.of.statement.model.split(weights)[layer], dtype=object)
        if not layer:
            z[0, 0] += of.shift
        return z


def _plain_forward(model: Any, weights: Ints, features: Ints) -> Ints:
    left = features
    for layer, matrix in enumerate(model.split(weights)):
        z = left @ matrix
        if layer == len(model.layers) - 1:
            return np.asarray(z, dtype=object)
        a = np.maximum(z >> model.fraction_bits, 0)
        left = np.concatenate([a, np.full((len(a), 1), 127, dtype=object)], axis=1)
    raise ValueError("no layer")


Live = Callable[[Values], dict[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """One instance.

    Attributes:
        of: The honest sample.
        wires: Of its circuit, by name.
        work: Its run.
        shift: Of one first product, in both passes: a cheat's; he goes on consistently.
    """

    of: Sample
    wires: dict[str, Linear]
    work: Run
    shift: int = 0

    @cached_property
    def models(self) -> dict[str, Ints]:
        """The public weights of "old" and "new"; those of "new" count without the update."""
        after = self.of.base.ravel() + (self.of.update if self.of.kind == "S3" else 0)
        return {"old": as_ints(self.of.base.ravel()), "new": as_ints(after)}

    @cached_property
    def features(self) -> Ints:
        """X with the bias column."""
        return as_ints(np.concatenate([self.of.features, np.full((len(self.of.features), 1), 127)], axis=1))

    def live(self, values: Values) -> dict[str, Any]:
        """Returns the private inputs, with forward passes that follow the wires."""
        passes = {name: _Live(self, values, name) for name in ("old", "new")}
        return {**self.work.private, **passes}

    def loss(self, weights: Ints) -> int:
        residual = _plain_forward(self.of.statement.model, weights, self.features)
        residual = residual - as_ints(self.of.targets) * target_unit(self.of.statement)
        return int((residual**2).sum())

    def bounds(self, *, is_tight: bool) -> dict[str, int]:
        """Returns bounds that the claim just keeps, so that a step of one makes it false; or the share alone."""
        if self.of.kind == "S2":
            return {}
        before, after = (self.loss(as_ints(self.of.base.ravel()) + d) for d in (0, self.of.update))
        share = SHARE_SCALE - -(-SHARE_SCALE * after // before)
        least, most = (before, before) if is_tight else (1, before + before // 4)
        return {"base-loss-min": least, "base-loss-max": most, "share": share}

    def starts(self) -> list[tuple[Run, Live]]:
        """Returns runs to forge from: two honest ones, and those of a prover who uses other data than the rows'."""
        out = [replace(self, work=self.of.run(**self.bounds(is_tight=True)))]
        for sign in (1, -1):
            targets = self.of.targets.copy()
            targets[0, 0] += sign
            private = {**self.work.private, "targets": targets}
            out.append(replace(self, work=replace(self.work, private=private)))
            out.append(replace(self, shift=sign << self.of.statement.model.fraction_bits + 4))
        return [(one.work, one.live) for one in out]

    def claim(self, at: Reading) -> bool:
        """Says in plain words what the statement claims."""
        new, half, kind = self.models["new"], 1 << 15, self.of.kind
        if kind != "S3":
            d = at.segment("update")
            if min(d) < -half or max(d) >= half or (d**2).sum() > at.input("squared-norm-max")[0]:
                return False
            new = new + d
        after = self.loss(new)
        if kind == "S2":
            return bool(after <= at.input("loss-max")[0])
        before, share = self.loss(self.models["old"]), at.input("share")[0]
        is_inside = at.input("base-loss-min")[0] <= before <= at.input("base-loss-max")[0]
        return bool(is_inside and (SHARE_SCALE - share) * before >= SHARE_SCALE * after)


def _plain_forward(model: Model, weights: Ints, features: Ints) -> Ints:
    z = left = features
    for matrix in model.split(weights):
        z = left @ matrix
        a = np.maximum(z >> model.fraction_bits, 0)
        left = np.concatenate([a, np.full((len(a), 1), 127, dtype=object)], axis=1)
    return np.asarray(z, dtype=object)


# Coarse weights keep numbers small: a step of one then decides whether a claim is true.
SHAPES: dict[str, Model] = {"linear": LinearModel(1, 3, 4, 8), "mlp": MLP(1, (2,), 1, 4, 8)}
KINDS = {"own-data": "S1", "benchmark-loss": "S2", "published-model": "S3"}
EVALUATIONS = {f"{frozen}/{name}": (kind, name) for frozen, kind in KINDS.items() for name in SHAPES}
ROWS = 2


@cache
def evaluation(name: str) -> Evaluation:
    """Returns the instance of a name in `EVALUATIONS`."""
    kind, shape = EVALUATIONS[name]
    model, rand = SHAPES[shape], np.random.default_rng(3)
    own: dict[str, Any] = {}
    if kind != "S2":
        own = {"registration": Registration(4 * ROWS), "base_loss_max": 1 << 30}
    statement = Improvement(model, ROWS, "5%", **own)
    x = rand.integers(-127, 128, (ROWS, model.features))
    targets = rand.integers(-127, 128, (ROWS, 1)) if model.classes == 1 else np.identity(3, dtype=np.int64)[:ROWS]
    base = rand.integers(-250, 251, model.shape)
    of = Sample(statement, kind, base, x, targets, -base.ravel() // 4)
    evaluation_circuit.cache_clear()
    with named_wires() as wires:
        built = Evaluation(of, wires, Run(of.system))
    return replace(built, work=of.run(**built.bounds(is_tight=False)))
