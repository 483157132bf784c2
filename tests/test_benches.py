"""Shows that the circuits and texts of the benches are what they say, without measuring anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benches.synthetic import KINDS
from zkfed.algebra.backend import use
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import from_limbs
from zkfed.errors import UnsatisfiedConstraint
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
@pytest.mark.parametrize("kind", KINDS)
def test_the_synthetic_circuits_hold_and_are_of_the_stated_size(kind: str, curve: Curve) -> None:
    plain = KINDS[kind](1000, curve)
    system, z = plain.system, from_limbs(plain.assignment)
    system.check(*system.evaluate(z))
    assert 980 < system.constraint_count <= 1000
    assert system.magnitudes is not None
    sizes = np.array([min(v, curve.order - v).bit_length() for v in z.tolist()])
    assert (sizes <= system.magnitudes).all()
    share_of_bits = float((system.magnitudes[2:] == 1).mean())
    assert share_of_bits == (0.0 if kind == "dense" else pytest.approx(0.9, abs=0.01))


@pytest.mark.parametrize("kind", KINDS)
def test_every_wire_of_a_synthetic_circuit_matters(kind: str) -> None:
    plain = KINDS[kind](41, BLS12_381)
    system, z = plain.system, from_limbs(plain.assignment)
    for wire in range(1, system.wire_count):
        changed = z.copy()
        changed[wire] = (changed[wire] + 5) % system.curve.order
        with pytest.raises(UnsatisfiedConstraint):
            system.check(*system.evaluate(changed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_synthetic_circuit_proves(kind: str) -> None:
    plain = KINDS[kind](41, BLS12_381)
    prover = Prover(development_keys(plain.system, use()), plain.system)
    verify(prover.key.verifying, plain.instance, prover.prove_assignment(plain.instance, plain.assignment))
    wrong = replace(plain.instance, static={"result": 1})
    with pytest.raises(UnsatisfiedConstraint):
        prover.prove_assignment(wrong, plain.assignment)
