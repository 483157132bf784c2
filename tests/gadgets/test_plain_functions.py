"""Shows that each gadget equals a plain function of plain integers, on random inputs.

Predicates accept exactly where the plain predicate holds, also against a prover whose
witness program computes on after it has seen that nothing can satisfy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gadgets.gadget_circuits import CIRCUITS, WIDE, Circuit, default, run
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.fixedpoint import rescale
from zkfed.r1cs.builder import Builder

R = BLS12_381.order
build = cache(default)
SCALARS = st.one_of(st.integers(0, 2000), st.integers(0, R - 1), st.integers(R - 2000, R - 1))


def outputs(circuit: Circuit, z: Any) -> list[int]:
    """Returns the gadget's results as signed integers."""
    assert circuit.outputs is not None
    values = z[circuit.system.final_of[circuit.outputs.wires]].tolist()
    return [v - R if v > R // 2 else v for v in values]


def is_accepted(circuit: Circuit, **changes: Any) -> bool:
    try:
        run(circuit, is_strict=True, **changes).check()
    except UnsatisfiedConstraint:
        # Honest code gave up: a prover who goes on must fail too.
        with pytest.raises(UnsatisfiedConstraint):
            run(circuit, is_strict=False, **changes).check()
        return False
    return True


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
@pytest.mark.parametrize("name", CIRCUITS)
def test_satisfying_inputs_satisfy_for_every_challenge(name: str, curve: Any) -> None:
    circuit = CIRCUITS[name](curve)
    for seed in range(3):
        run(circuit, seed=seed).check()


@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4))
def test_boolean(x: list[int]) -> None:
    assert is_accepted(build("boolean"), x=x) == all(v in (0, 1) for v in x)


@given(st.lists(st.integers(0, 1023), min_size=3, max_size=3))
def test_bits(x: list[int]) -> None:
    circuit = build("bits")
    bits = outputs(circuit, run(circuit, x=x).check())
    assert bits == [v >> j & 1 for v in x for j in range(10)]


@pytest.mark.parametrize(
    ("name", "bits"),
    [("bits", 10), ("range/bits", 10), ("range/table, limbs divide the range", 12),
     ("range/table, limbs do not divide the range", 10), ("range/table, one limb", 4),
     ("range/table, less than one limb", 3)],
)  # fmt: skip
@settings(max_examples=40)
@given(data=st.data())
def test_ranges(name: str, bits: int, data: st.DataObject) -> None:
    near = st.integers((1 << bits) - 3, (1 << bits) + 3)
    values = data.draw(st.lists(st.one_of(st.integers(0, (1 << bits) - 1), near, SCALARS), min_size=3, max_size=3))
    assert is_accepted(build(name), x=values) == all(v < 1 << bits for v in values)


PAIRS = st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=3, max_size=3)


@pytest.mark.parametrize("name", ["at-most/bits", "at-most/table"])
@settings(max_examples=40)
@given(pairs=PAIRS, is_ordered=st.booleans(), step=st.integers(-1, 1))
def test_comparison(name: str, pairs: list[tuple[int, int]], is_ordered: bool, step: int) -> None:
    if is_ordered:
        pairs = [(min(p), max(p)) for p in pairs]
    edge = max(-1000, min(1000, pairs[0][0] + step))
    pairs = [(pairs[0][0], edge), *pairs[1:]]
    small, large = zip(*pairs, strict=True)
    assert is_accepted(build(name), small=small, large=large) == all(x <= y for x, y in pairs)


@pytest.mark.parametrize("name", ["rescale/bits", "rescale/table"])
@settings(max_examples=40)
@given(x=st.lists(st.integers(-WIDE, WIDE), min_size=3, max_size=3))
def test_rescaling(name: str, x: list[int]) -> None:
    circuit = build(name)
    assert outputs(circuit, run(circuit, x=x).check()) == [v // 32 for v in x]


@given(st.lists(st.integers(-WIDE, WIDE), min_size=6, max_size=6))
def test_squared_norm(x: list[int]) -> None:
    circuit = build("squared-norm")
    assert outputs(circuit, run(circuit, x=x).check()) == [sum(v * v for v in x)]


@given(st.lists(SCALARS, min_size=8, max_size=8), st.integers(0, 1 << 30))
def test_horner(x: list[int], seed: int) -> None:
    circuit = build("horner")
    work = run(circuit, x=np.array(x, dtype=object).reshape(2, 4), seed=seed)
    got = [v % R for v in outputs(circuit, work.check())]
    point = work.challenges["point"]
    assert got == [sum(x[4 * i + k] * pow(point, k, R) for k in range(4)) % R for i in range(2)]


SMALL = st.integers(-100, 100)


@given(data=st.data(), where=st.integers(0, 5), error=st.integers(-2, 2))
def test_public_product(data: st.DataObject, where: int, error: int) -> None:
    g, offset, d = (
        np.array(data.draw(st.lists(SMALL, min_size=m * n, max_size=m * n)), dtype=object).reshape(m, n)
        for m, n in ((3, 4), (3, 2), (4, 2))
    )
    product = (g @ d + offset).ravel()
    product[where] += error
    changes = {"gram": g, "gradient": offset, "factor": d, "product": product.reshape(3, 2)}
    assert is_accepted(build("public-product"), **changes) == (error == 0)


@given(data=st.data())
def test_quadratic_forms(data: st.DataObject) -> None:
    x, offset, d = (
        np.array(data.draw(st.lists(SMALL, min_size=m * n, max_size=m * n)), dtype=object).reshape(m, n)
        for m, n in ((4, 3), (3, 2), (3, 2))
    )
    circuit = build("quadratic-forms")
    z = run(circuit, update=d, gram=x.T @ x, gradient=offset).check()
    change = int((d * (x.T @ x @ d + offset)).sum())
    assert outputs(circuit, z) == [change, int((d * d).sum())]


def test_only_bounded_wires_are_compared_and_rescaled() -> None:
    builder = Builder("b")
    with pytest.raises(ValueError, match="only integer-typed wires can be compared"):
        at_most(BitRanges(builder), "x", builder.context, builder.input("y", bounds=(0, 1)))
    with pytest.raises(ValueError, match="only integer-typed wires can be rescaled"):
        rescale(BitRanges(builder), "x", builder.context.reshape(1), 4)
