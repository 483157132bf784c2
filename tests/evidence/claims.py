"""What each circuit claims, as a plain predicate on signed integers: no constraint is read here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zkfed.algebra.field import Ints, centred, integer_product
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


STATEMENT_CLAIMS: dict[str, Claim] = {
    "update-bound": _bound(16),
    "noise-bound": _bound(29),
    "improvement": _improvement,
    "registration": _registration,
}
