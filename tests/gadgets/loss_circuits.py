"""Circuits of the losses, of labels, and of lookups of rows with several columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.gadgets.gadget_circuits import Circuit, strategy
from zkfed.algebra.curve import Curve
from zkfed.algebra.field import as_ints, powers
from zkfed.gadgets.labels import Labels
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.losses import lower_loss, upper_loss
from zkfed.gadgets.tuples import Tables
from zkfed.losses import Loss
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear, constant

__all__ = ["LOSSES", "ONE", "loss_circuit", "loss_of", "rows_of"]

ONE = 127
LOGIT_MAX = 127 * 20
ROWS = 3
PRECISION = 6  # few lines: small tables


def loss_of(name: str) -> Loss:
    return Loss(name, 3 if name in ("cross-entropy", "accuracy") else 2, ONE, LOGIT_MAX, PRECISION)


def rows_of(loss: Loss, *, count: int = ROWS, seed: int = 0) -> tuple[Any, Any]:
    """Returns logits and targets."""
    rand = np.random.default_rng(seed)
    y = rand.integers(0, loss.classes, count)
    outputs = loss.classes if loss.classes > 2 else 1
    z = np.clip(rand.normal(0, 2 * loss.one, (count, outputs)), -loss.logit_max, loss.logit_max).astype(np.int64)
    targets = np.eye(loss.classes, dtype=np.int64)[y] if outputs > 1 else 2 * y[:, None] - 1
    return z, targets


def derive_targets(private: dict[str, Any], challenges: dict[str, int], order: int) -> dict[str, Any]:
    if "rho" not in challenges:
        return {}
    known = private.get("known")  # where the prover commits other labels than these
    targets = as_ints(np.asarray(private["targets"] if known is None else known))
    return {"targets": powers(challenges["rho"], len(targets) + 1, order)[1:] @ targets % order}


def close_all(builder: Builder, tables: Tables, labels: Labels | None = None) -> None:
    """Draws the challenges that are used, and no other: those would be free public inputs."""
    tables.commit()
    widths = [len(lookup.columns) for lookup in tables.lookups]
    is_used = {
        "alpha": bool(widths) or isinstance(tables.ranges, RangeTable), "beta": max(widths, default=1) > 1,
        "rho": labels is not None, "tau": labels is not None,
    }  # fmt: skip
    names = [name for name, used in is_used.items() if used]
    drawn = dict(zip(names, builder.challenge(*names), strict=True))
    tables.close(drawn.get("alpha", constant(0)), drawn.get("beta", constant(0)))
    if labels is not None:
        labels.close(drawn["rho"], drawn["tau"], builder.input("targets", (labels.wires.shape[1],)))


def logits_of(builder: Builder, name: str, loss: Loss, shape: tuple[int, int]) -> Linear:
    """Declares logits as inputs, which no gadget proves."""
    bounds = (-loss.logit_max, loss.logit_max)
    return builder.input(name, (shape[0] * shape[1],), bounds=bounds).reshape(*shape)


def loss_circuit(loss: Loss, side: str, ranges: str = "table", *, count: int = ROWS) -> Callable[[Curve], Circuit]:
    def build(curve: Curve) -> Circuit:
        builder = Builder(f"{loss.name}-{side}", curve=curve)
        tables = Tables(strategy(builder, ranges))
        z, targets = rows_of(loss, count=count)
        logits, labels = logits_of(builder, "z", loss, z.shape), Labels(builder, z.shape, "s")
        bound = upper_loss if side == "upper" else lower_loss
        total = bound(tables, "model", loss, logits, labels)
        close_all(builder, tables, labels)
        return Circuit(builder.finish(), {"z": as_ints(z)}, {"targets": targets, "known": None}, total, derive_targets)

    return build


def _labels(curve: Curve) -> Circuit:
    """Two models select from the same labels."""
    loss = loss_of("hinge")
    builder = Builder("labels", curve=curve)
    tables = Tables(strategy(builder, "bits"))
    z, targets = rows_of(loss)
    labels = Labels(builder, z.shape, "s")
    first = labels.select("first", logits_of(builder, "z", loss, z.shape))
    second = labels.select("second", logits_of(builder, "other", loss, z.shape) * 2 - 7)
    close_all(builder, tables, labels)
    outputs = Linear.of_wires(np.concatenate([first.wires, second.wires]))
    static = {"z": as_ints(z), "other": as_ints(-z // 3)}
    return Circuit(builder.finish(), static, {"targets": targets}, outputs, derive_targets)


TABLE = np.array([[0, 5, 1], [1, -3, 1], [2, 5, 0], [7, 0, 0]])


def _tuples(columns: int) -> Callable[[Curve], Circuit]:
    def build(curve: Curve) -> Circuit:
        builder = Builder(f"tuples-{columns}", curve=curve)
        tables = Tables(strategy(builder, "bits"))
        rows = as_ints(TABLE[:, :columns])
        lookup = tables.look_up("tuple", rows, 5, lambda values: np.asarray(values.private["rows"]))
        total = builder.define("total", lookup.total(TABLE[:, 1]), segment="s")
        close_all(builder, tables)
        return Circuit(builder.finish(), {}, {"rows": [0, 3, 3, 1, 2]}, total)

    return build


LOSSES: dict[str, Callable[[Curve], Circuit]] = {
    "tuples, one column": _tuples(1),
    "tuples, three columns": _tuples(3),
    "labels": _labels,
    "hinge/bits": loss_circuit(loss_of("hinge"), "upper", "bits"),
    "hinge/table": loss_circuit(loss_of("hinge"), "lower"),
    "logistic above": loss_circuit(loss_of("logistic"), "upper"),
    "logistic below": loss_circuit(loss_of("logistic"), "lower", "bits"),
    "cross-entropy above": loss_circuit(loss_of("cross-entropy"), "upper"),
    "cross-entropy below": loss_circuit(loss_of("cross-entropy"), "lower", "bits"),
    "accuracy above": loss_circuit(loss_of("accuracy"), "upper"),
    "accuracy below": loss_circuit(loss_of("accuracy"), "lower"),
}
