"""What each circuit claims, as a plain predicate on signed integers: no constraint is read here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.gadgets.loss_circuits import ONE
from tests.gadgets.loss_circuits import TABLE as TUPLES
from tests.gadgets.weighted_circuits import COLUMN, TABLE
from zkfed.algebra.field import Ints, centred, integer_product
from zkfed.losses import scale
from zkfed.r1cs.system import System

__all__ = ["GADGET_CLAIMS", "STATEMENT_CLAIMS", "Reading"]


class Reading:
    """The values of an assignment that a claim speaks about, as signed integers."""

    def __init__(self, system: System, z: Ints, private: dict[str, Any], outputs: tuple[int, ...]) -> None:
        self.order, self.private = system.curve.order, private
        self._system, self._z, self._outputs = system, z, outputs

    def _signed(self, wires: Any) -> Ints:
        return centred(self._z[wires], self.order)

    def input(self, name: str) -> Ints:
        return self._signed(next(i for i in self._system.inputs if i.name == name).span)

    def segment(self, name: str) -> Ints:
        s = self._system.segment(name)
        return self._signed(slice(s.start, s.stop - 1))

    @property
    def outputs(self) -> Ints:
        return self._signed(list(self._outputs))

    def equal(self, left: Any, right: Any) -> bool:
        """Returns whether two arrays are equal modulo r."""
        return bool(np.all((np.asarray(left, dtype=object) - right) % self.order == 0))


Claim = Callable[[Reading], bool]


def _inside(values: Ints, low: int, high: int) -> bool:
    return all(low <= v <= high for v in values.tolist())


def _range(bits: int) -> Claim:
    return lambda at: _inside(at.segment("s")[:3], 0, (1 << bits) - 1)


def _bits(at: Reading) -> bool:
    x, bits = at.segment("s")[:3], at.outputs.reshape(3, 10)
    return _inside(bits.ravel(), 0, 1) and bool((bits @ (1 << np.arange(10)) == x).all())


def _at_most(at: Reading) -> bool:
    return bool((at.input("small") <= at.input("large")).all())


def _rescale(at: Reading) -> bool:
    return bool((at.outputs == at.input("x") // 32).all())


def _squared_norm(at: Reading) -> bool:
    return at.equal(at.outputs, (at.input("x") ** 2).sum())


def _horner(at: Reading) -> bool:
    powers = at.input("point") ** np.arange(4)
    return at.equal(at.outputs, at.segment("s").reshape(2, 4) @ powers)


def _public_product(at: Reading) -> bool:
    d, v = at.segment("s")[:8].reshape(4, 2), at.segment("s")[8:14].reshape(3, 2)
    return at.equal(v, integer_product(at.private["gram"], d) + at.private["gradient"])


def _change_and_norm(at: Reading, update: Ints, change: int, norm: int) -> bool:
    d = update.reshape(np.shape(at.private["gradient"]))
    exact = (d * (integer_product(at.private["gram"], d) + at.private["gradient"])).sum()
    return at.equal(change, exact) and at.equal(norm, (d * d).sum())


def _forms(at: Reading) -> bool:
    return _change_and_norm(at, at.segment("s")[:6], *at.outputs.tolist())


def _relu(at: Reading) -> bool:
    return bool((at.outputs == np.maximum(at.input("pre") >> 5, 0)).all())


def _dense(at: Reading) -> bool:
    """Z = A (V + D); with an update, its column norms too."""
    s, v = at.segment("stage-0"), at.private["weights"]
    left = np.concatenate([s[:6].reshape(3, 2), np.full((3, 1), 127, dtype=object)], axis=1)
    has_update = len(at.outputs) > 6
    d = s[6:12].reshape(3, 2) if has_update else np.zeros((3, 2), dtype=object)
    is_right = at.equal(at.outputs[:6].reshape(3, 2), left @ (v + d))
    return is_right and (not has_update or at.equal(at.outputs[6:], (d**2).sum(axis=0)))


def real_loss(name: str, z: Ints, targets: Ints) -> tuple[float, float]:
    """Returns the loss of all rows, in the integers' unit: with ties for the model, and against it."""
    logits, targets = z.astype(float) / ONE, targets.astype(float)
    if logits.shape[1] == 1:
        margin = (targets * logits).ravel()
        logits, targets = np.stack([margin, -margin], axis=1), np.array([[1.0, 0.0]] * len(margin))
    else:
        margin = np.zeros(len(z))
    own, other = (logits * targets).sum(axis=1), np.where(targets == 1, -np.inf, logits).max(axis=1)
    if name == "accuracy":
        return float((own < other).sum()), float((own <= other).sum())
    rows = {
        "logistic": np.log1p(np.exp(-margin)),
        "cross-entropy": np.log(np.exp(logits).sum(axis=1)) - own,
    }[name]
    total = float(rows.sum()) * scale(name, ONE)
    return total, total


def _loss(name: str, *, is_upper: bool) -> Claim:
    """The output bounds the real loss of the logits for the labels that the sketch is of."""

    def claim(at: Reading) -> bool:
        targets = np.asarray(at.private["targets"], dtype=object)
        low, high = real_loss(name, at.input("z").reshape(targets.shape), targets)
        (total,) = at.outputs.tolist()
        return total >= high - 1e-6 if is_upper else total <= low + 1e-6

    return claim


