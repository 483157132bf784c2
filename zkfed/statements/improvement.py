"""S2: the squared loss on a public benchmark falls by at least X/S of itself.

    C_D = Com(D; rho),  D in range,  |D|^2 <= B2,  L(W0 + D) <= floor((S - X) L(W0) / S)

over the integers, for L(W) = |X W - T|^2. The base loss L0 is public, so the verifier
computes M = floor((S - X) L0 / S) - L0 < 0 and the circuit proves <D, G D + N> <= M with
G = X^T X and N = 2 X^T (X W0 - T) (gadgets/loss.py). G and N enter by a sketch only: one
key fits every benchmark and every base model of the shape.

The loss is exact for the quantised model: nothing is rounded, so the claim holds for the
real-valued loss of the model with weights (W0 + D)/2^f on features X/127.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.algebra.curve import CURVES, Curve
from zkfed.algebra.field import Ints, as_ints, integer_product, powers
from zkfed.counts import CountVector
from zkfed.encoding import digest
from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.fixedpoint import quantise_features, quantise_targets
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.loss import declare_forms
from zkfed.gadgets.product import public_product, sketch
from zkfed.gadgets.strategy import best_limb_bits
from zkfed.groth16.proof import Instance
from zkfed.policy import FEATURE_LIMIT, SHARE_SCALE, UPDATE_BITS, LinearModel, Model
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import System
from zkfed.statements.context import Context
from zkfed.statements.update_bound import bounded_update, ranges_of, squared_norm_max
from zkfed.updates.update import model_digest

__all__ = ["Benchmark", "PublicTerms", "check_norm", "improvement_circuit", "loss_change_max"]

VERSION = 1


@dataclass(frozen=True)
class Benchmark:
    """Public rows as integers.

    Attributes:
        features: X, shape (n, d + 1), in [-127, 127]; the last column is 127, the bias.
        targets: T, shape (n, outputs), at scale 127 * 2^f, at most that in absolute value.
    """

    features: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, model: Model, features: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Benchmark:
        """Quantises rows for a model.

        Args:
            model: The model family.
            features: Floats in [-1, 1] (or integers in [-127, 127]), shape (n, d).
            labels: Class numbers 0 .. classes-1; for regression floats in [-1, 1].

        Raises:
            ValueError: Shape, range, NaN or infinity do not fit.
        """
        x = quantise_features(features)
        if x.shape[1] != model.inputs:
            raise ValueError(f"rows of {x.shape[1] - 1} features, the model has {model.features}")
        targets = quantise_targets(labels, classes=model.classes, fraction_bits=model.fraction_bits)
        if targets.shape != (len(x), model.outputs):
            raise ValueError(f"{len(targets)} labels for {len(x)} rows")
        return cls(x, targets)

    @classmethod
    def none(cls, model: Model | CountVector) -> Benchmark:
        """Returns a benchmark of no rows, for a federation whose statement is about own rows."""
        return cls(np.zeros((0, model.inputs), np.int64), np.zeros((0, model.outputs), np.int64))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the integers; stands in ctx."""
        parts = [self.features, self.targets]
        shapes = [np.array(p.shape, dtype=">i8").tobytes() for p in parts]
        return digest("zkfed/v1/benchmark", *shapes, *[p.astype(">i8").tobytes() for p in parts])

    def check(self, model: Model | CountVector, rows: int) -> None:
        """Checks the shapes and ranges for which the circuit's bit budget holds.

        Raises:
            DecodeError: A shape or a value does not fit.
        """
        x, t, limit = self.features, self.targets, FEATURE_LIMIT << model.fraction_bits
        if x.shape != (rows, model.inputs) or t.shape != (rows, model.outputs):
            raise DecodeError(f"benchmark of shape {x.shape} and {t.shape}, expected {rows} rows of the model's shape")
        if x.dtype != np.int64 or t.dtype != np.int64:
            # Narrower integers would wrap in X^T X, and the digest would round floats.
            raise DecodeError(f"benchmark of {x.dtype} and {t.dtype}, expected int64; use Benchmark.of")
        # Not np.abs: the absolute value of -2^63 is -2^63.
        is_inside = all((-bound <= v).all() and (v <= bound).all() for v, bound in ((x, FEATURE_LIMIT), (t, limit)))
        if not is_inside or (x[:, -1] != FEATURE_LIMIT).any():
            raise DecodeError("benchmark: a feature, the bias column or a target is outside its range")


