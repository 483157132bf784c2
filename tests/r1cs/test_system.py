"""Shows what a finished system says: its digest, its errors, and what they never say.

The digest changes with everything that makes the statement and with nothing else. An
unsatisfied constraint is named by tensor, position and sizes; no secret enters a text.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.witness_runner import Run
from zkfed.algebra.curve import BN254
from zkfed.errors import UnsatisfiedConstraint
from zkfed.policy import LinearModel
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import constant
from zkfed.r1cs.system import SparseMatrix, System
from zkfed.r1cs.witness import Assignment
from zkfed.statements.improvement import improvement_circuit

SECRET = 918273645546372819


def squares() -> System:
    """Builds x_ij^2 = y_ij for public y and the secret x."""
    builder = Builder("squares")
    y = builder.input("y", (6,), bounds=(0, 1 << 140))
    builder.segment("s")
    x = builder.witness("x", (2, 3), lambda v: np.asarray(v.private["x"], dtype=object), segment="s")
    builder.enforce("square", x, x, y.reshape(2, 3))
    return builder.finish()


def test_an_unsatisfied_constraint_is_named_without_its_values() -> None:
    x = np.array([[1, 2, 3], [4, SECRET, 6]], dtype=object)
    y = (x * x).ravel()
    Run(squares(), {"y": y}, {"x": x}).check()
    wrong = y.copy()
    wrong[4] += 1
    with pytest.raises(UnsatisfiedConstraint) as caught:
        Run(squares(), {"y": wrong}, {"x": x}).check()
    assert (caught.value.constraint, caught.value.position) == ("square", (1, 1))
    text = str(caught.value)
    assert text == (
        "squares: constraint square[1, 1] does not hold (A 60 bits, B 60 bits, C 120 bits); 1 of 14 constraints fail"
    )
    assert str(SECRET) not in text
    assert str(SECRET**2) not in text


def test_the_first_of_many_is_named_and_negative_values_are_small() -> None:
    x = np.array([[-1, -2, 3], [4, 5, 6]], dtype=object)
    with pytest.raises(UnsatisfiedConstraint, match=r"square\[0, 1\] .*A 2 bits, B 2 bits, C 1 bits\); 5 of 14"):
        Run(squares(), {"y": [1] * 6}, {"x": x}).check()


def test_a_hint_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a hint returned 5 values for 6 wires"):
        Run(squares(), {"y": [1] * 6}, {"x": np.arange(5)}).check()


@pytest.mark.parametrize("value", [1.0, float("nan"), True, np.int64(3), None, "1"], ids=repr)
def test_a_hint_that_returns_no_integer_is_refused(value: Any) -> None:
    x = np.full((2, 3), 1, dtype=object)
    x[1, 1] = value
    with pytest.raises(TypeError, match=f"a hint returned {type(value).__name__}, expected int"):
        Run(squares(), {"y": [1] * 6}, {"x": x}).check()


def test_no_repr_shows_a_secret() -> None:
    system = squares()
    x = np.full((2, 3), SECRET, dtype=object)
    assignment = Assignment(system, system.layout.check_static({"ctx": 1, "y": [1] * 6}), {"x": x})
    assignment.run(0)
    assignment.set_mask(system.segments[0], SECRET)
    for thing in (assignment, assignment.values, system, system.layout):
        assert str(SECRET) not in f"{thing!r} {thing}"
    assert repr(assignment) == "Assignment(squares, 15 wires, values hidden)"
    assert SECRET in assignment.segment(system.segments[0])


# -- digest --------------------------------------------------------------------------------------


def variant(
    *, name: str = "d", version: int = 1, coefficient: int = 2, bound: int = 9, segment: str = "s", stage: int = 0
) -> System:
    """Builds one circuit of a family, all with the same wires and rows."""

    def hint(_values: Values) -> Any:
        return np.zeros(2, dtype=object)

    builder = Builder(name, version=version)
    x = builder.input("x", bounds=(0, bound))
    if stage == 0:
        builder.input("y")
    builder.segment(segment)
    w = builder.witness("w", (2,), hint, segment=segment)
    builder.enforce("row", w * coefficient, constant(1), x)
    if stage == 1:
        builder.challenge("y")
    return builder.finish()


def test_equal_circuits_have_equal_digests() -> None:
    assert variant().digest == variant().digest
    assert len(variant().digest) == 32


@pytest.mark.parametrize(
    "other",
    [
        {"name": "e"}, {"version": 2}, {"coefficient": 3}, {"bound": 10}, {"segment": "t"}, {"stage": 1},
    ],
    ids=str,
)  # fmt: skip
def test_every_change_of_the_circuit_changes_the_digest(other: dict[str, Any]) -> None:
    assert variant(**other).digest != variant().digest


def changed(matrix: SparseMatrix, what: str) -> SparseMatrix:
    columns, coefficients, indptr = matrix.columns.copy(), matrix.coefficients.copy(), matrix.indptr.copy()
    if what == "column":
        columns[0] = 3 if columns[0] != 3 else 2
    elif what == "coefficient":
        coefficients[0] += 1
    else:
        indptr[1:-1] = indptr[2:]
    return SparseMatrix(indptr, columns, coefficients)


@pytest.mark.parametrize("side", ["a", "b", "c"])
@pytest.mark.parametrize("what", ["column", "coefficient", "row"])
def test_every_change_of_a_matrix_changes_the_digest(side: str, what: str) -> None:
    system = variant()
    assert replace(system, **{side: changed(getattr(system, side), what)}).digest != system.digest


def test_every_change_of_the_layout_changes_the_digest() -> None:
    system = improvement_circuit(LinearModel(3, 3), 20)
    first, challenge = system.inputs[0], next(i for i in system.inputs if i.is_challenge)
    at = system.inputs.index(challenge)
    link, segment = system.links[0], system.segments[0]
    others = [
        replace(system, curve=BN254),
        replace(system, wire_count=system.wire_count + 1),
        replace(system, links=(replace(link, use="noise"),)),
        replace(system, links=(replace(link, lanes=6),)),
        replace(system, links=(replace(link, lane_bits=31),)),
        replace(system, links=()),
        replace(system, segments=(replace(segment, is_linked=False), *system.segments[1:])),
        replace(system, segments=(replace(segment, stage=1), *system.segments[1:])),
        replace(system, segments=(replace(segment, stop=segment.stop + 1), *system.segments[1:])),
        replace(system, inputs=(replace(first, bounds=(0, 1)), *system.inputs[1:])),
        replace(system, inputs=(replace(first, shape=(2,)), *system.inputs[1:])),
        replace(system, inputs=(*system.inputs[:at], replace(challenge, is_challenge=False), *system.inputs[at + 1 :])),
    ]
    assert len({system.digest, *(other.digest for other in others)}) == len(others) + 1


def test_labels_and_hints_are_not_part_of_the_statement() -> None:
    system = squares()
    assert replace(system, labels=(), steps=()).digest == system.digest


def test_digests_are_the_same_in_every_process() -> None:
    script = (
        "from zkfed.policy import LinearModel\n"
        "from zkfed.statements.improvement import improvement_circuit\n"
        "print(improvement_circuit(LinearModel(3, 3), 20).digest.hex())"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-O", "-c", script], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == improvement_circuit(LinearModel(3, 3), 20).digest.hex()
