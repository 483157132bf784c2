"""What verifier and prover compute for `evaluation_circuit` from public data and challenges.

    s_i = rho^(i+1),  t_k = tau^k
    rows      u = s X,  s T        by the verifier for a benchmark, linked for registered rows
    weights   V t for each layer V of the base model; <u, V t> for a benchmark's first layer

The verifier reads none of it from a message.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Ints, as_ints, integer_product, powers
from zkfed.commitments.rows import row_weights
from zkfed.counts import Counts, CountVector
from zkfed.encoding import digest
from zkfed.errors import DecodeError, UnsatisfiedConstraint
from zkfed.groth16.proof import Instance
from zkfed.inference import Forward, forward
from zkfed.model import LinearModel, Model
from zkfed.policy import Improvement
from zkfed.r1cs.system import System
from zkfed.statements.evaluation import evaluation_circuit, loss_of, target_unit
from zkfed.statements.improvement import (
    Benchmark,
    PublicTerms,
    check_norm,
    improvement_circuit,
    loss_change_max,
)
from zkfed.statements.one_hot import CountTerms
from zkfed.updates.update import model_digest

__all__ = [
    "BenchmarkTerms",
    "Terms",
    "benchmark_terms",
    "checked_base",
    "circuit_of",
    "layer_sketches",
]


def sketch_of(s: Ints, matrix: npt.NDArray[Any], order: int) -> Ints:
    """Returns s A modulo r for an integer matrix A of n rows."""
    return np.asarray(integer_product(s.reshape(1, -1), matrix)[0] % order, dtype=object)


def layer_sketches(model: Model, weights: npt.NDArray[Any], tau: int, order: int) -> list[Ints]:
    """Returns V t for the matrix V of each layer."""
    t = powers(tau, max(columns for _, columns in model.layers), order)
    return [
        np.asarray(integer_product(v, t[: v.shape[1]].reshape(-1, 1))[:, 0] % order, dtype=object)
        for v in model.split(weights)
    ]


def checked_base(model: Model | CountVector, base: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Returns W0 as int64 of the model's shape.

    Raises:
        DecodeError: Another shape, no integers, or a weight of 2^weight_bits or more.
    """
    w0 = as_ints(np.asarray(base))
    if w0.shape != model.shape:
        raise DecodeError(f"base model of shape {w0.shape}, expected {model.shape}")
    if any(type(v) is not int or abs(v) >= 1 << model.weight_bits for v in w0.ravel().tolist()):
        raise DecodeError(f"base model: a weight is no integer below 2^{model.weight_bits}")
    return w0.astype(np.int64)


def loss_bound(
    statement: Improvement, kind: str, side: str, logits: npt.NDArray[Any], targets: npt.NDArray[Any]
) -> int:
    """Returns the loss of all rows: at most the real one for "low", at least for "high".

    Targets count in `target_unit`.
    """
    if statement.loss == "squared":
        residual = as_ints(logits) - as_ints(targets) * target_unit(statement)
        return int((residual * residual).sum())
    loss = loss_of(statement, kind)
    return loss.lower(logits, targets) if side == "low" else loss.upper(logits, targets)


def checked_targets(statement: Improvement, benchmark: Benchmark) -> npt.NDArray[np.int64]:
    """Returns T in units of `target_unit`: the circuits take it for labels without checking it again.

    Raises:
        DecodeError: A target is no label: not one-hot, or not -1 and 1 for two classes.
    """
    targets, rest = np.divmod(benchmark.targets, target_unit(statement))
    classes = statement.model.classes
    is_label = (targets == 1) | (targets == (-1 if classes == 2 else 0))
    if classes > 1 and (rest.any() or not is_label.all() or (classes > 2 and (targets.sum(axis=1) != 1).any())):
        raise DecodeError("benchmark: a target is the label of no class")
    return np.asarray(targets, dtype=np.int64)


