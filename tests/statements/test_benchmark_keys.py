"""Shows that S2 of other models and losses is proven, verified and encoded like that of linear models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.model import MLP
from zkfed.policy import Improvement
from zkfed.statements.keys import Claim, Keys, development_setup

MODEL = MLP(3, (4,), 3)
BEFORE = np.random.default_rng(1).uniform(-12, 12, MODEL.parameters)


@pytest.fixture(scope="module")
def keys() -> Keys:
    return development_setup(Improvement(MODEL, 8, "5%"))


@pytest.fixture(scope="module")
def rows() -> tuple[Any, Any]:
    rand = np.random.default_rng(2)
    return rand.uniform(-1, 1, (8, 3)), rand.integers(0, 3, 8)


def test_a_perceptron_improves_on_a_benchmark(keys: Keys, rows: tuple[Any, Any]) -> None:
    claim, proof = keys.prove(before=BEFORE, after=BEFORE * 0.95, benchmark=rows)
    keys.verifier.verify(Claim.decode(claim.encode()), proof)
    keys.verifier.verify_batch([claim, claim], [proof, proof])
    assert str(claim).startswith("the squared loss on 8 rows falls by at least 5 %")
    with pytest.raises(ProofInvalid):
        keys.verifier.verify(replace(claim, base=claim.base + 1), proof)
    labels = replace(claim.benchmark, targets=np.roll(claim.benchmark.targets, 1, axis=1))
    with pytest.raises(ProofInvalid):
        keys.verifier.verify(replace(claim, benchmark=labels), proof)
    with pytest.raises(DecodeError, match="another statement"):
        keys.verifier.verify(replace(claim, statement=Improvement(MODEL, 8, "4%")), proof)


def test_a_worse_one_is_refused(keys: Keys, rows: tuple[Any, Any]) -> None:
    with pytest.raises(UnsatisfiedConstraint, match=r"the statement needs -5\.00%"):
        keys.prove(before=BEFORE, after=BEFORE * 1.01, benchmark=rows)


def test_a_model_beyond_the_circuit_is_refused_by_layer(keys: Keys, rows: tuple[Any, Any]) -> None:
    huge = np.full(MODEL.parameters, 31.9)
    loud = np.ones((8, 3)), rows[1]
    claim, proof = keys.prove(before=huge, after=huge * 0.98, benchmark=loud)  # 4 * 31.9 is inside
    keys.verifier.verify(claim, proof)
    wide = development_setup(Improvement(replace(MODEL, weight_bits=30), 8, "5%"))
    with pytest.raises(DecodeError, match="hidden layer 1, unit 0"):
        wide.prove(before=huge * 10, after=huge * 10 - 0.5, benchmark=loud)
