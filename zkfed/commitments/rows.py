"""Private rows: a commitment each, and one commitment to any weighted sum of them.

    C_i = sum_k x_ik G_k + r_i H,      row i = (features | targets), one generator a column

    sketch:   sum_i w_i C_i  commits to  (sum_i w_i x_ik)_k  under the blinder  sum_i w_i r_i

The weights of a challenge are w_i = c^(i+1), never c^0: then a constant that a circuit adds to a
sketch cannot hide in it (protocol.md sections 5 and 7).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.field import Ints, as_ints, powers, to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.errors import DecodeError

__all__ = ["USE", "VALUE_BITS", "PrivateRows", "decode_rows", "row_weights", "sketch"]

USE = "row"
VALUE_BITS = 8
"""A value of a row lies in [-128, 128); honest ones are symmetric, in [-127, 127]."""


def row_weights(challenge: int, count: int, order: int) -> Ints:
    """Returns (c, c^2, ..., c^count) modulo r."""
    return powers(challenge, count + 1, order)[1:]


def sketch(backend: Backend, points: Points, weights: Ints) -> Points:
    """Returns sum_i w_i C_i, one point; weights in [0, r)."""
    return backend.msm(points, to_limbs(weights.tolist()))


def decode_rows(backend: Backend, data: bytes, count: int) -> Points:
    """Reads the commitments of `count` rows, in order.

    Raises:
        DecodeError: Another length, a point that is not canonical, off the curve, outside the
            subgroup or the identity, or two that are equal.
    """
    points = backend.decode("G1", data, count)
    size = backend.curve.point_bytes("G1")
    if len({data[i : i + size] for i in range(0, len(data), size)}) != count:
        raise DecodeError(f"two of {count} row commitments are equal")
    return points


@dataclass(frozen=True)
class PrivateRows:
    """Rows and their blinders. Secret: its repr shows no value.

    Attributes:
        features: Integers in [-127, 127], shape (M, d); without the bias.
        targets: Shape (M, outputs): one-hot 0 and 1, or one column of -1 and 1, or of [-127, 127].
        blinders: r_i, uniform in [0, r).
    """

    features: npt.NDArray[np.int64] = field(repr=False)
    targets: npt.NDArray[np.int64] = field(repr=False)
    blinders: tuple[int, ...] = field(repr=False)

    def __post_init__(self) -> None:
        parts, half = (self.features, self.targets), 1 << (VALUE_BITS - 1)
        if any(p.dtype != np.int64 or p.ndim != 2 or len(p) != len(self.blinders) for p in parts):
            raise ValueError("rows are int64 of shape (rows, columns), with one blinder each")
        if any(p.size and not (-half <= int(p.min()) and int(p.max()) < half) for p in parts):
            raise ValueError(f"a value of a row is outside [-{half}, {half})")

    def __repr__(self) -> str:
        return f"PrivateRows({len(self)} rows, values hidden)"

    def __len__(self) -> int:
        return len(self.blinders)

    @classmethod
    def blind(cls, features: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], order: int) -> PrivateRows:
        """Returns the rows with fresh blinders: 384 bits reduced modulo r are uniform up to 2^-128."""
        return cls(features, targets, tuple(secrets.randbits(384) % order for _ in range(len(features))))

    @property
    def table(self) -> npt.NDArray[np.int64]:
        """All columns, shape (M, d + outputs), in the order of the generators."""
        return np.concatenate([self.features, self.targets], axis=1)

    def take(self, drawn: Sequence[int]) -> PrivateRows:
        """Returns the rows at the given places, in that order."""
        at = list(drawn)
        return PrivateRows(self.features[at], self.targets[at], tuple(self.blinders[i] for i in at))

    def commit(self, backend: Backend) -> Points:
        """Returns C_0 .. C_(M-1).

        Not constant time, as proving is not.
        """
        rows, order = self.table, backend.curve.order
        g = generators(backend, USE, rows.shape[1], 1)
        bases = backend.concat("G1", [g.lanes, g.blinder])
        # A row costs one sum over its small values; 256 multiples of each G_k, looked up, are no faster.
        values = np.concatenate([as_ints(rows), as_ints(self.blinders)[:, None]], axis=1) % order
        scalars = to_limbs(values.ravel().tolist()).reshape(*values.shape, 4)
        return backend.concat("G1", [backend.msm(bases, row) for row in scalars])

    def blinder(self, weights: Ints, order: int) -> int:
        """Returns sum_i w_i r_i modulo r: the blinder of the sketch with these weights."""
        return int(weights @ as_ints(self.blinders) % order)