@dataclass(frozen=True)
class _Bounds:
    """Worst cases of everything that is computed from public data."""

    gradient: int
    change: int
    loss: int

    @classmethod
    def of(cls, model: LinearModel, rows: int) -> _Bounds:
        logit = model.inputs * FEATURE_LIMIT << model.weight_bits
        residual = logit + (FEATURE_LIMIT << model.fraction_bits)
        half, gram, offset = (
            1 << (UPDATE_BITS - 1),
            rows * FEATURE_LIMIT**2,
            2 * rows * FEATURE_LIMIT * residual,
        )
        change = model.parameters * half * (model.inputs * gram * half + offset)
        return cls(model.inputs * gram * half + offset, change, rows * model.outputs * residual**2)


@functools.lru_cache(maxsize=32)
def improvement_circuit(model: LinearModel, rows: int, curve: str = "bls12-381") -> System:
    """Returns S2 for a model family and a number of rows.

    Raises:
        ValueError: The bit budget: a sum could wrap around the field.
    """
    name = f"improvement-{model.features}x{model.classes}-n{rows}"
    shape, bounds = (model.inputs, model.outputs), _Bounds.of(model, rows)
    builder = Builder(name, version=VERSION, curve=CURVES[curve])
    slack = (bounds.loss + 1).bit_length()
    limb_bits = best_limb_bits([*ranges_of(model.parameters, UPDATE_BITS), (1, slack)])
    part = bounded_update(builder, shape, value_bits=UPDATE_BITS, limb_bits=limb_bits)
    target = builder.input("loss-change-max", bounds=(-bounds.loss, -1))
    forms = declare_forms(
        builder, part.update, segment="stage-0",
        norm_max=squared_norm_max(model.parameters, UPDATE_BITS), change_max=bounds.change,
    )  # fmt: skip
    at_most(part.table, "update/norm-slack", forms.norm, part.norm_max)
    at_most(part.table, "improvement", forms.change, target)
    part.table.commit()
    (gamma,) = builder.challenge("gamma")
    gradient = forms.prove(gamma, builder.segment("stage-1"))
    alpha, rho, tau = builder.challenge("alpha", "rho", "tau")
    part.table.close(alpha)
    public_product(builder, "gradient", gradient, part.update, challenges=(rho, tau))
    return builder.finish()


def loss_change_max(loss: int, millionths: int, base_loss_min: int) -> int:
    """Returns M = floor((S - X) L0 / S) - L0, after checking 0 < L_min <= L0.

    Raises:
        ProofInvalid: The base loss is below L_min: an improvement of it means nothing.
    """
    if not 0 < base_loss_min <= loss:
        raise ProofInvalid(
            f"the base loss has {loss.bit_length()} bits and is below the smallest one for which an improvement "
            f"is accepted"
        )
    return (SHARE_SCALE - millionths) * loss // SHARE_SCALE - loss


def check_norm(update: npt.NDArray[Any], squared_norm_max: int) -> None:
    """Raises UnsatisfiedConstraint if an update is longer than the clip."""
    d = as_ints(np.asarray(update)).ravel()
    if int((d * d).sum()) > squared_norm_max:
        raise UnsatisfiedConstraint("the update's norm is above the clip", "update/norm-slack/top", (0,))


