"""A link after a challenge opens the commitment that the verifier derives, and no other.

The circuit is the heart of S1: C_1 .. C_4 commit to four private rows x_i, C_D to an update D, and
the claim is z = X W, W = W0 + D, for committed z. It is checked by one product, over the sketch
v = sum_i rho^(i+1) x_i alone, whose wires stand in a linked segment after rho: <v, W> =
sum_i rho^(i+1) z_i. Shows that it proves, that every other sketch, row, rho or blinder is
rejected, and that without the link the builder refuses and a false claim would hold.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import keys_of, scalar_source, verdicts
from zkfed.algebra.backend import Points
from zkfed.algebra.field import as_ints, powers, to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.errors import DecodeError, KeyRefused, ProofInvalid, UnsatisfiedConstraint
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.gadgets.product import horner
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.system import Layout, LinkSpec, System

ROWS, COLUMNS = 4, 3
CONTEXT = bytes(32)
X = np.arange(1, 13).reshape(ROWS, COLUMNS) ** 2 - 40
D, W0 = np.array([5, -7, 11]), np.array([1, 2, 3])
W = W0 + D
UPDATE_BLINDER, ROW_BLINDERS = 1 << 200, [3 + (i << 220) for i in range(ROWS)]


def private(name: str) -> Callable[[Values], Any]:
    return lambda values: as_ints(np.asarray(values.private[name], dtype=object))


def sketch_of(values: Values, rho: Any) -> Any:
    weights = powers(int(values(rho)[()]), ROWS + 1, values.order)[1:]
    return weights @ as_ints(np.asarray(values.private["rows"])) % values.order


@functools.cache
def circuit(is_linked: bool = True) -> System:
    """Returns the circuit; without the link, and without the builder's rule, if `is_linked` is False."""
    builder = Builder("sketched-rows")
    builder.segment("update", LinkSpec("update", "update", LANES, LANE_BITS))
    builder.segment("stage-0")
    d = builder.witness("d", (COLUMNS,), private("update"), segment="update")
    z = builder.witness("z", (ROWS,), private("logits"), segment="stage-0")
    (rho,) = builder.challenge("rho")
    builder.segment("rows", LinkSpec("rows", "row", 1, LANE_BITS) if is_linked else None)
    v = builder.witness("v", (COLUMNS,), lambda values: sketch_of(values, rho), segment="rows")
    w, v, z = builder.operand(d) + W0, builder.operand(v) if is_linked else v, builder.operand(z)
    right = builder.product("shift", horner(builder, "right", z, rho), rho)
    builder.enforce("equal", v[0], w[0], right - builder.product("left", v[1:], w[1:]).sum())
    return builder.finish()


