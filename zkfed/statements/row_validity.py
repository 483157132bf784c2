"""R, the circuit of a registration: M committed rows are valid.

    C_i = Com(x_i; r_i),   x_i = (features | targets),   i = 0 .. M-1
    every feature in [-128, 128);   targets one-hot, or -1 and 1, or in [-128, 128) for regression
    class-rows-min <= rows of each class <= class-rows-max

No C_i is opened alone. After theta the verifier computes sum_i theta^(i+1) C_i, and the linked
segment "rows" opens it: v_k = sum_i theta^(i+1) x_ik for each column k. On the right stand the
rows that C_i hold, fixed before theta by ctx. The circuit has its own rows, wires of stage 0, and
shows that they have the same sketch: both are polynomials in theta, so they agree for at most M
values of theta unless they are the same rows. Ranges and the sketch come out of one identity
(gadgets/weighted.py), for one row of the circuit an entry:

    sum_i theta^(i+1)/(alpha - x_ik) = sum_t N_t/(alpha - t),   v_k = sum_t t N_t

Here `width` columns share a table, column j of them with the weights theta^(j M + i+1): then
sum_j theta^(j M) v_j = sum_t t N_t, in which every entry has a power of theta of its own.

Labels are one wire y_i a row; they prove validity, sketch and counts m_c in one identity:

    sum_i (1 + theta^(i+1))/(alpha - y_i) = sum_c (m_c + v_c)/(alpha - c)

v_c is the sum of theta^(i+1) over the rows with y_i = c, so the registered targets are one-hot; and
m_c, committed before theta, is the constant in theta: the number of those rows. Of two classes
there is one column: y_i is -1 or 1, all is doubled, and with W = sum_i theta^(i+1) the two
numerators are 2 m_0 + W - v and 2 m_1 + W + v.

Error: 2 (width M + 1)/r a table for theta, (entries + values)/r for alpha.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import Ints, as_ints
from zkfed.commitments.rows import USE, VALUE_BITS, row_weights
from zkfed.errors import UnsatisfiedConstraint
from zkfed.fixedpoint import LANE_BITS
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.weighted import challenge_powers, weighted_lookup
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant
from zkfed.r1cs.system import LinkSpec, System

__all__ = ["class_values", "registration_circuit"]

VERSION = 1


def group_width(columns: int, rows: int, values: int = 1 << VALUE_BITS) -> int:
    """Returns how many columns share a table: the cheapest trade of powers of theta for tables."""
    return min(range(1, columns + 1), key=lambda width: width * rows + -(-columns // width) * (values + 1))


def class_values(classes: int) -> list[int]:
    """Returns the label of each class: -1 and 1 of two, else its number."""
    return [-1, 1] if classes == 2 else [*range(classes)]


@dataclass(frozen=True)
class _Numbers:
    """Columns of numbers in [-half, half): the features, and the target of a regression."""

    builder: Builder
    x: Linear
    half: int
    width: int

    @classmethod
    def declare(cls, builder: Builder, shape: tuple[int, int], half: int) -> _Numbers:
        def hint(values: Values) -> Ints:
            numbers = as_ints(np.asarray(values.private["rows"]))[:, : shape[1]]
            _refuse(builder, "numbers/lookups", values, (numbers < -half) | (numbers >= half))
            return numbers

        x = builder.witness("numbers", shape, hint, segment="stage-0", bounds=(-half, half - 1))
        # Paid by `close`.
        builder.owe("numbers", "ranges of the rows")
        builder.justify(x.reshape(x.size), (-half, half - 1))
        return cls(builder, x, half, group_width(shape[1], shape[0], 2 * half))

    @property
    def table(self) -> Ints:
        return np.arange(-self.half, self.half, dtype=object)

    def groups(self) -> list[slice]:
        columns = self.x.shape[1]
        return [slice(at, min(at + self.width, columns)) for at in range(0, columns, self.width)]

    def sum_up(self, powers: Linear, sketch: Linear) -> Linear:
        """Adds N of each group, and ties it to the sketch; after theta, before alpha."""
        builder, x, table, rows, groups = self.builder, self.x, self.table, self.x.shape[0], self.groups()

        def hint(values: Values) -> Ints:
            numbers, weights = values(x) + self.half, values(powers).reshape(-1, rows)
            out = np.zeros((len(groups), len(table)), dtype=object)
            for total, group in zip(out, groups, strict=True):
                at, weight = numbers[:, group].T, weights[: group.stop - group.start]
                inside = np.asarray((at >= 0) & (at < len(table)), dtype=bool)
                np.add.at(total, at[inside].astype(np.int64), weight[inside])
            return out % values.order

        sums = builder.witness("sums", (len(groups), len(table)), hint, segment="stage-1")
        v = builder.operand(sketch)
        for i, group in enumerate(groups):
            total = v[group.start] - (sums[i] * table).sum()
            if group.stop - group.start > 1:
                # theta^(j M) for j = 1, 2, ...
                shifts = powers[rows - 1 :: rows][: group.stop - group.start - 1]
                total = total + builder.product(f"shifted/{i}", v[group.start + 1 : group.stop], shifts).sum()
            builder.enforce(f"sketch/{i}", total, constant(1), constant(0))
        return sums

    def close(self, powers: Linear, sums: Linear, alpha: Linear) -> None:
        """Adds the lookups, after alpha."""
        for i, group in enumerate(self.groups()):
            x = self.x[:, group].transpose().reshape(self.x.shape[0] * (group.stop - group.start))
            weighted_lookup(self.builder, f"numbers/{i}", (x, powers[: x.size]), (self.table, sums[i]), alpha)
        self.builder.settle("numbers")


@dataclass(frozen=True)
class _Labels:
    """The target columns of a classifier, as one label a row."""

    builder: Builder
    y: Linear
    counts: Linear
    table: list[int]

    @classmethod
    def declare(cls, builder: Builder, rows: int, classes: int) -> _Labels:
        table = class_values(classes)

        def labels(values: Values) -> Ints:
            targets = as_ints(np.asarray(values.private["rows"]))[:, -(classes if classes > 2 else 1) :]
            found = targets @ as_ints(table) if classes > 2 else targets[:, 0]
            _refuse(builder, "labels/lookups", values, np.array([label not in table for label in found.tolist()]))
            return np.asarray(found, dtype=object)

        y = builder.witness("labels", (rows,), labels, segment="stage-0")
        builder.expect(y, (table[0], table[-1]))

        def count(values: Values) -> Ints:
            return as_ints([int((values(y) == label).sum()) for label in table])

        counts = builder.witness("class-rows", (classes,), count, segment="stage-0", bounds=(0, rows))
        # Paid by `close`: the lookup shows that they are numbers of rows.
        builder.owe("labels", "labels of the rows")
        builder.justify(counts, (0, rows))
        least, most = (builder.input(f"class-rows-{end}", bounds=(0, rows)) for end in ("min", "max"))
        at_most(BitRanges(builder), "class-rows-min", least, counts)
        at_most(BitRanges(builder), "class-rows-max", counts, most)
        return cls(builder, y, counts, table)

    def close(self, powers: Linear, sketch: Linear, alpha: Linear) -> None:
        """Adds the lookup, after alpha: `sketch` holds the target columns alone."""
        weights = powers[: self.y.size]
        if len(self.table) > 2:
            lookups, numerators = (self.y, weights + 1), self.counts + sketch
        else:
            shares = weights.sum() + sketch * np.array([-1, 1], dtype=object)
            lookups, numerators = (self.y, weights * 2 + 2), self.counts * 2 + shares
        weighted_lookup(self.builder, "labels", lookups, (as_ints(self.table), numerators), alpha)
        self.builder.settle("labels")


def _refuse(builder: Builder, name: str, values: Values, outside: Any) -> None:
    if values.is_strict and outside.any():
        position = tuple(int(i) for i in np.argwhere(outside)[0])
        raise UnsatisfiedConstraint(
            f"{builder.name}: constraint {name}{list(position)} does not hold: a value is outside the range",
            name,
            position,
        )


@functools.lru_cache(maxsize=32)
def registration_circuit(features: int, classes: int, rows: int, curve: str = "bls12-381") -> System:
    """Returns R for M = `rows` rows of `features` features and a target of `classes` (1: regression).

    Reads the private input "rows", integers of shape (M, features + target columns).
    """
    return _circuit(features, classes, rows, curve, VALUE_BITS)


def _circuit(features: int, classes: int, rows: int, curve: str, value_bits: int) -> System:
    """The twin of `registration_circuit` that takes the range of numbers, for tests that try everything."""
    builder = Builder(f"registration-{features}x{classes}-m{rows}", version=VERSION, curve=CURVES[curve])
    is_regression, outputs = classes == 1, classes if classes > 2 else 1
    builder.segment("stage-0")
    numbers = _Numbers.declare(builder, (rows, features + is_regression), 1 << (value_bits - 1))
    labels = None if is_regression else _Labels.declare(builder, rows, classes)
    (theta,) = builder.challenge("theta")
    for fixed in [numbers.x] if labels is None else [numbers.x, labels.y, labels.counts]:
        builder.operand(fixed)
    builder.segment("rows", LinkSpec("rows", USE, 1, LANE_BITS))
    builder.segment("stage-1")

    def hint(values: Values) -> Ints:
        weights = row_weights(int(values(theta)[()]), rows, values.order)
        return np.asarray(weights @ as_ints(np.asarray(values.private["rows"])) % values.order, dtype=object)

    sketch = builder.witness("sketch", (features + outputs,), hint, segment="rows")
    powers = challenge_powers(builder, "powers", theta, numbers.width * rows, segment="stage-1")
    sums = numbers.sum_up(powers, sketch)
    (alpha,) = builder.challenge("alpha")
    numbers.close(powers, sums, alpha)
    if labels is not None:
        labels.close(powers, sketch[features:], alpha)
    return builder.finish()
