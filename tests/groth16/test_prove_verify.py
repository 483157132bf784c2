"""Every statement is proven and verified; untrue ones are refused with their constraint's name.

Both backends make the same bytes from the same randomness; the reference one proves a tiny
circuit only, because it is slow. Batches name all their bad proofs and only those.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import CASES, Case, Forger, keys_of, s0, scalar_source, times, verdicts
from zkfed.algebra.backend import backends, use
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.reference import ReferenceBackend
from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.proof import Instance, Proof, proof_bytes
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify, verify_batch
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import System


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def test_a_true_statement_is_proven_and_verified(case: Case) -> None:
    verify(case.vk, case.instance, case.proof)
    assert verdicts(case.vk, case.instance, case.proof) == (True, True, True)


def test_a_proof_survives_its_encoding_and_has_the_promised_size(case: Case) -> None:
    data = case.proof.encode(case.backend)
    assert len(data) == proof_bytes(case.vk.layout) <= 500
    again = Proof.decode(case.backend, case.vk.layout, data)
    assert again.encode(case.backend) == data
    verify(case.vk, case.instance, again)


def test_proofs_of_one_statement_share_no_point(case: Case) -> None:
    first, second = case.prover.prove(case.instance, case.private, (case.blinder,)), case.proof
    for a, b in zip((first.a, first.b, first.c, *first.d), (second.a, second.b, second.c, *second.d), strict=True):
        assert case.backend.encode(a) != case.backend.encode(b)
    verify_batch(case.vk, [case.instance] * 2, [first, second])


def test_the_forger_that_does_not_lie_makes_a_valid_proof(case: Case) -> None:
    """The control of every attack that uses `Forger`: without a lie, its proof holds."""
    verify(case.vk, case.instance, Forger(case, case.instance, case.private).proof())


def test_verify_returns_nothing(case: Case) -> None:
    assert verify(case.vk, case.instance, case.proof) is None  # type: ignore[func-returns-value]
    assert verify_batch(case.vk, [], []) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("part", ["a", "b", "c", "pok", "link", 0, 1])
def test_one_changed_element_is_refused(case: Case, part: str | int) -> None:
    backend, proof = case.backend, case.proof

    def doubled(points: Any) -> Any:
        return times(backend, points, 2)

    if isinstance(part, int):
        d = tuple(doubled(p) if i == part else p for i, p in enumerate(proof.d))
        forged = replace(proof, d=d)
    else:
        forged = replace(proof, **{part: doubled(getattr(proof, part))})
    with pytest.raises(ProofInvalid) as caught:
        verify(case.vk, case.instance, forged)
    assert caught.value.culprits == (0,)


@pytest.mark.parametrize("change", ["no pok", "no link", "one d fewer", "one d more"])
def test_wrong_counts_are_refused(case: Case, change: str) -> None:
    proof = {
        "no pok": replace(case.proof, pok=None),
        "no link": replace(case.proof, link=None),
        "one d fewer": replace(case.proof, d=case.proof.d[:-1]),
        "one d more": replace(case.proof, d=(*case.proof.d, case.proof.c)),
    }[change]
    with pytest.raises(DecodeError):
        verify(case.vk, case.instance, proof)


@pytest.mark.parametrize("count", [0, 2])
def test_a_wrong_number_of_external_commitments_is_refused(case: Case, count: int) -> None:
    instance = replace(case.instance, commitments=case.instance.commitments * count)
    with pytest.raises(DecodeError, match=f"{count} external commitments, expected 1"):
        verify(case.vk, instance, case.proof)


# -- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [(), (0,), (6,), (2, 3), (0, 3, 6), tuple(range(7))])
def test_a_batch_names_all_its_bad_proofs_and_only_those(bad: tuple[int, ...]) -> None:
    case = s0()
    proofs = [case.prove(seed) for seed in range(7)]
    forged = [replace(p, c=p.a) if i in bad else p for i, p in enumerate(proofs)]
    if not bad:
        verify_batch(case.vk, [case.instance] * 7, forged)
        return
    with pytest.raises(ProofInvalid) as caught:
        verify_batch(case.vk, [case.instance] * 7, forged)
    assert caught.value.culprits == bad


def test_a_batch_counts_malformed_instances_among_the_bad() -> None:
    case = s0()
    instances = [case.instance, replace(case.instance, context=b"short"), case.instance, case.with_static(
        squared_norm_max=-1
    )]  # fmt: skip
    proofs = [case.proof, case.proof, replace(case.proof, c=case.proof.a), case.proof]
    with pytest.raises(ProofInvalid) as caught:
        verify_batch(case.vk, instances, proofs)
    assert caught.value.culprits == (1, 2, 3)


def test_errors_that_cancel_between_two_proofs_are_refused() -> None:
    """Weights differ from proof to proof: C + X and C - X do not hold together."""
    case = s0()
    first, second = case.prove(1), case.prove(2)
    x = case.basis("stage-0")
    x = case.backend.take(x, np.array([0]))
    forged = [
        replace(first, c=case.backend.add(first.c, x)),
        replace(second, c=case.backend.add(second.c, case.backend.negate(x))),
    ]
    with pytest.raises(ProofInvalid) as caught:
        verify_batch(case.vk, [case.instance] * 2, forged)
    assert caught.value.culprits == (0, 1)


def test_proofs_that_swapped_their_places_are_refused() -> None:
    case = s0()
    instances = [replace(case.instance, context=bytes([i]) * 32) for i in range(3)]
    proofs = [case.prove(1, instance) for instance in instances]
    verify_batch(case.vk, instances, proofs)
    with pytest.raises(ProofInvalid) as caught:
        verify_batch(case.vk, instances, [proofs[1], proofs[0], proofs[2]])
    assert caught.value.culprits == (0, 1)


def test_a_batch_needs_as_many_instances_as_proofs() -> None:
    case = s0()
    with pytest.raises(ValueError, match="2 instances and 1 proofs"):
        verify_batch(case.vk, [case.instance] * 2, [case.proof])


# -- untrue statements ---------------------------------------------------------------------------


def secret_texts(case: Case) -> list[str]:
    """Returns the witness' numbers of four digits and more, as they would be printed."""
    numbers = [int(v) for v in np.asarray(case.private["update"]).ravel().tolist()] + [case.blinder]
    return [str(abs(v)) for v in numbers if abs(v) > 999]


