"""What all parties agree on before the first round, and how repeated attempts are grouped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.layers.parties import Cohort, make_policy, proving_keys
from zkfed.errors import DecodeError, KeyRefused, PolicyError, ProofInvalid
from zkfed.fixedpoint import LIMBS, blinder_from_limbs
from zkfed.layers.agreement import Agreement, draw_groups
from zkfed.policy import Improvement, LinearModel
from zkfed.statements.improvement import Benchmark


@pytest.fixture(scope="module")
def agreement() -> Agreement:
    return Cohort().agreement


def changed(agreement: Agreement, **changes: Any) -> Agreement:
    return replace(agreement, **changes)


def test_a_production_policy_refuses_development_keys(agreement: Agreement) -> None:
    with pytest.raises(KeyRefused, match="a development key: whoever made it can forge proofs"):
        changed(agreement, policy=replace(agreement.policy, setup="production"))


def test_keys_for_another_circuit(agreement: Agreement) -> None:
    with pytest.raises(KeyRefused, match="another circuit than improvement-3x3-n20"):
        changed(agreement, improvement=agreement.noise)
    with pytest.raises(KeyRefused, match="another circuit"):
        changed(agreement, noise=agreement.improvement)
    other = proving_keys(2)
    with pytest.raises(KeyRefused, match="another circuit"):
        changed(agreement, improvement=other[0].verifying, noise=other[1].verifying)
    statement = Improvement(model=LinearModel(features=3, classes=3), rows=21, at_least="1%")
    rows = agreement.benchmark
    more = Benchmark(np.vstack([rows.features, rows.features[:1]]), np.vstack([rows.targets, rows.targets[:1]]))
    with pytest.raises(KeyRefused, match="another circuit"):
        changed(agreement, policy=replace(agreement.policy, statement=statement), benchmark=more)


def test_keys_that_are_not_pinned(agreement: Agreement) -> None:
    for pinned in ({"adder_key": b""}, {"holder_key": b""}, {"adder_key": b"", "holder_key": b""}):
        with pytest.raises(PolicyError, match="pins no adder or key holder"):
            changed(agreement, policy=replace(agreement.policy, **pinned))


def test_no_party_is_two_parties(agreement: Agreement) -> None:
    policy = agreement.policy
    with pytest.raises(PolicyError, match="same key"):
        replace(policy, adder_key=policy.holder_key)
    for key in (policy.adder_key, policy.holder_key):
        with pytest.raises(PolicyError, match="has the key of the adders or of the key holder"):
            changed(agreement, enrolled=tuple(sorted((*agreement.enrolled, key))))


def test_enrolled_keys_are_in_order_and_distinct(agreement: Agreement) -> None:
    keys = agreement.enrolled
    for other in (keys[::-1], (keys[0], *keys)):
        with pytest.raises(PolicyError, match="not in order or not distinct"):
            changed(agreement, enrolled=other)


def test_a_benchmark_of_another_shape_or_range(agreement: Agreement) -> None:
    rows = agreement.benchmark
    wide = rows.features.copy()
    wide[0, 0] = 128
    no_bias = rows.features.copy()
    no_bias[:, -1] = 126
    for features, targets in (
        (rows.features[1:], rows.targets[1:]),
        (rows.features[:, 1:], rows.targets),
        (rows.features, rows.targets[:, 1:]),
        (wide, rows.targets),
        (no_bias, rows.targets),
        (rows.features, rows.targets + (128 << 15)),
    ):
        with pytest.raises(DecodeError):
            changed(agreement, benchmark=Benchmark(features, targets))


def test_a_sum_that_would_not_be_exact() -> None:
    # The policy's lanes refuse it first; nothing reaches the encryption that it could not hold.
    with pytest.raises(PolicyError):
        make_policy(max_clients=1 << 15)
    assert Cohort(make_policy(max_clients=1 << 14)).agreement.policy.sum_bound < 1 << 31


def test_what_is_bound_into_a_proof(agreement: Agreement) -> None:
    """Each of policy, round, client and commitment gives another statement."""
    cohort = Cohort()
    opened = cohort.announce()
    announced, terms = opened.announced, cohort.agreement.terms(cohort.base)
    points = [cohort.agreement.generators.commit(np.full(12, v), 5) for v in (1, 2)]
    clients = cohort.agreement.enrolled
    other = Cohort()
    second = other.announce().announced
    instances = [
        cohort.agreement.improvement_instance(terms, announced, clients[0], points[0]),
        cohort.agreement.improvement_instance(terms, announced, clients[1], points[0]),
        cohort.agreement.improvement_instance(terms, announced, clients[0], points[1]),
        cohort.agreement.improvement_instance(terms, second, clients[0], points[0]),
        other.agreement.improvement_instance(terms, announced, clients[0], points[0]),
    ]
    assert len({i.context for i in instances}) == len(instances)


def test_a_base_model_that_needs_no_improvement_is_no_base(agreement: Agreement) -> None:
    policy = replace(
        agreement.policy, statement=replace(agreement.policy.statement, at_least="1%", base_loss_min=1 << 200)
    )
    strict, cohort = changed(agreement, policy=policy), Cohort()
    terms = strict.terms(cohort.base)
    point = strict.generators.commit(np.zeros(12, np.int64), 1)
    with pytest.raises(ProofInvalid, match="base loss"):
        strict.improvement_instance(terms, cohort.announce().announced, strict.enrolled[0], point)


def test_a_plaintext_is_the_update_and_the_limbs_of_the_blinder(agreement: Agreement) -> None:
    values, blinder = np.arange(-6, 6), agreement.order - 1
    flat = agreement.plaintext.pack(values, blinder)
    assert len(flat) == agreement.slots == 12 + LIMBS
    assert (flat[:12] == values).all()
    assert blinder_from_limbs(flat[12:].tolist(), agreement.order) == blinder


@given(st.binary(min_size=32, max_size=32), st.integers(0, 40), st.integers(2, 8), st.integers(1, 6))
def test_groups_are_a_partition_into_large_enough_parts(nonce: bytes, count: int, smallest: int, most: int) -> None:
    members = tuple(i.to_bytes(32, "big") for i in range(count))
    groups = draw_groups(nonce, members, smallest=smallest, groups=most)
    if count < smallest:
        assert groups == []
        return
    assert len(groups) == min(most, count // smallest)
    assert sorted(m for g in groups for m in g) == list(members)
    assert all(len(g) >= smallest and list(g) == sorted(g) for g in groups)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert draw_groups(nonce, members[::-1], smallest=smallest, groups=most) == groups


def test_another_nonce_draws_other_groups() -> None:
    members = tuple(i.to_bytes(32, "big") for i in range(40))
    drawn = {tuple(draw_groups(bytes([n]) * 32, members, smallest=2, groups=4)) for n in range(20)}
    assert len(drawn) == 20
