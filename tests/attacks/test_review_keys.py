"""Review: a key says itself which circuit it is for; the parties compare all that it says.

A layout with the digest of the honest circuit and other bounds, flags or segments would change
what a verifier accepts and what a prover masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.layers.parties import Cohort, make_policy, provers
from zkfed.errors import KeyRefused
from zkfed.groth16.prove import Prover
from zkfed.orchestrator.client import Shard
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.r1cs.system import Layout


def without_bounds(layout: Layout) -> Layout:
    return replace(layout, inputs=tuple(replace(i, bounds=None) for i in layout.inputs))


def with_another_derived_input(layout: Layout) -> Layout:
    return replace(layout, inputs=tuple(replace(i, is_challenge=i.stage > 0) for i in layout.inputs))


def with_a_moved_boundary(layout: Layout) -> Layout:
    first, second, *rest = layout.segments
    moved = (replace(first, stop=first.stop - 1), replace(second, start=second.start - 1))
    return replace(layout, segments=(*moved, *rest))


@pytest.mark.parametrize("change", [without_bounds, with_another_derived_input, with_a_moved_boundary])
def test_the_digest_of_the_circuit_is_not_enough(change: Callable[[Layout], Layout]) -> None:
    honest, cohort = provers()[0], Cohort()
    layout = change(honest.key.verifying.layout)
    assert layout.circuit_digest == honest.system.digest
    verifying = replace(honest.key.verifying, layout=layout)
    with pytest.raises(KeyRefused, match="another circuit"):
        Prover(replace(honest.key, verifying=verifying), honest.system)
    with pytest.raises(KeyRefused, match="another circuit"):
        replace(cohort.agreement, improvement=verifying)


def test_a_shard_does_not_show_its_rows() -> None:
    shards, _ = synthetic_cohort(make_policy().model, 1, 4)
    assert repr(shards[0]) == "Shard()"
    assert isinstance(shards[0], Shard)
