"""Everything that evidence is shown for: each gadget's circuit, a small instance of each statement.

A subject is an honest run and, in plain words, what its circuit claims about the values that it
ties to the outside: its inputs, its operands and its results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.evidence.claims import GADGET_CLAIMS, STATEMENT_CLAIMS, Reading
from tests.gadgets.gadget_circuits import CIRCUITS, default, run
from tests.statements.circuit_samples import bounded_run, sample
from tests.witness_runner import Run
from zkfed.algebra.field import Ints
from zkfed.policy import LinearModel
from zkfed.statements.row_validity import _circuit
from zkfed.statements.update_bound import noise_circuit, update_circuit

__all__ = ["GADGETS", "STATEMENTS", "SUBJECTS", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A circuit under test.

    Attributes:
        run: Makes its honest run.
        claim: Whether what the circuit says is true of an assignment.
        outputs: Final wires of a gadget's results.
        tied: Segments whose values a link ties to commitments fixed before their challenge:
            not the prover's to choose.
    """

    name: str
    run: Callable[[], Run]
    claim: Callable[[Reading], bool]
    outputs: tuple[int, ...] = ()
    tied: tuple[str, ...] = field(default=())

    def holds(self, z: Ints) -> bool:
        work = self.run()
        return self.claim(Reading(work.system, z, work.private, self.outputs))


def _gadget(name: str) -> Subject:
    circuit = default(name)
    outputs = () if circuit.outputs is None else tuple(circuit.system.final_of[circuit.outputs.wires].tolist())
    return Subject(name, lambda: run(circuit), GADGET_CLAIMS[name], outputs)


def _statement(name: str, make: Callable[[], Run]) -> Subject:
    return Subject(name, make, STATEMENT_CLAIMS[name], tied=TIED.get(name, ()))


# Near the edges, so that a small change leaves the range and not the norm's bit budget.
_NEAR = [30_000, -17]
_FAR = [200_000_000, -17]


def _improvement() -> Run:
    return sample(LinearModel(1, 3), 2).run()


def _registration() -> Run:
    """Numbers of two bits: the table of a byte would be most of the circuit."""
    rows = np.array([[1, -2, 1, 0, 0], [-2, 1, 0, 1, 0], [1, -1, 0, 0, 1]])
    return Run(_circuit(2, 3, 3, "bls12-381", 2), {"class-rows-min": 1, "class-rows-max": 2}, {"rows": rows})


TIED = {"registration": ("rows",)}
RUNS: dict[str, Callable[[], Run]] = {
    "update-bound": lambda: bounded_run(update_circuit(2), _NEAR),
    "noise-bound": lambda: bounded_run(noise_circuit(2), _FAR),
    "improvement": _improvement,
    "registration": _registration,
}

GADGETS = {name: _gadget(name) for name in CIRCUITS}
STATEMENTS = {name: _statement(name, make) for name, make in RUNS.items()}
SUBJECTS = {**GADGETS, **STATEMENTS}
