"""One true improvement statement of any size, made of drawn data: a circuit and what `Prover.prove` takes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np

from zkfed.algebra.backend import Backend
from zkfed.algebra.field import as_ints
from zkfed.commitments.pedersen import generators
from zkfed.groth16.proof import Instance
from zkfed.policy import FEATURE_LIMIT, LinearModel
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark, PublicTerms, improvement_circuit
from zkfed.statements.update_bound import USE

__all__ = ["Statement", "improvement"]

HALF = (1 << 15) - 1


@dataclass(frozen=True)
class Statement:
    """A circuit with an instance that is true of `private`.

    Attributes:
        blinders: Of the external commitment.
    """

    system: System
    instance: Instance
    private: dict[str, Any]
    blinders: tuple[int, ...]


def improvement(model: LinearModel, rows: int, backend: Backend) -> Statement:
    """Returns S2 for random rows, the base model 0 and an update part of the way to least squares."""
    rand, curve = np.random.default_rng(1), backend.curve
    x = rand.integers(-FEATURE_LIMIT, FEATURE_LIMIT + 1, (rows, model.features))
    benchmark = Benchmark.of(model, x, rand.integers(0, model.classes, rows))
    base = np.zeros((model.inputs, model.outputs), dtype=np.int64)
    terms = PublicTerms.of(model, rows, base, benchmark)
    best = np.linalg.lstsq(terms.gram.astype(float), -terms.gradient.astype(float) / 2, rcond=None)[0]
    update = as_ints(np.rint(best * min(1 / 3, HALF / np.abs(best).max())).astype(np.int64))
    blinder = secrets.randbelow(curve.order)
    commitment = generators(backend, USE, update.size).commit(update.ravel().tolist(), blinder)
    instance = terms.instance(
        bytes(32), commitment,
        squared_norm_max=int((update * update).sum()), loss_change_max=terms.loss_change(update), curve=curve,
    )  # fmt: skip
    private = {"update": update.ravel(), "gram": terms.gram, "gradient": terms.gradient}
    return Statement(improvement_circuit(model, rows, curve.name), instance, private, (blinder,))
