"""One true claim about registered rows of any size, made of drawn data: a circuit and what proves it.

Rows come from a seeded generator and the update shrinks a base model whose logits are large: proving
takes as long on any rows of a shape. A smaller model is right as often, so for accuracy the labels
are those of an updated model that is.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from zkfed.algebra.backend import Backend
from zkfed.commitments.pedersen import generators
from zkfed.commitments.rows import PrivateRows, row_weights
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.proof import Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.inference import forward
from zkfed.policy import FEATURE_LIMIT, UPDATE_BITS, Improvement
from zkfed.statements.evaluation import evaluation_circuit
from zkfed.statements.own_data import DrawnRows, OwnTerms
from zkfed.statements.update_bound import USE, squared_norm_max

__all__ = ["OwnClaim", "drawn_rows"]


def drawn_rows(statement: Improvement, order: int, *, count: int, seed: int = 1) -> PrivateRows:
    """Returns `count` valid random rows."""
    rand, model = np.random.default_rng(seed), statement.model
    labels = np.arange(count) % model.classes
    targets = np.eye(model.classes, dtype=np.int64)[labels] if model.classes > 2 else 2 * labels[:, None] - 1
    features = rand.integers(-FEATURE_LIMIT, FEATURE_LIMIT + 1, (count, model.features))
    return PrivateRows.blind(features, targets.astype(np.int64), order)


class OwnClaim:
    """S1 of a statement, with keys and a true instance.

    Attributes:
        prove: Proves it once; the bytes of the proof.
        verify: Decodes and verifies a proof.
    """

    def __init__(self, statement: Improvement, key: ProvingKey, backend: Backend) -> None:
        model, order = statement.model, backend.curve.order
        self.system = evaluation_circuit(statement, "S1", backend.curve.name)
        self.prover, self.backend = Prover(key, self.system), backend
        base = np.random.default_rng(2).integers(-(2**16), 2**16, model.shape)
        update, blinder = -base.ravel() // 8, secrets.randbelow(order)
        rows = drawn_rows(statement, order, count=statement.rows)
        if statement.loss == "accuracy":
            update = np.roll(base.ravel(), 1) // 2
            features = np.pad(rows.features, ((0, 0), (0, 1)), constant_values=FEATURE_LIMIT)
            best = forward(model, base + update.reshape(model.shape), features).logits.argmax(axis=1)
            rows = PrivateRows.blind(rows.features, np.eye(model.outputs, dtype=np.int64)[best], order)
        drawn = DrawnRows(bytes(32), tuple(range(statement.rows)), bytes(32), rows.commit(backend))
        terms = OwnTerms.of(statement, base, drawn)
        limit = squared_norm_max(model.parameters, UPDATE_BITS)
        self.private = terms.private(update, rows.features, rows.targets)
        terms.check(self.private, squared_norm_max=limit, millionths=statement.millionths)
        commitment = generators(backend, USE, model.parameters).commit(update, blinder)
        self.instance = terms.instance(
            bytes(32), commitment, squared_norm_max=limit, millionths=statement.millionths, backend=backend
        )

        def sketched(challenges: dict[str, int]) -> int:
            return rows.blinder(row_weights(challenges["rho"], len(rows), order), order)

        self._blinders: tuple[Any, ...] = (blinder, sketched)

    def prove(self) -> bytes:
        return self.prover.prove(self.instance, self.private, self._blinders).encode(self.backend)

    def verify(self, proof: bytes) -> None:
        key = self.prover.key.verifying
        verify(key, self.instance, Proof.decode(self.backend, key.layout, proof))
