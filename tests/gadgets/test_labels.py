"""Shows that labels are the known ones and that each selected logit is that of the row's class.

A prover commits other labels, or the logit of another class, and every single change fails; two
models select from the same labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gadgets.gadget_circuits import Circuit, run
from tests.gadgets.loss_circuits import derive_targets
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import as_ints
from zkfed.gadgets.labels import Labels
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear

R = BLS12_381.order
ROWS = 4


def selection(outputs: int) -> tuple[Circuit, list[Linear], Linear]:
    """Returns a circuit in which two models select, and the selected wires and the labels."""
    builder = Builder("labels")
    labels = Labels(builder, (ROWS, outputs), builder.segment("s"))
    logits = [builder.input(name, (ROWS * outputs,), bounds=(-100, 100)).reshape(ROWS, outputs) for name in "zw"]
    own = [labels.select(name, z) for name, z in zip(("new", "old"), logits, strict=True)]
    rho, tau = builder.challenge("rho", "tau")
    labels.close(rho, tau, builder.input("targets", (outputs,)))
    rand = np.random.default_rng(outputs)
    y = rand.integers(0, max(outputs, 2), ROWS)
    targets = np.eye(outputs, dtype=np.int64)[y] if outputs > 1 else 2 * y[:, None] - 1
    static = {name: as_ints(rand.integers(-100, 101, ROWS * outputs)) for name in "zw"}
    circuit = Circuit(builder.finish(), static, {"targets": targets, "known": targets}, None, derive_targets)
    return circuit, own, labels.wires


def with_values(circuit: Circuit, changes: dict[bytes, Any]) -> Circuit:
    """Returns the circuit with a prover who commits other values for some wires."""

    def committed(values: Any) -> Any:
        return lambda _values: as_ints(values)

    steps = tuple(
        (s, w, committed(changes[w.tobytes()]) if w.tobytes() in changes else h) for s, w, h in circuit.system.steps
    )
    return replace(circuit, system=replace(circuit.system, steps=steps))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_selected_logits_are_those_of_the_labels(outputs: int) -> None:
    circuit, own, _ = selection(outputs)
    z = run(circuit).check()
    for name, selected in zip("zw", own, strict=True):
        logits = circuit.static[name].reshape(ROWS, outputs)
        expected = (logits * circuit.private["targets"]).sum(axis=1) % R
        assert z[circuit.system.final_of[selected.wires]].tolist() == expected.tolist()


@pytest.mark.parametrize("outputs", [1, 3])
@given(
    model=st.integers(0, 1), row=st.integers(0, ROWS - 1), error=st.one_of(st.integers(-3, 3), st.integers(1, R - 1))
)
def test_no_other_logit_is_selected(outputs: int, model: int, row: int, error: int) -> None:
    circuit, own, _ = selection(outputs)
    logits = circuit.static["zw"[model]].reshape(ROWS, outputs)
    values = (logits * circuit.private["targets"]).sum(axis=1)
    values[row] += error
    forged = with_values(circuit, {own[model].wires.tobytes(): values})
    assert run(forged).failing() == ({"labels/equal"} if error % R else set())


def test_the_logit_of_another_class_is_refused() -> None:
    circuit, own, _ = selection(3)
    values = circuit.static["z"].reshape(ROWS, 3)[:, 0]
    forged = with_values(circuit, {own[0].wires.tobytes(): values})
    assert run(forged).failing() == {"labels/equal"}


@pytest.mark.parametrize("outputs", [1, 3])
@given(data=st.data())
def test_no_other_labels_are_committed(outputs: int, data: st.DataObject) -> None:
    """Also labels that are no labels: the selected logits are computed from them."""
    circuit, _, _ = selection(outputs)
    entry = st.one_of(st.integers(-2, 2), st.integers(-(1 << 60), 1 << 60))
    errors = data.draw(st.lists(entry, min_size=ROWS * outputs, max_size=ROWS * outputs))
    targets = circuit.private["targets"] + as_ints(errors).reshape(ROWS, outputs)
    assert run(circuit, targets=targets).failing() == ({"labels/equal"} if any(errors) else set())


def test_errors_of_labels_and_logits_do_not_cancel() -> None:
    """One row's wrong label made good by its own logit, by another row's, or by the other model's."""
    circuit, own, labels = selection(3)
    targets = circuit.private["targets"]
    moved = targets.copy()
    moved[0] = np.roll(targets[0], 1)
    logits = [circuit.static[name].reshape(ROWS, 3) for name in "zw"]
    honest = [(z * targets).sum(axis=1) for z in logits]
    swapped = moved.copy()
    swapped[1] = targets[1] + targets[0] - moved[0]
    for committed in (moved, swapped):
        for selected in (honest, [(z * committed).sum(axis=1) for z in logits], honest[::-1]):
            changes = {labels.wires.tobytes(): committed.ravel()}
            changes |= {o.wires.tobytes(): v for o, v in zip(own, selected, strict=True)}
            assert run(with_values(circuit, changes)).failing() == {"labels/equal"}


def test_labels_from_which_nothing_is_selected_are_refused() -> None:
    builder = Builder("b")
    labels = Labels(builder, (2, 1), builder.segment("s"))
    rho, tau = builder.challenge("rho", "tau")
    with pytest.raises(ValueError, match="nothing is selected"):
        labels.close(rho, tau, builder.input("targets", (1,)))


def test_operands_are_committed_before_the_challenges() -> None:
    builder = Builder("b")
    labels = Labels(builder, (2, 1), builder.segment("s"))
    late = builder.product("late", builder.input("x", (2,), bounds=(0, 3)), builder.input("y", (2,), bounds=(0, 3)))
    labels.select("new", late.reshape(2, 1))
    rho, tau = builder.challenge("rho", "tau")
    with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
        labels.close(rho, tau, builder.input("targets", (1,)))
