"""Shows that loss gadgets reach exactly the plain bounds, and that no cheating prover gets past them.

A dishonest prover is a `Loss` that chooses other lines, pivots, shares or claims than the honest one:
the circuit is the same. It is accepted only where what it chose is true, and then it is worse off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.gadgets.gadget_circuits import LIMB_BITS, Circuit, run
from tests.gadgets.loss_circuits import LOGIT_MAX, ONE, PRECISION, loss_circuit, loss_of, rows_of
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import centred
from zkfed.errors import ProofInvalid, UnsatisfiedConstraint
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.labels import Labels
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.losses import lower_loss, upper_loss
from zkfed.gadgets.tuples import Tables
from zkfed.lines import Chords, Tangents
from zkfed.losses import Loss
from zkfed.r1cs.builder import Builder

R = BLS12_381.order
CLASSES = [("hinge", 2), ("logistic", 2), ("cross-entropy", 3), ("cross-entropy", 5), ("accuracy", 2), ("accuracy", 4)]


def value(circuit: Circuit, z: Any) -> int:
    assert circuit.outputs is not None
    (found,) = z[circuit.system.final_of[circuit.outputs.wires]].tolist()
    return found - R if found > R // 2 else found


@pytest.mark.parametrize("side", ["upper", "lower"])
@pytest.mark.parametrize(("name", "classes"), CLASSES)
def test_the_circuit_reaches_the_plain_bound(name: str, classes: int, side: str) -> None:
    loss = Loss(name, classes, ONE, LOGIT_MAX, PRECISION)
    ranges = "bits" if side == "lower" else "table"
    circuit = loss_circuit(loss, side, ranges, count=20)(BLS12_381)
    for seed in range(6):
        z, targets = rows_of(loss, count=20, seed=seed)
        z[:3] = [[-LOGIT_MAX], [0], [LOGIT_MAX]]  # ties and the ends of the tables
        work = run(circuit, z=z.ravel().astype(object), targets=targets, seed=seed)
        assert value(circuit, work.check()) == getattr(loss, side)(z, targets)


def test_the_default_tables_serve_the_default_model() -> None:
    one, logit_max = 127 << 15, 65 * 127 << 21
    for name, classes in CLASSES:
        loss = Loss(name, classes, one, logit_max)
        z, targets = rows_of(loss, count=30)
        for side in ("upper", "lower"):
            if side == "lower" and name in ("logistic", "cross-entropy"):
                continue  # without a range: shown below for a circuit with both
            circuit = loss_circuit(loss, side, count=30)(BN254)
            z_all = run(circuit, z=z.ravel().astype(object), targets=targets).check()
            (total,) = z_all[circuit.system.final_of[circuit.outputs.wires]].tolist()  # type: ignore[union-attr]
            assert total == getattr(loss, side)(z, targets)


# -- provers who choose something else -------------------------------------------------------------


def cheat(honest: Loss, liar: Loss, side: str, z: Any, targets: Any, **changes: Any) -> tuple[set[str], int]:
    """Returns the constraints that fail, and the sum that the liar would reach."""
    circuits = [loss_circuit(loss, side, count=len(z))(BLS12_381) for loss in (honest, liar)]
    assert circuits[0].system.digest == circuits[1].system.digest
    work = run(circuits[1], z=z.ravel().astype(object), targets=targets, is_strict=False, **changes)
    return work.failing(), value(circuits[1], work.assignment())


def with_hint(circuit: Circuit, wires: Any, hint: Any) -> Circuit:
    """Returns the circuit with a prover who computes some wires otherwise."""
    steps = tuple((s, w, hint if np.array_equal(w, wires) else old) for s, w, old in circuit.system.steps)
    return replace(circuit, system=replace(circuit.system, steps=steps))


@dataclass(frozen=True)
class ShiftedChords(Chords):
    shift: int = 0

    def choose(self, v: Any) -> Any:
        return np.clip(super().choose(v) + self.shift, 0, len(self.starts) - 1)


@dataclass(frozen=True)
class OtherLines(Loss):
    shift: int = 0

    @property
    def chords(self) -> Chords:  # type: ignore[override]
        c = super().chords
        return ShiftedChords(c.starts, c.width_bits, c.slopes, c.intercepts, self.shift)


@pytest.mark.parametrize("shift", [-1, 1, 2, -1000, 1000])  # the neighbours, and the tails
@pytest.mark.parametrize("name", ["logistic", "cross-entropy"])
def test_the_chord_of_another_interval_is_refused(name: str, shift: int) -> None:
    honest = loss_of(name)
    liar = OtherLines(honest.name, honest.classes, ONE, LOGIT_MAX, PRECISION, shift)
    z, targets = rows_of(honest)
    failing, reached = cheat(honest, liar, "upper", z, targets)
    assert failing == {"table/sum"}
    assert reached < honest.upper(z, targets)  # what it would have been good for
    with pytest.raises(UnsatisfiedConstraint, match="remainders"):
        run(loss_circuit(liar, "upper")(BLS12_381)).check()


@dataclass(frozen=True)
class AnyTangent(Loss):
    pick: int = 0

    @property
    def tangents(self) -> Tangents:  # type: ignore[override]
        pick, honest = self.pick, super().tangents

        class Picked(Tangents):
            def choose(self, v: Any) -> Any:
                return np.full(v.shape, pick)

        return Picked(honest.slopes, honest.intercepts)


@pytest.mark.parametrize("pick", [0, 7, 16])
def test_another_tangent_claims_less(pick: int) -> None:
    honest = loss_of("logistic")
    liar = AnyTangent("logistic", 2, ONE, LOGIT_MAX, PRECISION, pick)
    z, targets = rows_of(honest)
    circuit = loss_circuit(liar, "lower", "bits")(BLS12_381)
    assert value(circuit, run(circuit).check()) < honest.lower(z, targets)


@dataclass(frozen=True)
class OtherPivots(Loss):
    shift: Any = 0

    def pivots(self, logits: Any) -> Any:
        return super().pivots(logits).astype(object) + self.shift


@pytest.mark.parametrize("shift", [-40, -1, 1, 300])
def test_another_pivot_claims_more_or_has_no_chord(shift: int) -> None:
    honest = loss_of("cross-entropy")
    liar = OtherPivots("cross-entropy", 3, ONE, LOGIT_MAX, PRECISION, shift)
    z, targets = rows_of(honest)
    failing, reached = cheat(honest, liar, "upper", z, targets)
    if failing:
        assert shift == -40  # a logit above its pivot is beyond the last chord
        assert failing == {"table/sum"}
    else:
        real = np.log(np.exp(z / ONE).sum(axis=1)) - (z * targets).sum(axis=1) / ONE
        assert reached >= real.sum() * honest.scale


def test_a_pivot_is_an_integer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The range of the pivots makes it one: without it a fraction passes, on which no bound was computed."""
    honest = loss_of("cross-entropy")
    z, targets = np.array([[40, 0, -20]] * 3), np.eye(3, dtype=np.int64)
    below = z - honest.pivots(z)[:, None] - 1

    class Known(Chords):
        def choose(self, v: Any) -> Any:
            return super().choose(below.ravel())

    @dataclass(frozen=True)
    class Fraction(Loss):
        def pivots(self, logits: Any) -> Any:
            return honest.pivots(z).astype(object) + pow(2, -1, R)

        @property
        def chords(self) -> Chords:  # type: ignore[override]
            c = super().chords
            return Known(c.starts, c.width_bits, c.slopes, c.intercepts)

    def failing() -> set[str]:
        circuit = loss_circuit(Fraction("cross-entropy", 3, ONE, LOGIT_MAX, PRECISION), "upper")(BLS12_381)
        steps = tuple(
            (s, w, lambda v, h=h: centred(np.asarray(h(v) % R, dtype=object), R)) for s, w, h in circuit.system.steps
        )
        forged = replace(circuit, system=replace(circuit.system, steps=steps))
        return run(forged, z=z.ravel().astype(object), targets=targets, is_strict=False).failing()

    monkeypatch.setattr("zkfed.gadgets.losses._machine", lambda values: values)
    assert failing() == {"table/sum"}
    in_range = RangeTable.in_range

    def without(self: RangeTable, name: str, v: Any, bits: int) -> None:
        if not name.endswith("pivots"):
            in_range(self, name, v, bits)

    monkeypatch.setattr(RangeTable, "in_range", without)
    assert failing() == set()


