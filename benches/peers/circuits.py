"""The circuits that every prover gets, as one `.r1cs` and one `.wtns` file each.

dense         a chain of squarings: every wire is a full-size field element
mixed         nine boolean wires of ten, and a chain of squarings: what bit decompositions look like
improvement   our own: the loss of a softmax layer fell on 200 public rows (statements/), for the
              digits of scikit-learn (64 x 10) and for random rows of the shape of MNIST (784 x 10)
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import zkfed
from zkfed.algebra.curve import CURVES, Curve
from zkfed.algebra.field import Ints
from zkfed.r1cs.system import Input, Label, SparseMatrix, System
from zkfed.r1cs.witness import Assignment
from zkfed.statements.improvement import Benchmark, PublicTerms, improvement_circuit

__all__ = ["CIRCUITS", "Spec", "dense", "digits", "drawn", "improvement", "mixed"]

Data = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
"""Features in [-1, 1], a row each, and class numbers."""
Rows = list[list[tuple[int, int]]]
"""The terms (wire, coefficient) of each row."""


@dataclass(frozen=True)
class Spec:
    """A circuit of the bench: `build` returns it with a witness in final order."""

    name: str
    curve: str
    build: Callable[[Curve], tuple[System, Ints]]
    is_large: bool = False

    @property
    def key(self) -> str:
        return f"{self.name}-{self.curve}"


def _matrix(rows: Rows) -> SparseMatrix:
    lengths = [len(row) for row in rows]
    terms = [term for row in rows for term in row]
    coefficients = np.empty(len(terms), dtype=object)
    coefficients[:] = [c for _, c in terms]
    return SparseMatrix(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([w for w, _ in terms], dtype=np.int64),
        coefficients,
    )


def _system(name: str, curve: Curve, sides: tuple[Rows, Rows, Rows], wires: int) -> System:
    """Returns a system with the one public wire 1, the output of the chain."""
    a, b, c = (_matrix(rows) for rows in sides)
    public = Input("public", (), 1, 0, False, None)
    labels = (Label("row", (len(sides[0]),), 0),)
    order: npt.NDArray[np.int64] = np.arange(wires)
    return System(name, 1, curve, (public,), (), (), wires, a, b, c, labels, (), order)


def _chain(first: int, count: int, curve: Curve) -> tuple[tuple[Rows, Rows, Rows], list[int]]:
    """Squares a wire `count` times; returns the rows and the values of the chain, output last.

    The chain's wires are `first`, first + 1, ...; its output, with 1 added, is the wire 1. So
    the constant wire stands in a row, as it does in every real circuit.
    """
    r = curve.order
    values = [0x1234567890ABCDEF % r]
    for _ in range(count):
        values.append(values[-1] * values[-1] % r)
    values[-1] = (values[-1] + 1) % r
    sides: Rows = [[(first + i, 1)] for i in range(count)]
    out: Rows = [*sides[1:], [(0, r - 1), (1, 1)]]
    return (sides, sides, out), values


def dense(constraints: int, curve: Curve) -> tuple[System, Ints]:
    """Returns `constraints` squarings in a chain: wires 1 | output | start, squares."""
    sides, values = _chain(2, constraints, curve)
    system = _system(f"dense-{constraints}", curve, sides, constraints + 2)
    return system, np.array([1, values[-1], *values[:-1]], dtype=object)


def mixed(constraints: int, curve: Curve) -> tuple[System, Ints]:
    """Returns nine rows b (b - 1) = 0 for each squaring: wires 1 | output | booleans | chain."""
    bits = constraints * 9 // 10
    sides, values = _chain(2 + bits, constraints - bits, curve)
    minus = curve.order - 1
    wires = range(2, 2 + bits)
    boolean: tuple[Rows, Rows, Rows] = ([[(w, 1)] for w in wires], [[(0, minus), (w, 1)] for w in wires], [[]] * bits)
    a, b, c = (left + right for left, right in zip(boolean, sides, strict=True))
    draw = random.Random(1)
    z = [1, values[-1], *[draw.getrandbits(1) for _ in range(bits)], *values[:-1]]
    return _system(f"mixed-{constraints}", curve, (a, b, c), len(z)), np.array(z, dtype=object)


def digits() -> Data:
    """Returns the digits of scikit-learn: 64 features, 10 classes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data / 16.0, data.target


def drawn(features: int = 784) -> Data:
    """Returns random rows of 10 classes that a linear model tells apart."""
    generator = np.random.default_rng(3)
    y = generator.integers(0, 10, 1200)
    centres = generator.uniform(0, 1, (10, features))
    return np.clip(centres[y] + generator.normal(0, 0.3, (len(y), features)), -1, 1), y


def improvement(curve: Curve, data: Data) -> tuple[System, Ints]:
    """Returns the improvement circuit with a real witness: least squares, tested on the first 200 rows.

    As a plain R1CS: its committed wires are private wires, and the challenges are public
    inputs with values that this function draws.
    """
    (x, y), rows = data, 200
    model = zkfed.LinearModel(features=x.shape[1], classes=10)
    biased = np.hstack([x[rows:], np.ones((len(x) - rows, 1))])
    after = np.linalg.solve(biased.T @ biased + 10.0 * np.identity(model.inputs), biased.T @ np.eye(10)[y[rows:]])
    update = np.rint(np.clip(after, -0.9, 0.9) * 2**15).astype(np.int64)

    system = improvement_circuit(model, rows, curve.name)
    terms = PublicTerms.of(model, rows, np.zeros_like(update), Benchmark.of(model, x[:rows], y[:rows]))
    static = {"squared-norm-max": model.parameters << 30, "loss-change-max": terms.loss_change_max(50_000, 1), "ctx": 1}
    instance = terms.instance(
        bytes(32), None, squared_norm_max=static["squared-norm-max"],
        loss_change_max=static["loss-change-max"], curve=curve,
    )  # fmt: skip
    private = {"update": update.ravel(), "gram": terms.gram, "gradient": terms.gradient}
    assignment = Assignment(system, system.layout.check_static(static), private)
    draw, challenges = random.Random(2), {}
    for stage in range(system.stage_count + 1):
        if stage:
            drawn = {i.name: draw.randrange(curve.order) for i in system.inputs if i.stage == stage and i.is_challenge}
            challenges |= drawn
            assignment.set_inputs(stage, drawn | instance.derive(stage, challenges))
        assignment.run(stage)
    for segment in system.segments:
        assignment.set_mask(segment, draw.randrange(curve.order))
    return system, assignment.final()


# Slightly below the power of two: every prover adds a few rows of its own for the public wires.
CIRCUITS = [
    *(Spec("improvement-64x10-n200", curve, lambda c: improvement(c, digits())) for curve in CURVES),
    *(Spec("improvement-784x10-n200", curve, lambda c: improvement(c, drawn())) for curve in CURVES),
    *(
        Spec(f"{kind.__name__}-{size}", curve, lambda c, kind=kind, size=size: kind(size, c), is_large=size > 1 << 16)
        for size in (65_528, 262_136)
        for kind in (dense, mixed)
        for curve in CURVES
    ),
]