@dataclass(frozen=True)
class Rows:
    """A statement, its prover and one true witness."""

    prover: Prover
    points: Points

    @property
    def instance(self) -> Instance:
        b = self.prover.backend
        commitment = generators(b, "update", COLUMNS).commit(D, UPDATE_BLINDER)
        return Instance(CONTEXT, {}, (commitment,), derive_commitments=self.derive)

    def derive(self, stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
        b = self.prover.backend
        return (b.msm(self.points, to_limbs(powers(challenges["rho"], ROWS + 1, b.curve.order)[1:])),)

    def blinder(self, challenges: dict[str, int]) -> int:
        order = self.prover.backend.curve.order
        return int(powers(challenges["rho"], ROWS + 1, order)[1:] @ as_ints(ROW_BLINDERS) % order)

    def prove(self, **changes: Any) -> Proof:
        witness = {"update": D, "rows": X, "logits": X @ W, **changes}
        return self.prover.prove(self.instance, witness, (UPDATE_BLINDER, self.blinder))


@functools.cache
def case() -> Rows:
    key, _ = keys_of(circuit())
    b = key.verifying.backend
    g = generators(b, "row", COLUMNS, 1)
    points = b.concat("G1", [g.commit(row, rho) for row, rho in zip(X, ROW_BLINDERS, strict=True)])
    return Rows(Prover(key, circuit()), points)


def test_a_true_claim_about_committed_rows_is_proven() -> None:
    c = case()
    proof = c.prove()
    verify(c.prover.key.verifying, c.instance, proof)
    assert verdicts(c.prover.key.verifying, c.instance, proof) == (True, True, True)


def test_a_false_claim_is_no_witness() -> None:
    with pytest.raises(UnsatisfiedConstraint, match="equal"):
        case().prove(logits=X @ W + 1)


@pytest.mark.parametrize("change", ["a value", "two rows swapped", "another row"])
def test_rows_other_than_the_committed_ones_are_rejected(change: str) -> None:
    """Every equation of the circuit holds for them; only the link does not."""
    rows = X.copy()
    if change == "a value":
        rows[1, 2] += 1
    elif change == "two rows swapped":
        rows[[0, 1]] = rows[[1, 0]]
    else:
        rows[3] = [1, 2, 3]
    with pytest.raises(ProofInvalid):
        case().prove(rows=rows, logits=rows @ W)


def lying(edit: Callable[[Any], Any]) -> tuple[Rows, Proof]:
    """Returns a proof by a prover whose sketch is `edit` of the honest one, with z to match it."""
    c = case()
    steps = [*circuit().steps]
    late = max(i for i, (stage, wires, _) in enumerate(steps) if stage == 1 and len(wires) == COLUMNS)
    stage, wires, hint = steps[late]
    steps[late] = (stage, wires, lambda values: edit(hint(values)) % values.order)
    liar = Prover(c.prover.key, replace(circuit(), steps=tuple(steps)))
    witness = {"update": D, "rows": X, "logits": X @ W}
    challenger, assignment, d, segments = liar._commit(
        c.instance, witness, scalar_source(1, c.prover.backend.curve.order)
    )
    proof = liar._assemble((challenger, d, segments), assignment.final(), (UPDATE_BLINDER, c.blinder), lambda: 7)
    return c, proof


def test_another_sketch_is_rejected_by_the_link_alone() -> None:
    """The product with W is the same for v + (0, 14, 5): the circuit cannot tell, the link does."""
    c, proof = lying(lambda v: v + np.array([0, 14, 5], dtype=object))
    assert verdicts(c.prover.key.verifying, c.instance, proof) == (True, True, False)
    with pytest.raises(ProofInvalid):
        verify(c.prover.key.verifying, c.instance, proof)


def test_control_the_honest_sketch_by_the_same_way_is_accepted() -> None:
    c, proof = lying(lambda v: v)
    verify(c.prover.key.verifying, c.instance, proof)


@pytest.mark.parametrize("wrong", ["one more", "of another rho", "of one row", "not a function"])
def test_another_blinder_is_rejected(wrong: str) -> None:
    c = case()
    blinders: dict[str, Any] = {
        "one more": lambda chi: c.blinder(chi) + 1,
        "of another rho": lambda chi: c.blinder({"rho": chi["rho"] + 1}),
        "of one row": lambda chi: ROW_BLINDERS[0],
        "not a function": sum(ROW_BLINDERS),
    }
    witness = {"update": D, "rows": X, "logits": X @ W}
    with pytest.raises(ProofInvalid):
        c.prover.prove(c.instance, witness, (UPDATE_BLINDER, blinders[wrong]))


def test_a_proof_over_a_sketch_of_another_rho_is_rejected() -> None:
    c = case()
    other = replace(c.instance, derive_commitments=lambda stage, chi: c.derive(stage, {"rho": chi["rho"] + 1}))
    with pytest.raises(ProofInvalid):
        verify(c.prover.key.verifying, other, c.prove())


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 1, 2, 2]])
def test_a_verifier_with_other_row_commitments_rejects(order: list[int]) -> None:
    c, proof = case(), case().prove()
    moved = replace(c, points=c.prover.backend.take(c.points, np.array(order)))
    with pytest.raises(ProofInvalid):
        verify(c.prover.key.verifying, moved.instance, proof)


def test_counts_of_commitments_are_exact() -> None:
    c = case()
    proof, instance, b = c.prove(), c.instance, c.prover.backend
    one = instance.commitments[0]
    wrong = [
        replace(instance, commitments=()),
        replace(instance, commitments=(one, one)),
        replace(instance, commitments=(b.concat("G1", [one, one]),)),
        replace(instance, commitments=(b.generator("G2", to_limbs([1])),)),
        replace(instance, derive_commitments=lambda stage, chi: ()),
        replace(instance, derive_commitments=lambda stage, chi: (one, one)),
        replace(instance, derive_commitments=lambda stage, chi: (b.concat("G1", [one, one]),)),
        replace(instance, derive_commitments=lambda stage, chi: (b.generator("G2", to_limbs([1])),)),
    ]
    for bad in wrong:
        with pytest.raises(DecodeError, match=r"external commitments, expected 1, at stage \d"):
            verify(c.prover.key.verifying, bad, proof)
    with pytest.raises(ValueError, match="1 blinders for 2 links"):
        c.prover.prove(instance, {"update": D, "rows": X, "logits": X @ W}, (1,))