@dataclass(frozen=True)
class OtherShares(Loss):
    change: tuple[int, ...] = (0, 0, 0)

    def shares(self, logits: Any) -> Any:
        return super().shares(logits) + np.array(self.change)


@pytest.mark.parametrize(
    ("change", "failing"),
    [((1, 0, 0), {"model/whole"}), ((0, 0, -1), {"model/whole"}), ((0, 1, 1), {"model/whole"})],
)
def test_shares_that_do_not_sum_to_one_are_refused(change: tuple[int, ...], failing: set[str]) -> None:
    honest = replace(loss_of("cross-entropy"), precision=8)
    z, targets = np.array([[50, 0, -50]] * 3), np.eye(3, dtype=np.int64)
    liar = OtherShares("cross-entropy", 3, ONE, LOGIT_MAX, 8, change)
    circuit = loss_circuit(liar, "lower", "bits")(BLS12_381)
    work = run(circuit, z=z.ravel().astype(object), targets=targets, is_strict=False)
    assert work.failing() == failing
    assert circuit.system.digest == loss_circuit(honest, "lower", "bits")(BLS12_381).system.digest


def test_a_negative_share_is_no_row_of_the_table() -> None:
    z, targets = np.array([[50, 0, -2000]] * 3), np.eye(3, dtype=np.int64)
    liar = OtherShares("cross-entropy", 3, ONE, LOGIT_MAX, 8, (1, 0, -1))
    shares = liar.shares(z).ravel().astype(object)
    assert -1 in shares
    # As the number of a row, -1 would be the last one: the prover commits the share itself.
    circuit = loss_circuit(liar, "lower", "bits")(BLS12_381)
    column = next(wires for stage, wires, _ in circuit.system.steps if stage == 0 and len(wires) == 9 and wires[0] > 12)
    forged = with_hint(circuit, column, lambda _: shares)
    with pytest.raises(UnsatisfiedConstraint, match="no row of the table"):
        run(forged, z=z.ravel().astype(object), targets=targets).check()
    assert run(forged, z=z.ravel().astype(object), targets=targets, is_strict=False).failing() == {"model/shares/sum"}


