"""Accept and reject vectors of the frozen statements.

The inputs are drawn from SHA-256, so that any language can draw them again; what is expected
is written down here by hand, not computed by the circuit. Integers that may pass 2^53 are
decimal strings.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import CURVES
from zkfed.policy import LinearModel
from zkfed.statements.improvement import Benchmark, PublicTerms
from zkfed.statements.update_bound import squared_norm_max

__all__ = [
    "VECTOR_MODEL",
    "VECTOR_PARAMETERS",
    "VECTOR_ROWS",
    "bound_vectors",
    "bounded_count_vectors",
    "few_hot_vectors",
    "improvement_vectors",
    "one_hot_vectors",
    "registration_vectors",
]

VECTOR_MODEL, VECTOR_ROWS = LinearModel(3, 3), 20
VECTOR_PARAMETERS = 12
REFUSED = "unsatisfied-constraint"


def drawn(use: str, shape: tuple[int, ...], half: int) -> npt.NDArray[np.int64]:
    """Returns integers in [-half, half): SHA-256("<use>/<i>"), first eight bytes, modulo 2 half, minus half."""
    count = int(np.prod(shape))
    digests = [sha256(f"{use}/{i}".encode()).digest()[:8] for i in range(count)]
    return np.array([int.from_bytes(d, "big") % (2 * half) - half for d in digests], dtype=np.int64).reshape(shape)


def root_of_two(curve: str) -> int:
    """Returns s with s^2 = 2: for a primitive 8th root w, (w + 1/w)^2 = w^2 + w^-2 + 2 = 2."""
    w, order = CURVES[curve].root_of_unity(8), CURVES[curve].order
    return (w + pow(w, -1, order)) % order


def _texts(update: Any) -> Any:
    return [_texts(row) for row in update] if isinstance(update, list) else str(update)


def _reject(name: str, constraint: str, **inputs: Any) -> dict[str, Any]:
    expect = {"code": REFUSED, "constraint": constraint} if constraint else {"code": "proof-invalid"}
    return {"name": name, "expect": expect, **inputs}


def _with(update: Any, position: Any, value: int) -> Any:
    changed = np.asarray(update, dtype=object).copy()
    changed[position] = value
    return changed.tolist()


def bound_vectors(value_bits: int) -> dict[str, Any]:
    """Returns the vectors of S0 (16 bits) or N (29 bits) for 12 coordinates."""
    half, top = 1 << (value_bits - 1), squared_norm_max(VECTOR_PARAMETERS, value_bits)
    update = drawn(f"zkfed vector {value_bits}", (VECTOR_PARAMETERS,), half).tolist()
    norm, zeros = sum(v * v for v in update), [0] * VECTOR_PARAMETERS

    def accept(name: str, values: list[int], norm_max: int) -> dict[str, Any]:
        return {"name": name, "update": _texts(values), "squared-norm-max": str(norm_max), "expect": "accept"}

    def reject(name: str, constraint: str, values: list[int], norm_max: int, **more: Any) -> dict[str, Any]:
        return _reject(name, constraint, update=_texts(values), **{"squared-norm-max": str(norm_max)}, **more)

    wraps = []
    for curve in CURVES:
        root, r = root_of_two(curve), CURVES[curve].order
        fourth = CURVES[curve].root_of_unity(4)
        wraps += [
            reject(f"a square that wraps to 2, {curve}", "update/range", _with(zeros, 0, root), 2, curve=curve),
            reject(f"its negative, {curve}", "update/range", _with(zeros, 0, r - root), 2, curve=curve),
            reject(
                f"squares that cancel, {curve}", "update/range",
                _with(_with(zeros, 0, 12345), 1, 12345 * fourth % r), 0, curve=curve,
            ),
        ]  # fmt: skip
    return {
        "shape": f"P={VECTOR_PARAMETERS}",
        "vectors": [
            accept("norm equal to the bound", update, norm),
            accept("norm far below the bound", update, top),
            accept("zero", zeros, 0),
            accept("least coordinate", _with(update, 3, -half), top),
            accept("largest coordinate", _with(update, 11, half - 1), top),
            accept("all coordinates least", [-half] * VECTOR_PARAMETERS, top),
            reject("norm one above the bound", "update/norm-slack", update, norm - 1),
            reject("any norm against the bound 0", "update/norm-slack", _with(zeros, 7, 1), 0),
            reject("coordinate one below the least", "update/range", _with(update, 3, -half - 1), top),
            reject("coordinate one above the largest", "update/range", _with(update, 11, half), top),
            reject("coordinate far above", "update/range", _with(zeros, 0, 1 << 60), top),
            *wraps,
            reject("bound below 0", "", update, -1),
            reject("bound above the bit budget", "", update, top + 1),
        ],
    }


def improvement_vectors() -> dict[str, Any]:
    """Returns the vectors of S2 for the model 3x3 and 20 rows."""
    model, rows = VECTOR_MODEL, VECTOR_ROWS
    features = drawn("zkfed vector features", (rows, model.features), 127)
    labels = drawn("zkfed vector labels", (rows,), 1 << 20) % model.classes
    base = drawn("zkfed vector base", (model.inputs, model.outputs), 4096)
    terms = PublicTerms.of(model, rows, base, Benchmark.of(model, features, labels))
    # One gradient step. N/2 is the gradient and tr G is above the largest eigenvalue of G, so it improves.
    trace = int(sum(terms.gram[i, i] for i in range(model.inputs)))
    update = np.asarray(-terms.gradient // (2 * trace), dtype=object)
    norm, change, top = int((update**2).sum()), terms.loss_change(update), squared_norm_max(model.parameters, 16)

    def vector(values: Any, norm_max: int, change_max: int) -> dict[str, Any]:
        bounds = {"squared-norm-max": str(norm_max), "loss-change-max": str(change_max)}
        return {"update": _texts(np.asarray(values, dtype=object).tolist()), **bounds}

    def accept(name: str, **inputs: Any) -> dict[str, Any]:
        return {"name": name, "expect": "accept", **inputs}

    wraps = [
        _reject(f"a square that wraps to 2, {curve}", "update/range", curve=curve,
                **vector(_with(0 * update, (0, 0), root_of_two(curve)), 2, -1))
        for curve in CURVES
    ]  # fmt: skip
    return {
        "shape": "3x3 n=20",
        "base": base.tolist(),
        "features": features.tolist(),
        "labels": labels.tolist(),
        "base loss": str(terms.loss),
        "vectors": [
            accept("norm and improvement equal to their bounds", **vector(update, norm, change)),
            accept("both far inside", **vector(update, top, -1)),
            _reject("norm one above the bound", "update/norm-slack", **vector(update, norm - 1, change)),
            _reject("improvement one short", "improvement", **vector(update, norm, change - 1)),
            _reject("no update", "improvement", **vector(0 * update, top, -1)),
            _reject("the opposite update", "improvement", **vector(-update, norm, change)),
            _reject("all of the loss", "improvement", **vector(update, norm, -terms.loss)),
            _reject("coordinate one above the largest", "update/range",
                    **vector(_with(update, (1, 2), 1 << 15), top, -1)),
            _reject("coordinate one below the least", "update/range",
                    **vector(_with(update, (3, 0), -(1 << 15) - 1), top, -1)),
            *wraps,
            _reject("no improvement asked for", "", **vector(update, norm, 0)),
            _reject("a worse model allowed", "", **vector(update, norm, 5)),
            _reject("bound above the bit budget", "", **vector(update, top + 1, change)),
        ],
    }  # fmt: skip


def one_hot_vectors() -> dict[str, Any]:
    """Returns the vectors of S4 for four bits."""

    def vector(counts: list[int], total_min: int = 1) -> dict[str, Any]:
        return {"counts": _texts(counts), "total-min": str(total_min)}

    def accept(name: str, *inputs: Any) -> dict[str, Any]:
        return {"name": name, "expect": "accept", **vector(*inputs)}

    def reject(name: str, constraint: str, *inputs: Any) -> dict[str, Any]:
        return _reject(name, constraint, **vector(*inputs))

    wraps = []
    for curve in CURVES:
        r = CURVES[curve].order
        half = pow(2, -1, r)
        wraps += [
            _reject(f"two halves, {curve}", "counts/boolean", curve=curve, **vector([half, half, 0, 0])),
            _reject(f"a sum that wraps to 1, {curve}", "counts/boolean", curve=curve, **vector([r - 5, 6, 0, 0])),
        ]
    return {
        "shape": "n=4",
        "vectors": [
            accept("the third of four", [0, 0, 1, 0]),
            accept("the first", [1, 0, 0, 0]),
            accept("the last, where none would do", [0, 0, 0, 1], 0),
            accept("none, where none will do", [0, 0, 0, 0], 0),
            reject("none", "total/at-least", [0, 0, 0, 0]),
            reject("two", "total/at-most-one", [1, 0, 1, 0]),
            reject("two, where none would do", "total/at-most-one", [1, 0, 1, 0], 0),
            reject("all", "total/at-most-one", [1, 1, 1, 1]),
            reject("one counted twice", "counts/boolean", [0, 2, 0, 0]),
            reject("a sum of one from no bits", "counts/boolean", [2, -1, 0, 0]),
            reject("a negative bit", "counts/boolean", [0, 0, 0, -1], 0),
            *wraps,
            reject("a least sum of two", "", [0, 0, 1, 0], 2),
            reject("a least sum below 0", "", [0, 0, 1, 0], -1),
        ],
    }


def few_hot_vectors() -> dict[str, Any]:
    """Returns the vectors of S4 for six bits of which one to three are set."""

    def vector(counts: list[int], total_min: int = 1, total_max: int = 3) -> dict[str, Any]:
        return {"counts": _texts(counts), "total-min": str(total_min), "total-max": str(total_max)}

    def accept(name: str, *inputs: Any) -> dict[str, Any]:
        return {"name": name, "expect": "accept", **vector(*inputs)}

    def reject(name: str, constraint: str, *inputs: Any) -> dict[str, Any]:
        return _reject(name, constraint, **vector(*inputs))

    wraps = []
    for curve in CURVES:
        r = CURVES[curve].order
        half = pow(2, -1, r)
        wraps += [
            _reject(f"two halves, {curve}", "counts/boolean", curve=curve, **vector([half, half, 0, 0, 0, 0])),
            _reject(f"a sum that wraps to 2, {curve}", "counts/boolean", curve=curve, **vector([r - 5, 7, 0, 0, 0, 0])),
        ]
    return {
        "shape": "n=6",
        "vectors": [
            accept("inside", [0, 1, 0, 0, 1, 0]),
            accept("the largest sum", [1, 1, 0, 0, 0, 1]),
            accept("the least sum", [0, 0, 0, 0, 0, 1]),
            accept("none, where none will do", [0, 0, 0, 0, 0, 0], 0),
            accept("all, where all will do", [1, 1, 1, 1, 1, 1], 6, 6),
            reject("none", "total/at-least", [0, 0, 0, 0, 0, 0]),
            reject("one less than the least sum", "total/at-least", [1, 0, 1, 0, 0, 0], 3),
            reject("one more than the largest sum", "total/at-most", [1, 1, 0, 1, 1, 0]),
            reject("all", "total/at-most", [1, 1, 1, 1, 1, 1]),
            reject("one counted twice", "counts/boolean", [0, 2, 0, 0, 0, 0]),
            reject("a sum of three from no bits", "counts/boolean", [5, -2, 0, 0, 0, 0]),
            reject("a negative bit", "counts/boolean", [1, 0, 0, -1, 0, 0], 0),
            *wraps,
            reject("a largest sum above n", "", [0, 0, 1, 0, 0, 0], 1, 7),
            reject("a least sum below 0", "", [0, 0, 1, 0, 0, 0], -1),
        ],
    }


def bounded_count_vectors() -> dict[str, Any]:
    """Returns the vectors of S4 for three counts."""
    top = (1 << 15) - 1

    def vector(counts: list[int], each_max: int = 5, total_min: int = 2, total_max: int = 9) -> dict[str, Any]:
        bounds = {"each-max": each_max, "total-min": total_min, "total-max": total_max}
        return {"counts": _texts(counts), **{name: str(value) for name, value in bounds.items()}}

    def accept(name: str, *inputs: Any) -> dict[str, Any]:
        return {"name": name, "expect": "accept", **vector(*inputs)}

    def reject(name: str, constraint: str, *inputs: Any) -> dict[str, Any]:
        return _reject(name, constraint, **vector(*inputs))

    wraps = [
        _reject(f"a sum that wraps to 3, {curve}", "counts/range", curve=curve,
                **vector([CURVES[curve].order - 2, 5, 0]))
        for curve in CURVES
    ]  # fmt: skip
    return {
        "shape": "n=3",
        "vectors": [
            accept("inside", [5, 0, 3]),
            accept("the largest sum", [5, 4, 0]),
            accept("the least sum", [0, 1, 1]),
            accept("nothing, where nothing will do", [0, 0, 0], 5, 0, 0),
            accept("everything as large as can be", [top, top, top], top, 3 * top, 3 * top),
            reject("a count one above the largest", "counts/at-most-each", [6, 0, 0]),
            reject("a count below 0", "counts/range", [-1, 4, 1]),
            reject("a count beyond its range", "counts/range", [top + 1, 0, 0], top, 0, 3 * top),
            reject("a sum one above the largest", "total/at-most", [5, 5, 0]),
            reject("a sum one below the least", "total/at-least", [0, 1, 0]),
            *wraps,
            reject("a bound on each beyond the range", "", [5, 0, 3], top + 1),
            reject("a sum beyond the bit budget", "", [5, 0, 3], 5, 2, 3 * top + 1),
            reject("a least sum below 0", "", [5, 0, 3], 5, -1),
        ],
    }


def registration_vectors() -> dict[str, Any]:
    """Returns the vectors of R for 3 features, 3 classes and 8 rows."""
    rows, features, classes = 8, 3, 3
    x = drawn("zkfed vector rows", (rows, features), 127)
    labels = np.arange(rows) % classes  # 3, 3 and 2 of each class
    table = np.concatenate([x, labels[:, None] == np.arange(classes)], axis=1)

    def vector(values: Any, least: int, most: int) -> dict[str, Any]:
        return {
            "rows": _texts(np.asarray(values, dtype=object).tolist()),
            "class-rows-min": least,
            "class-rows-max": most,
        }

    def accept(name: str, values: Any, least: int = 0, most: int = rows) -> dict[str, Any]:
        return {"name": name, "expect": "accept", **vector(values, least, most)}

    def reject(name: str, constraint: str, values: Any, least: int = 0, most: int = rows) -> dict[str, Any]:
        return _reject(name, constraint, **vector(values, least, most))

    def target(*values: int) -> Any:
        return _with(table, (5, slice(features, None)), values)

    return {
        "shape": "3x3 M=8",
        "vectors": [
            accept("class rows equal to both bounds", table, 2, 3),
            accept("no bounds on classes", table),
            accept("least feature", _with(table, (3, 1), -128)),
            accept("largest feature", _with(table, (7, 2), 127)),
            accept("two equal rows", _with(table, 3, table[0].tolist())),
            accept("one class only", _with(table, (slice(None), slice(features, None)), [1, 0, 0])),
            reject("feature one below the least", "numbers", _with(table, (3, 1), -129)),
            reject("feature one above the largest", "numbers", _with(table, (7, 2), 128)),
            reject("feature far above", "numbers", _with(table, (0, 0), 1 << 60)),
            reject("no class", "labels", target(0, 0, 0)),
            reject("two classes", "labels", target(1, 1, 0)),
            reject("all classes", "labels", target(1, 1, 1)),
            reject("a class twice", "labels", target(0, 0, 2)),
            reject("entries that add up to one", "labels", target(2, -1, 0)),
            reject("entries that add up to one and look like a class", "labels", target(-1, 1, 1)),
            reject("a class with too few rows", "class-rows-min", table, 3, 8),
            reject("a class with too many rows", "class-rows-max", table, 0, 2),
            reject("a class without rows", "class-rows-min", target(0, 1, 0), 2, 8),
            reject("lower bound below 0", "", table, -1, 8),
            reject("upper bound above M", "", table, 0, 9),
        ],
    }
