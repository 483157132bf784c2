"""Shows that S0 and N, as circuits, accept exactly the vectors in range with norm at most B2.

Edges are exact, wrap-around vectors are refused, and no wire but masks and ctx has a second
value. No proofs are made here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.statements.circuit_samples import HALF, bounded_run, reducing, root_of_two
from tests.witness_runner import free_wires, names_of
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.errors import ProofInvalid, UnsatisfiedConstraint
from zkfed.r1cs.system import System
from zkfed.statements.update_bound import noise_circuit, squared_norm_max, update_circuit

CURVES = pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
NOISE_HALF = 1 << 28


def is_accepted(system: System, update: Any, norm_max: int | None = None) -> bool:
    """Asks honest code, and a prover who computes on."""
    try:
        bounded_run(system, update, norm_max).check()
    except UnsatisfiedConstraint:
        for forging in (system, reducing(system)):
            with pytest.raises(UnsatisfiedConstraint):
                bounded_run(forging, update, norm_max, is_strict=False).check()
        return False
    return True


@CURVES
@pytest.mark.parametrize("count", [1, 2, 7, 8, 30, 65, 650])
@pytest.mark.parametrize(("build", "half"), [(update_circuit, HALF), (noise_circuit, NOISE_HALF)])
def test_vectors_in_range_satisfy(count: int, build: Any, half: int, curve: Curve) -> None:
    rand = np.random.default_rng(count)
    update = rand.integers(-half, half, count)
    system = build(count, curve.name)
    bounded_run(system, update).check()
    bounded_run(system, update, squared_norm_max(count, half.bit_length())).check()
    bounded_run(system, np.zeros(count, dtype=np.int64)).check()


@CURVES
@pytest.mark.parametrize("position", [0, 2])
@pytest.mark.parametrize(("build", "half"), [(update_circuit, HALF), (noise_circuit, NOISE_HALF)])
def test_the_edges_of_the_range_are_exact(build: Any, half: int, position: int, curve: Curve) -> None:
    system, limit = build(3, curve.name), squared_norm_max(3, half.bit_length())
    for value, expected in ((-half, True), (half - 1, True), (-half - 1, False), (half, False), (-half + 1, True)):
        update = [5, -6, 7]
        update[position] = value
        assert is_accepted(system, update, limit) == expected


@given(st.lists(st.integers(-HALF, HALF - 1), min_size=3, max_size=3), st.integers(-2, 2))
def test_the_edge_of_the_norm_is_exact(update: list[int], slack: int) -> None:
    norm = sum(v * v for v in update)
    limit = max(0, norm + slack)
    assert is_accepted(update_circuit(3), update, limit) == (norm <= limit)


def test_refusals_name_range_and_norm() -> None:
    system = update_circuit(3)
    with pytest.raises(UnsatisfiedConstraint) as caught:
        bounded_run(system, [1, HALF, 3]).check()
    assert (caught.value.constraint.rsplit("/", 1)[0], caught.value.position) == ("update/range", (1,))
    with pytest.raises(UnsatisfiedConstraint) as caught:
        bounded_run(system, [1, 2, 3], 13).check()
    assert caught.value.constraint.rsplit("/", 1)[0] == "update/norm-slack"


@pytest.mark.parametrize("norm_max", [-1, squared_norm_max(3, 16) + 1, BLS12_381.order - 1])
def test_a_bound_beyond_the_budget_is_refused(norm_max: int) -> None:
    with pytest.raises(ProofInvalid, match="squared-norm-max is outside its range"):
        bounded_run(update_circuit(3), [1, 2, 3], norm_max).check()


# -- wrap-around ---------------------------------------------------------------------------------


@CURVES
def test_a_coordinate_whose_square_wraps_to_two_fails_the_range_alone(curve: Curve) -> None:
    root, system = root_of_two(curve), update_circuit(1, curve.name)
    assert root * root % curve.order == 2
    assert min(root, curve.order - root).bit_length() > 245
    for value in (root, curve.order - root, root - curve.order):
        # Squares, norm and slack hold: only the range tells this from a vector of norm sqrt(2).
        assert bounded_run(reducing(system), [value], 2, is_strict=False).failing() == {"table/sum"}
        assert not is_accepted(system, [value], 2)


@CURVES
def test_the_norm_bound_does_not_replace_the_range(curve: Curve) -> None:
    # [99, 0, 7] has the squared norm 6 modulo 23; here a vector has the norm 0 modulo r.
    r = curve.order
    system = update_circuit(2, curve.name)
    w = curve.root_of_unity(4)  # w^2 = -1: a^2 + (w a)^2 = 0
    a = 12345
    failing = bounded_run(reducing(system), [a, w * a % r], 0, is_strict=False).failing()
    assert failing == {"table/sum"}
    assert not is_accepted(system, [a, w * a % r], 0)


# -- every wire ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "update"), [(update_circuit(2), [300, -17]), (noise_circuit(2), [-100_000_000, 77])], ids=["S0", "N"]
)
def test_only_masks_and_ctx_have_a_second_value(system: System, update: list[int]) -> None:
    free = free_wires(system, bounded_run(system, update).check())
    assert names_of(system, free) == {"input/ctx", "mask/update", "mask/stage-0"}
