"""Shows, over all small logits and all choices of a prover, that loss gadgets accept exactly what they say.

One row of data, logits from -V to V. Whatever is accepted is on the right side of the real loss, and it
is accepted exactly where the chosen line, pivot, share, claim or rival fits the logits.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.gadgets.gadget_circuits import Circuit, run
from tests.gadgets.loss_circuits import loss_circuit
from zkfed.algebra.curve import BLS12_381
from zkfed.lines import Chords, Tangents
from zkfed.losses import Loss

R = BLS12_381.order
ONE, V, PRECISION = 4, 6, 6


class ChosenChords(Chords):
    def choose(self, v: Any) -> Any:
        chosen = Chosen.choice.get("line")
        return super().choose(v) if chosen is None else np.full(v.shape, chosen)


class ChosenTangents(Tangents):
    def choose(self, v: Any) -> Any:
        return np.full(v.shape, Chosen.choice["line"])


@dataclass(frozen=True)
class Chosen(Loss):
    """A prover whose choices the test sets."""

    choice: ClassVar[dict[str, Any]] = {}

    @property
    def chords(self) -> Chords:  # type: ignore[override]
        c = super().chords
        return ChosenChords(c.starts, c.width_bits, c.slopes, c.intercepts)

    @property
    def tangents(self) -> Tangents:  # type: ignore[override]
        return ChosenTangents(super().tangents.slopes, super().tangents.intercepts)

    def pivots(self, logits: Any) -> Any:
        return np.array([self.choice["pivot"]])

    def shares(self, logits: Any) -> Any:
        return np.array([self.choice["shares"]])

    def is_correct(self, logits: Any, targets: Any) -> Any:
        return np.array([self.choice["claim"]])

    is_wrong = is_correct


def circuit_of(name: str, classes: int, side: str, logit_max: int = V) -> tuple[Chosen, Circuit]:
    loss = Chosen(name, classes, ONE, logit_max, PRECISION)
    is_below = side == "lower" and name != "accuracy"
    return loss, loss_circuit(loss, side, "bits" if is_below else "table", count=1)(BLS12_381)


def attempt(circuit: Circuit, z: Any, targets: Any, **choice: Any) -> int | None:
    """Returns the sum that the prover reaches, None if it is not accepted."""
    Chosen.choice.clear()
    Chosen.choice.update(choice)
    work = run(circuit, z=np.array(z, dtype=object), targets=np.array([targets]), is_strict=False)
    wires = work.assignment()
    sides = circuit.system.evaluate(wires)
    if ((sides[0] * sides[1] - sides[2]) % R).any():
        return None
    assert circuit.outputs is not None
    found = int(wires[circuit.system.final_of[circuit.outputs.wires]][0])
    return found - R if found > R // 2 else found


MARGINS = list(itertools.product(range(-V, V + 1), (-1, 1)))


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_hinge_has_one_value(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    maximum = np.maximum
    monkeypatch.setattr(
        "zkfed.gadgets.losses.np.maximum", lambda a, b: maximum(a, b) if not chosen else a * 0 + chosen[0]
    )
    _, circuit = circuit_of("hinge", 2, side)
    for z, y in MARGINS:
        accepted = []
        for h in (*range(-2, V + ONE + 2), z * y - ONE, R // 2):
            chosen[:] = [h]
            if attempt(circuit, [z], [y]) is not None and h not in accepted:
                accepted.append(h)
        assert accepted == [max(0, ONE - z * y)]


def test_a_chord_is_accepted_on_its_interval_alone() -> None:
    loss, circuit = circuit_of("logistic", 2, "upper")
    chords = loss.chords
    for (z, y), line in itertools.product(MARGINS, range(len(chords.starts))):
        reached, start = attempt(circuit, [z], [y], line=line), int(chords.starts[line])
        assert (reached is not None) == (start <= z * y < start + (1 << int(chords.width_bits[line])))
        if reached is not None:
            assert reached >= math.log1p(math.exp(-z * y / ONE)) * loss.scale


def test_every_tangent_is_accepted_and_below() -> None:
    loss, circuit = circuit_of("logistic", 2, "lower")
    for (z, y), line in itertools.product(MARGINS, range(len(loss.tangents.slopes))):
        reached = attempt(circuit, [z], [y], line=line)
        assert reached is not None
        assert reached <= math.log1p(math.exp(-z * y / ONE)) * loss.scale


SMALL = 2
LOGITS = list(itertools.product(range(-SMALL, SMALL + 1), repeat=3))


def cross_entropy(z: tuple[int, ...], own: int) -> float:
    return math.log(sum(math.exp((v - z[own]) / ONE) for v in z))


def test_every_pivot_within_the_chords_is_accepted_and_above() -> None:
    loss, circuit = circuit_of("cross-entropy", 3, "upper", SMALL)
    chords = loss.chords
    low, high = int(chords.starts[0]), int(chords.starts[-1] + (1 << int(chords.width_bits[-1])))
    for z, pivot in itertools.product(LOGITS[::3], range(-SMALL - 1, 4 * ONE)):
        reached = attempt(circuit, z, [0, 1, 0], pivot=pivot)
        assert (reached is not None) == (-SMALL <= pivot < 16 - SMALL and all(low <= v - pivot < high for v in z))
        if reached is not None:
            assert reached >= cross_entropy(z, 1) * loss.scale


def test_every_shares_of_sum_one_are_accepted_and_below() -> None:
    loss, circuit = circuit_of("cross-entropy", 3, "lower", SMALL)
    whole = 1 << loss.share_bits
    assert whole == 4
    for z, shares in itertools.product(LOGITS[::4], itertools.product(range(whole + 1), repeat=3)):
        if sum(shares) != whole and z != LOGITS[4]:
            continue
        reached = attempt(circuit, z, [0, 0, 1], shares=list(shares))
        assert (reached is not None) == (sum(shares) == whole)
        if reached is not None:
            assert reached <= cross_entropy(z, 2) * loss.scale + 1e-6


@pytest.mark.parametrize("side", ["upper", "lower"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_claim_is_accepted_where_it_is_true(classes: int, side: str) -> None:
    _, circuit = circuit_of("accuracy", classes, side, V if classes == 2 else SMALL)
    cases = [([z], [y]) for z, y in MARGINS] if classes == 2 else [
        (z, np.eye(3, dtype=int)[own].tolist()) for z in LOGITS[::2] for own in range(3)
    ]  # fmt: skip
    for z, targets in cases:
        own = sum(v * t for v, t in zip(z, targets, strict=True))
        rival = -own if classes == 2 else max(v for v, t in zip(z, targets, strict=True) if not t)
        is_true = own > rival if side == "upper" else own < rival
        free, claimed = (attempt(circuit, z, targets, claim=claim) for claim in (False, True))
        assert free == (1 if side == "upper" else 0)
        assert claimed == ((0 if side == "upper" else 1) if is_true else None)
        # A row counts once: no claim but 0 and 1.
        assert [attempt(circuit, z, targets, claim=claim) for claim in (-1, 2, 3)] == [None] * 3


@pytest.mark.parametrize("is_chain_zero", [False, True])
def test_a_rival_is_one_of_the_logits(is_chain_zero: bool) -> None:
    """Also for a prover who writes 0 for the product of the first two factors."""
    _, circuit = circuit_of("accuracy", 3, "lower", SMALL)
    chosen: list[int] = []

    def hint_of(hint: Any) -> Any:
        if hint.__qualname__.endswith("_some_logit.<locals>.hint"):
            return lambda _values: np.array(chosen, dtype=object)
        if is_chain_zero and hint.__qualname__.endswith("_unbounded_product.<locals>.hint"):
            return lambda _values: np.zeros(1, dtype=object)
        return hint

    steps = tuple((s, w, hint_of(h)) for s, w, h in circuit.system.steps)
    forged = replace(circuit, system=replace(circuit.system, steps=steps))
    for z, p in itertools.product(LOGITS[::6], (*range(-SMALL - 1, SMALL + 2), R // 2)):
        chosen[:] = [p]
        fits = p in (z[:2] if is_chain_zero else z)
        for claim in (False, True):
            accepted = attempt(forged, z, [1, 0, 0], claim=claim) is not None
            assert accepted == (fits and (not claim or p > z[0]))
