"""Everything that evidence is shown for: each gadget's circuit, a small instance of each statement.

A subject is an honest run and, in plain words, what its circuit claims about the values that it
ties to the outside: its inputs, its operands and its results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.evidence.claims import GADGET_CLAIMS, STATEMENT_CLAIMS, Reading
from tests.evidence.definitions import DEFINITIONS
from tests.evidence.evaluations import EVALUATIONS, evaluation
from tests.gadgets.gadget_circuits import CIRCUITS, run
from tests.gadgets.layer_circuits import LAYERS
from tests.gadgets.loss_circuits import LOSSES, loss_of, rows_of
from tests.gadgets.weighted_circuits import WEIGHTED
from tests.statements.circuit_samples import bounded_run, sample
from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import Ints, as_ints
from zkfed.policy import LinearModel
from zkfed.r1cs.builder import Values
from zkfed.statements.one_hot import CountTerms
from zkfed.statements.row_validity import _circuit
from zkfed.statements.update_bound import noise_circuit, update_circuit

__all__ = ["GADGETS", "GADGET_CIRCUITS", "STATEMENTS", "SUBJECTS", "Subject", "marked"]


@dataclass(frozen=True)
class Subject:
    """A circuit under test.

    Attributes:
        run: Makes its honest run.
        claim: Whether what the circuit says is true of an assignment.
        outputs: Final wires of a gadget's results.
        tied: Segments whose values a link ties to commitments fixed before their challenge:
            not the prover's to choose.
        live: Makes private inputs that follow the wires as they are, for hints that would else
            go on with the honest run's numbers.
        starts: Makes more runs to forge from: other honest ones, or with private inputs that lie.
    """

    name: str
    run: Callable[[], Run]
    claim: Callable[[Reading], bool]
    outputs: tuple[int, ...] = ()
    tied: tuple[str, ...] = ()
    live: Callable[[Values], dict[str, Any]] | None = None
    starts: Callable[[], list[tuple[Run, Any]]] = list

    def holds(self, z: Ints, private: dict[str, Any]) -> bool:
        return self.claim(Reading(self.run().system, z, private, self.outputs))


GADGET_CIRCUITS = CIRCUITS | LAYERS | LOSSES | WEIGHTED


_FAR_FROM_ZERO = [{"pre": [1000, -1000, 500, -500, 1999]}, {"pre": [-1000, 1000, -500, 500, -1999]}]
_TARGETS = rows_of(loss_of("accuracy"))[1]
_DECIDED = [{"z": as_ints(300 * _TARGETS + _TARGETS[:, ::-1])}, {"z": as_ints(-300 * _TARGETS + _TARGETS[:, ::-1])}]
GADGET_STARTS: dict[str, list[dict[str, Any]]] = {
    "relu/bits": _FAR_FROM_ZERO,
    "relu/table": _FAR_FROM_ZERO,
    "tuples, three columns": [{"rows": [0, 3, 3, 2, 2]}],
    "accuracy above": _DECIDED,
    "accuracy below": _DECIDED,
}
"""Other inputs, where the honest run's are special: at 0 both branches of ReLU agree."""


def _gadget(name: str) -> Subject:
    circuit = GADGET_CIRCUITS[name](BLS12_381)
    outputs = () if circuit.outputs is None else tuple(circuit.system.final_of[circuit.outputs.wires].tolist())
    more = GADGET_STARTS.get(name, [])
    return Subject(
        name, lambda: run(circuit), GADGET_CLAIMS[name], outputs,
        starts=lambda: [(run(circuit, **changes), None) for changes in more],
    )  # fmt: skip


def _evaluation(name: str) -> Subject:
    of = evaluation(name)
    tied = () if of.of.kind == "S2" else ("rows",)
    return Subject(name, lambda: of.work, of.claim, (), tied, of.live, of.starts)


def _definition(name: str) -> Subject:
    of = DEFINITIONS[name]
    return Subject(name, of.run, of.claim, starts=lambda: [(of.run(i), None) for i in range(1, len(of.starts))])


# Near the edges, so that a small change leaves the range and not the norm's bit budget.
_NEAR = [30_000, -17]
_FAR = [200_000_000, -17]


def _improvement() -> Run:
    return sample(LinearModel(1, 3), 2).run()


def _registration(*labels: int) -> Run:
    """Numbers of two bits: the table of a byte would be most of the circuit."""
    rows = np.concatenate([[[1, -2], [-2, 1], [1, -1]], np.identity(3, dtype=np.int64)[list(labels)]], axis=1)
    bounds = {"class-rows-min": min(map(labels.count, range(3))), "class-rows-max": 2}
    return Run(_circuit(2, 3, 3, "bls12-381", 2), bounds, {"rows": rows})


def _registrations() -> list[tuple[Run, Any]]:
    """Returns runs in which one class alone is at each bound."""
    return [(_registration(*labels), None) for labels in ((0, 0, 1), (1, 1, 2), (2, 2, 0))]


def _counts(terms: CountTerms, *vector: int) -> Run:
    return Run(terms.circuit(), terms.static, {"counts": as_ints(vector)})


FEW = CountTerms(4, 1, 1, 2)

RUNS: dict[str, Callable[[], Run]] = {
    "update-bound": lambda: bounded_run(update_circuit(2), _NEAR),
    "noise-bound": lambda: bounded_run(noise_circuit(2), _FAR),
    "improvement": _improvement,
    "registration": lambda: _registration(0, 1, 2),
    "one-hot": lambda: _counts(CountTerms(4), 0, 0, 1, 0),
    "few-hot": lambda: _counts(FEW, 0, 1, 1, 0),
    "bounded-count": lambda: _counts(CountTerms(2, 5, 2, 9), 5, 4),
}

SLOW = {"own-data/linear", "own-data/mlp", "benchmark-loss/mlp", "published-model/linear", "published-model/mlp",
        "logistic above", "cross-entropy above", "tuples, three columns"}  # fmt: skip

GADGETS = {name: _gadget(name) for name in GADGET_CIRCUITS}
STATEMENTS = (
    {name: Subject(name, make, STATEMENT_CLAIMS[name]) for name, make in RUNS.items()}
    | {name: _evaluation(name) for name in EVALUATIONS}
    | {name: _definition(name) for name in DEFINITIONS}
)
STATEMENTS["one-hot"] = replace(STATEMENTS["one-hot"], starts=lambda: [(_counts(CountTerms(4), 1, 0, 0, 0), None)])
STATEMENTS["few-hot"] = replace(
    STATEMENTS["few-hot"], starts=lambda: [(_counts(FEW, *v), None) for v in ((1, 0, 0, 0), (1, 0, 0, 1), (0, 0, 1, 1))]
)
STATEMENTS["bounded-count"] = replace(
    STATEMENTS["bounded-count"],
    starts=lambda: [(_counts(CountTerms(2, 5, 2, 9), *v), None) for v in ((5, 0), (0, 5), (4, 5))],
)
STATEMENTS["registration"] = replace(STATEMENTS["registration"], tied=("rows",), starts=_registrations)
SUBJECTS = GADGETS | STATEMENTS


def marked(names: Iterable[str]) -> list[Any]:
    """Returns parameters of a test; subjects that take long are for `make test-all`."""
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in names]
