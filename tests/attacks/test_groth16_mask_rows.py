"""A mask that shares a row with ctx lets anyone move a proof to another ctx.

Source: review H2. If the only row of the mask is the row x_ctx * 0 = 0, both have the same column,
so K_mask = K_ctx and both are published: (ctx + t, D - t K_mask, PoK - t sigma K_mask) verifies.
What stops it: every public input and every mask has a row that holds it alone. In the shipped
circuits the challenge also changes with ctx; so this circuit has none, and the rows stand alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import CASES, keys_of, scalar_source, times
from zkfed.errors import KeyRefused, ProofInvalid
from zkfed.groth16.challenge import context_scalar
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import SparseMatrix, System

MINE, THEIRS = bytes(32), bytes([7]) * 32


def square_circuit() -> System:
    """Returns w w = y + 3 for a committed w: a segment and no challenge."""
    builder = Builder("square")
    y = builder.input("y", bounds=(0, 1 << 40))
    builder.segment("stage-0")
    w = builder.witness("w", (), lambda v: v.private["w"], segment="stage-0")
    builder.enforce("square", w, w, y + 3)
    return builder.finish()


def row_of(system: System, name: str) -> int:
    return next(label.start for label in system.labels if label.name == name)


def with_mask_in(system: System, target: str) -> System:
    """Moves the mask's entry out of its own row into the row `target`, as a careless optimiser would."""
    own, other, mask = row_of(system, "isolated/mask/stage-0"), row_of(system, target), system.segments[0].stop - 1
    rows, columns = system.a.rows_of_entries(), system.a.columns
    rows = np.where(rows == own, other, rows)
    order = np.lexsort((columns, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=system.constraint_count))]).astype(np.int64)
    assert mask in columns
    return replace(system, a=SparseMatrix(indptr, columns[order], system.a.coefficients[order]))


def moved(key: ProvingKey, proof: Proof, t: int) -> Proof:
    """Moves a proof by t in ctx, from the proof and published points only."""
    b, at = key.verifying.backend, np.array([len(key.bases[0]) - 1])
    assert proof.pok is not None
    d = b.add(proof.d[0], times(b, b.take(key.bases[0], at), -t))
    return replace(proof, d=(d,), pok=b.add(proof.pok, times(b, b.take(key.pok[0], at), -t)))


def attempt(system: System) -> tuple[ProvingKey, Instance, Proof]:
    key, _ = keys_of(system)
    order = system.curve.order
    mine = Instance(MINE, {"y": 46})
    proof = Prover(key, system)._prove(mine, {"w": np.array(7, dtype=object)}, (), scalar_source(1, order))
    verify(key.verifying, mine, proof)
    t = context_scalar(THEIRS, order) - context_scalar(MINE, order)
    return key, replace(mine, context=THEIRS), moved(key, proof, t)


def test_control_with_the_mask_in_the_row_of_ctx_a_third_party_moves_the_proof() -> None:
    key, theirs, proof = attempt(with_mask_in(square_circuit(), "isolated/ctx"))
    verify(key.verifying, theirs, proof)


def test_with_rows_of_their_own_the_moved_proof_is_refused() -> None:
    key, theirs, proof = attempt(square_circuit())
    with pytest.raises(ProofInvalid):
        verify(key.verifying, theirs, proof)


def test_a_mask_in_the_row_of_an_input_that_has_other_rows_moves_nothing() -> None:
    """The attack needs equal columns: y also stands in the square, so K_y is not K_mask."""
    system = with_mask_in(square_circuit(), "isolated/y")
    key, _ = keys_of(system)
    proof = Prover(key, system).prove(Instance(MINE, {"y": 46}), {"w": np.array(7, dtype=object)})
    with pytest.raises(ProofInvalid):
        verify(key.verifying, Instance(MINE, {"y": 47}), moved(key, proof, 1))


def test_the_two_circuits_differ_in_their_digest_so_a_key_fits_one_of_them() -> None:
    good, bad = square_circuit(), with_mask_in(square_circuit(), "isolated/ctx")
    with pytest.raises(KeyRefused, match="for another circuit"):
        Prover(keys_of(bad)[0], good)


@pytest.mark.parametrize("name", CASES)
def test_in_every_statement_each_input_and_mask_has_a_row_of_its_own(name: str) -> None:
    system = CASES[name]().system
    lonely: dict[int, list[Any]] = {}
    entries = [(m, *e) for m in "abc" for e in zip(
        getattr(system, m).rows_of_entries().tolist(), getattr(system, m).columns.tolist(), strict=True
    )]  # fmt: skip
    for matrix, row, wire in entries:
        lonely.setdefault(row, []).append((matrix, wire))
    alone = [rows[0][1] for rows in lonely.values() if len(rows) == 1 and rows[0][0] == "a"]
    expected = {*range(1, system.public_count), *(s.stop - 1 for s in system.segments)}
    assert expected <= set(alone)
    assert len(alone) == len(set(alone))
    for segment in system.segments:
        # And the mask is nowhere else, so that it can take any value.
        assert sum(wire == segment.stop - 1 for _, _, wire in entries) == 1
