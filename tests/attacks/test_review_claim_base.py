"""Review: a claim's base model is a public input that the prover chooses, so ctx holds it.

In a round the announcement fixes W0 before anybody proves. A stand-alone claim brings its own W0;
if the challenges do not depend on it, a prover fixes D and V, sees rho and gamma, and only then
searches a W0 for which the sketch comes out right: one equation modulo r in many short unknowns,
which lattice reduction solves. The forgery below proves an improvement by an update that makes
the model worse. It is shown to work against the ctx without W0, and to fail against ours.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zkfed.commitments.pedersen import generators
from zkfed.encoding import digest
from zkfed.errors import DecodeError, ProofInvalid
from zkfed.fixedpoint import squared_loss
from zkfed.gadgets.product import sketch
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify
from zkfed.policy import SHARE_SCALE, UPDATE_BITS, Improvement, LinearModel
from zkfed.statements.context import Context
from zkfed.statements.improvement import Benchmark, PublicTerms
from zkfed.statements.keys import Claim, Keys, development_setup, instance_of
from zkfed.statements.update_bound import USE, squared_norm_max

ROWS = 20
STATEMENT = Improvement(LinearModel(features=ROWS, classes=1), rows=ROWS, at_least="0.01%")
TARGET = -(10**6)
"""The change of the loss that the forger claims: 0.01 % of a base loss of 10^10."""


@functools.cache
def keys() -> Keys:
    return development_setup(STATEMENT)


@functools.cache
def benchmark() -> Benchmark:
    """Row j is 1 in feature j: the residual of row j is the weight j, if the bias is 0."""
    return Benchmark.of(STATEMENT.model, np.identity(ROWS, dtype=np.int64), np.zeros(ROWS))


def terms_of(weights: list[int]) -> PublicTerms:
    base = np.array([*weights, 0], dtype=np.int64).reshape(ROWS + 1, 1)
    return PublicTerms.of(STATEMENT.model, ROWS, base, benchmark())


def context_without_base(terms: PublicTerms, commitment: bytes) -> bytes:
    """The ctx as it was when this attack was found."""
    statement = digest("zkfed/v1/statement", STATEMENT.encode())
    context = Context("S2", statement, bytes(32), b"", commitment, terms.benchmark_digest)
    return context.digest(keys().proving.verifying)


# -- lattice reduction ----------------------------------------------------------------------------


def reduced(basis: list[list[int]]) -> list[list[int]]:
    """Returns an LLL-reduced basis; integers only (Cohen, algorithm 2.6.7)."""
    b, n = [list(v) for v in basis], len(basis)
    d = [1] + [0] * n
    lam = [[0] * n for _ in range(n)]

    def dot(u: list[int], v: list[int]) -> int:
        return sum(x * y for x, y in zip(u, v, strict=True))

    def shorten(k: int, i: int) -> None:
        q = (2 * lam[k][i] + d[i + 1]) // (2 * d[i + 1])
        if q:
            b[k] = [x - q * y for x, y in zip(b[k], b[i], strict=True)]
            lam[k][i] -= q * d[i + 1]
            for j in range(i):
                lam[k][j] -= q * lam[i][j]

    def swap(k: int, top: int) -> None:
        b[k], b[k - 1] = b[k - 1], b[k]
        for j in range(k - 1):
            lam[k][j], lam[k - 1][j] = lam[k - 1][j], lam[k][j]
        mu = lam[k][k - 1]
        new = (d[k - 1] * d[k + 1] + mu * mu) // d[k]
        for i in range(k + 1, top + 1):
            old = lam[i][k]
            lam[i][k] = (d[k + 1] * lam[i][k - 1] - mu * old) // d[k]
            lam[i][k - 1] = (new * old + mu * lam[i][k]) // d[k + 1]
        d[k] = new

    k, top = 1, 0
    d[1] = dot(b[0], b[0])
    while k < n:
        if k > top:
            top = k
            for j in range(k + 1):
                u = dot(b[k], b[j])
                for i in range(j):
                    u = (d[i + 1] * u - lam[k][i] * lam[j][i]) // d[i]
                if j < k:
                    lam[k][j] = u
                else:
                    d[k + 1] = u
        shorten(k, k - 1)
        if 4 * d[k + 1] * d[k - 1] < 3 * d[k] * d[k] - 4 * lam[k][k - 1] ** 2:
            swap(k, top)
            k = max(1, k - 1)
        else:
            for i in range(k - 2, -1, -1):
                shorten(k, i)
            k += 1
    return b


def short_solution(coefficients: list[int], target: int, order: int) -> list[int]:
    """Returns R with sum_j a_j R_j = target (mod r), R_0 >= 0 and -|R|^2 10^-4 rounded to `TARGET`."""
    n = len(coefficients)
    last = pow(coefficients[-1], -1, order)
    lattice = [[int(i == j) for i in range(n - 1)] + [-a * last % order] for j, a in enumerate(coefficients[:-1])]
    basis = np.array(reduced([*lattice, [0] * (n - 1) + [order]]), dtype=np.float64)
    exact = basis.astype(np.int64).astype(object)
    # Nearest point by rounding: the solution (0, ..., 0, target / a_n) minus a lattice vector.
    start = np.array([0] * (n - 1) + [target * last % order], dtype=object)
    for _ in range(8):
        steps = np.linalg.solve(basis.T, start.astype(np.float64))
        start = start - np.array([int(s) for s in np.rint(steps)], dtype=object) @ exact
    generator = np.random.default_rng(1)
    small, wanted = start.astype(np.int64), -TARGET * 10**4
    for _ in range(2000):
        # The size of the steps is tuned until the norm is about right.
        spread = np.sqrt(max(wanted - float((small.astype(float) ** 2).sum()), 1.0) / (basis**2).sum())
        steps = np.rint(generator.normal(scale=spread, size=(20000, n))).astype(np.int64)
        found = small + steps @ basis.astype(np.int64)
        losses = (found * found).sum(axis=1)
        hits = np.flatnonzero((losses > wanted - 10**4) & (losses <= wanted) & (found[:, 0] >= 0))
        if len(hits):
            return [int(v) for v in found[hits[0]]]
    raise RuntimeError("no solution of the wanted norm")


# -- the forgery ----------------------------------------------------------------------------------


class Forger:
    """An honest prover but for one thing: it chooses W0 when it has seen the challenges."""

    def __init__(self) -> None:
        self.update = np.array([1] + [0] * ROWS, dtype=np.int64)
        self.blinder = 12345
        backend = keys().proving.verifying.backend
        self.point = generators(backend, USE, ROWS + 1).commit(self.update, self.blinder)
        self.commitment = backend.encode(self.point)
        self.weights: list[int] = []
        self.gram = terms_of([0] * ROWS).gram

    def derive(self, stage: int, challenges: dict[str, int]) -> dict[str, Any]:
        if stage == 1:
            return {}
        order, rho, gamma = keys().proving.verifying.layout.curve.order, challenges["rho"], challenges["gamma"]
        if not self.weights:
            # sum_i rho^i V_i = sum_i rho^i ((G + gamma I) D + N)_i with V_0 = TARGET + gamma and
            # N_j = 2 R_j, and 2 * 127 sum_j R_j for the bias.
            powers = [pow(rho, i, order) for i in range(ROWS + 1)]
            coefficients = [(2 * p + 254 * powers[-1]) % order for p in powers[:-1]]
            v = [TARGET, *(int(self.gram[i, 0]) for i in range(1, ROWS + 1))]
            gap = sum(p * (a - int(self.gram[i, 0])) for i, (p, a) in enumerate(zip(powers, v, strict=True)))
            self.weights = short_solution(coefficients, gap % order, order)
        terms = terms_of(self.weights)
        shifted = terms.gram + gamma * np.identity(ROWS + 1, dtype=object)
        s = sketch(shifted, terms.gradient, rho, challenges["tau"], order)
        return {"gradient/left": s.left, "gradient/offset": s.offset}

    def forge(self, context: bytes) -> bytes:
        static = {
            "squared-norm-max": squared_norm_max(ROWS + 1, UPDATE_BITS),
            "loss-change-max": TARGET,
        }
        gradient = np.zeros((ROWS + 1, 1), dtype=object)
        gradient[0, 0] = TARGET - int(self.gram[0, 0])  # so that <D, G D + N> seems to be TARGET
        private = {"update": self.update, "gram": self.gram, "gradient": gradient}
        instance = Instance(context, static, (self.point,), self.derive)
        return keys().prover.prove(instance, private, (self.blinder,)).encode(keys().proving.verifying.backend)


@functools.cache
def forgery() -> tuple[Forger, bytes]:
    forger = Forger()
    return forger, forger.forge(context_without_base(terms_of([1] * ROWS), forger.commitment))


def test_the_forged_statement_is_false() -> None:
    forger, _ = forgery()
    base = np.array([*forger.weights, 0], dtype=object).reshape(-1, 1)
    b = benchmark()
    before = squared_loss(b.features, base, b.targets)
    after = squared_loss(b.features, base + forger.update.astype(object).reshape(-1, 1), b.targets)
    assert after > before
    assert terms_of(forger.weights).loss_change_max(STATEMENT.millionths, 1) == TARGET
    assert SHARE_SCALE // STATEMENT.millionths == 10**4


def test_without_the_base_model_in_ctx_the_forgery_is_accepted() -> None:
    forger, proof = forgery()
    key, terms = keys().proving.verifying, terms_of(forger.weights)
    mine = instance_of(key, STATEMENT, terms, forger.commitment)
    weak = replace(mine, context=context_without_base(terms, forger.commitment))
    verify(key, weak, Proof.decode(key.backend, key.layout, proof))


def test_the_forgery_is_refused_as_a_claim() -> None:
    forger, proof = forgery()
    base = np.array([*forger.weights, 0], dtype=np.int64).reshape(-1, 1)
    claim = Claim(STATEMENT, base, benchmark(), forger.commitment)
    with pytest.raises(ProofInvalid):
        keys().verifier.verify(claim, proof)


def test_a_proof_does_not_move_to_a_base_model_with_the_same_losses() -> None:
    """A feature that is 0 in all rows has a weight that no loss depends on."""
    model = LinearModel(features=2, classes=1)
    rows = (np.array([[127, 0], [64, 0], [-90, 0]]), np.array([0.9, 0.5, -0.7]))
    made = development_setup(Improvement(model, rows=3, at_least="5%"))
    before, after = np.zeros((3, 1)), np.array([[0.5], [0.0], [0.0]])
    claim, proof = made.prove(before=before, after=after, benchmark=rows)
    made.verifier.verify(claim, proof)
    other = claim.base.copy()
    other[1, 0] += 1
    with pytest.raises(ProofInvalid):
        made.verifier.verify(replace(claim, base=other), proof)


@pytest.mark.parametrize("dtype", [np.int8, np.float64, object])
def test_a_benchmark_of_other_integers_is_refused(dtype: Any) -> None:
    """127 * 127 wraps in 8 bits, and the digest of 0.5 is that of 0."""
    rows = benchmark()
    narrow = Benchmark(rows.features.astype(dtype), rows.targets)
    with pytest.raises(DecodeError, match="int64"):
        narrow.check(STATEMENT.model, ROWS)
