"""The forward pass of a quantised model over exact integers: what the circuits prove about.

    z_l = A_(l-1) W_l,   q_l = floor(z_l / 2^f),   a_l = max(q_l, 0),   A_l = a_l | 127

A_0 are the rows with their bias column. The last z is the logits, at scale 127 * 2^f. Nothing is
rounded but by the floor, which is a part of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.model import ACTIVATION_BITS, FEATURE_LIMIT, Model

__all__ = ["Forward", "forward"]


@dataclass(frozen=True)
class Forward:
    """One pass over n rows; secret where rows or weights are.

    Attributes:
        pre: z of each layer, shape (n, columns).
        activations: a of each hidden layer.
    """

    pre: list[npt.NDArray[Any]] = field(repr=False)
    activations: list[npt.NDArray[Any]] = field(repr=False)

    @property
    def logits(self) -> npt.NDArray[Any]:
        """Z of the last layer, shape (n, outputs)."""
        return self.pre[-1]


def forward(model: Model, weights: npt.NDArray[Any], features: npt.NDArray[Any]) -> Forward:
    """Returns the forward pass, exactly.

    Args:
        model: The shape.
        weights: Integers at scale 2^f, of the model's shape.
        features: X with the bias column, integers, shape (n, inputs).

    Raises:
        ValueError: A shape or type does not fit, or an activation reaches 2^16: the model's weights
            or its rows are too large for its circuits.
    """
    x, w = np.asarray(features), np.asarray(weights)
    if x.ndim != 2 or x.shape[1] != model.inputs:
        raise ValueError(f"rows of shape {x.shape}, expected (rows, {model.inputs}) with the bias column")
    for name, array in (("rows", x), ("weights", w)):
        if array.dtype.kind not in "iu" and not all(type(v) is int for v in array.ravel().tolist()):
            raise ValueError(f"{name} are {array.dtype}, expected integers")
    pre, activations, left = [], [], x
    for layer, matrix in enumerate(model.split(w), 1):
        z = _product(left, matrix)
        pre.append(z)
        if layer <= len(model.hidden):
            q = z >> model.fraction_bits
            _check_range(q, layer)
            a = np.maximum(q, 0)
            activations.append(a)
            left = np.concatenate([a, np.full((len(a), 1), FEATURE_LIMIT, dtype=a.dtype)], axis=1)
    return Forward(pre, activations)


def _product(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns left @ right: in machine integers where no sum can reach 2^62, else in Python's."""
    largest = [max(int(m.max(initial=0)), -int(m.min(initial=0))) for m in (left, right)]
    if largest[0] * largest[1] * left.shape[1] < 1 << 62:
        return np.asarray(left.astype(np.int64) @ right.astype(np.int64))
    return np.asarray(left.astype(object) @ right.astype(object))


def _check_range(quotients: npt.NDArray[Any], layer: int) -> None:
    outside = (quotients >= 1 << ACTIVATION_BITS) | (quotients <= -(1 << ACTIVATION_BITS))
    if outside.any():
        unit = int(np.argwhere(outside)[0][1])
        raise ValueError(
            f"hidden layer {layer}, unit {unit}: an activation is outside "
            f"(-{(1 << ACTIVATION_BITS) / FEATURE_LIMIT:.0f}, {(1 << ACTIVATION_BITS) / FEATURE_LIMIT:.0f}); "
            f"scale the weights or the features down"
        )
