"""A framework's list of arrays and the weights of a policy's model, each as the other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError

__all__ = ["CoefIntercept", "Concatenated", "Layout", "finite_weights", "read_weights", "whole_numbers", "written_like"]

Arrays = list[npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]


class Layout(Protocol):
    """How an app's arrays and the weights of the policy's model become each other."""

    def weights(self, arrays: Arrays, shape: tuple[int, ...]) -> Floats:
        """Returns weights of `shape`; raises DecodeError or ValueError if the arrays are not of the model."""

    def arrays(self, weights: Floats, like: Arrays) -> Arrays:
        """Returns arrays with the shapes of `like`."""


class Concatenated:
    """The arrays one after the other, each row by row."""

    def weights(self, arrays: Arrays, shape: tuple[int, ...]) -> Floats:
        """Returns weights of `shape`."""
        flat = np.concatenate([np.asarray(a, dtype=np.float64).ravel() for a in arrays])
        return flat.reshape(shape)

    def arrays(self, weights: Floats, like: Arrays) -> Arrays:
        """Returns arrays with the shapes of `like`."""
        parts = np.split(weights.ravel(), np.cumsum([a.size for a in like])[:-1])
        return [part.reshape(a.shape) for part, a in zip(parts, like, strict=True)]


class CoefIntercept:
    """scikit-learn's `coef_` (outputs, features) and `intercept_` (outputs,), in this order."""

    def weights(self, arrays: Arrays, shape: tuple[int, ...]) -> Floats:
        """Returns W of shape (features + 1, outputs), the bias in its last row."""
        if len(arrays) != 2:
            raise DecodeError(f"{len(arrays)} arrays, expected coef_ and intercept_")
        joined = np.vstack([np.atleast_2d(arrays[0]).T, np.atleast_2d(arrays[1])]).astype(np.float64)
        return joined.reshape(shape)

    def arrays(self, weights: Floats, like: Arrays) -> Arrays:
        """Returns `coef_` and `intercept_` with the shapes of `like`."""
        return [weights[:-1].T.reshape(like[0].shape), weights[-1].reshape(like[1].shape)]


def finite_weights(values: Any, shape: tuple[int, ...]) -> Floats:
    """Returns one array as weights of `shape`.

    Raises:
        DecodeError: It holds other than finite numbers, or another count of them.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind not in "fiu":  # NumPy would read text, and drop imaginary parts
            raise TypeError
        weights = found.astype(np.float64)
    except (TypeError, ValueError):
        raise DecodeError("the result's array holds no numbers") from None
    expected = math.prod(shape)
    if weights.size != expected or not np.isfinite(weights).all():
        raise DecodeError(f"the result has {weights.size} weights, expected {expected} finite ones")
    return weights.reshape(shape)


def read_weights(layout: Layout, arrays: Iterable[Any], shape: tuple[int, ...]) -> Floats:
    """Returns the finite weights of `shape` in a framework's arrays, which have a method `numpy`.

    Raises:
        DecodeError: They are not of this model. No foreign text is in it, which may hold weights.
    """
    try:
        found = [array.numpy() for array in arrays]
        if any(array.dtype.kind not in "fiu" for array in found):
            raise TypeError
        weights = layout.weights(found, shape)
    except (AttributeError, TypeError, ValueError, IndexError):
        raise DecodeError(f"the arrays do not fit a model of shape {shape}") from None
    if weights.shape != shape or not np.isfinite(weights).all():
        raise DecodeError(f"the arrays are no finite weights of shape {shape}")
    return weights


def written_like(layout: Layout, weights: Floats, like: Iterable[Any]) -> Arrays:
    """Returns arrays of a framework's shapes and types that hold the weights; the inverse of `read_weights`.

    Raises:
        DecodeError: `like` is not of this model, or of a type that would round its weights to whole numbers.
    """
    try:
        old = [array.numpy() for array in like]
        if any(array.dtype.kind != "f" for array in old) or sum(array.size for array in old) != weights.size:
            raise TypeError
        parts = layout.arrays(weights, old)
        return [np.ascontiguousarray(part, dtype=o.dtype) for part, o in zip(parts, old, strict=True)]
    except (AttributeError, TypeError, ValueError, IndexError):
        raise DecodeError(f"expected floating-point arrays of a model of shape {weights.shape}") from None


def whole_numbers(values: Floats) -> npt.NDArray[np.int64]:
    """Returns the vector of a statistic (S4).

    Raises:
        DecodeError: It holds other numbers; rounding them would prove another answer than the one given.
    """
    if (np.abs(values) > 2**31).any() or (values != np.rint(values)).any():
        raise DecodeError("a statistic is a vector of whole numbers")
    return values.astype(np.int64)
