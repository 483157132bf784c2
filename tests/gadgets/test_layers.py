"""Shows that the layers of a model are computed exactly: ReLU with its rescaling, and products with an update.

Each gadget equals a plain function; a product, an activation or a column norm that is off by one
fails, whatever else a prover changes to make up for it; and over a small field a wrong layer
passes for no more challenges than the bound says.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gadgets.gadget_circuits import Circuit, run
from tests.gadgets.layer_circuits import HALF, INPUTS, LAYERS, OUTPUTS, ROWS
from tests.gadgets.test_plain_functions import is_accepted, outputs
from tests.gadgets.toy_field import ToySystem, toy_curve
from zkfed.algebra.curve import BLS12_381
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.dense import Sketch, update_product
from zkfed.gadgets.relu import relu
from zkfed.r1cs.builder import Builder

SMALL = st.integers(-HALF, HALF - 1)


@cache
def build(name: str) -> Circuit:
    return LAYERS[name](BLS12_381)


def matrix(data: st.DataObject, *shape: int) -> Any:
    size = int(np.prod(shape))
    return np.array(data.draw(st.lists(SMALL, min_size=size, max_size=size)), dtype=object).reshape(shape)


# -- ReLU -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu/bits", "relu/table"])
@settings(max_examples=40)
@given(pre=st.lists(st.integers(-2016, 2047), min_size=5, max_size=5))
def test_relu(name: str, pre: list[int]) -> None:
    circuit = build(name)
    assert outputs(circuit, run(circuit, pre=pre).check()) == [max(z // 32, 0) for z in pre]


@pytest.mark.parametrize("name", ["relu/bits", "relu/table"])
@pytest.mark.parametrize("pre", [2048, -2017, 4096, -4096])
def test_a_quotient_outside_the_range_of_activations_does_not_satisfy(name: str, pre: int) -> None:
    assert not is_accepted(build(name), pre=[0, 0, pre, 0, 0])


def test_relu_is_exact_on_all_values_of_a_small_field() -> None:
    """All pre-activations, quotients and activations; the bits are the only ones that `to_bits` allows."""
    p = 199
    builder = Builder("toy", curve=toy_curve(p))
    pre = builder.input("pre", (1,), bounds=(-8, 7))
    a = relu(BitRanges(builder), "relu", pre, fraction_bits=1, bits=3)
    toy = ToySystem(builder.finish())
    x, q, out = int(toy.wires(pre)[0]), int(toy.system.final_of[a.wires[0] - 1]), int(toy.wires(a)[0])
    grid = toy.table(**{f"w{x}": range(-8, 8), f"w{q}": range(p), f"w{out}": range(p)})
    bits = [w for w in range(toy.system.private_start, toy.system.wire_count) if w not in (q, out)]
    magnitude, remainder = (2 * grid[out] - grid[q]) % p, (grid[x] - 2 * grid[q]) % p
    for wires, number in ((bits[:3], magnitude), (bits[3:], remainder)):
        grid[wires] = number >> np.arange(len(wires))[:, None] & 1
    good = grid[:, toy.accepted(grid)]
    found = sorted(zip(*(((good[w] + p // 2) % p - p // 2).tolist() for w in (x, q, out)), strict=True))
    assert found == [(v, v // 2, max(v // 2, 0)) for v in range(-8, 8)]


def test_relu_of_a_scalar_is_refused() -> None:
    builder = Builder("b")
    with pytest.raises(ValueError, match="only integer-typed wires have a sign"):
        relu(BitRanges(builder), "x", builder.context.reshape(1), fraction_bits=4, bits=4)


# -- products -------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(data=st.data(), where=st.integers(0, ROWS * OUTPUTS - 1), error=st.integers(-2, 2))
def test_product(data: st.DataObject, where: int, error: int) -> None:
    left, weights = matrix(data, ROWS, INPUTS - 1), matrix(data, INPUTS, OUTPUTS)
    product = np.concatenate([left, np.full((ROWS, 1), 127)], axis=1) @ weights
    product.ravel()[where] += error
    assert is_accepted(build("dense"), left=left, weights=weights, product=product) == (error == 0)


@settings(max_examples=40)
@given(data=st.data(), where=st.integers(0, ROWS * OUTPUTS - 1), error=st.integers(-2, 2))
def test_product_with_an_update(data: st.DataObject, where: int, error: int) -> None:
    left, weights, update = matrix(data, ROWS, INPUTS - 1), matrix(data, INPUTS, OUTPUTS), matrix(data, INPUTS, OUTPUTS)
    product = np.concatenate([left, np.full((ROWS, 1), 127)], axis=1) @ (weights + update)
    product.ravel()[where] += error
    changes = {"left": left, "weights": weights, "update": update, "product": product}
    circuit = build("dense, updated")
    assert is_accepted(circuit, **changes) == (error == 0)
    if not error:
        z = run(circuit, **changes).check()
        assert outputs(circuit, z)[ROWS * OUTPUTS :] == [int((c * c).sum()) for c in update.T]


@pytest.mark.parametrize("errors", [(1, 0), (0, -1), (1, -1), (2, 2)])
def test_a_wrong_column_norm_does_not_satisfy_even_if_the_product_is_bent_to_fit(errors: tuple[int, int]) -> None:
    """The prover commits wrong norms and shifts Z by them: the terms without rho give it away."""
    circuit = build("dense, updated")
    system = circuit.system
    norms = circuit.outputs.wires[ROWS * OUTPUTS :] if circuit.outputs is not None else []
    work = run(circuit)
    z = work.assignment()
    for wire, error in zip(norms, errors, strict=True):
        z[system.final_of[wire]] += error
    # The sums that the prover computes from the norms it claims: recomputed row by row.
    with pytest.raises(UnsatisfiedConstraint):
        system.check(*system.evaluate(repaired(circuit, z)))


def repaired(circuit: Circuit, z: Any) -> Any:
    """Recomputes the wires that products of later stages define, in order."""
    system, order = circuit.system, circuit.system.curve.order
    z = z.copy()
    for row in range(system.constraint_count):
        outs = system.c.columns[system.c.indptr[row] : system.c.indptr[row + 1]]
        if len(outs) == 1 and outs[0] >= system.private_start:
            a, b, _ = (m.times(z, order)[row] for m in system.matrices)
            z[outs[0]] = a * b % order
    return z


def test_a_wrong_layer_passes_for_few_challenges() -> None:
    """All pairs of challenges over a small field, for wrong products and wrong norms."""
    p = 31
    circuit = LAYERS["dense, updated"](toy_curve(p))
    toy, names = ToySystem(circuit.system), {i.name: i for i in circuit.system.inputs}
    rand, worst = np.random.default_rng(5), 0
    grid = toy.table(**{f"w{names[name].start}": range(p) for name in ("rho", "tau")})
    start = circuit.system.segment("stage-0").start
    for trial in range(30):
        left, weights, update = (rand.integers(-9, 9, shape) for shape in ((ROWS, 2), (INPUTS, 2), (INPUTS, 2)))
        full = np.concatenate([left, np.full((ROWS, 1), 127)], axis=1)
        committed = np.concatenate([
            left.ravel(), update.ravel(), (update * update).sum(axis=0), (full @ (weights + update)).ravel(),
        ])  # fmt: skip
        if trial:
            committed[left.size + update.size + rand.integers(OUTPUTS * (1 + ROWS))] += rand.integers(1, p)
        grid[start : start + len(committed)] = committed[:, None] % p
        for j in range(grid.shape[1]):
            challenges = {name: int(grid[names[name].start, j]) for name in ("rho", "tau")}
            derived = circuit.derive({"weights": weights}, challenges, p)
            grid[names["bias"].start, j], grid[names["weights"].span, j] = derived["bias"], derived["weights"]
        toy.solve(grid, set(range(1, circuit.system.private_start)))
        accepted = int(toy.accepted(grid).sum())
        if not trial:
            assert accepted == p * p
        worst = max(worst, accepted if trial else 0)
    assert 0 < worst <= (ROWS + OUTPUTS) * p


def test_an_update_needs_the_square_of_the_sketch() -> None:
    builder = Builder("b")
    with pytest.raises(ValueError, match="the square of the sketch is missing"):
        update_product(builder, "x", None, Sketch(builder.context.reshape(1)), builder.context)  # type: ignore[arg-type]
