"""S1, S2 and S3 of every model and loss: their shapes, vectors and honest proofs.

Four rows, drawn from SHA-256 as in vectors.py. Every bound of an accepted vector is reached
exactly, by the plain functions of zkfed.losses and not by the circuit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from circuits.keys import CONTEXT, Honest
from circuits.vectors import REFUSED, drawn
from zkfed.algebra.backend import Backend, Points
from zkfed.commitments.pedersen import generators
from zkfed.commitments.rows import PrivateRows, row_weights
from zkfed.groth16.proof import Instance
from zkfed.model import MLP, LinearModel
from zkfed.policy import FEATURE_LIMIT, SHARE_SCALE, Improvement, Registration
from zkfed.r1cs.system import System
from zkfed.statements.evaluation import evaluation_circuit, target_unit
from zkfed.statements.improvement import Benchmark
from zkfed.statements.own_data import DrawnRows, OwnTerms
from zkfed.statements.terms import BenchmarkTerms, loss_bound
from zkfed.statements.update_bound import USE, squared_norm_max

__all__ = ["SHAPES", "Case", "build", "case_of", "evaluated", "evaluation_budget", "evaluation_vectors", "statement_of"]

SMALL = ("hinge 3-2 n=4", "logistic 3-2 n=4", "cross-entropy 3-3 n=4", "accuracy 3-3 n=4", "accuracy 3-2 n=4")
SHAPES = {
    "S2": (
        "cross-entropy 64-10 n=200", "logistic 30-2 n=100", "cross-entropy 64-32-10 n=100", *SMALL,
        "squared 3-4-3 n=4",
    ),
    "S1": ("cross-entropy 64-10 n=200", "logistic 30-2 n=100", *SMALL, "squared 3-4-1 n=4", "squared 3-3 n=4 capped"),
    "S3": ("cross-entropy 64-10 n=200", "logistic 30-2 n=100", "squared 3-4-3 n=4", "squared 3-3 n=4 capped"),
}  # fmt: skip
"""The largest shape first, the one with a key last."""
VECTOR_SHAPES = {kind: [shape for shape in shapes if "n=4" in shape] for kind, shapes in SHAPES.items()}


def statement_of(kind: str, shape: str) -> Improvement:
    """Returns the statement of a shape "<loss> <features>-<hidden ..>-<classes> n=<rows>", and " capped" with L_cap."""
    loss, sizes, rows, *capped = shape.split()
    features, *hidden, classes = (int(size) for size in sizes.split("-"))
    model = MLP(features, tuple(hidden), classes) if hidden else LinearModel(features, classes)
    n = int(rows.removeprefix("n="))
    own: dict[str, Any] = {} if kind == "S2" else {"registration": Registration(4 * n)}
    return Improvement(model, n, "1%", loss=loss, base_loss_max=1 if capped else None, **own)


def build(kind: str) -> Callable[[str, str], System]:
    """Returns the function from (shape, curve) to the circuit of a kind."""
    return lambda shape, curve: evaluation_circuit(statement_of(kind, shape), kind, curve)


# -- cases -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Rows, a base model and an update that improves it.

    Attributes:
        base: W0, of the model's shape.
        features: Without the bias.
        targets: In units of `target_unit`.
        update: D, flat; S3 publishes W0 + D.
    """

    statement: Improvement
    kind: str
    base: npt.NDArray[np.int64]
    features: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    update: npt.NDArray[np.int64]

    @cached_property
    def terms(self) -> BenchmarkTerms:
        """Of S2, or of the same rows as a benchmark."""
        x = np.hstack([self.features, np.full((len(self.features), 1), FEATURE_LIMIT)])
        plain = replace(self.statement, registration=None, base_loss_max=None)
        return BenchmarkTerms.of(plain, self.base, Benchmark(x, self.targets * target_unit(plain)))

    def bound(self, side: str, *, is_new: bool) -> int:
        """Returns a bound on the loss: "low" or "high", of the base model or of the updated one."""
        update = self.update if is_new else 0 * self.update
        logits = self.terms._after(update).logits
        return loss_bound(self.statement, self.kind, side, logits, self.targets)

    @property
    def static(self) -> dict[str, int]:
        """The static inputs, each at its bound."""
        high = self.bound("high", is_new=True)
        norm = {} if self.kind == "S3" else {"squared-norm-max": int((self.update**2).sum())}
        if self.kind == "S2":
            return {**norm, "loss-max": high}
        low = self.bound("low", is_new=False)
        cap = {} if self.statement.base_loss_max is None else {"base-loss-max": self.bound("high", is_new=False)}
        return {**norm, "share": SHARE_SCALE - -(-SHARE_SCALE * high // low), "base-loss-min": low, **cap}


def case_of(kind: str, shape: str) -> Case:
    """Draws the case of a shape: an update towards 0, or of accuracy the first drawn one that improves."""
    statement, name = statement_of(kind, shape), f"zkfed vector {shape.removesuffix(' capped')}"
    model, rows = statement.model, statement.rows
    features = drawn(f"{name} features", (rows, model.features), FEATURE_LIMIT)
    if model.classes == 1:
        targets = drawn(f"{name} labels", (rows, 1), FEATURE_LIMIT)
    else:
        labels = np.arange(rows) % model.classes
        targets = np.identity(model.classes, dtype=np.int64)[labels] if model.classes > 2 else 2 * labels[:, None] - 1
    base = drawn(f"{name} base", model.shape, 2000 if statement.loss == "accuracy" else 400_000)
    for attempt in itertools.count():
        update = drawn(f"{name} update {attempt}", (model.parameters,), 1 << 15)
        update = update if statement.loss == "accuracy" else -base.ravel() // 20
        case = Case(statement, kind, base, features, targets, update)
        if 0 < case.bound("high", is_new=True) < case.bound("low", is_new=False):
            return case
        if statement.loss != "accuracy":
            raise ValueError(f"{shape}: the drawn update does not improve")
    raise AssertionError


# -- vectors -----------------------------------------------------------------------------------------


def evaluation_vectors(kind: str) -> dict[str, Any]:
    """Returns the vectors of a kind: for each small shape its case, and what is accepted and rejected of it."""
    cases, vectors = {}, []
    for shape in VECTOR_SHAPES[kind]:
        case = case_of(kind, shape)
        arrays = {name: getattr(case, name).tolist() for name in ("base", "features", "targets", "update")}
        cases[shape] = arrays
        vectors += _vectors_of(case, shape)
    return {"shape": VECTOR_SHAPES[kind][-1], "cases": cases, "vectors": vectors}


def _vectors_of(case: Case, shape: str) -> list[dict[str, Any]]:
    tight, half, out = case.static, 1 << 15, []

    def add(name: str, expect: Any, *, update: Any = None, **changes: int) -> None:
        static = {key: str(value) for key, value in {**tight, **_dashed(changes)}.items()}
        more = {} if update is None else {"update": update.tolist()}
        out.append({"name": f"{shape}: {name}", "shape": shape, "expect": expect, **static, **more})

    def reject(name: str, constraint: str, *, update: Any = None, **changes: int) -> None:
        expect = {"code": REFUSED, "constraint": constraint} if constraint else {"code": "proof-invalid"}
        add(name, expect, update=update, **changes)

    add("every bound reached exactly", "accept")
    reject("no change", "improvement", update=0 * case.update)
    if case.kind != "S3":
        top = squared_norm_max(case.statement.model.parameters, 16)
        changed = case.update.copy()
        changed[1] = half
        reject("norm one above the bound", "update/norm-slack", squared_norm_max=tight["squared-norm-max"] - 1)
        reject("coordinate one above the largest", "update/range", update=changed, squared_norm_max=top)
        reject("norm above the bit budget", "", squared_norm_max=top + 1)
    if case.kind == "S2":
        reject("loss one above the bound", "improvement", loss_max=tight["loss-max"] - 1)
        reject("loss above the bit budget", "", loss_max=1 << 200)
        return out
    add("a smaller share", "accept", share=max(tight["share"] // 2, 1))
    reject("share one too large", "improvement", share=tight["share"] + 1)
    reject("base loss one below the least", "base-loss/least", base_loss_min=tight["base-loss-min"] + 1)
    reject("no improvement asked for", "", share=0)
    reject("more than all of the loss", "", share=SHARE_SCALE + 1)
    if "base-loss-max" in tight:
        reject("base loss one above the largest", "base-loss/most", base_loss_max=tight["base-loss-max"] - 1)
    return out


def _dashed(names: dict[str, int]) -> dict[str, int]:
    return {name.replace("_", "-"): value for name, value in names.items()}


# -- honest proofs -----------------------------------------------------------------------------------


def evaluated(kind: str) -> Callable[[dict[str, Any]], Callable[[Backend], Honest]]:
    """Returns the function from vectors to the honest proof of their last shape."""
    return lambda document: _honest(case_of(kind, document["shape"]))


def _honest(case: Case) -> Callable[[Backend], Honest]:
    return lambda backend: _on_benchmark(case, backend) if case.kind == "S2" else _on_rows(case, backend)


def _commitment(case: Case, backend: Backend) -> Points:
    return generators(backend, USE, len(case.update)).commit(case.update.tolist(), 7)


def _on_benchmark(case: Case, backend: Backend) -> Honest:
    static, point = case.static, _commitment(case, backend)

    def instance(of: Case) -> Instance:
        return of.terms.instance(
            CONTEXT, point, squared_norm_max=static["squared-norm-max"],
            loss_change_max=static["loss-max"] - of.terms.loss, curve=backend.curve,
        )  # fmt: skip

    others = {
        "another feature": instance(replace(case, features=_changed(case.features))),
        "another label": instance(replace(case, targets=np.roll(case.targets, 1, axis=0))),
        "another base model": instance(replace(case, base=_changed(case.base))),
    }
    return Honest(instance(case), case.terms.private(case.update), (7,), others=others)


def _on_rows(case: Case, backend: Backend) -> Honest:
    static, n, order = case.static, case.statement.rows, backend.curve.order
    rows = PrivateRows(case.features, case.targets, tuple(range(7, 7 + n)))
    points, is_update = rows.commit(backend), case.kind == "S1"
    named = replace(case.statement, base_loss_min=static["base-loss-min"], base_loss_max=static.get("base-loss-max"))
    published = None if is_update else case.base + case.update.reshape(case.base.shape)

    def terms(of: Points, base: Any, after: Any) -> OwnTerms:
        return OwnTerms.of(named, base, DrawnRows(bytes(32), tuple(range(n)), bytes(32), of), after)

    def instance(of: OwnTerms) -> Instance:
        return of.instance(
            CONTEXT, _commitment(case, backend) if is_update else None,
            squared_norm_max=static.get("squared-norm-max", 0), millionths=static["share"], backend=backend,
        )  # fmt: skip

    def blinder(challenges: dict[str, int]) -> int:
        return rows.blinder(row_weights(challenges["rho"], n, order), order)

    backwards = backend.take(points, np.arange(n)[::-1])
    others = {
        "rows in another order": instance(terms(backwards, case.base, published)),
        "another base model": instance(terms(points, _changed(case.base), published)),
    }
    if published is not None:
        others["another published model"] = instance(terms(points, case.base, _changed(published)))
    honest = terms(points, case.base, published)
    private = honest.private(case.update if is_update else None, case.features, case.targets)
    more = {"rows": [backend.encode(backend.take(points, np.array([i]))).hex() for i in range(n)]}
    return Honest(instance(honest), private, (7, blinder) if is_update else (blinder,), more, others)


def _changed(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    out = values.copy()
    out.flat[0] -= np.sign(out.flat[0]) or -1
    return out


# -- budget ------------------------------------------------------------------------------------------


def evaluation_budget(kind: str) -> list[tuple[str, str, int]]:
    """Returns the bit budget of the first shape, as the circuit's own bounds have it."""
    statement = statement_of(kind, SHAPES[kind][0])
    model = statement.model
    left = FEATURE_LIMIT if kind == "S2" else FEATURE_LIMIT + 1
    weight = (1 << model.weight_bits) - 1 + (0 if kind == "S3" else 1 << 15)
    logit = model.inputs * left * weight
    inputs = {i.name: i.bounds for i in evaluation_circuit(statement, kind).inputs if i.bounds is not None}
    largest = {name: bounds[1] for name, bounds in inputs.items()}
    numbers = [("X_ij", "2^7", left), ("Z_ik", "(d + 1) max X max W", logit)]
    if kind != "S3":
        numbers += [("D_k", "2^15", 1 << 15), ("sum D_k^2 and B2", "P 2^30", largest["squared-norm-max"])]
    if kind == "S2":
        numbers += [("L1_high and L_max", "as the tables allow", largest["loss-max"])]
    else:
        capped = evaluation_circuit(replace(statement, base_loss_max=1), kind).inputs
        high = next(i.bounds[1] for i in capped if i.name == "base-loss-max" and i.bounds is not None)
        numbers += [
            ("L0_low and L_min", "as the tables allow", largest["base-loss-min"]),
            ("L0_high, L1_high and L_cap", "as the tables allow", high),
            ("(S - X) L0_low, S L1_high and their difference", "10^6 max L1_high", SHARE_SCALE * high),
        ]
    return [(name, formula, number.bit_length()) for name, formula, number in numbers]