@dataclass(frozen=True)
class Claims(Loss):
    right: bool = False
    wrong: bool = False

    def is_correct(self, logits: Any, targets: Any) -> Any:
        return np.full(len(logits), self.right)

    def is_wrong(self, logits: Any, targets: Any) -> Any:
        return np.full(len(logits), self.wrong)


TIES = {2: (np.array([[0]]), np.array([[1]])), 3: (np.array([[90, 7, 90]]), np.array([[0, 0, 1]]))}


@pytest.mark.parametrize("classes", [2, 3])
def test_a_tie_is_neither_right_nor_wrong(classes: int) -> None:
    honest = Loss("accuracy", classes, ONE, LOGIT_MAX, PRECISION)
    liar = Claims("accuracy", classes, ONE, LOGIT_MAX, PRECISION, right=True, wrong=True)
    z, targets = TIES[classes]
    for side in ("upper", "lower"):
        assert cheat(honest, liar, side, z, targets)[0] == {"table/sum"}
    for step in (1, -1):  # one more for the own class, or one less
        moved = z + step * targets
        failing = {side: cheat(honest, liar, side, moved, targets)[0] for side in ("upper", "lower")}
        assert failing == {"upper": set() if step > 0 else {"table/sum"}, "lower": set() if step < 0 else {"table/sum"}}


def test_claiming_less_is_allowed_and_hurts() -> None:
    liar = Claims("accuracy", 3, ONE, LOGIT_MAX, PRECISION)
    z, targets = rows_of(liar, count=8)
    assert cheat(loss_of("accuracy"), liar, "upper", z, targets) == (set(), 8)
    assert cheat(loss_of("accuracy"), liar, "lower", z, targets) == (set(), 0)


@pytest.mark.parametrize("name", ["hinge", "logistic", "cross-entropy", "accuracy"])
def test_other_labels_than_the_known_ones_are_refused(name: str) -> None:
    loss = loss_of(name)
    z, targets = rows_of(loss)
    other = targets.copy()
    other[1] = np.roll(targets[1], 1) if loss.classes > 2 else -targets[1]
    failing, _ = cheat(loss, loss, "upper", z, other, known=targets)
    assert failing == {"labels/equal"}


# -- what is refused when the circuit is built -----------------------------------------------------


def parts(bounds: tuple[int, int] = (-LOGIT_MAX, LOGIT_MAX)) -> tuple[Builder, Tables, Labels, Any]:
    builder = Builder("b")
    tables = Tables(RangeTable(builder, LIMB_BITS, builder.segment("s")))
    logits = builder.witness("z", (2, 1), lambda _: None, segment="s", bounds=bounds)
    return builder, tables, Labels(builder, (2, 1), "s"), logits


def test_logits_must_be_integers_within_the_tables() -> None:
    _, tables, labels, logits = parts()
    with pytest.raises(ValueError, match="an integer is needed whose bounds are proven before"):
        upper_loss(tables, "new", loss_of("hinge"), logits, labels)
    builder, tables, labels, logits = parts((-LOGIT_MAX - 1, 0))
    builder.justify(logits.reshape(2), (-LOGIT_MAX - 1, 0))
    with pytest.raises(ValueError, match="beyond the loss's tables"):
        lower_loss(tables, "old", loss_of("logistic"), logits, labels)
    with pytest.raises(ValueError, match="there is no gadget for the squared loss"):
        lower_loss(tables, "old", Loss("squared", 2, ONE, 2 * LOGIT_MAX), logits, labels)
    with pytest.raises(ProofInvalid, match="outside its range"):
        run(loss_circuit(loss_of("hinge"), "upper")(BLS12_381), z=[LOGIT_MAX + 1, 0, 0]).check()


def test_labels_and_tables_are_owed_until_they_are_closed() -> None:
    builder, tables, labels, logits = parts()
    builder.justify(logits.reshape(2), (-LOGIT_MAX, LOGIT_MAX))
    upper_loss(tables, "new", loss_of("logistic"), logits, labels)
    tables.commit()
    with pytest.raises(ValueError, match=r"labels \(Labels.close\), new/chords \(Tables.close\), range table"):
        builder.finish()
    alpha, beta, rho, tau = builder.challenge("alpha", "beta", "rho", "tau")
    tables.close(alpha, beta)
    with pytest.raises(ValueError, match=r"never proven: labels \(Labels.close\)"):
        builder.finish()
    labels.close(rho, tau, builder.input("targets", (1,)))
    builder.finish()


def test_what_is_looked_up_is_committed() -> None:
    with pytest.raises(ValueError, match="the ranges have no segment"):
        Tables(BitRanges(Builder("b")))
