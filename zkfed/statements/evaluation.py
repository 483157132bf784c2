"""The circuit of S1, S2 and S3 for every model and loss: the loss of a model and of its update on n rows.

    S2   n public rows:       L1_high <= L_max; the verifier computes L_max from the base loss
    S1   n registered rows:   (S - X) L0_low - S L1_high >= 0,  L_min <= L0_low,  L0_high <= L_cap
    S3   the same as S1 for a published model: nothing is committed but the rows

Stage 0 commits the update and, for each model and layer, the products Z = A W, the activations, the
labels and what the loss needs. After the challenges, sketches say that every product is right
(gadgets/dense.py), that the labels are those of the rows (gadgets/labels.py), and that every range
and table was obeyed. Rows enter through their sketch alone: public inputs for a benchmark, wires
that the link ties to the rows' commitments otherwise. One key serves all rows and base models.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import Ints, as_ints, integer_product
from zkfed.commitments.rows import USE, row_weights
from zkfed.errors import PolicyError
from zkfed.fixedpoint import LANE_BITS
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.dense import (
    Challenges,
    Product,
    Sketch,
    Update,
    declare_product,
    declare_update,
    inner_product,
    prove_product,
    settle_norms,
    sketch_columns,
    update_product,
)
from zkfed.gadgets.labels import Labels
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.loss import squared_norm
from zkfed.gadgets.losses import lower_loss, upper_loss
from zkfed.gadgets.product import horner
from zkfed.gadgets.relu import relu
from zkfed.gadgets.strategy import best_limb_bits
from zkfed.gadgets.tuples import Tables
from zkfed.losses import Loss
from zkfed.model import ACTIVATION_BITS
from zkfed.policy import FEATURE_LIMIT, SHARE_SCALE, UPDATE_BITS, Improvement
from zkfed.r1cs.builder import Builder, Hint, Values
from zkfed.r1cs.linear import Linear, concatenate, constant
from zkfed.r1cs.system import LinkSpec, System
from zkfed.statements.update_bound import bounded_update

__all__ = ["evaluation_circuit"]

VERSION = 1
FEATURE_BOUND = 128
"""A registered feature lies in [-128, 128): its range is one byte."""


@dataclass
class Pass:
    """One model's forward pass: what stage 0 commits and later stages prove.

    Attributes:
        name: "old" or "new"; also the private input that holds its numbers (`inference.Forward`).
        products: Z of each layer; the last one is the logits, or the residuals of squared loss.
        activations: Of each hidden layer.
    """

    name: str
    products: list[Product] = field(default_factory=list)
    activations: list[Linear] = field(default_factory=list)


class _Evaluation:
    """Builds one circuit; `evaluation_circuit` is the door.

    Attributes:
        statement: Model, loss, rows.
        kind: "S1", "S2" or "S3".
    """

    def __init__(self, statement: Improvement, kind: str, curve: str) -> None:
        self.statement, self.kind, self.model = statement, kind, statement.model
        sizes = "-".join(str(v) for v in (self.model.features, *self.model.hidden, self.model.classes))
        name = f"{kind.lower()}-{statement.loss}-{sizes}-n{statement.rows}"
        self.builder = Builder(name, version=VERSION, curve=CURVES[curve])
        self.old, self.new = Pass("old"), Pass("new")
        self.passes = [self.new] if kind == "S2" else [self.old, self.new]
        self.updates: list[Update] = []
        self.weights: dict[str, Linear] = {}
        self.shared: dict[str, Linear] = {}
        self.squares: dict[str, Linear] = {}

    @property
    def is_squared(self) -> bool:
        return self.statement.loss == "squared"

    # -- stage 0 -----------------------------------------------------------------------------

    def declare(self) -> None:
        """Commits everything that does not depend on a challenge."""
        builder, statement = self.builder, self.statement
        limb_bits = limb_bits_of(statement, self.kind)
        if self.kind == "S3":
            self.ranges = RangeTable(builder, limb_bits, builder.segment("stage-0"))
        else:
            self._declare_update(limb_bits)
        self.tables = Tables(self.ranges)
        shape = (statement.rows, self.model.outputs)
        self.labels = None if self.is_squared else Labels(builder, shape, "stage-0")
        for one in self.passes:
            self._declare_pass(one)
        self._compare()
        self.tables.commit()

    def _declare_update(self, limb_bits: int) -> None:
        builder, start, half = self.builder, 0, 1 << (UPDATE_BITS - 1)
        part = bounded_update(builder, (self.model.parameters,), value_bits=UPDATE_BITS, limb_bits=limb_bits)
        self.ranges = part.table
        for layer, (rows, columns) in enumerate(self.model.layers, 1):
            wires = part.update[start : start + rows * columns].reshape(rows, columns)
            self.updates.append(declare_update(builder, f"layer-{layer}", wires, half=half, segment="stage-0"))
            start += rows * columns
        norm = concatenate([u.norms for u in self.updates]).sum()
        at_most(self.ranges, "update/norm-slack", norm, part.norm_max)

    def _declare_pass(self, one: Pass) -> None:
        """Commits the products and activations of every layer."""
        builder, model = self.builder, self.model
        for layer, (_, columns) in enumerate(model.layers, 1):
            name, maximum = f"{one.name}/layer-{layer}", product_max(self.statement, self.kind, layer)
            is_last = layer == len(model.layers)
            if is_last and self.is_squared:
                maximum += FEATURE_BOUND << model.fraction_bits
            shape, hint = (self.statement.rows, columns), self._hint(one, layer - 1)
            one.products.append(declare_product(builder, name, shape, hint, maximum=maximum))
            if not is_last:
                pre = one.products[-1].wires
                one.activations.append(
                    relu(self.ranges, name, pre, fraction_bits=model.fraction_bits, bits=ACTIVATION_BITS)
                )

    def _hint(self, one: Pass, layer: int) -> Hint:
        unit = target_unit(self.statement) if self.is_squared and layer == len(self.model.layers) - 1 else 0

        def hint(values: Values) -> Ints:
            pre = as_ints(values.private[one.name].pre[layer])
            return np.asarray(pre - as_ints(values.private["targets"]) * unit if unit else pre, dtype=object)

        return hint

    def _loss(self, one: Pass, side: str) -> Linear:
        """Returns one committed wire: the sum of the losses, from below ("low") or from above ("high")."""
        name, logits = f"{one.name}/{side}", one.products[-1].wires
        if self.labels is None:
            # Exact: one wire is both.
            if one.name not in self.squares:
                total = squared_norm(self.builder, f"{one.name}/squares", logits)
                self.squares[one.name] = self.builder.define(name, total, segment="stage-0")
            return self.squares[one.name]
        bound = lower_loss if side == "low" else upper_loss
        return bound(self.tables, name, loss_of(self.statement, self.kind), logits, self.labels)

    def _compare(self) -> None:
        """Declares the public numbers of the claim and compares the losses with them."""
        builder, ranges = self.builder, self.ranges
        high = self._loss(self.new, "high")
        if self.kind == "S2":
            at_most(ranges, "improvement", high, self._compared("loss-max", high, 0))
            return
        low = self._loss(self.old, "low")
        share = builder.input("share", bounds=(1, SHARE_SCALE))
        least = self._compared("base-loss-min", low, self.statement.base_loss_min)
        kept = builder.product("improvement/kept", low, constant(SHARE_SCALE) - share, segment="stage-0")
        at_most(ranges, "improvement", high * SHARE_SCALE, kept)
        at_most(ranges, "base-loss/least", least, low)
        if self.statement.base_loss_max is not None:
            old = self._loss(self.old, "high")
            most = self._compared("base-loss-max", old, self.statement.base_loss_max)
            at_most(ranges, "base-loss/most", old, most)

    def _compared(self, name: str, loss: Linear, planned: int) -> Linear:
        """Declares a public number that is compared with a loss, in the range of the loss."""
        _, largest = self.builder.proven_bounds(loss)
        if planned > largest:
            raise PolicyError(f"{name} is {planned}, no {self.statement.loss} loss of these rows is above {largest}")
        return self.builder.input(name, bounds=(0, largest))

    # -- after the challenges ----------------------------------------------------------------

    def prove(self) -> None:
        """Adds what the challenges check."""
        builder, model = self.builder, self.model
        # beta keeps the columns of tables apart; the other losses have none with several.
        has_columns = self.statement.loss in ("logistic", "cross-entropy")
        alpha, *beta, rho, tau = builder.challenge("alpha", *(["beta"] if has_columns else []), "rho", "tau")
        self.tables.close(alpha, beta[0] if beta else alpha)
        bias = builder.input("rows/bias")
        features, targets = self._sketch_rows(bias, rho)
        if self.labels is None:
            self.folded = horner(builder, "targets/columns", targets, tau) * target_unit(self.statement)
        else:
            self.labels.close(rho, tau, targets)
        for one in self.passes:
            sketch = features
            for layer in range(1, len(model.layers) + 1):
                if layer > 1:
                    activations = one.activations[layer - 2]
                    sketch = Sketch(sketch_columns(builder, f"{one.name}/sketch-{layer}", activations, bias, rho))
                self._prove_layer(one, layer, sketch, Challenges(rho, tau))
        for update in self.updates:
            settle_norms(builder, update)

    def _prove_layer(self, one: Pass, layer: int, sketch: Sketch, challenges: Challenges) -> None:
        builder, name = self.builder, f"{one.name}/layer-{layer}"
        right = self._base_product(one, layer, sketch.left)
        if one is self.new and self.updates:
            if sketch.square is None:
                sketch = Sketch(sketch.left, builder.product(f"{name}/square", sketch.left, sketch.left).sum())
            right = right + update_product(builder, f"{name}/update", self.updates[layer - 1], sketch, challenges.tau)
        if self.is_squared and layer == len(self.model.layers):
            right = right - self.folded
        prove_product(builder, name, one.products[layer - 1], right, challenges)

    def _base_product(self, one: Pass, layer: int, left: Linear) -> Linear:
        """Returns <u, V t> for the public weights V of a layer; the verifier computes V t."""
        builder = self.builder
        owner = one.name if self.kind == "S3" else "base"
        name = f"{owner}/layer-{layer}"
        if layer == 1 and self.kind == "S2":
            return builder.input(name)  # u is public too
        if name not in self.weights:
            self.weights[name] = builder.input(name, (left.size,))
        if layer > 1 or name not in self.shared:
            product = inner_product(builder, f"{one.name}/base-{layer}", left, self.weights[name])
            self.shared[name] = product
        return self.shared[name]

    def _sketch_rows(self, bias: Linear, rho: Linear) -> tuple[Sketch, Linear]:
        """Returns the sketches of features and targets: public, or tied to the rows' commitments."""
        builder, model = self.builder, self.model
        if self.kind == "S2":
            left = concatenate([builder.input("rows/features", (model.features,)), bias.reshape(1)])
            targets = builder.input("rows/targets", (model.outputs,)).reshape(model.outputs)
            return Sketch(left, builder.input("rows/square")), targets
        segment = builder.segment("rows", LinkSpec("rows", USE, 1, LANE_BITS))

        def hint(values: Values) -> Ints:
            order, rows = values.order, values.private["rows"]
            s = row_weights(int(values(rho)), len(rows), order)
            return np.asarray(integer_product(s.reshape(1, -1), rows)[0] % order, dtype=object)

        sketch = builder.witness("rows/sketch", (model.features + model.outputs,), hint, segment=segment)
        builder.operand(sketch)
        return Sketch(concatenate([sketch[: model.features], bias.reshape(1)])), sketch[model.features :]


