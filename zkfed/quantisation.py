"""A trained model as integers, and what that costs on rows that its owner has.

    W_int = round(2^f W), cut to |W_int| < 2^weight_bits,     x_int = round(127 x)

then the integer forward pass of `inference`, floors included. The float pass beside it sees the
features as they were given, so the difference is all that quantisation does.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import ModelRefused, shown
from zkfed.fixedpoint import FEATURE_ONE, Integers, quantise_features, quantise_targets
from zkfed.importing import ImportedModel
from zkfed.inference import Forward, forward
from zkfed.model import ACTIVATION_BITS, Model
from zkfed.policy import LOSSES

__all__ = ["LayerCost", "QuantisationReport", "quantise"]

Floats = npt.NDArray[np.float64]
WEIGHT_BITS_MAX = 30
"""Of any model."""
FEW_BITS = 5
"""Activations of fewer bits lose more to their steps of 1/127 than a model should."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer of a quantised model.

    Attributes:
        shape: (rows with the bias, columns) of its matrix.
        weight: The largest weight in absolute value before quantisation.
        weight_bits: Bits of the largest integer weight.
        cut: Weights that were cut to the model's range.
        lost: Weights that became 0 without being 0.
        activation: The largest |floor(z / 2^f)| / 127 of the rows; 0 in the last layer.
        activation_bits: Bits of that integer, of `ACTIVATION_BITS`.
    """

    shape: tuple[int, int]
    weight: float
    weight_bits: int
    cut: int
    lost: int
    activation: float = 0.0
    activation_bits: int = 0


@dataclass(frozen=True)
class QuantisationReport:
    """What integers cost a model, in floats and in integers on the same rows.

    It tells about the rows it was made with: as private as they are.

    Attributes:
        model: The shape.
        rows: n.
        loss_name: One of `policy.LOSSES`.
        loss: Mean per row, in floats and in integers; logarithms are natural.
        accuracy: Share of rows, in floats and in integers; None for regression.
        moved: Rows that the integers put in another class.
        logit_error: The largest change of a logit.
        layers: One entry per layer.
    """

    model: Model
    rows: int
    loss_name: str
    loss: tuple[float, float]
    accuracy: tuple[float, float] | None
    moved: int
    logit_error: float
    layers: tuple[LayerCost, ...]

    @property
    def warnings(self) -> list[str]:
        """What the owner should know before they prove anything; empty if all is well."""
        out, model = [], self.model
        for number, layer in enumerate(self.layers, 1):
            if layer.cut:
                bits = round(Fraction(layer.weight) * 2**model.fraction_bits).bit_length()
                advice = f"weight_bits={bits} holds all" if bits <= WEIGHT_BITS_MAX else "no weight_bits holds all"
                out.append(
                    f"layer {number}: {_counted(layer.cut, 'weight')} of "
                    f"{2.0 ** (model.weight_bits - model.fraction_bits):g} or more cut; {advice}"
                )
            if number <= len(model.hidden):
                if layer.activation_bits == ACTIVATION_BITS:
                    out.append(f"layer {number}: activations use the last of {ACTIVATION_BITS} bits; other rows may "
                               f"leave the range, and such a row can be neither proven nor judged")  # fmt: skip
                if layer.activation_bits < FEW_BITS:
                    out.append(f"layer {number}: activations stay below {1 << (FEW_BITS - 1)}/{FEATURE_ONE}; steps of "
                               f"1/{FEATURE_ONE} are coarse for them")  # fmt: skip
        return out

    def _title(self) -> str:
        kind, widths = type(self.model).__name__, (self.model.features, *self.model.hidden, self.model.outputs)
        return (
            f"{kind} {'-'.join(map(str, widths))}: {_counted(self.model.parameters, 'weight')} in steps of "
            f"2^-{self.model.fraction_bits}, judged on {_counted(self.rows, 'row')}"
        )

    def _results(self) -> list[list[str]]:
        rows = [["", "float", "integers", "changed"]]
        if self.accuracy is not None:
            before, after = self.accuracy
            rows.append(["accuracy", f"{before:.2%}", f"{after:.2%}", f"{_counted(self.moved, 'row')} moved"])
        before, after = self.loss
        name = "errors" if self.loss_name == "accuracy" else self.loss_name
        return [*rows, [name, f"{before:.5g}", f"{after:.5g}", f"logits by {self.logit_error:.2g} at most"]]

    def _layers(self) -> list[list[str]]:
        rows = [["layer", "weights", "largest", "bits", "cut", "lost", "activations to", "bits"]]
        for number, (layer, (m, c)) in enumerate(zip(self.layers, self.model.layers, strict=True), 1):
            is_hidden = number <= len(self.model.hidden)
            rows.append([
                f"{number}: {m - 1}x{c}", f"{m * c:,}", f"{layer.weight:.3g}",
                f"{layer.weight_bits}/{self.model.weight_bits}", f"{layer.cut:,}", f"{layer.lost:,}",
                f"{layer.activation:.3g}" if is_hidden else "-",
                f"{layer.activation_bits}/{ACTIVATION_BITS}" if is_hidden else "-",
            ])  # fmt: skip
        return rows

    def __str__(self) -> str:
        lines = [self._title(), *_aligned(self._results()), *_aligned(self._layers())]
        return "\n".join([*lines, *(f"  ! {text}" for text in self.warnings)])

    def _repr_html_(self) -> str:
        def table(rows: list[list[str]]) -> str:
            tags = ["th"] + ["td"] * (len(rows) - 1)
            body = (
                "".join(f"<{t}>{html.escape(cell)}</{t}>" for cell in row) for t, row in zip(tags, rows, strict=True)
            )
            return "<table>" + "".join(f"<tr>{cells}</tr>" for cells in body) + "</table>"

        notes = "".join(f"<p>&#9888; {html.escape(text)}</p>" for text in self.warnings)
        return f"<p>{html.escape(self._title())}</p>{table(self._results())}{table(self._layers())}{notes}"


def quantise(
    imported: ImportedModel, features: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> tuple[Integers, QuantisationReport]:
    """Returns the weights as integers at scale 2^f, and what that costs on these rows.

    Args:
        imported: From `import_model`; its loss is the one that is reported.
        features: Floats in [-1, 1], or integers in [-127, 127] that stand for x / 127; shape (n, d).
        labels: Class numbers in [0, classes); for regression floats in [-1, 1]; shape (n,).

    Raises:
        ValueError: Rows or labels have another shape or type, hold NaN, or are out of range.
        ModelRefused: A weight is no number or too large for any model, the loss is not for so many
            classes, or an activation of these rows leaves its range: no circuit can evaluate it.
    """
    model, name, values = imported.model, imported.loss, _checked(imported)
    x_int, y = quantise_features(features), np.asarray(labels)
    if x_int.shape[1] != model.inputs:
        raise ValueError(f"rows of {x_int.shape[1] - 1} features, the model has {model.features}")
    if y.shape != (len(x_int),):
        raise ValueError(f"labels of shape {y.shape}, expected ({len(x_int)},): one for each row")
    limit, step = (1 << model.weight_bits) - 1, 2.0**model.fraction_bits
    targets = quantise_targets(y, classes=model.classes, fraction_bits=model.fraction_bits) / (FEATURE_ONE * step)
    exact = np.rint(np.clip(values * step, -limit, limit)).astype(np.int64)
    try:
        passed = forward(model, exact, x_int)
    except ValueError as error:
        raise ModelRefused(str(error)) from error
    x = np.asarray(features)
    x = x / FEATURE_ONE if np.issubdtype(x.dtype, np.integer) else x.astype(np.float64)
    z, z_int = _float_logits(model, values, x), passed.logits / (FEATURE_ONE * step)
    classes, classes_int = _classes(z), _classes(z_int)
    is_regression = model.classes == 1
    return exact, QuantisationReport(
        model, len(x), name,
        loss=(_LOSSES[name](z, targets), _LOSSES[name](z_int, targets)),
        accuracy=None if is_regression else (float((classes == y).mean()), float((classes_int == y).mean())),
        moved=0 if is_regression else int((classes != classes_int).sum()),
        logit_error=float(np.abs(z - z_int).max()),
        layers=_layers(model, values, exact, passed),
    )  # fmt: skip


def _checked(imported: ImportedModel) -> Floats:
    """Returns the weights; an `ImportedModel` may have been made by hand."""
    model, w = imported.model, np.asarray(imported.weights)
    least, most = LOSSES.get(imported.loss, (1, 0))
    if not least <= model.classes <= most:
        raise ModelRefused(f"the loss {shown(imported.loss)} is none here for {model.classes} classes")
    if w.shape != model.shape or w.dtype.kind not in "fiu":
        raise ModelRefused(f"weights of shape {w.shape} and type {w.dtype}, expected real numbers of {model.shape}")
    for number, matrix in enumerate(model.split(w), 1):
        if not np.isfinite(matrix).all():
            raise ModelRefused(f"layer {number}: {int((~np.isfinite(matrix)).sum())} weights are NaN or infinite")
        if np.abs(matrix).max() >= 2.0**WEIGHT_BITS_MAX:
            raise ModelRefused(f"layer {number}: a weight is 2^{WEIGHT_BITS_MAX} or more; no model here holds it")
    return w.astype(np.float64)


def _float_logits(model: Model, weights: Floats, x: Floats) -> Floats:
    *hidden, last = model.split(weights)
    for matrix in hidden:
        x = np.maximum(x @ matrix[:-1] + matrix[-1], 0.0)
    return np.asarray(x @ last[:-1] + last[-1])


def _classes(logits: Floats) -> Integers:
    return np.asarray(logits.argmax(axis=1) if logits.shape[1] > 1 else logits[:, 0] > 0).astype(np.int64)


def _layers(model: Model, values: Floats, exact: Integers, passed: Forward) -> tuple[LayerCost, ...]:
    limit, out = 1 << model.weight_bits, []
    for number, (real, ints) in enumerate(zip(model.split(values), model.split(exact), strict=True)):
        q = 0
        if number < len(model.hidden):
            q = int(np.abs(passed.pre[number] >> model.fraction_bits).max())
        out.append(LayerCost(
            shape=model.layers[number],
            weight=float(np.abs(real).max()),
            weight_bits=int(np.abs(ints).max()).bit_length(),
            cut=int((np.abs(np.rint(real * 2.0**model.fraction_bits)) >= limit).sum()),
            lost=int(((ints == 0) & (real != 0)).sum()),
            activation=q / FEATURE_ONE,
            activation_bits=q.bit_length(),
        ))  # fmt: skip
    return tuple(out)


# -- losses of real logits, mean per row ------------------------------------------------------------


_LOSSES: dict[str, Callable[[Floats, Floats], float]] = {
    "squared": lambda z, t: float(((z - t) ** 2).sum(axis=1).mean()),
    "hinge": lambda z, t: float(np.maximum(0.0, 1.0 - t * z).mean()),
    "logistic": lambda z, t: float(np.logaddexp(0.0, -t * z).mean()),
    "cross-entropy": lambda z, t: float((np.logaddexp.reduce(z, axis=1) - (z * t).sum(axis=1)).mean()),
    "accuracy": lambda z, t: float((_classes(z) != _classes(t)).mean()),
}
"""Of logits and targets as `quantise_targets` makes them, both in real units, shape (n, outputs)."""


# -- as text ----------------------------------------------------------------------------------------


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Returns the rows of a table as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return ["  " + "   ".join(cells) for cells in lines]
