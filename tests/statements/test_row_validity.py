"""Shows that R, as a circuit, accepts exactly the rows that are valid and whose sketch is the linked one.

Edges of the range are exact, a target column is one-hot or -1 and 1, class bounds are exact, no
wire but masks and ctx has a second value, and a prover who computes on gets nowhere. The sketch
stands for the registered rows here: the link, which ties it to them, is tests/attacks/test_registration_cheats.py's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.witness_runner import Run, free_wires, names_of
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import as_ints, batch_inverse, powers
from zkfed.errors import ProofInvalid, UnsatisfiedConstraint
from zkfed.r1cs.builder import Values
from zkfed.r1cs.system import System
from zkfed.statements.row_validity import class_values, group_width, registration_circuit

CURVES = pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
SHAPES = [(3, 3, 6), (3, 2, 6), (3, 1, 6), (1, 3, 4), (1, 1, 4)]
SHARED = (5, 3, 200)
"""Rows enough for two tables: three columns share one, two the other."""


def rows_of(features: int, classes: int, rows: int, seed: int = 1) -> Any:
    """Returns valid rows, no entry of which is 0 but for one-hot targets; as many as possible of each class."""
    rand = np.random.default_rng(seed)
    x = rand.integers(1, 127, (rows, features)) * rand.choice([-1, 1], (rows, features))
    y = np.arange(rows) % classes
    if classes == 1:
        targets = rand.integers(1, 127, (rows, 1))
    elif classes == 2:
        targets = 2 * y[:, None] - 1
    else:
        targets = (y[:, None] == np.arange(classes)).astype(np.int64)
    return np.concatenate([x, targets], axis=1).astype(object)


def run_of(system: System, rows: Any, least: int = 0, most: int | None = None, *, is_strict: bool = True) -> Run:
    static = {"class-rows-min": least, "class-rows-max": len(rows) if most is None else most}
    static = static if any(i.name in static for i in system.inputs) else {}
    return Run(system, static, {"rows": rows}, seed=3, is_strict=is_strict)


def failing(system: System, rows: Any, *bounds: int) -> set[str]:
    """Returns the tensors whose constraints fail for a prover who computes on; none if it is accepted."""
    names = run_of(system, rows, *bounds, is_strict=False).failing()
    if names:
        with pytest.raises(UnsatisfiedConstraint):
            run_of(system, rows, *bounds).check()
    return names


def with_value(rows: Any, row: int, column: int, value: int) -> Any:
    changed = rows.copy()
    changed[row, column] = value
    return changed


@CURVES
@pytest.mark.parametrize("shape", [*SHAPES, SHARED, (2, 12, 30)])
def test_valid_rows_satisfy(shape: tuple[int, int, int], curve: Any) -> None:
    run_of(registration_circuit(*shape, curve.name), rows_of(*shape)).check()


def test_columns_share_tables_as_rows_allow() -> None:
    assert [group_width(5, 200), group_width(3, 6), group_width(64, 1000), group_width(64, 1 << 16)] == [3, 3, 4, 1]


def test_constraints_of_a_thousand_rows() -> None:
    """64 features and 10 classes: one row an entry, and about 15 % for tables, powers and classes."""
    system = registration_circuit(64, 10, 1000)
    assert system.constraint_count == 73415
    assert system.domain_size == 1 << 17


@pytest.mark.parametrize("shape", [(3, 3, 6), (3, 1, 6), SHARED])
def test_the_edges_of_the_range_are_exact(shape: tuple[int, int, int]) -> None:
    system, rows = registration_circuit(*shape), rows_of(*shape)
    for column in {0, 1, shape[0] - 1}:
        for value, expected in ((-128, True), (127, True), (0, True), (-129, False), (128, False), (1 << 60, False)):
            found = failing(system, with_value(rows, 2, column, value))
            assert bool(found) != expected
            # The table has no entry for it, so N misses it; the sketch, which has it, fits N no more.
            assert {name.rsplit("/", 1)[0] for name in found} <= {"numbers/0", "numbers/1", "numbers/2", "sketch"}


def test_the_edges_of_a_regression_target_are_exact() -> None:
    system, rows = registration_circuit(3, 1, 6), rows_of(3, 1, 6)
    for value, expected in ((-128, True), (127, True), (-129, False), (128, False)):
        assert bool(failing(system, with_value(rows, 5, 3, value))) != expected


ONE_HOT = [(0, 0, 0), (1, 1, 0), (1, 1, 1), (0, 0, 2), (2, -1, 0), (0, 2, -1), (-1, 1, 1), (0, 1, 1), (1, -1, 0)]


@pytest.mark.parametrize("targets", ONE_HOT)
def test_a_target_that_is_not_one_hot_is_refused(targets: tuple[int, ...]) -> None:
    """Whatever label the prover claims for it."""
    system, rows = registration_circuit(3, 3, 6), rows_of(3, 3, 6)
    rows[4, 3:] = targets
    assert failing(system, rows) >= {"labels/sum"}
    for label in (-1, 0, 1, 2, 3):
        lying = changed(
            system, "labels", lambda honest, label=label: honest if len(honest) != 6 else put(honest, 4, label)
        )
        assert "labels/sum" in run_of(lying, rows, is_strict=False).failing()


@pytest.mark.parametrize("target", [0, 2, -2, 127])
def test_a_binary_target_is_minus_one_or_one(target: int) -> None:
    system, rows = registration_circuit(3, 2, 6), with_value(rows_of(3, 2, 6), 1, 3, target)
    assert failing(system, rows) >= {"labels/sum"}


@pytest.mark.parametrize("shape", [(3, 3, 6), (3, 2, 6), (2, 12, 30)])
def test_class_bounds_are_exact(shape: tuple[int, int, int]) -> None:
    system, rows = registration_circuit(*shape), rows_of(*shape)
    labels = rows[:, shape[0] :] @ np.arange(shape[1]) if shape[1] > 2 else rows[:, -1]
    counts = [int((labels == value).sum()) for value in class_values(shape[1])]
    least, most = min(counts), max(counts)
    assert not failing(system, rows, least, most)
    assert failing(system, rows, least + 1, most) == {"class-rows-min/sum"}
    assert failing(system, rows, least, most - 1) == {"class-rows-max/sum"}


@given(st.lists(st.integers(0, 2), min_size=6, max_size=6), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=25)
def test_any_labels_are_accepted_exactly_within_the_bounds(labels: list[int], least: int, most: int) -> None:
    system, rows = registration_circuit(3, 3, 6), rows_of(3, 3, 6)
    rows[:, 3:] = np.identity(3, dtype=np.int64)[labels]
    counts = np.bincount(labels, minlength=3)
    assert bool(failing(system, rows, least, most)) != (counts.min() >= least and counts.max() <= most)


@pytest.mark.parametrize("bounds", [(-1, 6), (0, 7), (7, 6), (BLS12_381.order - 1, 6)])
def test_class_bounds_beyond_the_rows_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ProofInvalid, match="outside its range"):
        run_of(registration_circuit(3, 3, 6), rows_of(3, 3, 6), *bounds).check()


@pytest.mark.parametrize("shape", [*SHAPES, SHARED])
def test_only_masks_and_ctx_have_a_second_value(shape: tuple[int, int, int]) -> None:
    system = registration_circuit(*shape)
    z = run_of(system, rows_of(*shape)).check()
    free = free_wires(system, z)
    assert names_of(system, free) == {"input/ctx", "mask/stage-0", "mask/rows", "mask/stage-1"}
    assert len(free) == 4


# -- provers who compute on ------------------------------------------------------------------------


def put(values: Any, at: int, value: int) -> Any:
    out = np.asarray(values, dtype=object).copy()
    out[at] = value
    return out


def changed(system: System, constraint: str, edit: Any, *, stage: int | None = None) -> System:
    """Returns a system in which `edit` sees the results of the hints of a stage: it tells them by their size."""
    chosen = {"labels": 0, "sketch": 1, "sums": 1}[constraint] if stage is None else stage

    def wrapped(hint: Any) -> Any:
        return lambda values: edit(np.asarray(hint(values), dtype=object).ravel())

    return replace(system, steps=tuple((s, w, wrapped(h) if s == chosen else h) for s, w, h in system.steps))


@pytest.mark.parametrize("shape", [(3, 3, 6), (3, 2, 6), (3, 1, 6), SHARED])
def test_rows_that_are_not_the_registered_ones_do_not_fit_the_sketch(shape: tuple[int, int, int]) -> None:
    """The sketch comes from the commitments: every entry that the circuit sees differently shows."""
    system, registered = registration_circuit(*shape), rows_of(*shape)

    def sketch(values: Values) -> Any:
        theta = values.z[next(i for i, wire in enumerate(system.final_of) if wire == theta_wire(system))]
        return powers(int(theta), len(registered) + 1, values.order)[1:] @ registered % values.order

    columns = registered.shape[1]
    linked = next(i for i, (s, w, _) in enumerate(system.steps) if s == 1 and len(w) == columns)
    steps = [*system.steps]
    steps[linked] = (1, steps[linked][1], sketch)
    tied = replace(system, steps=tuple(steps))
    assert not run_of(tied, registered, is_strict=False).failing()
    swapped = registered.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    others = [swapped, with_value(registered, 0, 0, 5), with_value(registered, 3, shape[0] - 1, 9)]
    for column in (0, shape[0] - 1):
        # Column sums and row sums stay.
        moved = registered.copy()
        moved[0, column] += 1
        moved[1, column] -= 1
        others.append(moved)
    for rows in others:
        found = run_of(tied, rows, is_strict=False).failing()
        assert any(name.startswith("sketch/") for name in found)


def theta_wire(system: System) -> int:
    return next(i.start for i in system.inputs if i.name == "theta")


@pytest.mark.parametrize("classes", [2, 3])
def test_false_class_counts_are_refused_even_if_they_add_up(classes: int) -> None:
    """The counts are committed before theta: no sketch can make up for one."""
    system, rows = registration_circuit(3, classes, 6), rows_of(3, classes, 6)

    def lie(values: Any) -> Any:
        return values if len(values) != classes else values + as_ints([1, -1] + [0] * (classes - 2))

    lying = changed(system, "labels", lie)
    assert run_of(lying, rows, is_strict=False).failing() >= {"labels/sum"}


def test_a_value_out_of_range_is_not_hidden_by_sums_fitted_to_the_sketch() -> None:
    """The prover chooses N so that sum t N_t is the sketch of 200: then the lookup fails, at any alpha."""
    system = registration_circuit(3, 1, 6)
    rows = with_value(rows_of(3, 1, 6), 2, 0, 200)
    assert run_of(system, rows, is_strict=False).failing() == {"numbers/0/sum", "sketch/0"}
    order = system.curve.order
    weight: dict[str, int] = {}

    def fitted(values: Any) -> Any:
        if len(values) != 256:
            weight.setdefault("theta^3", int(values[2])) if len(values) == 24 else None
            return values
        # 200 = 127 + 73: its weight goes to both entries.
        return (
            put(put(values, 255, values[255] + weight["theta^3"]), 128 + 73, values[128 + 73] + weight["theta^3"])
            % order
        )

    assert run_of(changed(system, "sums", fitted), rows, is_strict=False).failing() == {"numbers/0/sum"}


# -- a constraint left out -------------------------------------------------------------------------


def broken(system: System, z: Any) -> list[int]:
    az, bz, cz = system.evaluate(z)
    return [int(row) for row in np.flatnonzero((az * bz - cz) % system.curve.order)]


def rows_named(system: System, name: str) -> range:
    label = next(x for x in system.labels if x.name == name)
    return range(label.start, label.start + label.size)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize(("name", "counts", "bounds"), [("min", (1, 3, 2), (2, 6)), ("max", (4, 1, 1), (0, 3))])
def test_without_any_one_row_of_a_class_bound_the_bound_is_broken(
    name: str, counts: tuple[int, ...], bounds: tuple[int, int], which: int
) -> None:
    """Class `which` alone has one row too few, or too many: the slack is -1."""
    system, rows = registration_circuit(3, 3, 6), rows_of(3, 3, 6)
    labels = np.repeat([which, (which + 1) % 3, (which + 2) % 3], counts)
    rows[:, 3:] = np.identity(3, dtype=np.int64)[labels]
    z = run_of(system, rows, *bounds, is_strict=False).assignment()
    assert broken(system, z) == [rows_named(system, f"class-rows-{name}/sum")[which]]
    bits = 3
    assert len(rows_named(system, f"class-rows-{name}/boolean")) == 3 * bits
    for j in range(bits):
        row = rows_named(system, f"class-rows-{name}/boolean")[which * bits + j]
        (bit,) = system.a.columns[system.a.indptr[row] : system.a.indptr[row + 1]]
        cheat = z.copy()
        assert cheat[bit] == 0
        cheat[bit] = -pow(1 << j, -1, system.curve.order) % system.curve.order
        assert broken(system, cheat) == [row]


@pytest.mark.parametrize("left_out", range(24))
def test_without_any_one_power_of_theta_other_rows_than_the_registered_are_proven(left_out: int) -> None:
    """The power that has no row is chosen after theta, for the sketch of the registered rows.

    For a regression. With labels the first M powers are tied a second time (tests/evidence/reviewed.py).
    """
    system, registered = registration_circuit(3, 1, 6), rows_of(3, 1, 6)
    shown, order = with_value(registered, 0, 0, registered[0, 0] + 1), system.curve.order

    def weights(theta: int, shift: int) -> Any:
        out = powers(theta, 25, order)[1:]
        out[left_out:] += shift * powers(theta, 24 - left_out, order)
        return out % order

    def powers_of(values: Values) -> Any:
        theta = int(values.z[list(system.final_of).index(theta_wire(system))])
        v = powers(theta, 7, order)[1:] @ registered % order

        def gap(shift: int) -> int:
            w = weights(theta, shift)
            return int(v[0] + w[5:23:6] @ v[1:] - w @ shown.T.ravel()) % order

        slope = (gap(1) - gap(0)) % order
        return weights(theta, -gap(0) * pow(slope, -1, order) % order)

    def sketch(values: Values) -> Any:
        theta = int(values.z[list(system.final_of).index(theta_wire(system))])
        return powers(theta, 7, order)[1:] @ registered % order

    own = {24: powers_of, 4: sketch}
    steps = tuple((s, w, own.get(len(w), h) if s == 1 else h) for s, w, h in system.steps)
    z = run_of(replace(system, steps=steps), shown, is_strict=False).assignment()
    assert broken(system, z) == [rows_named(system, "powers")[left_out]]


def test_control_without_weights_the_sketch_would_say_nothing() -> None:
    """Why theta: with all weights 1 a range holds for rows in any order, and so does their sum."""
    x = as_ints([3, -5, 7])
    order, alpha = BLS12_381.order, 1 << 200
    for column in (x, x[::-1]):
        left = batch_inverse((alpha - column) % order, order).sum() % order
        assert left == sum(pow(alpha - t, -1, order) for t in (-5, 3, 7)) % order
        assert column.sum() == 5