def target_unit(statement: Improvement) -> int:
    """Returns the integer of one unit of a target.

    A class counts 1.0, that is 127 * 2^f. A regression target counts 1/127 where it is registered,
    as one byte, and is exact at the logits' scale on a benchmark.
    """
    model = statement.model
    if model.classes == 1:
        return 1 << model.fraction_bits if statement.kind == "S1" else 1
    return FEATURE_LIMIT << model.fraction_bits


def product_max(statement: Improvement, kind: str, layer: int) -> int:
    """Returns the largest |Z_ik| of a layer, of the base model and of the updated one."""
    model = statement.model
    left = (1 << ACTIVATION_BITS) - 1 if layer > 1 else FEATURE_LIMIT if kind == "S2" else FEATURE_BOUND
    # The update adds to W0; both models of S3 are base models.
    weight = (1 << model.weight_bits) - 1 + (0 if kind == "S3" else 1 << (UPDATE_BITS - 1))
    return model.layers[layer - 1][0] * left * weight


@functools.lru_cache(maxsize=32)
def loss_of(statement: Improvement, kind: str) -> Loss:
    """Returns the loss at the scale of the model's logits: what circuit, prover and verifier compute by."""
    model = statement.model
    logit_max = product_max(statement, kind, len(model.layers))
    return Loss(statement.loss, model.classes, FEATURE_LIMIT << model.fraction_bits, logit_max)