@dataclass(frozen=True)
class PublicTerms:
    """What verifier and prover compute once for a base model and a benchmark.

    Attributes:
        base: W0, integers at scale 2^f, shape (inputs, outputs).
        gram: G = X^T X.
        gradient: N = 2 X^T (X W0 - T).
        loss: L0 = L(W0).
    """

    model: LinearModel
    base: Ints
    gram: npt.NDArray[np.int64]
    gradient: Ints
    loss: int
    benchmark_digest: bytes

    @functools.cached_property
    def digest(self) -> bytes:
        """Names the benchmark and the base model, from which everything else here follows."""
        return digest("zkfed/v1/public-terms", self.benchmark_digest, model_digest(self.base))

    @classmethod
    def of(cls, model: LinearModel, rows: int, base: npt.NDArray[Any], benchmark: Benchmark) -> PublicTerms:
        """Computes the terms, exactly.

        Raises:
            DecodeError: The base model or the benchmark is outside the circuit's bounds.
        """
        benchmark.check(model, rows)
        w0 = as_ints(np.asarray(base))
        if w0.shape != (model.inputs, model.outputs):
            raise DecodeError(f"base model of shape {w0.shape}, expected {(model.inputs, model.outputs)}")
        if any(type(v) is not int or abs(v) >= 1 << model.weight_bits for v in w0.ravel().tolist()):
            raise DecodeError(f"base model: a weight is no integer below 2^{model.weight_bits}")
        x, t, weights = benchmark.features, benchmark.targets, w0
        if _Bounds.of(model, rows).gradient < 1 << 62:
            weights = w0.astype(np.int64)
        else:
            # Too wide for machine integers: the same sums over Python's.
            x, t = as_ints(x), as_ints(t)
        residual = x @ weights - t
        exact = as_ints(residual)
        loss = int((exact * exact).sum())
        gradient = as_ints(2 * (x.T @ residual))
        # At most rows * 127^2, far below 2^63.
        gram = integer_product(benchmark.features.T, benchmark.features).astype(np.int64)
        return cls(model, w0, gram, gradient, loss, benchmark.digest)

    def loss_change_max(self, millionths: int, base_loss_min: int) -> int:
        """Returns M = floor((S - X) L0 / S) - L0, after checking 0 < L_min <= L0.

        Raises:
            ProofInvalid: The base loss is below L_min: an improvement of it means nothing.
        """
        return loss_change_max(self.loss, millionths, base_loss_min)

    def loss_change(self, update: npt.NDArray[Any]) -> int:
        """Returns L(W0 + D) - L(W0) of an integer update, the number that the circuit bounds."""
        d = as_ints(np.asarray(update)).reshape(self.base.shape)
        return int((d * (integer_product(self.gram, d) + self.gradient)).sum())

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
        return {"update": np.asarray(update).ravel(), "gram": self.gram, "gradient": self.gradient}

    def instance(
        self, context: bytes, commitment: Points, *, squared_norm_max: int, loss_change_max: int, curve: Curve
    ) -> Instance:
        """Returns the statement of one client, with its challenge-dependent sketch."""

        def derive(stage: int, challenges: dict[str, int]) -> dict[str, Any]:
            if stage == 1:
                return {}
            rho, tau, r = challenges["rho"], challenges["tau"], curve.order
            s = sketch(self.gram, self.gradient, rho, tau, r)
            # s (G + gamma I), without a second matrix of scalars.
            left = (s.left + challenges["gamma"] * powers(rho, len(self.gram), r)) % r
            return {"gradient/left": left, "gradient/offset": s.offset}

        static = {"squared-norm-max": squared_norm_max, "loss-change-max": loss_change_max}
        return Instance(context, static, (commitment,), derive)


class HasDigest(Protocol):
    """The public terms of a claim."""

    @property
    def digest(self) -> bytes:
        """Names benchmark and base model."""


def improvement_context(
    terms: HasDigest, *, policy: bytes, announcement: bytes, signer: bytes, commitment: bytes
) -> Context:
    """Returns the items of ctx of an S2 proof.

    W0 stands here because it is an operand of the sketch: a prover who could still choose it
    after the challenges would choose one for which a false statement verifies.
    """
    return Context("S2", policy, announcement, signer, commitment, terms.digest)
