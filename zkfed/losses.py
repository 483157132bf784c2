"""Losses of a classifier over integers: bounds that a circuit can prove, from below and from above.

For logits z (n, outputs) of which `one` are 1.0, targets o (n, outputs), and for each row the logit
own of its class, or its margin y z for two classes:

    squared         sum |z/one - o|^2                           exact
    hinge           sum max(0, 1 - own/one)                     exact
    logistic        sum log(1 + exp(-own/one))                  chords above, tangents below
    cross-entropy   sum log(sum_c exp(z_c/one)) - own/one       see below
    accuracy        rows that are not classified correctly      exact; a tie is an error of the new
                                                                model and none of the old one

`lower` <= `scale` times the real loss <= `upper`, summed over the rows. `upper` is what an honest
prover reaches for the updated model, `lower` for the base model; a prover who chooses other lines,
pivots, shares or claims than these is worse off, never better. For the cross-entropy of a row

    log sum_c exp z_c <= t + sum_c exp(z_c - t) - 1             for every pivot t
    log sum_c exp z_c >= sum_c p_c z_c - p_c ln p_c             for all shares p_c >= 0 of sum 1

with equality at t = log sum exp and p = softmax: both are rounded, and exp is replaced by chords.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from zkfed.lines import (
    SLOPE_BITS,
    Chords,
    Integers,
    Tangents,
    entropies,
    exponential_chords,
    logistic_chords,
    logistic_tangents,
)
from zkfed.policy import LOSSES

__all__ = ["PRECISION", "Loss", "is_convex", "scale"]

PRECISION = 14
"""Chords are at most 2^-14 above the log loss; see `Loss`."""


def scale(name: str, one: int) -> int:
    """Returns how many units of the integer loss are a real loss of 1."""
    return {"squared": one * one, "hinge": one, "accuracy": 1}.get(name, one << SLOPE_BITS)


def is_convex(name: str) -> bool:
    """Whether the loss is convex in the logits, and so in the weights of a linear model."""
    return name != "accuracy"


@dataclass(frozen=True)
class Loss:
    """A loss at the scale of a model's logits.

    Attributes:
        name: One of `policy.LOSSES`.
        classes: Of the model.
        one: The logit of 1.0, 127 * 2^f.
        logit_max: No logit is larger in absolute value.
        precision: Chords are at most 2^-precision above the log loss and 2^-(precision + 2) above
            exp; there are 2^(precision/2 + 1) tangents, and shares count in 2^-(precision - 4).

    Raises:
        ValueError: The loss is not for so many classes, or the logits are too wide for its tables.
    """

    name: str
    classes: int
    one: int
    logit_max: int
    precision: int = PRECISION

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"there is no loss {self.name!r}; there are {', '.join(LOSSES)}")
        fewest, most = LOSSES[self.name]
        if not fewest <= self.classes <= most:
            raise ValueError(f"{self.name} loss is for {fewest} to {most} classes, the model has {self.classes}")

    @property
    def scale(self) -> int:
        """Units of a real loss of 1."""
        return scale(self.name, self.one)

    # -- tables ------------------------------------------------------------------------------

    @cached_property
    def chords(self) -> Chords:
        """Lines above the log loss of a margin, or above exp of a logit less its pivot."""
        if self.name == "logistic":
            return logistic_chords(self.one, self.logit_max, self.precision)
        # A pivot is at most log(classes) above the largest logit.
        low = -2 * self.logit_max - self.one * self.classes.bit_length() - 1
        return exponential_chords(self.one, low, self.precision + 2)

    @cached_property
    def tangents(self) -> Tangents:
        """Lines below the log loss of a margin."""
        return logistic_tangents(self.one, 1 << (self.precision // 2 + 1))

    @property
    def share_bits(self) -> int:
        """Shares are multiples of 2^-share_bits."""
        return self.precision - 4

    @cached_property
    def entropies(self) -> Integers:
        """Lower bounds of -p ln p, for each share."""
        return entropies(self.one, self.share_bits)

    # -- the prover's choices ------------------------------------------------------------------

    def own(self, logits: Integers, targets: Integers) -> Integers:
        """Returns the logit of each row's class, or its margin."""
        return np.asarray((logits * targets).sum(axis=1), dtype=np.int64)

    def pivots(self, logits: Integers) -> Integers:
        """Returns t, shape (n,): about log sum exp, and not below the largest logit.

        In floats, which differ between machines: only provers need the upper bound.
        """
        top = logits.max(axis=1)
        sums = np.exp((logits - top[:, None]) / self.one).sum(axis=1)  # at least exp(0) = 1
        return np.asarray(top + np.ceil(np.log(sums) * self.one).astype(np.int64), dtype=np.int64)

    def shares(self, logits: Integers) -> Integers:
        """Returns p, shape (n, classes): about softmax, in multiples of 2^-share_bits, of sum 1 each.

        In integers: a verifier computes the lower bound of a public base model again.
        """
        weights = self.chords.values(logits - logits.max(axis=1, keepdims=True)).astype(np.int64) << self.share_bits
        sums = weights.sum(axis=1, keepdims=True) >> self.share_bits
        floors = weights // sums
        missing = (1 << self.share_bits) - floors.sum(axis=1, keepdims=True)
        # The largest remainders are rounded up.
        rank = np.argsort(np.argsort(floors * sums - weights, axis=1, kind="stable"), axis=1, kind="stable")
        return np.asarray(floors + (rank < missing), dtype=np.int64)

    def rivals(self, logits: Integers, targets: Integers) -> Integers:
        """Returns the largest logit of another class, shape (n,); for two classes minus the margin."""
        if self.classes == 2:
            return -self.own(logits, targets)
        return np.asarray(np.where(targets == 1, -self.logit_max - 1, logits).max(axis=1), dtype=np.int64)

    def is_correct(self, logits: Integers, targets: Integers) -> npt.NDArray[np.bool_]:
        """Whether the row's class wins by at least 1."""
        return np.asarray(self.own(logits, targets) > self.rivals(logits, targets), dtype=bool)

    def is_wrong(self, logits: Integers, targets: Integers) -> npt.NDArray[np.bool_]:
        """Whether another class wins by at least 1."""
        return np.asarray(self.own(logits, targets) < self.rivals(logits, targets), dtype=bool)

    # -- the bounds ----------------------------------------------------------------------------

    def upper(self, logits: npt.NDArray[np.integer], targets: npt.NDArray[np.integer]) -> int:
        """Returns an integer not below `scale` times the real loss of all rows.

        Args:
            logits: Integers, shape (n, outputs).
            targets: 0 and 1, or -1 and 1 in one column for two classes; for regression the target
                in units of the logits; shape (n, outputs).

        Raises:
            ValueError: A logit is outside the bound.
        """
        z, o = self._checked(logits), np.asarray(targets).astype(np.int64)
        if self.name == "accuracy":
            return int((~self.is_correct(z, o)).sum())
        if self.name == "logistic":
            return self.chords.total(self.own(z, o))
        if self.name == "cross-entropy":
            t = self.pivots(z)
            linear = int((t - self.own(z, o)).astype(object).sum()) - len(z) * self.one
            return (linear << SLOPE_BITS) + self.chords.total(z - t[:, None])
        return self._exact(z, o)

    def lower(self, logits: npt.NDArray[np.integer], targets: npt.NDArray[np.integer]) -> int:
        """Returns an integer not above `scale` times the real loss of all rows; see `upper`."""
        z, o = self._checked(logits), np.asarray(targets).astype(np.int64)
        if self.name == "accuracy":
            return int(self.is_wrong(z, o).sum())
        if self.name == "logistic":
            return self.tangents.total(self.own(z, o))
        if self.name == "cross-entropy":
            p = self.shares(z)
            products = int((p.astype(object) * z.astype(object)).sum()) << (SLOPE_BITS - self.share_bits)
            own = int(self.own(z, o).astype(object).sum()) << SLOPE_BITS
            return products + int(self.entropies[p].sum()) - own
        return self._exact(z, o)

    def _exact(self, z: Integers, o: Integers) -> int:
        if self.name == "hinge":
            return int(np.maximum(self.one - self.own(z, o), 0).astype(object).sum())
        residuals = (z - o * (self.one if self.classes > 1 else 1)).astype(object)
        return int((residuals * residuals).sum())

    def _checked(self, logits: npt.NDArray[np.integer]) -> Integers:
        z = np.asarray(logits)
        if max(int(z.max(initial=0)), -int(z.min(initial=0))) > self.logit_max:
            raise ValueError(f"a logit is above the bound of {self.logit_max.bit_length()} bits")
        return z.astype(np.int64)
