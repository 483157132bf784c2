"""Shows S1 and S3 outside a round, from rows to verdict, with real keys and proofs.

A true claim verifies. A claim about other rows, another draw, model, client or record does not,
and what cannot be proven is refused before anything is proven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from zkfed.commitments.rows import PrivateRows
from zkfed.errors import DecodeError, PolicyError, ProofInvalid, UnsatisfiedConstraint
from zkfed.model import MLP, LinearModel
from zkfed.policy import Improvement, Registration
from zkfed.statements.draw import beacon_output, draw_rows
from zkfed.statements.keys import development_setup
from zkfed.statements.own_keys import CommittedUpdate, OwnClaim, OwnKeys, own_data_setup
from zkfed.statements.registration import RegistrationRecord

MODEL = MLP(3, (4,), 3)
STATEMENT = Improvement(MODEL, 5, "5%", registration=Registration(24, 2, 20))
BEACON = beacon_output(bytes(32), [bytes(32)], nonce_adders=b"g" * 32, nonce_holder=b"k" * 32)
ALICE, BOB = b"a" * 32, b"b" * 32


@dataclass
class Party:
    """One client with its rows."""

    features: Any
    labels: Any
    record: RegistrationRecord
    rows: PrivateRows


def data(seed: int, count: int = 24) -> tuple[Any, Any]:
    rand = np.random.default_rng(seed)
    return rand.uniform(-1, 1, (count, 3)), np.arange(count) % 3


@pytest.fixture(scope="module")
def keys() -> OwnKeys:
    return own_data_setup(STATEMENT)


def party(keys: OwnKeys, signer: bytes, seed: int) -> Party:
    x, y = data(seed)
    return Party(x, y, *keys.register(x, y, signer=signer))


@pytest.fixture(scope="module")
def alice(keys: OwnKeys) -> Party:
    return party(keys, ALICE, 1)


@pytest.fixture(scope="module")
def weights() -> tuple[Any, Any]:
    before = np.random.default_rng(9).uniform(-12, 12, MODEL.parameters)
    return before, before * 0.95  # large logits cost much squared loss


@pytest.fixture(scope="module")
def update(keys: OwnKeys, weights: tuple[Any, Any]) -> CommittedUpdate:
    return keys.commit(before=weights[0], after=weights[1])


@pytest.fixture(scope="module")
def proven(keys: OwnKeys, alice: Party, update: CommittedUpdate) -> tuple[OwnClaim, bytes]:
    return keys.prove(update, alice.rows, alice.record, beacon=BEACON)


def test_a_true_claim_verifies(keys: OwnKeys, alice: Party, proven: tuple[OwnClaim, bytes]) -> None:
    claim, proof = proven
    keys.verifier.verify(claim, proof, alice.record)
    assert str(claim) == "the squared loss on 5 rows, drawn from 24 registered ones, falls by at least 5 %"


def test_a_claim_of_anything_else_does_not(keys: OwnKeys, alice: Party, proven: tuple[OwnClaim, bytes]) -> None:
    claim, proof = proven
    bob = party(keys, BOB, 2)
    other = keys.commit(before=claim.base / 2**15, after=claim.base / 2**15)
    for changed, record in (
        (replace(claim, beacon=bytes(32)), alice.record),
        (replace(claim, base=claim.base + 1), alice.record),
        (replace(claim, commitment=other.commitment), alice.record),
        (claim, bob.record),
        (claim, replace(alice.record, signer=BOB)),
    ):
        with pytest.raises(ProofInvalid):
            keys.verifier.verify(changed, proof, record)
    for changed in (
        replace(claim, kind="S3"), replace(claim, statement=replace(STATEMENT, at_least="4%")),
        replace(claim, commitment=b""), replace(claim, published=claim.base), replace(claim, base=claim.base[:-1]),
    ):  # fmt: skip
        with pytest.raises(DecodeError):
            keys.verifier.verify(changed, proof, alice.record)


def test_each_commitment_draws_its_own_rows(update: CommittedUpdate, keys: OwnKeys, weights: Any) -> None:
    """Training until the draw suits would need another C_D, which draws other rows."""
    again = keys.commit(before=weights[0], after=weights[1])
    draws = {
        draw_rows(BEACON, ALICE, commitment=c.commitment, count=5, registered=24) for c in (update, again)
    }  # fmt: skip
    assert len(draws) == 2


def test_what_is_not_true_is_refused_before_proving(keys: OwnKeys, alice: Party, weights: tuple[Any, Any]) -> None:
    before, _ = weights
    worse = keys.commit(before=before, after=before * 1.01)
    with pytest.raises(UnsatisfiedConstraint, match="does not improve the drawn rows"):
        keys.prove(worse, alice.rows, alice.record, beacon=BEACON)


def test_rows_that_are_not_the_registered_ones_do_not_prove(
    keys: OwnKeys, alice: Party, update: CommittedUpdate
) -> None:
    other = PrivateRows(alice.rows.features[::-1].copy(), alice.rows.targets, alice.rows.blinders)
    with pytest.raises((ProofInvalid, UnsatisfiedConstraint)):
        keys.prove(update, other, alice.record, beacon=BEACON)


def test_rows_or_a_beacon_of_another_size_are_refused_by_name(
    keys: OwnKeys, alice: Party, update: CommittedUpdate, proven: tuple[OwnClaim, bytes]
) -> None:
    for rows in (alice.rows.take(range(4)), alice.rows.take([*range(24), 0])):
        with pytest.raises(PolicyError, match="exactly 24"):
            keys.prove(update, rows, alice.record, beacon=BEACON)
    beacons: list[Any] = [b"", BEACON[1:], BEACON + b"0", "0" * 32, None]
    for beacon in beacons:
        with pytest.raises(DecodeError, match="a beacon has 32 bytes"):
            keys.prove(update, alice.rows, alice.record, beacon=beacon)
        with pytest.raises(DecodeError, match="a beacon has 32 bytes"):
            keys.verifier.verify(replace(proven[0], beacon=beacon), proven[1], alice.record)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [(lambda x, y: (x[:-1], y[:-1]), PolicyError), (lambda x, y: (x[:0], y[:0]), DecodeError),
     (lambda x, y: (x[:, :2], y), PolicyError), (lambda x, y: (x * 2, y), DecodeError),
     (lambda x, y: (np.where(x == x[0, 0], np.nan, x), y), DecodeError), (lambda x, y: (x, y + 1), DecodeError),
     (lambda x, y: (x, y - 1), DecodeError), (lambda x, y: (x, y.astype(float)), DecodeError),
     (lambda x, y: (x, y[:-1]), DecodeError), (lambda x, y: (x, y * 0), UnsatisfiedConstraint)],
)  # fmt: skip
def test_rows_that_cannot_be_registered_are_refused(keys: OwnKeys, change: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        keys.register(*change(*data(1)), signer=ALICE)


@pytest.mark.parametrize(
    "change", [lambda w: w[:-1], lambda w: w.reshape(1, -1), lambda w: w * np.nan, lambda w: w * 1e6, lambda w: w + 2]
)
def test_weights_that_cannot_be_committed_are_refused(keys: OwnKeys, weights: Any, change: Any) -> None:
    with pytest.raises(ValueError, match=r"after|moved"):
        keys.commit(before=weights[0], after=change(weights[0]))


def test_keys_of_the_other_kind_are_named() -> None:
    with pytest.raises(PolicyError, match="own_data_setup"):
        development_setup(STATEMENT)
    with pytest.raises(PolicyError, match="about a benchmark"):
        own_data_setup(replace(STATEMENT, registration=None))
    with pytest.raises(PolicyError, match="S1 and S3"):
        own_data_setup(STATEMENT, kind="S2")


# -- S3 -------------------------------------------------------------------------------------------


def test_a_published_model_is_better_on_rows_that_stay_private() -> None:
    statement = Improvement(LinearModel(3, 2), 5, "5%", registration=Registration(20))
    keys = own_data_setup(statement, kind="S3")
    x, y = np.random.default_rng(3).uniform(-1, 1, (20, 3)), np.arange(20) % 2
    record, rows = keys.register(x, y, signer=ALICE)
    base = np.random.default_rng(4).integers(-(10**6), 10**6, (4, 1))
    claim, proof = keys.prove_published(base, base // 2, rows, record, beacon=BEACON)
    keys.verifier.verify(claim, proof, record)
    for change in ({"published": base // 3}, {"base": base // 3}, {"beacon": bytes(32)}):
        with pytest.raises(ProofInvalid):
            keys.verifier.verify(replace(claim, **change), proof, record)
    with pytest.raises(UnsatisfiedConstraint):
        keys.prove_published(base // 2, base, rows, record, beacon=BEACON)
    with pytest.raises(PolicyError, match="prove S3"):
        keys.prove(keys.commit(before=base * 0.0, after=base * 0.0), rows, record, beacon=BEACON)


def test_secrets_are_not_in_any_repr(keys: OwnKeys, alice: Party, update: CommittedUpdate) -> None:
    shown = f"{keys!r} {alice.rows!r} {update!r} {alice.record!r} {keys.verifier!r}"
    for secret in (str(update.blinder), str(update.integers[:3]), str(alice.rows.blinders[0])):
        assert secret not in shown