def limb_bits_of(statement: Improvement, kind: str) -> int:
    """Returns the limb size of the range table that costs a prover least."""
    model, n = statement.model, statement.rows
    hidden = (1 if kind == "S2" else 2) * n * sum(columns for _, columns in model.layers[:-1])
    ranges = [(hidden, ACTIVATION_BITS), (hidden, model.fraction_bits)] if hidden else []
    updates = [] if kind == "S3" else [(model.parameters, UPDATE_BITS)]
    return best_limb_bits([*ranges, *updates, *_loss_ranges(statement, kind)])


def _loss_ranges(statement: Improvement, kind: str) -> list[tuple[int, int]]:
    """Returns the ranges that the losses of the new model, and of the old one if it is private, check."""
    loss, n, outputs = loss_of(statement, kind), statement.rows, statement.model.outputs
    logit_bits = loss.logit_max.bit_length() + 1
    if loss.name in ("logistic", "cross-entropy"):
        return [(n * outputs, int(loss.chords.width_bits.max()))]
    if loss.name == "accuracy":
        return [(n * outputs, logit_bits + 1)]
    return [(n, logit_bits)] if loss.name == "hinge" else []


@functools.lru_cache(maxsize=16)
def evaluation_circuit(statement: Improvement, kind: str, curve: str = "bls12-381") -> System:
    """Returns the circuit of a statement's shape: model, loss, number of rows.

    Args:
        statement: Its share, L_min and the rows that are registered do not enter the circuit.
        kind: "S1", "S2" or "S3".
        curve: "bls12-381" or "bn254".

    Raises:
        ValueError: The bit budget: a value could wrap around the field.
        PolicyError: L_min or L_cap is above every loss of n rows.
    """
    if kind not in ("S1", "S2", "S3"):
        raise ValueError(f"there is no statement {kind!r} about losses; there are S1, S2 and S3")
    evaluation = _Evaluation(statement, kind, curve)
    evaluation.declare()
    evaluation.prove()
    return evaluation.builder.finish()