@dataclass(frozen=True)
class BenchmarkTerms:
    """S2 of any model and loss on a public benchmark.

    Attributes:
        base: W0, integers at scale 2^f, of the model's shape.
        features: X, shape (n, d + 1).
        targets: T in units of `target_unit`, shape (n, outputs).
        loss: L0_low, at most the real loss of the base model.
        benchmark_digest: Names the rows.
    """

    statement: Improvement
    base: npt.NDArray[np.int64]
    features: npt.NDArray[np.int64] = field(repr=False)
    targets: npt.NDArray[np.int64] = field(repr=False)
    loss: int
    benchmark_digest: bytes

    @classmethod
    def of(cls, statement: Improvement, base: npt.NDArray[Any], benchmark: Benchmark) -> BenchmarkTerms:
        """Computes the base model's loss.

        Raises:
            DecodeError: The base model or the benchmark is outside the circuit's bounds.
        """
        model = statement.model
        benchmark.check(model, statement.rows)
        w0 = checked_base(model, base)
        targets = checked_targets(statement, benchmark)
        try:
            logits = forward(model, w0, benchmark.features).logits
        except ValueError as error:
            raise DecodeError(f"base model: {error}") from None
        loss = loss_bound(statement, "S2", "low", logits, targets)
        return cls(statement, w0, benchmark.features, targets, loss, benchmark.digest)

    @functools.cached_property
    def digest(self) -> bytes:
        """Names the benchmark and the base model, from which everything else here follows."""
        return digest("zkfed/v1/public-terms", self.benchmark_digest, model_digest(self.base))

    def loss_change_max(self, millionths: int, base_loss_min: int) -> int:
        """Returns M = floor((S - X) L0 / S) - L0, after checking 0 < L_min <= L0.

        Raises:
            ProofInvalid: The base loss is below L_min: an improvement of it means nothing.
        """
        return loss_change_max(self.loss, millionths, base_loss_min)

    def _after(self, update: npt.NDArray[Any]) -> Forward:
        weights = self.base + np.asarray(update, dtype=np.int64).reshape(self.base.shape)
        return forward(self.statement.model, weights, self.features)

    def loss_change(self, update: npt.NDArray[Any]) -> int:
        """Returns L1_high - L0_low of an integer update, the number that the circuit bounds.

        Raises:
            UnsatisfiedConstraint: An activation of the updated model leaves its range.
        """
        try:
            logits = self._after(update).logits
        except ValueError as error:
            raise UnsatisfiedConstraint(str(error), "new/layer-1/magnitude", (0,)) from None
        return loss_bound(self.statement, "S2", "high", logits, self.targets) - self.loss

    def check_update(self, update: npt.NDArray[Any], *, squared_norm_max: int, loss_change_max: int) -> None:
        """Says before proving whether an update satisfies the statement.

        Raises:
            UnsatisfiedConstraint: The norm or the improvement is not reached.
        """
        check_norm(update, squared_norm_max)
        if self.loss_change(update) > loss_change_max:
            raise UnsatisfiedConstraint(
                "the update does not improve the benchmark by the claimed share", "improvement/top", (0,)
            )

    def private(self, update: npt.NDArray[Any]) -> dict[str, Any]:
        """Returns what the circuit's hints read: secret, for it holds the update."""
        return {"update": np.asarray(update).ravel(), "new": self._after(update), "targets": self.targets}

    def instance(
        self, context: bytes, commitment: Points, *, squared_norm_max: int, loss_change_max: int, curve: Curve
    ) -> Instance:
        """Returns the statement of one client, with its challenge-dependent sketches."""

        def derive(stage: int, challenges: dict[str, int]) -> dict[str, Any]:
            rho, tau, r = challenges["rho"], challenges["tau"], curve.order
            s = row_weights(rho, len(self.features), r)
            u = sketch_of(s, self.features, r)
            first, *others = layer_sketches(self.statement.model, self.base, tau, r)
            out = {
                "rows/features": u[:-1], "rows/bias": u[-1], "rows/square": int((u * u).sum() % r),
                "rows/targets": sketch_of(s, self.targets, r), "base/layer-1": int((u * first).sum() % r),
            }  # fmt: skip
            return out | {f"base/layer-{i}": v for i, v in enumerate(others, 2)}

        static = {"squared-norm-max": squared_norm_max, "loss-max": self.loss + loss_change_max}
        return Instance(context, static, (commitment,), derive)


Terms = PublicTerms | BenchmarkTerms
"""What S2 knows: squared loss of a linear model has a smaller circuit of its own."""


def has_quadratic_form(statement: Improvement) -> bool:
    """Whether the claim is a quadratic form in the update (gadgets/loss.py)."""
    return statement.kind == "S2" and statement.loss == "squared" and not statement.model.hidden


def circuit_of(statement: Improvement | Counts, curve: str = "bls12-381") -> System:
    """Returns the circuit that proves a statement.

    Raises:
        ValueError: The bit budget: a value could wrap around the field.
    """
    if isinstance(statement, Counts):
        return CountTerms.of(statement.bounds).circuit(curve)
    if isinstance(statement.model, LinearModel) and has_quadratic_form(statement):
        return improvement_circuit(statement.model, statement.rows, curve)
    return evaluation_circuit(statement, statement.kind, curve)


def benchmark_terms(statement: Improvement, base: npt.NDArray[Any], benchmark: Benchmark) -> Terms:
    """Returns what verifier and prover compute once for a base model and a benchmark.

    Raises:
        DecodeError: The base model or the benchmark is outside the circuit's bounds.
    """
    if isinstance(statement.model, LinearModel) and has_quadratic_form(statement):
        return PublicTerms.of(statement.model, statement.rows, base, benchmark)
    return BenchmarkTerms.of(statement, base, benchmark)