# -- the builder's rule ----------------------------------------------------------------------------


def test_the_exception_is_listed_by_name() -> None:
    builder = Builder("names")
    builder.segment("u", LinkSpec("u", "update", LANES, LANE_BITS))
    builder.challenge("rho")
    builder.segment("late")
    builder.segment("rows", LinkSpec("rows", "row", 1, LANE_BITS))
    assert builder.sketches == ("rows",)


def test_a_late_segment_without_a_link_is_still_no_operand() -> None:
    builder = Builder("late")
    builder.challenge("rho")
    builder.segment("rows")
    v = builder.witness("v", (2,), private("v"), segment="rows")
    with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
        builder.operand(v)


def test_a_sketch_is_no_operand_of_an_earlier_stage_and_one_of_later_ones() -> None:
    builder = Builder("stages")
    builder.challenge("a")
    builder.challenge("b")
    builder.segment("rows", LinkSpec("rows", "row", 1, LANE_BITS))
    v = builder.witness("v", (2,), private("v"), segment="rows")
    assert builder._table.fixed_at[v.wires].tolist() == [1, 1]
    builder.operand(v)
    builder.challenge("c")
    builder.operand(v)


def test_control_without_the_link_a_false_claim_holds() -> None:
    """Why an unlinked sketch is no operand: chosen after rho, it fits every z."""
    system = circuit(is_linked=False)
    key, _ = keys_of(system)
    prover = Prover(key, system)
    b = prover.backend
    order, false = b.curve.order, X @ W + 1
    late = {"update": D, "rows": X, "logits": false}

    def fitted(values: Values) -> Any:
        rho = values.z[next(i for i, s in enumerate(system.final_of) if s == system.inputs[-1].start)]
        right = int(powers(int(rho), ROWS + 1, order)[1:] @ as_ints(false) % order)
        return as_ints([right * pow(int(W[0]), -1, order) % order, 0, 0])

    steps = [(s, w, fitted if s == 1 and len(w) == COLUMNS else h) for s, w, h in system.steps]
    liar = Prover(key, replace(system, steps=tuple(steps)))
    instance = Instance(CONTEXT, {}, case().instance.commitments)
    verify(key.verifying, instance, liar.prove(instance, late, (UPDATE_BLINDER,)))


# -- links in keys and layouts ---------------------------------------------------------------------


def test_one_coordinate_to_a_generator() -> None:
    b = case().prover.backend
    g = generators(b, "row", COLUMNS, 1)
    assert len(g.lanes) == COLUMNS
    assert b.encode(g.coordinates()) == b.encode(g.lanes)
    point = g.commit(X[0], 9)
    expected = b.msm(b.concat("G1", [g.lanes, g.blinder]), to_limbs([int(v) % b.curve.order for v in [*X[0], 9]]))
    assert b.is_equal(point, expected).all()
    g.open(point, X[0], 9)
    with pytest.raises(ValueError, match="2 coordinates to a generator"):
        generators(b, "row", COLUMNS, 2)


@pytest.mark.parametrize(("lanes", "bits"), [(2, 32), (7, 16), (1, 16)])
def test_links_of_another_form_have_no_key(lanes: int, bits: int) -> None:
    builder = Builder("form")
    builder.segment("u", LinkSpec("u", "row", lanes, bits))
    w = builder.witness("w", (2,), private("w"), segment="u")
    builder.product("squares", w, w + 1)
    with pytest.raises(ValueError, match="expected 7 lanes or one, of 32 bits"):
        keys_of(builder.finish())


def test_links_in_another_order_than_their_segments_are_refused() -> None:
    layout = circuit().layout
    assert Layout.decode(layout.encode()).links == layout.links
    with pytest.raises(DecodeError, match="links and linked segments differ"):
        Layout.decode(replace(layout, links=layout.links[::-1]).encode())


def test_each_link_has_rows_of_its_own_in_the_key() -> None:
    key = case().prover.key
    b = key.verifying.backend
    assert [len(columns) for columns in key.link] == [COLUMNS + 2, COLUMNS + 2]
    size = b.curve.point_bytes("G2")
    kappa = b.encode(key.verifying.kappa)
    assert len({kappa[i : i + size] for i in range(0, len(kappa), size)}) == 4
    # The prover's own check: with the links' columns exchanged no row fits.
    with pytest.raises(KeyRefused, match="link 0 does not fit its rows"):
        Prover(replace(key, link=key.link[::-1]), circuit())