def _hinge(at: Reading) -> bool:
    """Exact on both sides; the bound from below alone would need no range."""
    targets = np.asarray(at.private["targets"], dtype=object).ravel()
    return bool(at.outputs[0] == np.maximum(0, ONE - targets * at.input("z")).sum())


def _labels(at: Reading) -> bool:
    t = np.asarray(at.private["targets"], dtype=object).ravel()
    first, second = at.outputs[: len(t)], at.outputs[len(t) :]
    return bool((first == t * at.input("z")).all() and (second == t * (at.input("other") * 2 - 7)).all())


def _tuples(columns: int) -> Claim:
    """Every row that was looked up is in the table, and the total is that of the rows."""
    rows = {tuple(row[:columns]): row[1] for row in TUPLES.tolist()}

    def claim(at: Reading) -> bool:
        found = [rows.get(tuple(row)) for row in at.segment("s")[: 5 * columns].reshape(columns, 5).T.tolist()]
        return None not in found and at.outputs[0] == sum(v for v in found if v is not None)

    return claim


def _challenge_powers(at: Reading) -> bool:
    return at.equal(at.outputs, at.input("theta")[0] ** np.arange(1, 6, dtype=object))


def _weighted_lookup(at: Reading) -> bool:
    x, weights = at.segment("s"), at.input("theta")[0] ** np.arange(1, len(COLUMN) + 1, dtype=object)
    sums = [weights[x == t].sum() for t in TABLE]
    return set(x.tolist()) <= set(TABLE) and at.equal(at.outputs, sums)


GADGET_CLAIMS: dict[str, Claim] = {
    "boolean": lambda at: _inside(at.outputs, 0, 1),
    "bits": _bits,
    "range/bits": _range(10),
    "range/table, limbs divide the range": _range(12),
    "range/table, limbs do not divide the range": _range(10),
    "range/table, one limb": _range(4),
    "range/table, less than one limb": _range(3),
    "at-most/bits": _at_most,
    "at-most/table": _at_most,
    "rescale/bits": _rescale,
    "rescale/table": _rescale,
    "squared-norm": _squared_norm,
    "horner": _horner,
    "public-product": _public_product,
    "quadratic-forms": _forms,
    "relu/bits": _relu,
    "relu/table": _relu,
    "dense": _dense,
    "dense, updated": _dense,
    "tuples, one column": _tuples(1),
    "tuples, three columns": _tuples(3),
    "labels": _labels,
    "hinge/bits": _hinge,
    "hinge/table": _hinge,
    "logistic above": _loss("logistic", is_upper=True),
    "logistic below": _loss("logistic", is_upper=False),
    "cross-entropy above": _loss("cross-entropy", is_upper=True),
    "cross-entropy below": _loss("cross-entropy", is_upper=False),
    "accuracy above": _loss("accuracy", is_upper=True),
    "accuracy below": _loss("accuracy", is_upper=False),
    "challenge-powers": _challenge_powers,
    "weighted-lookup": _weighted_lookup,
}


def _bound(bits: int) -> Claim:
    half = 1 << (bits - 1)

    def claim(at: Reading) -> bool:
        update = at.segment("update")
        return _inside(update, -half, half - 1) and (update**2).sum() <= at.input("squared-norm-max")[0]

    return claim


def _improvement(at: Reading) -> bool:
    d = at.segment("update").reshape(np.shape(at.private["gradient"]))
    change = (d * (integer_product(at.private["gram"], d) + at.private["gradient"])).sum()
    return _bound(16)(at) and change <= at.input("loss-change-max")[0]


def _registration(at: Reading) -> bool:
    """The rows that the circuit sees are the committed ones, valid, and of each class as many as allowed."""
    committed, s = np.asarray(at.private["rows"], dtype=object), at.segment("stage-0")
    rows, classes = len(committed), 3
    features = committed.shape[1] - classes
    x, y, counts = s[: rows * features].reshape(rows, features), s[rows * features : -classes], s[-classes:]
    is_one_hot = np.asarray(y[:, None] == np.arange(classes), dtype=np.int64)
    least, most = at.input("class-rows-min")[0], at.input("class-rows-max")[0]
    return (
        _inside(x.ravel(), -2, 1)
        and bool((np.concatenate([x, is_one_hot], axis=1) == committed).all())
        and bool((counts == is_one_hot.sum(axis=0)).all())
        and _inside(counts, least, most)
    )


def _one_hot(at: Reading) -> bool:
    v = at.segment("update")
    return _inside(v, 0, 1) and bool(at.input("total-min")[0] <= v.sum() <= 1)


def _few_hot(at: Reading) -> bool:
    v = at.segment("update")
    return _inside(v, 0, 1) and bool(at.input("total-min")[0] <= v.sum() <= at.input("total-max")[0])


def _bounded_count(at: Reading) -> bool:
    v = at.segment("update")
    total_min, total_max = at.input("total-min")[0], at.input("total-max")[0]
    return _inside(v, 0, at.input("each-max")[0]) and bool(total_min <= v.sum() <= total_max)


STATEMENT_CLAIMS: dict[str, Claim] = {
    "update-bound": _bound(16),
    "noise-bound": _bound(29),
    "improvement": _improvement,
    "registration": _registration,
    "one-hot": _one_hot,
    "few-hot": _few_hot,
    "bounded-count": _bounded_count,
}
