"""Rows and models from files: CSV and NPZ, never a pickle."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError, LimitExceeded, ModelRefused, StoreFault, ZkfedError

if TYPE_CHECKING:
    from zkfed.policy import Model

Rows: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[Any]]

__all__ = ["Rows", "check_labels", "read_model", "read_rows"]

FILE_BYTES_MAX = 1 << 30
VALUES_MAX = 1 << 27
LINE_CHARACTERS_MAX = 1 << 22
EXPORT = "np.savez('model.npz', coef=model.coef_, intercept=model.intercept_)"


def read_rows(path: Path) -> Rows:
    """Reads features in [-1, 1] and labels: a CSV with the label in its last column, or an NPZ with X and y.

    Raises:
        StoreFault: The file cannot be read.
        LimitExceeded: It is larger than 1 GiB, here or once it is unpacked, or a line has over 4 million characters.
        DecodeError: It holds something else.
    """
    _check_size(path)
    if path.suffix == ".npz":
        x, y = _arrays(path, ("X", "y"), "a file of rows, np.savez('rows.npz', X=features, y=labels)")
    else:
        table = _table(path)
        x, y = table[:, :-1], table[:, -1]
    if y.dtype.kind not in "biuf" or y.ndim != 1:
        raise DecodeError(f"{path.name}: expected one number as label of each row, got shape {y.shape} of {y.dtype}")
    if not y.size:
        raise DecodeError(f"{path.name} holds no rows")
    if x.dtype.kind not in "biuf" or x.ndim != 2 or len(x) != len(y) or not x.size:
        raise DecodeError(
            f"{path.name}: expected features of shape (rows, features), and a label each; "
            f"got {x.shape} of {x.dtype}, and {y.shape}"
        )
    _refuse_first(path, ~np.isfinite(y), "is NaN or infinite: fill it in, or leave the row out")
    _refuse_first(path, ~np.isfinite(x), "is NaN or infinite: fill it in, or leave the row out")
    _refuse_first(path, np.abs(x) > 1, "is outside [-1, 1]: scale all of them the way that the others do")
    if y.dtype.kind == "f" and (y == np.floor(y)).all() and np.abs(y).max() < 1 << 53:
        y = y.astype(np.int64)
    return np.asarray(x, np.float64), y


def _refuse_first(path: Path, wrong: npt.NDArray[np.bool_], what: str) -> None:
    """Raises DecodeError with the place of the first wrong number, if there is one; never its value."""
    if wrong.any():
        row, *column = (int(i) + 1 for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
        which, more = f"feature {column[0]}" if column else "the label", int(wrong.sum()) - 1
        raise DecodeError(f"{path.name}: {which} of row {row} {what}" + (f"; {more} more like it" if more else ""))


def check_labels(path: Path, model: Model, rows: Rows) -> None:
    """Raises DecodeError, with the file's name, unless rows that were read from it fit a model."""
    from zkfed.statements.improvement import Benchmark

    try:
        Benchmark.of(model, *rows)
    except ValueError as error:
        raise DecodeError(f"{path.name}: {error}") from None


def _table(path: Path) -> npt.NDArray[np.float64]:
    """Returns the numbers of a CSV; raises StoreFault, LimitExceeded, or DecodeError, which names the line."""
    number = 0

    def lines(file: TextIO) -> Iterator[str]:
        nonlocal number
        while line := file.readline(LINE_CHARACTERS_MAX + 1):
            number += 1
            if len(line) > LINE_CHARACTERS_MAX:
                raise LimitExceeded(f"{path.name} has a line of more than {LINE_CHARACTERS_MAX} characters")
            yield line

    try:
        # A byte-order mark is what spreadsheets write first.
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no data: told by who called
            return np.loadtxt(lines(file), delimiter=",", dtype=np.float64, ndmin=2, comments="#")
    except ZkfedError:
        raise
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - numpy raises many; their texts quote rows
        where = f"line {number}" if isinstance(error, ValueError) and number else type(error).__name__
        raise DecodeError(
            f"{path.name} holds no rows ({where}): expected numbers between commas, the label last, as many in each "
            "line; a line of names at the top begins with #"
        ) from None


def _arrays(path: Path, names: tuple[str, str], what: str) -> tuple[npt.NDArray[Any], ...]:
    """Returns two arrays of numbers from an NPZ, which may claim, and hold, more than fits into memory."""
    try:
        with zipfile.ZipFile(path) as packed:
            sizes = [packed.getinfo(f"{name}.npy").file_size for name in names]
        if sum(sizes) > FILE_BYTES_MAX:
            raise LimitExceeded(f"{path.name} unpacks to {sum(sizes)} bytes, at most {FILE_BYTES_MAX} are read")
        with np.load(path, allow_pickle=False) as arrays:
            found = tuple(np.asarray(arrays[name]) for name in names)
        if sum(array.size for array in found) > VALUES_MAX:
            raise LimitExceeded(f"{path.name} holds more than {VALUES_MAX} numbers")
        return found
    except LimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001 - numpy and zipfile raise many; their texts may quote rows
        raise DecodeError(f"{path.name} cannot be used ({type(error).__name__}): expected {what}") from None


def read_model(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Reads the weights of a linear scikit-learn model, `coef` and `intercept`, as (features + 1, outputs).

    Raises:
        ModelRefused: It is a pickle, or of another shape.
        DecodeError, LimitExceeded, StoreFault: It cannot be read.
    """
    _check_size(path)
    if path.suffix != ".npz":
        raise ModelRefused(
            f"{path.name} is not read: a pickle runs whatever it says. Write the weights instead: {EXPORT}"
        )
    coef, intercept = _arrays(path, ("coef", "intercept"), f"a model, {EXPORT}")
    if coef.dtype.kind not in "iuf" or intercept.dtype.kind not in "iuf":
        raise ModelRefused(
            f"{path.name}: coef of {coef.dtype} and intercept of {intercept.dtype}, expected real numbers"
        )
    coef, intercept = np.atleast_2d(coef.astype(np.float64)), np.atleast_1d(intercept.astype(np.float64))
    weights = np.vstack([coef.T, intercept[None, :]]) if intercept.shape == coef.shape[:1] else np.empty((0, 0))
    if weights.shape != shape or not np.isfinite(weights).all():
        raise ModelRefused(
            f"{path.name}: coef {coef.shape} and intercept {intercept.shape}, expected them to make weights {shape}"
        )
    return weights


def _check_size(path: Path) -> None:
    try:
        if not path.is_file():
            what = "it is no file" if path.exists() else "there is no such file"
            raise StoreFault(f"{path.name or path} cannot be read: {what}")
        size = path.stat().st_size
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be read: {error.strerror}") from None
    if size > FILE_BYTES_MAX:
        raise LimitExceeded(f"{path.name} has {size} bytes, at most {FILE_BYTES_MAX} are read")
