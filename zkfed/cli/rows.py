"""Rows and models from files: CSV and NPZ, never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError, LimitExceeded, ModelRefused, StoreFault

__all__ = ["read_model", "read_rows"]

FILE_BYTES_MAX = 1 << 30
EXPORT = "np.savez('model.npz', coef=model.coef_, intercept=model.intercept_)"


def read_rows(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Reads features in [-1, 1] and labels: a CSV with the label in its last column, or an NPZ with X and y.

    Raises:
        StoreFault: The file cannot be read.
        LimitExceeded: It is larger than 1 GiB.
        DecodeError: It holds something else.
    """
    if _size(path) > FILE_BYTES_MAX:
        raise LimitExceeded(f"{path.name} has {_size(path)} bytes, at most {FILE_BYTES_MAX} are read")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                x, y = np.asarray(arrays["X"], np.float64), np.asarray(arrays["y"])
        else:
            table = np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2, comments="#")
            x, y = table[:, :-1], table[:, -1]
    except Exception as error:  # noqa: BLE001 - numpy and zipfile raise many; their texts may quote rows
        raise DecodeError(
            f"{path.name} holds no rows ({type(error).__name__}): expected a CSV of numbers with the label last, "
            "or an NPZ with X and y"
        ) from None
    if x.ndim != 2 or len(x) != len(y) or not len(x) or not np.isfinite(x).all():
        raise DecodeError(f"{path.name}: expected finite features of shape (rows, features), and a label each")
    if np.abs(x).max() > 1:
        raise DecodeError(f"{path.name}: a feature is outside [-1, 1]: scale them all the way that the others do")
    if y.dtype.kind == "f" and (y == np.floor(y)).all():
        y = y.astype(np.int64)
    return x, y


def read_model(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Reads the weights of a linear scikit-learn model, `coef` and `intercept`, as (features + 1, outputs).

    Raises:
        ModelRefused: It is a pickle, or of another shape.
        DecodeError, StoreFault: It cannot be read.
    """
    _size(path)
    if path.suffix != ".npz":
        raise ModelRefused(
            f"{path.name} is not read: a pickle runs whatever it says. Write the weights instead: {EXPORT}"
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            coef = np.atleast_2d(np.asarray(arrays["coef"], np.float64))
            intercept = np.atleast_1d(np.asarray(arrays["intercept"], np.float64))
    except Exception as error:  # noqa: BLE001 - as above
        raise DecodeError(f"{path.name} holds no model ({type(error).__name__}): expected {EXPORT}") from None
    weights = np.vstack([coef.T, intercept[None, :]]) if intercept.shape == coef.shape[:1] else np.empty((0, 0))
    if weights.shape != shape or not np.isfinite(weights).all():
        raise ModelRefused(
            f"{path.name}: coef {coef.shape} and intercept {intercept.shape}, expected them to make weights {shape}"
        )
    return weights


def _size(path: Path) -> int:
    try:
        if not path.is_file():
            raise StoreFault(f"{path.name} cannot be read: it is no file")
        return path.stat().st_size
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be read: {error.strerror}") from None
