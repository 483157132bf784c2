"""Circuits of one layer of a model: ReLU, and products with and without an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.gadgets.gadget_circuits import Circuit, close, secret, strategy
from zkfed.algebra.curve import Curve
from zkfed.algebra.field import as_ints, powers
from zkfed.gadgets.dense import (
    Challenges,
    Sketch,
    declare_product,
    declare_update,
    inner_product,
    prove_product,
    settle_norms,
    sketch_columns,
    update_product,
)
from zkfed.gadgets.relu import relu
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear

__all__ = ["LAYERS"]

PRE_MAX = 1 << 12
HALF = 1 << 7
ROWS, INPUTS, OUTPUTS = 3, 3, 2  # with the bias column


def _relu(name: str) -> Callable[[Curve], Circuit]:
    def build(curve: Curve) -> Circuit:
        builder = Builder(f"relu-{name}", curve=curve)
        ranges = strategy(builder, name)
        pre = builder.input("pre", (5,), bounds=(-PRE_MAX, PRE_MAX))
        a = relu(ranges, "relu", pre, fraction_bits=5, bits=6)
        return Circuit(close(builder, ranges), {"pre": [0, -1, 31, 32 * 63 + 31, -32 * 63]}, {}, a)

    return build


def _derive(private: dict[str, Any], challenges: dict[str, int], order: int) -> dict[str, Any]:
    if "rho" not in challenges:
        return {}
    s = powers(challenges["rho"], ROWS + 1, order)[1:]
    t = powers(challenges["tau"], OUTPUTS, order)
    return {"bias": 127 * int(s.sum()) % order, "weights": as_ints(private["weights"]) @ t % order}


def _dense(*, has_update: bool) -> Callable[[Curve], Circuit]:
    """Z = A (V + D) for committed A, with the column norms of D as outputs; or Z = A V."""

    def build(curve: Curve) -> Circuit:
        builder = Builder("dense-updated" if has_update else "dense", curve=curve)
        builder.segment("stage-0")
        half, maximum = (HALF, 1 << 40) if curve.order > 1 << 60 else (1, 3)  # a toy field has no room
        a = builder.witness("a", (ROWS, INPUTS - 1), secret("left"), segment="stage-0")
        d = builder.witness("d", (INPUTS, OUTPUTS), secret("update"), segment="stage-0") if has_update else None
        update = declare_update(builder, "layer", d, half=half, segment="stage-0") if d is not None else None
        z = declare_product(builder, "z", (ROWS, OUTPUTS), secret("product"), maximum=maximum)
        rho, tau = builder.challenge("rho", "tau")
        left = sketch_columns(builder, "sketch", a, builder.input("bias"), rho)
        right = inner_product(builder, "base", left, builder.input("weights", (INPUTS,)))
        if update is not None:
            square = builder.product("square", left, left).sum()
            right = right + update_product(builder, "update", update, Sketch(left, square), tau)
        prove_product(builder, "z", z, right, Challenges(rho, tau))
        if update is not None:
            settle_norms(builder, update)
        left_matrix = np.array([[5, -7], [100, 3], [-2, 11]])
        weights, change = np.array([[3, 4], [-5, 6], [7, -8]]), np.array([[1, -2], [30, 4], [-50, 6]])
        full = np.concatenate([left_matrix, np.full((ROWS, 1), 127)], axis=1)
        product = full @ (weights + change * has_update)
        private = {"left": left_matrix, "weights": weights, "update": change, "product": product}
        outputs = z.wires if update is None else Linear.of_wires(np.concatenate([z.wires.wires, update.norms.wires]))
        return Circuit(builder.finish(), {}, private, outputs, _derive)

    return build


LAYERS: dict[str, Callable[[Curve], Circuit]] = {
    "relu/bits": _relu("bits"),
    "relu/table": _relu("table"),
    "dense": _dense(has_update=False),
    "dense, updated": _dense(has_update=True),
}
