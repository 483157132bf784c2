"""Attack: have a claim about one loss checked under the key of another one.

Hinge loss and errors of one model have circuits with the same inputs, segments and challenges, so a
true proof of the easier claim would verify as one of the other. What stops it: a verifier takes no
key but that of its statement's circuit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from zkfed.errors import KeyRefused
from zkfed.model import LinearModel
from zkfed.policy import Improvement, Registration
from zkfed.statements.keys import Verifier, development_setup
from zkfed.statements.own_keys import OwnVerifier, own_data_setup

HINGE = Improvement(LinearModel(1, 2), 2, "1%", loss="hinge", registration=Registration(8))
OTHERS = [
    replace(HINGE, loss="accuracy"), replace(HINGE, model=LinearModel(1, 2, fraction_bits=8)),
    replace(HINGE, model=LinearModel(1, 2, weight_bits=30)),
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_a_benchmark_verifier_refuses_the_key_of_another_circuit(other: Improvement) -> None:
    hinge, other = replace(HINGE, registration=None), replace(other, registration=None)
    key = development_setup(hinge).verifier.key
    Verifier(hinge, key)
    with pytest.raises(KeyRefused, match="not for the circuit s2-"):
        Verifier(other, key)


@pytest.mark.parametrize("change", [{"statement": other} for other in OTHERS] + [{"kind": "S3"}])
def test_a_verifier_of_own_rows_refuses_the_key_of_another_circuit(change: dict[str, Any]) -> None:
    keys = own_data_setup(HINGE).verifier
    right = {"statement": HINGE, "kind": "S1", "key": keys.key, "registration": keys.registration}
    OwnVerifier(**right)
    with pytest.raises(KeyRefused, match="not for the circuit s"):
        OwnVerifier(**right | change)
    with pytest.raises(KeyRefused, match="not for the circuit registration-"):
        OwnVerifier(**right | {"registration": keys.key})