def test_a_norm_above_the_limit_is_unsatisfied_and_names_no_value(case: Case) -> None:
    with pytest.raises(UnsatisfiedConstraint) as caught:
        case.prover.prove(case.with_static(squared_norm_max=1), case.private, (case.blinder,))
    text = str(caught.value)
    assert caught.value.constraint.startswith("update/norm-slack")
    assert caught.value.constraint in text
    assert "bits" in text
    assert not any(secret in text for secret in secret_texts(case))


def test_a_coordinate_out_of_range_is_unsatisfied_and_named() -> None:
    case = s0()
    update = case.private["update"].copy()
    update[3] = 1 << 15
    with pytest.raises(UnsatisfiedConstraint) as caught:
        case.prover.prove(case.with_static(squared_norm_max=8 << 30), {"update": update}, (case.blinder,))
    assert caught.value.constraint.startswith("update/range")
    assert "32768" not in str(caught.value)


def test_every_broken_row_is_named_when_hints_see_nothing() -> None:
    """The check Az o Bz = Cz stands behind the hints: a witness that they pass is refused by name."""
    case = s0()
    rand = scalar_source(1, case.order)
    _, assignment, _, _ = case.prover._commit(case.with_static(squared_norm_max=1), case.private, rand, is_strict=False)
    with pytest.raises(UnsatisfiedConstraint, match=r"constraint table/sum\[0\] does not hold \(A \d+ bits") as caught:
        case.system.check(*case.system.evaluate(assignment.final()))
    assert caught.value.constraint == "table/sum"


