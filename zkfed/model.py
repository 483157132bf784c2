"""Model families: linear models and perceptrons with ReLU, as shapes.

    linear   logits = x W
    MLP      a_0 = x,   z_l = a_(l-1) W_l,   a_l = max(floor(z_l / 2^f), 0),   logits = z_L

Every matrix has a last row for the bias: features, activations and the bias column 127 count in
1/127, weights in 2^-f, so that the logits of every layer count in ONE = 127 * 2^f.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.encoding import Reader, Writer, item
from zkfed.errors import PolicyError, shown

__all__ = ["ACTIVATION_BITS", "FEATURE_LIMIT", "MLP", "LinearModel", "Model", "decode_model"]

FEATURE_LIMIT = 127
"""Features are integers in [-127, 127]; 1.0 is 127, and so is the bias column."""
ACTIVATION_BITS = 16
"""A hidden layer's floor(z / 2^f) is below 2^16 in absolute value."""
_LIMITS = {"features": 1 << 16, "classes": 1 << 12, "fraction_bits": 15, "weight_bits": 30}
_MLP_TAG = "zkfed/v1/mlp"
HIDDEN_MAX, WIDTH_MAX = 8, 1 << 12
"""Hidden layers, and units of one."""


class _Shape:
    """What follows from the widths of the layers."""

    __slots__ = ()
    features: int
    classes: int

    def _widths(self) -> tuple[int, ...]:
        """Returns the hidden layers' units; a field cannot override a property."""
        return ()

    @property
    def inputs(self) -> int:
        """Rows of the first matrix: the features and the bias."""
        return self.features + 1

    @property
    def outputs(self) -> int:
        """Columns of the last matrix."""
        return self.classes if self.classes > 2 else 1

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(rows with the bias, columns) of each layer's matrix."""
        widths = (self.features, *self._widths(), self.outputs)
        return tuple((m + 1, c) for m, c in itertools.pairwise(widths))

    @property
    def parameters(self) -> int:
        """P, the number of weights."""
        return sum(rows * columns for rows, columns in self.layers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights as one array: the matrix of a linear model, else all layers flat, row by row."""
        return (self.parameters,) if self._widths() else (self.inputs, self.outputs)

    def split(self, weights: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Returns the matrix of each layer as a view of the weights.

        Raises:
            ValueError: Not as many weights as the model has.
        """
        flat, start, out = np.asarray(weights).reshape(-1), 0, []
        if flat.size != self.parameters:
            raise ValueError(f"{flat.size} weights, the model has {self.parameters}")
        for rows, columns in self.layers:
            out.append(flat[start : start + rows * columns].reshape(rows, columns))
            start += rows * columns
        return out

    def _check(self) -> None:
        for name, maximum in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= maximum:
                raise PolicyError(f"{type(self).__name__}.{name} is {shown(value)}, expected an int in [1, {maximum}]")


@dataclass(frozen=True, slots=True)
class LinearModel(_Shape):
    """logits = x W with a bias row: W has shape (features + 1, outputs).

    Attributes:
        features: d, without the bias.
        classes: 1 for regression, 2 for binary (one output, targets -1 and 1), or the
            number of classes (one output each, targets 0 and 1).
        fraction_bits: f; weights and updates are integers at scale 2^f.
        weight_bits: Weights of a base model are below 2^weight_bits as integers.
    """

    features: int
    classes: int
    fraction_bits: int = 15
    weight_bits: int = 20

    def __post_init__(self) -> None:
        self._check()

    @property
    def hidden(self) -> tuple[int, ...]:
        """No hidden layers."""
        return ()

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/linear-model").u64(self.features).u64(self.classes)
        return w.u64(self.fraction_bits).u64(self.weight_bits).finish()

    @classmethod
    def decode(cls, data: bytes) -> LinearModel:
        """Reads a model; raises DecodeError or PolicyError."""
        r = Reader(data, "zkfed/v1/linear-model", limit=1024)
        out = cls(r.u64(), r.u64(), r.u64(), r.u64())
        r.finish()
        return out


@dataclass(frozen=True, slots=True)
class MLP(_Shape):
    """A perceptron with ReLU after each hidden layer.

    Attributes:
        features: d, without the bias.
        hidden: Units of each hidden layer.
        classes: As of `LinearModel`.
        fraction_bits: f; weights and updates are integers at scale 2^f.
        weight_bits: Weights of a base model are below 2^weight_bits as integers.
    """

    features: int
    hidden: tuple[int, ...]
    classes: int
    fraction_bits: int = 15
    weight_bits: int = 20

    def __post_init__(self) -> None:
        self._check()
        if type(self.hidden) is not tuple or not 1 <= len(self.hidden) <= HIDDEN_MAX:
            raise PolicyError(f"MLP.hidden is {shown(self.hidden)}, expected a tuple of 1 to {HIDDEN_MAX} widths")
        for width in self.hidden:
            if type(width) is not int or not 1 <= width <= WIDTH_MAX:
                raise PolicyError(f"MLP.hidden holds {shown(width)}, expected ints in [1, {WIDTH_MAX}]")

    def _widths(self) -> tuple[int, ...]:
        return self.hidden

    def encode(self) -> bytes:
        w = Writer(_MLP_TAG).u64(self.features).list([v.to_bytes(8, "big") for v in self.hidden])
        return w.u64(self.classes).u64(self.fraction_bits).u64(self.weight_bits).finish()

    @classmethod
    def decode(cls, data: bytes) -> MLP:
        """Reads a model; raises DecodeError or PolicyError."""
        r = Reader(data, _MLP_TAG, limit=1024)
        features = r.u64()
        hidden = tuple(int.from_bytes(v, "big") for v in r.list(HIDDEN_MAX, exact=8))
        out = cls(features, hidden, r.u64(), r.u64(), r.u64())
        r.finish()
        return out


Model = LinearModel | MLP


def decode_model(data: bytes) -> Model:
    """Reads a model of either family; raises DecodeError or PolicyError."""
    return MLP.decode(data) if data.startswith(item(_MLP_TAG.encode())) else LinearModel.decode(data)
