"""Shows that gadgets pin every wire that they add, and what each of them costs.

Every wire of a satisfying assignment is set to seven other values, one at a time. Only the
wires on the list below may be free, for the reasons given there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuits.freeze import STATEMENTS
from tests.gadgets.gadget_circuits import CIRCUITS as BASIC
from tests.gadgets.gadget_circuits import Circuit, run, secret
from tests.gadgets.layer_circuits import LAYERS
from tests.gadgets.loss_circuits import LOSSES
from tests.gadgets.weighted_circuits import WEIGHTED
from tests.witness_runner import Run, free_wires, names_of
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import constant

R = BLS12_381.order
CIRCUITS = BASIC | LAYERS | LOSSES | WEIGHTED
COSTS = Path(__file__).parent / "costs.json"

FREE = {
    "input/ctx": "a public input: the verifier computes it, the proof system binds it by its isolated row",
    "mask/s": "a mask hides its segment; it stands in its isolated row only, which holds for every value",
    "mask/t": "the same, of the second stage",
    "mask/stage-0": "the same, under its name in the statements",
}


def default(name: str) -> Circuit:
    return CIRCUITS[name](BLS12_381)


OPERANDS = {
    # Operands of a gadget, not wires that it adds: (their place, the one other value or None for all, why).
    "boolean": ("segment/s", lambda v: 1 - v, "the other bit is a bit too"),
    "squared-norm": ("input/x", lambda v: R - v, "a number and its negative have one square"),
    "cross-entropy below": ("input/z", None, "the logit of another class with the share 0 does not count"),
    "accuracy below": ("input/z", None, "a logit that is neither the own nor the rival one does not count"),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_no_other_value_of_any_wire_is_accepted(name: str) -> None:
    circuit = default(name)
    z = run(circuit).check()
    free = free_wires(circuit.system, z)
    masks = {f"mask/{s.name}" for s in circuit.system.segments}
    place, other, _reason = OPERANDS.get(name, ("", int, ""))
    operands = {wire for wire in free if names_of(circuit.system, [wire]) == {place}}
    assert other is None or all(free[wire] == {other(int(z[wire]))} for wire in operands)
    rest = {wire: values for wire, values in free.items() if wire not in operands}
    assert names_of(circuit.system, rest) == {"input/ctx"} | masks
    assert names_of(circuit.system, rest) <= set(FREE)
    # Free means free: every value is accepted, not a lucky one.
    assert all(len(values) >= 4 for values in rest.values())


def test_the_search_finds_a_wire_that_nothing_pins() -> None:
    builder = Builder("square-root")
    square = builder.input("square", bounds=(0, 100))
    root = builder.witness("root", (), secret("root"))
    builder.enforce("square", root, root, square)
    two = builder.witness("two", (2,), secret("two"))
    builder.enforce("sum", two.sum(), constant(1), square)
    system = builder.finish()
    z = Run(system, {"square": 25}, {"root": 5, "two": [20, 5]}).check()
    free = free_wires(system, z)
    (wire,) = system.final_of[root.wires]
    assert free[int(wire)] == {system.curve.order - 5}
    assert names_of(system, free) == {"input/ctx", "private"}


# -- costs ----------------------------------------------------------------------------------------


def costs(name: str) -> dict[str, int]:
    system = default(name).system
    return {
        "constraints": system.constraint_count,
        "isolated rows": sum(x.size for x in system.labels if x.name.startswith("isolated/")),
        "wires": system.wire_count,
    }


def test_costs_are_the_recorded_ones() -> None:
    """A change here is a change of every circuit that uses the gadget: record it on purpose."""
    assert {name: costs(name) for name in CIRCUITS} == json.loads(COSTS.read_text("utf-8"))["gadgets"]


@pytest.mark.parametrize("curve", ["bls12-381", "bn254"])
def test_the_statements_weigh_what_is_recorded(curve: str) -> None:
    """The first shape of each frozen statement, as `System.estimate` counts it before any key is made."""
    recorded = json.loads(COSTS.read_text("utf-8"))["statements"]
    assert {s.name for s in STATEMENTS} == set(recorded)
    for statement in STATEMENTS:
        e = statement.build(statement.shapes[0], curve).estimate("native", 1)
        counts = {name: getattr(e, name) for name in ("constraints", "wires", "entries", "domain")}
        weight = {part: list(found) for part, found in e.weight.items()}
        assert recorded[statement.name] == {"shape": statement.shapes[0], **counts, "points by size class": weight}


@pytest.mark.parametrize("name", CIRCUITS)
def test_costs_do_not_depend_on_the_curve(name: str) -> None:
    counts = {CIRCUITS[name](curve).system.constraint_count for curve in (BLS12_381, BN254)}
    assert len(counts) == 1