def test_a_wrong_product_names_its_constraint_and_position() -> None:
    case = s0()
    z = case.prover._commit(case.instance, case.private, scalar_source(1, case.order))[1].final()
    sides = case.system.evaluate(z)
    case.system.check(*sides)
    label = next(x for x in case.system.labels if x.name == "update/squares")
    sides[2][label.start + 5] += 1
    with pytest.raises(UnsatisfiedConstraint) as caught:
        case.system.check(*sides)
    assert (caught.value.constraint, caught.value.position) == ("update/squares", (5,))
    assert not any(secret in str(caught.value) for secret in secret_texts(case))


def test_a_blinder_that_opens_nothing_is_found_before_the_proof_is_returned(case: Case) -> None:
    with pytest.raises(ProofInvalid):
        case.prover.prove(case.instance, case.private, (case.blinder + 1,))


@pytest.mark.parametrize("blinders", [(), (1, 2)])
def test_a_wrong_number_of_blinders_is_misuse(blinders: tuple[int, ...]) -> None:
    case = s0()
    with pytest.raises(ValueError, match="blinders for 1 links"):
        case.prover.prove(case.instance, case.private, blinders)


def test_nothing_secret_is_in_a_repr(case: Case) -> None:
    shown = [repr(v) for v in (case.prover, case.key, case.vk, case.proof, case.generators)]
    _, assignment, _, _ = case.prover._commit(case.instance, case.private, scalar_source(1, case.order))
    shown.append(repr(assignment))
    drawn = [f"{v:{form}}" for v in (*case.trapdoors.drawn, case.blinder) for form in ("d", "x")]
    for text in shown:
        assert not any(secret in text for secret in [*drawn, *secret_texts(case)])


# -- backends ------------------------------------------------------------------------------------


def tiny(curve: Curve) -> System:
    """Returns x y = z with committed x, y, a challenge and a second segment: all kinds of wires."""
    builder = Builder("tiny", curve=curve)
    z = builder.input("z", bounds=(0, 1 << 20))
    builder.segment("stage-0")
    x = builder.witness("x", (2,), lambda v: v.private["x"], segment="stage-0")
    (chi,) = builder.challenge("chi")
    builder.segment("stage-1")
    y = builder.define("y", x * 3, segment="stage-1")
    product = builder.product("x y", x, y)
    builder.enforce("sum", product.sum() - z, chi, builder.product("zero", product.sum() - z, chi))
    return builder.finish()


AVAILABLE = [(c, s.name) for c in (BLS12_381, BN254) for s in backends(c) if s.is_available and c.name in s.curves]


@pytest.mark.parametrize(("curve", "name"), AVAILABLE, ids=[f"{n}/{c.name}" for c, n in AVAILABLE])
def test_every_backend_proves_the_tiny_circuit(curve: Curve, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKFED_BACKEND", name)
    system, backend = tiny(curve), use(curve)
    assert backend.name == name
    key, _ = keys_of(system, backend)
    instance, private = Instance(bytes(32), {"z": 3 * (4 + 25)}), {"x": np.array([2, 5], dtype=object)}
    proof = Prover(key, system).prove(instance, private)
    with pytest.raises(ProofInvalid):
        verify(key.verifying, replace(instance, static={"z": 88}), proof)


def test_both_backends_make_the_same_bytes_from_the_same_randomness() -> None:
    """S0 with two coordinates: a link, a linked and an unlinked segment, a challenge."""
    made = []
    for backend in (use(BLS12_381), ReferenceBackend(BLS12_381)):
        case = s0(2, backend)
        assert case.backend is backend
        made.append((case.key.encode(), case.vk.encode(), case.proof.encode(backend)))
    assert made[0] == made[1]
