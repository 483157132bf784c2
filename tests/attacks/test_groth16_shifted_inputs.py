"""D = D' - t K_j moves a public input by t; only the span proofs of D see it.

Source: [BSB22] and protocol.md section 5 ("without the span proofs, D absorbs any shift of the
public inputs"). The attacker proves a weak statement honestly and publishes a strong one: the
difference goes into a committed point, and equation 1 holds. What stops it: the proof of knowledge
for the segments outside the link, the link for the others; the attacker knows neither sigma K_j
nor k K_j.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import CASES, Case, Forger, improvement, s0, times, verdicts
from zkfed.errors import DecodeError, ProofInvalid
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify


def shifted(case: Case, name: str, claimed: int, segment: str) -> tuple[Any, Proof]:
    """Proves the true value of a static input and claims another."""
    true = case.instance.static[name]
    start = next(i.start for i in case.system.inputs if i.name == name)
    key_point = case.backend.take(case.vk.ic, np.array([start]))
    instance = replace(case.instance, static={**case.instance.static, name: claimed})
    shift = {segment: times(case.backend, key_point, true - claimed)}
    return instance, Forger(case, instance, case.private, {name: true}, shift).proof()


CLAIMS = [
    ("improvement/classes", "squared-norm-max", 1),
    ("improvement/classes", "loss-change-max", None),
    ("improvement/binary", "loss-change-max", None),
    ("improvement/regression", "loss-change-max", None),
    ("S0", "squared-norm-max", 1),
    ("N", "squared-norm-max", 0),
]


@pytest.mark.parametrize(("name", "static", "claimed"), CLAIMS)
def test_outside_the_link_the_proof_of_knowledge_refuses(name: str, static: str, claimed: int | None) -> None:
    case = CASES[name]()
    claimed = case.instance.static[static] * 1000 if claimed is None else claimed
    instance, proof = shifted(case, static, claimed, "stage-0")
    # Control: a verifier without the proof of knowledge accepts the false claim.
    assert verdicts(case.vk, instance, proof) == (True, False, True)
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


@pytest.mark.parametrize(("name", "static", "claimed"), CLAIMS)
def test_inside_the_link_the_link_refuses(name: str, static: str, claimed: int | None) -> None:
    case = CASES[name]()
    claimed = case.instance.static[static] * 1000 if claimed is None else claimed
    instance, proof = shifted(case, static, claimed, "update")
    # Control: a verifier without the link accepts it.
    assert verdicts(case.vk, instance, proof) == (True, True, False)
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


def test_a_segment_of_the_last_stage_absorbs_nothing_either() -> None:
    case = improvement()
    instance, proof = shifted(case, "loss-change-max", -(10**12), "stage-1")
    assert verdicts(case.vk, instance, proof) == (True, False, True)
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


# -- encodings of public inputs ------------------------------------------------------------------


def test_a_public_input_plus_r_is_refused_and_never_reduced() -> None:
    case = s0()
    honest = case.instance.static["squared-norm-max"]
    for other in (honest + case.order, honest - case.order, honest + (case.order << 300)):
        with pytest.raises(ProofInvalid, match="squared-norm-max is outside its range"):
            verify(case.vk, case.with_static(squared_norm_max=other), case.proof)


def test_an_input_without_bounds_is_refused_outside_the_field() -> None:
    layout = s0().vk.layout
    ctx = next(i for i in layout.inputs if i.name == "ctx")
    assert ctx.bounds is None
    for value in (-1, layout.curve.order, layout.curve.order + 5):
        with pytest.raises(ProofInvalid, match="ctx is outside its range"):
            layout.check_static({"ctx": value, "squared-norm-max": 1})


@pytest.mark.parametrize("value", [True, 1.0, "1", b"1", None, np.int64(1), np.float64(1), [1, 2], []])
def test_other_things_than_one_int_are_refused(value: Any) -> None:
    case = s0()
    with pytest.raises(DecodeError):
        verify(case.vk, case.with_static(squared_norm_max=value), case.proof)


def test_missing_and_unknown_inputs_are_refused() -> None:
    case = s0()
    for static in ({}, {"squared-norm-max": 1, "more": 1}, {"norm": 1}):
        with pytest.raises(DecodeError, match="expected the inputs"):
            verify(case.vk, replace(case.instance, static=static), case.proof)


def test_a_context_of_another_length_is_refused() -> None:
    case = s0()
    for context in (b"", bytes(31), bytes(33)):
        with pytest.raises(DecodeError, match="expected 32"):
            verify(case.vk, replace(case.instance, context=context), case.proof)


@pytest.mark.parametrize("changes", [{"more": [1]}, {"gradient/left": [1]}, {"gradient/offset": [1, 2]}])
def test_derived_inputs_of_another_shape_are_refused(changes: dict[str, Any]) -> None:
    case = improvement()
    honest = case.instance.derive

    def derive(stage: int, challenges: dict[str, int]) -> dict[str, Any]:
        values = honest(stage, challenges)
        return values if stage == 1 else {**values, **changes}

    with pytest.raises(DecodeError, match="derived"):
        verify(case.vk, replace(case.instance, derive=derive), case.proof)
