"""Review finding C6: coordinates that are not fixed before the challenge are no operands.

If a randomised identity speaks about a value that the prover still chooses after it saw the
challenge, the identity proves nothing: the review forged range and norm that way. Here each
way to write such a circuit is refused when it is built; and the forgery is shown to work in
a circuit that goes around the builder's rule, so that the rule is seen to be what stops it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.witness_runner import Run
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.loss import declare_forms
from zkfed.gadgets.product import public_product
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant


def private(name: str) -> Any:
    return lambda values: np.asarray(values.private[name], dtype=object)


def fresh() -> Builder:
    builder = Builder("late")
    builder.segment("stage-0")
    return builder


def private_witness(builder: Builder) -> Linear:
    return builder.witness("w", (2,), private("w"))


def private_product(builder: Builder) -> Linear:
    w = builder.witness("w", (2,), private("w"), segment="stage-0")
    return builder.product("w^2", w, w)


def private_part_of_a_sum(builder: Builder) -> Linear:
    w = builder.witness("w", (2,), private("w"), segment="stage-0")
    return w + builder.witness("v", (2,), private("v"))


@pytest.mark.parametrize("operand", [private_witness, private_product, private_part_of_a_sum])
def test_looking_up_a_private_wire_is_a_build_error(operand: Any) -> None:
    builder = fresh()
    table = RangeTable(builder, 4, "stage-0")
    table.in_range("range", operand(builder), 4)
    table.commit()
    (alpha,) = builder.challenge("alpha")
    with pytest.raises(ValueError, match=r"wire \d+ is not committed before the challenge of stage 1"):
        table.close(alpha)


def test_looking_up_a_wire_of_the_same_or_a_later_stage_is_a_build_error() -> None:
    builder = fresh()
    builder.challenge("first")
    builder.segment("stage-1")
    w = builder.witness("w", (2,), private("w"), segment="stage-1")
    with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
        builder.operand(w)
    builder.challenge("second")
    builder.operand(w)


def test_limbs_cannot_enter_a_segment_after_its_challenge() -> None:
    builder = fresh()
    w = builder.witness("w", (2,), private("w"), segment="stage-0")
    table = RangeTable(builder, 4, "stage-0")
    builder.challenge("alpha")
    with pytest.raises(ValueError, match="cannot enter segment stage-0 at stage 1"):
        table.in_range("range", w, 8)


def test_multiplicities_cannot_enter_a_segment_after_its_challenge() -> None:
    builder = fresh()
    w = builder.witness("w", (2,), private("w"), segment="stage-0")
    table = RangeTable(builder, 4, "stage-0")
    table.in_range("range", w, 4)
    builder.challenge("alpha")
    with pytest.raises(ValueError, match="cannot enter segment stage-0 at stage 1"):
        table.commit()


def test_nothing_is_looked_up_after_the_multiplicities() -> None:
    builder = fresh()
    w = builder.witness("w", (2,), private("w"), segment="stage-0")
    table = RangeTable(builder, 4, "stage-0")
    table.in_range("range", w, 4)
    table.commit()
    with pytest.raises(ValueError, match="nothing is looked up after"):
        table.in_range("more", w, 4)


def test_a_challenge_or_derived_input_is_no_operand() -> None:
    builder = fresh()
    (alpha,) = builder.challenge("alpha")
    for late in (alpha, builder.input("derived")):
        with pytest.raises(ValueError, match="not committed before"):
            builder.operand(late)


def test_the_factors_of_a_sketched_product_are_committed_before_its_challenges() -> None:
    for where in ("product", "factor"):
        builder = fresh()
        committed = builder.witness("w", (2, 2), private("w"), segment="stage-0")
        late = builder.witness("v", (2, 2), private("v"))
        rho, tau = builder.challenge("rho", "tau")
        v, d = (late, committed) if where == "product" else (committed, late)
        with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
            public_product(builder, "p", v, d, challenges=(rho, tau))


def test_the_gradient_is_committed_before_the_challenges_that_check_it() -> None:
    builder = fresh()
    d = builder.witness("d", (2, 2), private("update"), segment="stage-0")
    forms = declare_forms(builder, d, segment="stage-0", norm_max=1 << 40, change_max=1 << 60)
    gamma, rho, tau = builder.challenge("gamma", "rho", "tau")
    v = forms.prove(gamma, builder.segment("same-stage"))
    with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
        public_product(builder, "p", v, d, challenges=(rho, tau))
    with pytest.raises(ValueError, match=r"never proven: forms/gradient"):
        builder.finish()


def test_quadratic_forms_speak_about_committed_updates_only() -> None:
    builder = fresh()
    d = builder.witness("d", (2, 2), private("update"))
    forms = declare_forms(builder, d, segment="stage-0", norm_max=1 << 40, change_max=1 << 60)
    (gamma,) = builder.challenge("gamma")
    with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
        forms.prove(gamma, builder.segment("stage-1"))


# -- why -----------------------------------------------------------------------------------------


class NoRoot(Exception):
    """The discriminant is no square: so for half of all challenges; the attacker tries another mask."""


def square_root(value: int, order: int) -> int:
    """Returns a square root modulo `order` (Tonelli and Shanks)."""
    if pow(value, (order - 1) // 2, order) != 1:
        raise NoRoot
    odd, twos = order - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    c, t, root = pow(7, odd, order), pow(value, odd, order), pow(value, (odd + 1) // 2, order)
    while t != 1:
        i, power = 0, t
        while power != 1:
            power, i = power * power % order, i + 1
        b = pow(c, 1 << (twos - i - 1), order)
        twos, c = i, b * b % order
        t, root = t * c % order, root * b % order
    return root


def pair_after(alpha: int, order: int) -> list[int]:
    """Returns x, y with x + y = LANE and the LogUp sum of the honest pair (3, 5) at alpha.

    With u = alpha - x and v = alpha - y: u + v = s and 1/u + 1/v = m, so u v = s/m.
    """
    m = (pow(alpha - 3, -1, order) + pow(alpha - 5, -1, order)) % order
    s = (2 * alpha - LANE) % order
    root = square_root((s * s - 4 * s * pow(m, -1, order)) % order, order)
    half = pow(2, -1, order)
    return [(alpha - (s + root) * half) % order, (alpha - (s - root) * half) % order]


LANE = 1 << 40


def test_without_the_rule_late_values_out_of_range_are_proven_in_range() -> None:
    """The forgery: commit a lane and honest multiplicities; choose x and y after alpha."""
    builder = fresh()
    order = builder.curve.order
    lane = builder.witness("lane", (), lambda _: np.array(LANE, dtype=object), segment="stage-0")
    late = builder.witness("late", (2,), private("unused"))
    table = RangeTable(builder, 4, "stage-0")
    table.in_range("range", late, 4)
    table.commit()
    builder.enforce("lane", late.sum(), constant(1), lane)
    (alpha,) = builder.challenge("alpha")
    builder.operand = lambda linear: linear  # type: ignore[method-assign]  # the rule, taken away
    table.close(alpha)

    def choose(values: Values) -> Any:
        return np.array(pair_after(int(values(alpha)), order), dtype=object)

    def count(_values: Values) -> Any:
        return np.array([int(t in (3, 5)) for t in range(16)], dtype=object)

    system = builder.finish()
    lane_step, _, count_step, *rest = system.steps
    program = (lane_step, (1, late.wires, choose), (0, count_step[1], count), *rest)
    attacker = replace(system, steps=program)
    for seed in range(64):
        try:
            z = Run(attacker, seed=seed).check()
        except NoRoot:
            continue
        x, y = (int(z[system.final_of[wire]]) for wire in late.wires)
        assert (x + y) % order == LANE
        assert 1 << 200 < x < order - (1 << 200)
        return
    pytest.fail("no challenge had a root")
