"""Shows that a circuit from elsewhere, without ctx, is proven from its whole assignment.

Only a true assignment of the instance's public inputs is proven; circuits of `Builder` keep
their ctx, and no context is accepted where none is hashed.
"""

from __future__ import annotations

import numpy as np
import pytest

from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import Limbs, as_ints, to_limbs
from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify, verify_batch
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import Input, Label, SparseMatrix, System

# Wires 1 | cube, seed | x, x^2.  Rows: x x = x^2,  x^2 x = cube - seed,  and one for each public wire.
TRUE = [1, 27 + 4, 4, 3, 9]


def _matrix(*rows: dict[int, int]) -> SparseMatrix:
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    columns = np.array([wire for row in rows for wire in row], np.int64)
    return SparseMatrix(indptr, columns, as_ints([c for row in rows for c in row.values()]))


def cube(curve: Curve) -> System:
    minus_one, none = curve.order - 1, {}
    a = _matrix({3: 1}, {4: 1}, {0: 1}, {1: 1}, {2: 1})
    b = _matrix({3: 1}, {3: 1}, none, none, none)
    c = _matrix({4: 1}, {1: 1, 2: minus_one}, none, none, none)
    public = Input("public", (2,), 1, 0, False, None)
    labels = (Label("cube", (2,), 0), Label("isolated", (3,), 2))
    return System("cube", 1, curve, (public,), (), (), 5, a, b, c, labels, (), np.arange(5))


@pytest.fixture(params=[BLS12_381, BN254], ids=lambda curve: curve.name, scope="module")
def prover(request: pytest.FixtureRequest) -> Prover:
    system = cube(request.param)
    return Prover(development_keys(system), system)


def instance(public: list[int], context: bytes = b"") -> Instance:
    return Instance(context, {"public": public})


def limbs(*values: int) -> Limbs:
    return to_limbs(values)


def test_a_true_assignment_is_proven_and_the_key_and_proof_survive_their_encoding(prover: Prover) -> None:
    proof = prover.prove_assignment(instance([31, 4]), limbs(*TRUE))
    key = ProvingKey.decode(prover.key.encode(), prover.backend)
    verifying = VerifyingKey.decode(key.verifying.encode(), prover.backend)
    verify(verifying, instance([31, 4]), Proof.decode(prover.backend, verifying.layout, proof.encode(prover.backend)))
    again = Prover(key, prover.system).prove_assignment(instance([31, 4]), limbs(*TRUE))
    verify_batch(verifying, [instance([31, 4])] * 2, [proof, again])
    with pytest.raises(ProofInvalid):
        verify(verifying, instance([32, 4]), proof)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        pytest.param([1, 31, 4, 3, 8], r"constraint cube\[0\]", id="first-row"),
        pytest.param([1, 31, 4, 2, 4], r"constraint cube\[1\]", id="second-row"),
        pytest.param([1, 32, 4, 3, 9], "begin with 1", id="other-public-input"),
        pytest.param([2, 31, 4, 3, 9], "begin with 1", id="one-is-two"),
    ],
)
def test_an_untrue_assignment_is_refused(prover: Prover, values: list[int], match: str) -> None:
    with pytest.raises(UnsatisfiedConstraint, match=match):
        prover.prove_assignment(instance([31, 4]), limbs(*values))


def test_misshaped_arguments_are_refused(prover: Prover) -> None:
    with pytest.raises(DecodeError, match="6 wires"):
        prover.prove_assignment(instance([31, 4]), limbs(*TRUE, 0))
    with pytest.raises(ValueError, match="not below r"):
        prover.prove_assignment(instance([31, 4]), limbs(*TRUE[:-1], prover.system.curve.order + 9))
    with pytest.raises(DecodeError, match="ctx of 32 bytes, expected 0"):
        prover.prove_assignment(instance([31, 4], bytes(32)), limbs(*TRUE))
    proof = prover.prove_assignment(instance([31, 4]), limbs(*TRUE))
    with pytest.raises(DecodeError, match="ctx of 32 bytes, expected 0"):
        verify(prover.key.verifying, instance([31, 4], bytes(32)), proof)


def test_a_circuit_of_ours_keeps_its_ctx_and_its_segments() -> None:
    def built(segment: str | None) -> Prover:
        builder = Builder("square", curve=BN254)
        y = builder.input("y")
        if segment:
            builder.segment(segment)
        x = builder.witness("x", (), lambda values: values.private["x"], segment=segment)
        builder.enforce("square", x, x, y + 5)
        system = builder.finish()
        return Prover(development_keys(system), system)

    prover = built(None)
    with pytest.raises(DecodeError, match="ctx of 0 bytes, expected 32"):
        prover.prove(Instance(b"", {"y": 4}), {"x": 3})
    proof = prover.prove(Instance(bytes(32), {"y": 4}), {"x": 3})
    true = Instance(bytes(32), {"y": 4})
    verify(prover.key.verifying, true, prover.prove_assignment(true, prover.assignment(true, {"x": 3})))
    with pytest.raises(UnsatisfiedConstraint, match="square"):
        prover.assignment(Instance(bytes(32), {"y": 5}), {"x": 3})
    with pytest.raises(ProofInvalid):
        verify(prover.key.verifying, Instance(bytes(31) + b"1", {"y": 4}), proof)
    committed = built("s")
    with pytest.raises(ValueError, match="segments or challenges"):
        committed.prove_assignment(Instance(bytes(32), {"y": 4}), limbs(*[0] * committed.system.wire_count))
