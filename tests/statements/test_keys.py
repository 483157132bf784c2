"""A proof and nothing else: `development_setup`, `Keys.prove`, `Verifier.verify`.

Shows that true claims of all three model kinds are proven and verified, that untrue ones are refused
with percentages and no weights, and that a claim is bound to base model, benchmark and statement.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed import Improvement, LinearModel, development_setup
from zkfed.errors import DecodeError, LimitExceeded, PolicyError, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.proof import proof_bytes
from zkfed.statements.improvement import Benchmark
from zkfed.statements.keys import Claim, Keys, Verifier

ROWS = 20
Task = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


@functools.cache
def _keys(classes: int, at_least: str) -> Keys:
    return development_setup(Improvement(LinearModel(3, classes), rows=ROWS, at_least=at_least))


def keys(classes: int = 3, at_least: str = "5%") -> Keys:
    return _keys(classes, at_least)


@functools.cache
def task(classes: int = 3, seed: int = 1) -> Task:
    """Returns (w0, w1, X, y): w1 goes half of the way to the optimum on (X, y)."""
    rng = np.random.default_rng(seed)
    model = LinearModel(3, classes)
    x = rng.uniform(-1, 1, (ROWS, 3))
    y = rng.uniform(-1, 1, ROWS) if classes == 1 else rng.integers(0, classes, ROWS)
    rows = Benchmark.of(model, x, y)
    before = rng.uniform(-0.3, 0.3, (model.inputs, model.outputs))
    best = np.linalg.lstsq(rows.features / 127, rows.targets / 127 / 2**15, rcond=None)[0]
    return before, before + np.clip((best - before) / 2, -0.9, 0.9), x, y


@functools.cache
def _proven(classes: int) -> tuple[Claim, bytes]:
    before, after, x, y = task(classes)
    return keys(classes).prove(before=before, after=after, benchmark=(x, y))


def proven(classes: int = 3) -> tuple[Claim, bytes]:
    return _proven(classes)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_true_improvement_is_proven_and_verified(classes: int) -> None:
    claim, proof = proven(classes)
    assert keys(classes).verifier.verify(claim, proof) is None  # type: ignore[func-returns-value]
    assert len(proof) == proof_bytes(keys(classes).verifier.key.layout) <= 500


def test_a_verifier_needs_the_verifying_key_only() -> None:
    claim, proof = proven()
    Verifier(keys().statement, type(keys().verifier.key).decode(keys().verifier.key.encode())).verify(claim, proof)


def test_the_claim_holds_for_the_real_valued_loss() -> None:
    claim, _ = proven()
    before, after, _, _ = task()
    x, t = claim.benchmark.features / 127, claim.benchmark.targets / 127 / 2**15
    old, new = (float(((x @ np.round(w * 2**15) / 2**15 - t) ** 2).sum()) for w in (before, after))
    assert new <= 0.95 * old


def test_one_key_fits_every_benchmark_and_base_model_of_its_shape() -> None:
    before, after, x, y = task(seed=9)
    claim, proof = keys().prove(before=before, after=after, benchmark=(x, y))
    keys().verifier.verify(claim, proof)


def test_a_benchmark_that_is_quantised_already_gives_the_same_claim() -> None:
    before, after, x, y = task()
    rows = Benchmark.of(LinearModel(3, 3), x, y)
    claim, proof = keys().prove(before=before, after=after, benchmark=rows)
    assert claim.benchmark.digest == proven()[0].benchmark.digest
    keys().verifier.verify(claim, proof)


def test_two_proofs_of_one_update_have_unlinkable_commitments() -> None:
    before, after, x, y = task()
    other, _ = keys().prove(before=before, after=after, benchmark=(x, y))
    assert other.commitment != proven()[0].commitment


# -- what is not true or makes no sense --------------------------------------------------------------


def weights_in(text: str, *arrays: Any) -> list[str]:
    numbers = [f"{abs(v):.4g}" for a in arrays for v in np.asarray(a).ravel().tolist()]
    integers = [str(abs(int(v))) for a in arrays for v in np.round(np.asarray(a) * 2**15).ravel().tolist()]
    return [n for n in numbers + integers if len(n) > 3 and n in text]


@pytest.mark.parametrize("at_least", ["90%", "100%"])
def test_an_improvement_that_is_too_small_says_percentages_and_no_weights(at_least: str) -> None:
    before, after, x, y = task()
    with pytest.raises(UnsatisfiedConstraint) as caught:
        keys(3, at_least).prove(before=before, after=after, benchmark=(x, y))
    text = str(caught.value)
    assert f"the statement needs -{at_least[:-1]}.00%" in text
    assert "the loss changes by -" in text
    assert caught.value.constraint == "improvement/top"
    assert weights_in(text, before, after, after - before) == []


def test_a_worse_model_is_refused_and_the_text_says_so() -> None:
    before, after, x, y = task()
    with pytest.raises(UnsatisfiedConstraint, match=r"the loss changes by \+\d+\.\d\d%, the statement needs -5\.00%"):
        keys().prove(before=after, after=before, benchmark=(x, y))


def test_the_same_model_is_refused() -> None:
    before, _, x, y = task()
    with pytest.raises(UnsatisfiedConstraint, match=r"changes by [+-]0\.00%"):
        keys().prove(before=before, after=before, benchmark=(x, y))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 32.0, -32.0, 1e300, 32.0 - 1e-9])
@pytest.mark.parametrize("which", ["before", "after"])
def test_weights_that_are_no_numbers_or_too_large_are_misuse(bad: float, which: str) -> None:
    before, after, x, y = task()
    weights = {"before": before.copy(), "after": after.copy()}
    weights[which][1, 2] = bad
    with pytest.raises(ValueError, match=which):
        keys().prove(before=weights["before"], after=weights["after"], benchmark=(x, y))


@pytest.mark.parametrize("shape", [(4, 2), (3, 3), (12,), (4, 3, 1), ()])
def test_weights_of_another_shape_are_misuse(shape: tuple[int, ...]) -> None:
    _, after, x, y = task()
    with pytest.raises(ValueError, match=r"before: weights of shape .* expected \(4, 3\)"):
        keys().prove(before=np.zeros(shape), after=after, benchmark=(x, y))


def test_a_weight_that_moves_too_far_is_misuse_and_says_how_far() -> None:
    before, after, x, y = task()
    moved = after.copy()
    moved[0, 0] = before[0, 0] + 1.5
    with pytest.raises(ValueError, match=r"a weight moved by 1\.5; .* can prove moves below 1"):
        keys().prove(before=before, after=moved, benchmark=(x, y))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.5])
def test_rows_that_are_no_numbers_or_out_of_range_are_misuse(bad: float) -> None:
    before, after, x, y = task()
    rows = x.copy()
    rows[3, 1] = bad
    with pytest.raises(ValueError):
        keys().prove(before=before, after=after, benchmark=(rows, y))


def test_a_benchmark_of_another_size_is_misuse() -> None:
    before, after, x, y = task()
    with pytest.raises(ValueError, match="has 19 rows, the statement says 20"):
        keys().prove(before=before, after=after, benchmark=(x[:19], y[:19]))
    with pytest.raises(ValueError, match="rows of 2 features"):
        keys().prove(before=before, after=after, benchmark=(x[:, :2], y))


def test_a_zero_base_loss_proves_nothing() -> None:
    perfect = np.zeros((4, 1))
    with pytest.raises(ProofInvalid, match="the base loss has 0 bits"):
        keys(1).prove(before=perfect, after=perfect, benchmark=(np.zeros((ROWS, 3)), np.zeros(ROWS)))


# -- what a verifier refuses -------------------------------------------------------------------------


def edited(claim: Claim, part: str) -> Claim:
    """Returns the claim with one integer moved by one, inside every range."""
    if part == "base":
        base = claim.base.copy()
        base[0, 0] += 1
        return replace(claim, base=base)
    array = getattr(claim.benchmark, part).copy()
    array[0, 0] += 1 if array[0, 0] < 0 else -1
    return replace(claim, benchmark=replace(claim.benchmark, **{part: array}))


@pytest.mark.parametrize("part", ["base", "features", "targets"])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_claim_about_another_base_or_benchmark_is_refused(classes: int, part: str) -> None:
    claim, proof = proven(classes)
    with pytest.raises(ProofInvalid):
        keys(classes).verifier.verify(edited(claim, part), proof)


def test_a_claim_with_another_commitment_is_refused() -> None:
    (claim, proof), before = proven(), task()
    other, _ = keys().prove(before=before[0], after=before[1], benchmark=before[2:])
    with pytest.raises(ProofInvalid):
        keys().verifier.verify(replace(claim, commitment=other.commitment), proof)
    for bad in (b"", bytes(48), claim.commitment[:-1], claim.commitment + b"\0", b"\xc0" + bytes(47)):
        with pytest.raises(DecodeError):
            keys().verifier.verify(replace(claim, commitment=bad), proof)


@pytest.mark.parametrize(
    "change",
    [{"at_least": Fraction(6, 100)}, {"at_least": Fraction(4, 100)}, {"base_loss_min": 2}, {"rows": ROWS + 1}],
)
def test_a_claim_about_another_statement_is_refused(change: dict[str, Any]) -> None:
    claim, proof = proven()
    with pytest.raises(DecodeError, match="another statement"):
        keys().verifier.verify(replace(claim, statement=replace(claim.statement, **change)), proof)


@pytest.mark.parametrize("change", [{"at_least": Fraction(6, 100)}, {"base_loss_min": 2}])
def test_a_proof_under_the_keys_of_another_statement_is_refused(change: dict[str, Any]) -> None:
    """The statement is in ctx: 5 % proven is not 6 % proven, although the circuit is the same."""
    claim, proof = proven()
    stronger = replace(claim.statement, **change)
    verifier = Verifier(stronger, keys().verifier.key)
    with pytest.raises(ProofInvalid):
        verifier.verify(replace(claim, statement=stronger), proof)


def test_a_benchmark_outside_the_bit_budget_is_refused() -> None:
    claim, proof = proven()
    features = claim.benchmark.features.copy()
    features[0, 0] = np.iinfo(np.int64).min
    with pytest.raises(DecodeError, match="outside its range"):
        keys().verifier.verify(replace(claim, benchmark=replace(claim.benchmark, features=features)), proof)


@pytest.mark.parametrize("bad", [b"", b"\0" * 432, None, "proof", 432])
def test_other_things_than_a_proof_are_refused(bad: Any) -> None:
    with pytest.raises(DecodeError):
        keys().verifier.verify(proven()[0], bad)


@settings(max_examples=60)
@given(st.data())
def test_no_changed_bit_of_a_proof_is_accepted(data: st.DataObject) -> None:
    claim, proof = proven()
    changed = bytearray(proof)
    changed[data.draw(st.integers(0, len(proof) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((ProofInvalid, DecodeError)):
        keys().verifier.verify(claim, bytes(changed))


# -- batches -----------------------------------------------------------------------------------------


def zero_loss() -> Claim:
    claim = proven(1)[0]
    rows = Benchmark.of(LinearModel(3, 1), np.zeros((ROWS, 3)), np.zeros(ROWS))
    return replace(claim, base=np.zeros((4, 1), dtype=np.int64), benchmark=rows)


def test_a_batch_of_true_claims_holds() -> None:
    claim, proof = proven()
    keys().verifier.verify_batch([claim] * 3, [proof] * 3)
    keys().verifier.verify_batch([], [])


@pytest.mark.parametrize("bad", [(0,), (1, 3), (0, 1, 2, 3)])
def test_a_batch_names_its_bad_claims(bad: tuple[int, ...]) -> None:
    claim, proof = proven()
    claims = [edited(claim, "base") if i in bad else claim for i in range(4)]
    with pytest.raises(ProofInvalid) as caught:
        keys().verifier.verify_batch(claims, [proof] * 4)
    assert caught.value.culprits == bad


def test_claims_that_mean_nothing_keep_their_positions() -> None:
    claim, proof = proven(1)
    claims = [claim, edited(claim, "base"), zero_loss(), claim, zero_loss()]
    with pytest.raises(ProofInvalid, match="3 of 5 proofs do not hold") as caught:
        keys(1).verifier.verify_batch(claims, [proof] * 5)
    assert caught.value.culprits == (1, 2, 4)


def test_a_malformed_member_of_a_batch_is_a_decode_error() -> None:
    claim, proof = proven()
    with pytest.raises(DecodeError):
        keys().verifier.verify_batch([claim, claim], [proof, proof[:-1]])
    with pytest.raises(DecodeError, match="another statement"):
        keys().verifier.verify_batch([claim, proven(2)[0]], [proof, proof])
    with pytest.raises(ValueError, match="2 claims and 1 proofs"):
        keys().verifier.verify_batch([claim, claim], [proof])


# -- encodings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_claim_survives_its_encoding(classes: int) -> None:
    claim, proof = proven(classes)
    again = Claim.decode(claim.encode())
    assert again.encode() == claim.encode()
    keys(classes).verifier.verify(again, proof)


@settings(max_examples=60)
@given(st.data())
def test_a_truncated_claim_is_refused(data: st.DataObject) -> None:
    whole = proven()[0].encode()
    with pytest.raises(DecodeError):
        Claim.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(max_examples=80)
@given(st.data())
def test_a_flipped_bit_gives_no_claim_or_one_that_does_not_verify(data: st.DataObject) -> None:
    claim, proof = proven()
    whole = claim.encode()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = Claim.decode(bytes(changed))
    except (DecodeError, PolicyError):
        return
    assert other.encode() == bytes(changed)
    with pytest.raises((DecodeError, ProofInvalid)):
        keys().verifier.verify(other, proof)


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"more"])
def test_an_extended_claim_is_refused(tail: bytes) -> None:
    with pytest.raises(DecodeError, match="bytes too many"):
        Claim.decode(proven()[0].encode() + tail)


def test_a_claim_that_declares_huge_rows_allocates_nothing() -> None:
    claim = proven()[0]
    huge = replace(claim.statement, rows=1 << 20)
    data = claim.encode().replace(claim.statement.encode(), huge.encode())
    with pytest.raises(DecodeError):
        Claim.decode(data)
    at = claim.encode().index(claim.statement.encode()) + len(claim.statement.encode())
    with pytest.raises(LimitExceeded):
        Claim.decode(claim.encode()[:at] + (1 << 31).to_bytes(4, "big"))


# -- texts -------------------------------------------------------------------------------------------


def test_texts_name_the_claim_and_hide_the_weights() -> None:
    claim, _ = proven()
    assert str(claim).startswith("the squared loss on 20 rows falls by at least 5 % (benchmark ")
    assert "development" in repr(keys())
    assert "development" in repr(keys().verifier)
    _, after, _, _ = task()
    for text in (repr(claim), repr(keys()), repr(keys().verifier), repr(keys().prover), str(claim)):
        assert weights_in(text, after, claim.base / 2**15) == []
