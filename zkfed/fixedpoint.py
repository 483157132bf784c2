"""Real numbers as exact integers: updates, rows, their bounds and their packing.

Every integer that a round proves, encrypts, commits to or counts as sensitivity is made
here, once (protocol.md section 3):

    update   D = round(2^f clip(delta))  in [-2^15, 2^15)^P,   sum_k D_k^2 <= B2
    row      x = round(127 features), 127     target   t = round(127 * 2^f * label)

Rounding to the nearest integer lengthens a vector of P coordinates by at most sqrt(P)/2,
so B2 = ceil((2^f C + sqrt(P)/2)^2) holds for every update of norm C. Bounds are computed in
integers: every platform gets the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "blinder_from_limbs",
    "blinder_limbs",
    "ceil_with_root",
    "norm_bound",
    "pack_lanes",
    "quantise_features",
    "quantise_targets",
    "quantise_update",
    "squared_loss",
    "unpack_lanes",
]

Integers = npt.NDArray[np.int64]

COORDINATE_MAX = (1 << 15) - 1
"""The largest coordinate of an update; the range of the proof is [-2^15, 2^15)."""
CLIP_NORM_MAX = 1 << 15
FEATURE_ONE = 127
"""The integer that stands for the feature 1.0, and the constant of the bias column."""
LANES, LANE_BITS = 7, 32
"""Coordinates in one lane scalar, and the bits of each."""
LIMBS, LIMB_BITS = 16, 16
"""Limbs of a blinder, and the bits of each."""


# -- updates -------------------------------------------------------------------------------------


def quantise_update(delta: npt.NDArray[Any], *, clip_norm: float, fraction_bits: int = 15) -> Integers:
    """Returns the clipped fixed-point form of a model update.

    The update is scaled down to L2 norm C, each coordinate is cut to (2^15 - 1) / 2^f, and
    the result is rounded half to even at scale 2^f.

    Args:
        delta: Trained minus base weights, floats of any shape.
        clip_norm: C in (0, 2^15], in model units.
        fraction_bits: f in [1, 15].

    Returns:
        D, int64, of the shape of `delta`, in (-2^15, 2^15), with sum D^2 <= B2.

    Raises:
        ValueError: `delta` holds NaN or infinity, or C or f is out of range.
    """
    values = np.asarray(delta, dtype=np.float64)
    limit = norm_bound(clip_norm, max(values.size, 1), fraction_bits)
    if not np.isfinite(values).all():
        raise ValueError(
            f"the update holds {int((~np.isfinite(values)).sum())} NaN or infinite of {values.size} values: "
            f"the training diverged; nothing was sealed"
        )
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(values.shape, dtype=np.int64)
    # Relative to the largest coordinate, so that the square of a huge value is no infinity.
    shape = values / largest
    allowed = clip_norm / float(np.sqrt((shape * shape).sum()))
    if largest > allowed:
        values = shape * allowed
    scale = float(1 << fraction_bits)
    return _round_within(np.clip(values * scale, -COORDINATE_MAX, COORDINATE_MAX), limit)


def _round_within(scaled: npt.NDArray[np.float64], limit: int) -> Integers:
    """Rounds half to even, then shrinks and rounds again while the squared norm is above `limit`."""
    rounded = np.rint(scaled).astype(np.int64)
    # Only float error in the norm of a large update ever leads here, so the first steps are
    # tiny; they double, and the last one is the zero vector.
    for step in range(41):
        if int((rounded * rounded).sum()) <= limit:
            break
        scaled = scaled * (1.0 - 2.0 ** (step - 40))
        rounded = np.rint(scaled).astype(np.int64)
    return rounded


def norm_bound(clip_norm: float, parameters: int, fraction_bits: int = 15) -> int:
    """Returns B2 = ceil((2^f C + sqrt(P)/2)^2), the squared norm that the proof allows.

    Args:
        clip_norm: C in (0, 2^15]; read as the exact rational that the float is.
        parameters: P >= 1.
        fraction_bits: f in [1, 15].

    Raises:
        ValueError: An argument is out of range.
        TypeError: An argument is not a number of the named kind.
    """
    for name, number, low, high in (("parameters", parameters, 1, 1 << 40), ("fraction_bits", fraction_bits, 1, 15)):
        if type(number) is not int:
            raise TypeError(f"{name} is a {type(number).__name__}, expected an int")
        if not low <= number <= high:
            raise ValueError(f"{name} is {number}, expected an int in [{low}, {high}]")
    if isinstance(clip_norm, bool) or not isinstance(clip_norm, (int, float)):
        raise TypeError(f"clip_norm is a {type(clip_norm).__name__}, expected a number")
    if not 0 < clip_norm <= CLIP_NORM_MAX:
        raise ValueError(f"clip_norm is {clip_norm}, expected a number in (0, {CLIP_NORM_MAX}]")
    clip = Fraction(clip_norm) * (1 << fraction_bits)
    # (c + sqrt(P)/2)^2 = c^2 + P/4 + sqrt(c^2 P)
    return ceil_with_root(clip * clip + Fraction(parameters, 4), clip * clip * parameters)


def ceil_with_root(rational: Fraction, radicand: Fraction) -> int:
    """Returns ceil(a + sqrt(b)) for rationals a and b >= 0, exactly."""
    p, q = rational.numerator, rational.denominator
    u, v = radicand.numerator, radicand.denominator
    # a + sqrt(b) = (p v + sqrt(u v q^2)) / (q v); an integer is >= sqrt(s) iff it is >= ceil(sqrt(s)).
    square = u * v * q * q
    root = math.isqrt(square)
    root += root * root < square
    return -(-(p * v + root) // (q * v))


# -- rows ----------------------------------------------------------------------------------------


def quantise_features(features: npt.NDArray[Any]) -> Integers:
    """Returns rows as integers in [-127, 127], with a last column of 127 for the bias.

    Args:
        features: Floats in [-1, 1], or integers in [-127, 127]; shape (n, d), n >= 1.

    Returns:
        X, shape (n, d + 1).

    Raises:
        ValueError: A shape or value does not fit.
    """
    x = np.asarray(features)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"features of shape {x.shape}, expected (rows, features)")
    if np.issubdtype(x.dtype, np.integer):
        if int(x.max(initial=0)) > FEATURE_ONE or int(x.min(initial=0)) < -FEATURE_ONE:
            raise ValueError(f"integer features outside [-{FEATURE_ONE}, {FEATURE_ONE}]")
    else:
        if not np.issubdtype(x.dtype, np.floating) or not np.isfinite(x).all() or np.abs(x).max(initial=0.0) > 1:
            raise ValueError("features hold NaN, infinity or values outside [-1, 1]; scale them first")
        x = np.rint(x * FEATURE_ONE)
    bias = np.full((len(x), 1), FEATURE_ONE, dtype=np.int64)
    return np.concatenate([x.astype(np.int64), bias], axis=1)


def quantise_targets(labels: npt.NDArray[Any], *, classes: int, fraction_bits: int = 15) -> Integers:
    """Returns the targets of squared loss, at the scale of the logits.

    A logit of 1.0 is the integer 127 * 2^f: features count in 1/127, weights in 2^-f.

    Args:
        labels: Class numbers in [0, classes); for regression (`classes` = 1) floats in [-1, 1].
        classes: 1 for regression, 2 for binary (one column of -1 and 1), more for one-hot.
        fraction_bits: f.

    Returns:
        T, shape (n, 1), or (n, classes) for more than two classes.

    Raises:
        ValueError: A label does not fit.
    """
    y, one = np.asarray(labels), FEATURE_ONE << fraction_bits
    if classes == 1:
        if y.dtype.kind not in "iuf":
            raise ValueError(f"regression targets are {y.dtype}, expected real numbers")
        values = y.astype(np.float64)
        if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > 1:
            raise ValueError("regression targets hold NaN, infinity or values outside [-1, 1]; scale them first")
        return np.rint(values[:, None] * one).astype(np.int64)
    if not np.issubdtype(y.dtype, np.integer) or int(y.min(initial=0)) < 0 or int(y.max(initial=0)) >= classes:
        raise ValueError(
            f"labels are not class numbers in [0, {classes}): expected whole numbers from 0 to {classes - 1}"
        )
    if classes == 2:
        return np.asarray(np.where(y[:, None] == 1, one, -one), dtype=np.int64)
    return np.asarray(np.where(y[:, None] == np.arange(classes), one, 0), dtype=np.int64)


def squared_loss(features: npt.NDArray[Any], weights: npt.NDArray[Any], targets: npt.NDArray[Any]) -> int:
    """Returns sum (X W - T)^2 over integers, exactly, whatever their size.

    Args:
        features: X, shape (n, d).
        weights: W, shape (d, c).
        targets: T, shape (n, c).

    Raises:
        TypeError: An array does not hold integers.
    """
    exact = []
    for name, array in (("features", features), ("weights", weights), ("targets", targets)):
        values = np.asarray(array)
        numbers = values.astype(object)
        if any(type(v) is not int for v in numbers.ravel().tolist()):
            raise TypeError(f"{name} are {values.dtype}, expected integers: a loss in floats proves nothing")
        exact.append(numbers)
    residual = exact[0] @ exact[1] - exact[2]
    return int((residual * residual).sum())


# -- packing -------------------------------------------------------------------------------------


def pack_lanes(values: Sequence[int] | npt.NDArray[Any]) -> list[int]:
    """Returns the signed lane scalars L_j = sum_{l<7} D_{7j+l} 2^(32 l).

    Raises:
        ValueError: A coordinate is outside [-2^31, 2^31), so unpacking would not be unique.
    """
    flat = [int(v) for v in np.asarray(values).ravel().tolist()]
    half = 1 << (LANE_BITS - 1)
    if any(not -half <= v < half for v in flat):
        raise ValueError(f"a coordinate is outside [-2^{LANE_BITS - 1}, 2^{LANE_BITS - 1})")
    groups = [flat[j : j + LANES] for j in range(0, len(flat), LANES)]
    return [sum(v << (LANE_BITS * lane) for lane, v in enumerate(group)) for group in groups]


def unpack_lanes(scalars: Sequence[int], count: int) -> list[int]:
    """Returns the `count` coordinates of signed lane scalars, the inverse of `pack_lanes`.

    Raises:
        ValueError: The scalars are not the packing of `count` coordinates.
    """
    half, out = 1 << (LANE_BITS - 1), []
    for scalar in scalars:
        rest = scalar
        for _ in range(LANES):
            low = ((rest + half) & ((1 << LANE_BITS) - 1)) - half
            out.append(low)
            rest = (rest - low) >> LANE_BITS
        if rest:
            raise ValueError(f"a lane scalar is too large for {LANES} coordinates of {LANE_BITS} bits")
    if len(scalars) != -(-count // LANES) or any(out[count:]):
        raise ValueError(f"{len(scalars)} lane scalars are not the packing of {count} coordinates")
    return out[:count]


def blinder_limbs(blinder: int) -> list[int]:
    """Returns rho as 16 limbs of 16 bits, lowest first.

    Raises:
        ValueError: rho is negative or has more than 256 bits.
    """
    if not 0 <= blinder < 1 << (LIMBS * LIMB_BITS):
        raise ValueError(f"a blinder is an integer in [0, 2^{LIMBS * LIMB_BITS})")
    return [(blinder >> (LIMB_BITS * i)) & ((1 << LIMB_BITS) - 1) for i in range(LIMBS)]


def blinder_from_limbs(sums: Sequence[int], order: int) -> int:
    """Returns R = sum_i s_i 2^(16 i) mod r from the *sums* of many blinders' limbs.

    Args:
        sums: 16 integers; a sum may be far above 2^16, it is carried here.
        order: r.

    Raises:
        ValueError: Not 16 sums.
    """
    if len(sums) != LIMBS:
        raise ValueError(f"{len(sums)} limb sums, expected {LIMBS}")
    return sum(int(s) << (LIMB_BITS * i) for i, s in enumerate(sums)) % order
