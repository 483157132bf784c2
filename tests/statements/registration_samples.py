"""A registration of eight rows with keys, and a client without a conscience."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from tests.groth16.samples import keys_of, scalar_source
from zkfed.algebra.backend import Points
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import as_ints
from zkfed.commitments.pedersen import generators
from zkfed.commitments.rows import PrivateRows, row_weights
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.policy import Registration
from zkfed.r1cs.system import System
from zkfed.statements.registration import RegistrationRecord, RegistrationTerms, register

__all__ = ["ORDER", "POLICY", "ROWS", "SIGNER", "committed", "forge", "honest", "prover_of", "rows_of", "terms_of"]

ORDER = BLS12_381.order
POLICY, SIGNER = b"p" * 32, b"s" * 32
ROWS, FEATURES = 8, 3


def terms_of(classes: int = 3, *, least: int = 2, most: int = 4, **changes: Any) -> RegistrationTerms:
    return replace(RegistrationTerms(POLICY, 7, FEATURES, classes, Registration(ROWS, least, most)), **changes)


def rows_of(classes: int = 3, seed: int = 1) -> PrivateRows:
    rand = np.random.default_rng(seed)
    labels = rand.uniform(-1, 1, ROWS) if classes == 1 else np.arange(ROWS) % classes
    return terms_of(classes).quantise(rand.integers(-127, 128, (ROWS, FEATURES)), labels, ORDER)


@functools.cache
def prover_of(classes: int = 3) -> Prover:
    system = terms_of(classes).circuit()
    return Prover(keys_of(system)[0], system)


@functools.cache
def honest(classes: int = 3) -> RegistrationRecord:
    return register(prover_of(classes), terms_of(classes), rows=rows_of(classes), signer=SIGNER)


def committed(table: Any, blinders: tuple[int, ...]) -> Points:
    """Commits to any integers, valid or not."""
    b = prover_of().backend
    g = generators(b, "row", table.shape[1], 1)
    return b.concat("G1", [g.commit(row, rho) for row, rho in zip(table, blinders, strict=True)])


def forge(
    table: Any, *, terms: RegistrationTerms | None = None, shown: Any = None, system: System | None = None
) -> tuple[RegistrationRecord, Instance]:
    """Returns the record of a client that commits to `table`, shows the circuit `shown`, and checks nothing."""
    terms = terms or terms_of()
    prover = prover_of(terms.classes)
    if system is not None:
        prover = Prover(prover.key, system)
    blinders = tuple(1000 + i for i in range(len(table)))
    points = committed(table, blinders)
    record = RegistrationRecord(terms.policy, terms.epoch, SIGNER, prover.backend.encode(points), b"")
    instance = terms.instance(prover.key.verifying, record, points)
    rand = scalar_source(5, ORDER)
    witness = {"rows": table if shown is None else shown}
    challenger, z, d, segments = prover._commit(instance, witness, rand, is_strict=False)

    def blinder(challenges: dict[str, int]) -> int:
        return int(row_weights(challenges["theta"], len(table), ORDER) @ as_ints(blinders) % ORDER)

    proof = prover._assemble((challenger, d, segments), z.final(), (blinder,), rand)
    return replace(record, proof=proof.encode(prover.backend)), instance
