"""Shows that range checks use bits for few values and a table for many, and that both prove.

The choice is compared with the estimates of both circuits. It must be the same on every
machine, so the places where it changes are recorded here.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.ranges import range_circuit
from tests.groth16.samples import CONTEXT
from zkfed.algebra.backend import use
from zkfed.algebra.curve import BLS12_381
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.strategy import best_limb_bits, bits_cost, choose_ranges, table_cost
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.r1cs.builder import Builder


def kind_of(count: int, bits: int) -> str:
    builder = Builder("range")
    chosen = choose_ranges(builder, [(count, bits)], builder.segment("s"))
    return "bits" if isinstance(chosen, BitRanges) else f"table 2^{chosen.limb_bits}"


@pytest.mark.parametrize(
    ("bits", "first_tables"),
    [
        (1, {}),
        (8, {12: "table 2^4"}),
        (16, {7: "table 2^4", 115: "table 2^8"}),
        (32, {4: "table 2^4", 43: "table 2^6", 61: "table 2^7", 64: "table 2^8"}),
    ],
)
def test_bits_for_few_values_and_a_table_for_many(bits: int, first_tables: dict[int, str]) -> None:
    kinds = [kind_of(count, bits) for count in range(1, 200)]
    changes = {count: new for count, (old, new) in enumerate(pairwise(kinds), start=2) if old != new}
    assert kinds[0] == "bits"
    assert changes == first_tables


@pytest.mark.parametrize(("count", "kind"), [(3, "bits"), (300, "table")])
def test_the_chosen_one_proves_and_refuses(count: int, kind: str) -> None:
    system = range_circuit(count, 16)
    assert system.digest == range_circuit(count, 16, kind).digest
    prover = Prover(development_keys(system, use()), system)
    instance, inside = Instance(CONTEXT, {}), np.arange(count, dtype=object) * 200 % (1 << 16)
    verify(prover.key.verifying, instance, prover.prove(instance, {"x": inside}))
    outside = inside.copy()
    outside[-1] = 1 << 16
    with pytest.raises(UnsatisfiedConstraint, match="range"):
        prover.prove(instance, {"x": outside})


@pytest.mark.parametrize(("count", "kind"), [(1, "bits"), (2, "bits"), (64, "table"), (1000, "table")])
@pytest.mark.parametrize("backend", ["native", "arkworks"])
def test_the_estimates_agree_away_from_the_crossover(count: int, kind: str, backend: str) -> None:
    times = {k: range_circuit(count, 16, k).estimate(backend, 1).prove_s for k in ("bits", "table")}
    assert min(times, key=times.__getitem__) == kind


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 60)), min_size=1, max_size=4))
def test_the_chosen_one_is_the_cheapest(ranges: list[tuple[int, int]]) -> None:
    costs = {b: table_cost(ranges, b) for b in range(2, 15)} | {1: bits_cost(ranges)}
    builder = Builder("range", curve=BLS12_381)
    chosen = choose_ranges(builder, ranges, builder.segment("s"))
    assert costs[getattr(chosen, "limb_bits", 1)] == min(costs.values())
    assert table_cost(ranges, best_limb_bits(ranges)) == min(table_cost(ranges, b) for b in range(2, 15))


def test_costs_are_whole_numbers() -> None:
    """Floats could round to another circuit on another machine."""
    assert type(bits_cost([(7, 16)])) is int
    assert type(table_cost([(7, 16)], 8)) is int
