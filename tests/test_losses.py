"""Shows that the integer losses bound the real ones, closely, and that their tables are the same everywhere.

10,000 random rows of each loss are compared with exact rational arithmetic: hinge, squared loss and
accuracy are fractions themselves; for the others exp is enclosed by integers.
"""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.real_exponential import BITS, exponential
from zkfed.lines import SLOPE_BITS
from zkfed.losses import Loss, is_convex, scale
from zkfed.policy import LOSSES

CASES = 10_000
F15 = 127 << 15
LOGIT_MAX = 785 * 127 << 20
MODELS = [  # (loss, classes, one, largest logit, largest distance of a row's bounds from the real loss)
    ("logistic", 2, F15, LOGIT_MAX, (6.2e-5, 3.2e-5)),
    ("logistic", 2, 127, 127 << 10, (6.2e-5, 3.2e-5)),
    ("cross-entropy", 3, F15, LOGIT_MAX, (4.1e-5, 7e-4)),
    ("cross-entropy", 10, F15, LOGIT_MAX, (1.2e-4, 1.8e-3)),
    ("cross-entropy", 10, 127, 127 << 10, (1.5e-4, 1.6e-3)),
]


def rows_of(classes: int, one: int, logit_max: int, seed: int, count: int = CASES) -> tuple[Any, Any]:
    """Returns logits of all sizes, with ties and extremes, and targets."""
    rand = np.random.default_rng(seed)
    outputs = classes if classes > 2 else 1
    spread = 10.0 ** rand.uniform(-3, 2.5, (count, 1)) * one
    z = np.clip(np.rint(rand.normal(0, spread, (count, outputs))), -logit_max, logit_max).astype(np.int64)
    z[::50] = z[::50, :1]  # all logits the same
    z[1::50] = rand.choice([-logit_max, logit_max, 0], z[1::50].shape)
    z[2::50] = rand.integers(-3, 4, z[2::50].shape)
    y = rand.integers(0, classes, count)
    return z, np.eye(classes, dtype=np.int64)[y] if outputs > 1 else 2 * y[:, None] - 1


def sum_exp(exponents: list[Fraction]) -> tuple[int, int]:
    """Returns an enclosure of the sum of exp."""
    lows, highs = zip(*map(exponential, exponents), strict=True)
    return sum(lows), sum(highs)


def is_at_least(bound: Fraction, real: tuple[int, int]) -> bool | None:
    """Whether exp bound >= the enclosed number; None if the enclosures cannot tell."""
    low, high = exponential(bound)
    return True if low >= real[1] else False if high < real[0] else None


def exponents_of(loss: Loss, z: Any, o: Any) -> list[Fraction]:
    """Returns x with real loss = log sum exp x of one row."""
    if loss.classes == 2:
        return [Fraction(0), Fraction(-int(z[0] * o[0]), loss.one)]
    own = int((z * o).sum())
    return [Fraction(int(v) - own, loss.one) for v in z.tolist()]


@pytest.mark.parametrize(("name", "classes", "one", "logit_max", "gaps"), MODELS)
def test_the_bounds_hold_and_are_close(
    name: str, classes: int, one: int, logit_max: int, gaps: tuple[float, float]
) -> None:
    loss = Loss(name, classes, one, logit_max)
    logits, targets = rows_of(classes, one, logit_max, seed=classes + one)
    for i in range(CASES):
        z, o = logits[i : i + 1], targets[i : i + 1]
        upper, lower = (Fraction(bound, loss.scale) for bound in (loss.upper(z, o), loss.lower(z, o)))
        largest = max(exponents_of(loss, z[0], o[0]))
        real = sum_exp([x - largest for x in exponents_of(loss, z[0], o[0])])
        upper, lower = upper - largest, lower - largest
        assert is_at_least(upper, real) is True
        assert is_at_least(lower, real) is not True
        assert is_at_least(upper - Fraction(gaps[0]), real) is False, (i, float(upper))
        assert is_at_least(lower + Fraction(gaps[1]), real) is True, (i, float(lower))


@pytest.mark.parametrize(("name", "classes"), [("hinge", 2), ("squared", 1), ("squared", 2), ("squared", 5)])
def test_hinge_and_squared_loss_are_exact(name: str, classes: int) -> None:
    loss = Loss(name, classes, F15, 1 << 30)
    logits, targets = rows_of(max(classes, 2), F15, 1 << 30, seed=1)
    if classes == 1:
        targets = targets * 1234567
    for i in range(CASES):
        z, o = logits[i : i + 1], targets[i : i + 1]
        unit = Fraction(1, F15)
        if name == "hinge":
            real = max(Fraction(0), 1 - int(z[0, 0] * o[0, 0]) * unit)
        else:
            goal = unit if classes == 1 else 1
            real = sum((v * unit - t * goal) ** 2 for v, t in zip(z[0].tolist(), o[0].tolist(), strict=True))
        assert loss.upper(z, o) == loss.lower(z, o) == real * loss.scale
    assert loss.upper(logits, targets) == sum(loss.upper(logits[i : i + 1], targets[i : i + 1]) for i in range(CASES))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_tie_is_an_error_of_the_new_model_and_none_of_the_old_one(classes: int) -> None:
    loss = Loss("accuracy", classes, F15, LOGIT_MAX)
    logits, targets = rows_of(classes, F15, LOGIT_MAX, seed=2)
    ties = 0
    for i in range(CASES):
        z, o = logits[i : i + 1], targets[i : i + 1]
        if classes == 2:
            own, rival = int(z[0, 0] * o[0, 0]), -int(z[0, 0] * o[0, 0])
        else:
            own = max(v for v, t in zip(z[0].tolist(), o[0].tolist(), strict=True) if t)
            rival = max(v for v, t in zip(z[0].tolist(), o[0].tolist(), strict=True) if not t)
        ties += own == rival
        assert (loss.upper(z, o), loss.lower(z, o)) == (int(own <= rival), int(own < rival))
    assert ties >= CASES // 200
    assert loss.lower(logits, targets) + ties == loss.upper(logits, targets)


@pytest.mark.parametrize("name", ["logistic", "cross-entropy"])
def test_chords_are_above_and_meet_each_other(name: str) -> None:
    """Each line at both ends of its interval, where convexity makes it lowest; no gap between intervals."""
    loss = Loss(name, 2 if name == "logistic" else 10, F15, LOGIT_MAX)
    chords, unit = loss.chords, Fraction(1, loss.scale)
    stops = chords.starts + (1 << chords.width_bits)
    assert (stops[:-1] == chords.starts[1:]).all()
    for k, ends in enumerate(zip(chords.starts.tolist(), stops.tolist(), strict=True)):
        for end in ends:
            line = (int(chords.slopes[k]) * end + int(chords.intercepts[k])) * unit
            if name == "logistic":
                largest = max(Fraction(0), Fraction(-end, F15))
                assert is_at_least(line - largest, sum_exp([-largest, Fraction(-end, F15) - largest])) is True
            else:
                assert line * (1 << BITS) >= exponential(Fraction(end, F15))[1]
    reach = LOGIT_MAX if name == "logistic" else 0
    assert chords.starts[0] <= -LOGIT_MAX
    assert stops[-1] > reach


def test_tangents_are_below_everywhere() -> None:
    """Each line at the point where it is closest, found in floats: next to it the distance changes by 10^-30."""
    loss = Loss("logistic", 2, F15, LOGIT_MAX)
    for slope, intercept in zip(loss.tangents.slopes.tolist(), loss.tangents.intercepts.tolist(), strict=True):
        p = Fraction(-slope, 1 << SLOPE_BITS)
        closest = [math.log((1 - p) / p)] if 0 < p < 1 else [-30.0, 30.0]
        for at in [Fraction(x) for x in (*closest, -1.0, 0.0, 1.0)]:
            shift = max(Fraction(0), -at)
            real = sum_exp([-shift, -at - shift])
            line = -p * at + Fraction(intercept, loss.scale) - shift
            assert is_at_least(line, real) is False
        if 0 < p < 1:
            at, shift = Fraction(closest[0]), max(Fraction(0), -Fraction(closest[0]))
            higher = -p * at + Fraction(intercept + 2, loss.scale) - shift
            assert is_at_least(higher, sum_exp([-shift, -at - shift])) is True


def test_the_chosen_tangent_is_the_highest_one() -> None:
    tangents = Loss("logistic", 2, F15, LOGIT_MAX).tangents
    v = np.concatenate([np.random.default_rng(1).integers(-30 * F15, 30 * F15, 500), [0, -LOGIT_MAX, LOGIT_MAX]])
    lines = tangents.slopes[:, None].astype(object) * v.astype(object) + tangents.intercepts[:, None].astype(object)
    assert (lines[tangents.choose(v), np.arange(len(v))] == lines.max(axis=0)).all()


def test_shares_are_shares() -> None:
    loss = Loss("cross-entropy", 10, F15, LOGIT_MAX)
    logits, _ = rows_of(10, F15, LOGIT_MAX, seed=3)
    shares = loss.shares(logits)
    assert (shares >= 0).all()
    assert (shares.sum(axis=1) == 1 << loss.share_bits).all()
    assert (loss.pivots(logits) >= logits.max(axis=1)).all()


def test_the_tables_are_the_same_on_every_platform() -> None:
    """They are part of a circuit: another digit is another circuit, and other keys."""
    loss = Loss("logistic", 2, F15, LOGIT_MAX)
    exponentials = Loss("cross-entropy", 10, F15, LOGIT_MAX)
    tables = [loss.tangents.slopes, loss.tangents.intercepts, exponentials.entropies]
    for chords in (loss.chords, exponentials.chords):
        tables += [chords.starts, chords.width_bits, chords.slopes, chords.intercepts]
    found = hashlib.sha256(b"".join(t.astype(">i8").tobytes() for t in tables)).hexdigest()
    assert found == "2cac669b5cc081e1511d3fa7255a8a10219c6cc0f4950da31ef3551dcbb54cf4"
    assert [len(t) for t in (loss.chords.starts, loss.tangents.slopes, exponentials.chords.starts)] == [226, 257, 273]


def test_the_lower_bound_of_a_public_model_is_the_same_on_every_platform() -> None:
    """A verifier computes it again: neither floats nor the order of equal shares may matter."""
    n, classes = 500, 10
    state, numbers = 1, []
    for _ in range(n * classes):
        state = state * 6364136223846793005 % (1 << 63)
        numbers.append((state >> 38) % (12 * F15) - 6 * F15)
    z = np.array(numbers, dtype=np.int64).reshape(n, classes)
    z[::7] = z[::7, :1]
    targets = np.eye(classes, dtype=np.int64)[np.arange(n) % classes]
    assert Loss("cross-entropy", classes, F15, LOGIT_MAX).lower(z, targets) == 528_395_651_252_437
    assert Loss("logistic", 2, F15, LOGIT_MAX).lower(z[:, :1], 1 - 2 * targets[:, :1]) == 289_575_937_761_321


def test_what_a_loss_is_for() -> None:
    for name, (fewest, most) in LOSSES.items():
        Loss(name, fewest, F15, LOGIT_MAX)
        for classes in (fewest - 1, most + 1):
            with pytest.raises(ValueError, match=f"{name} loss is for"):
                Loss(name, classes, F15, LOGIT_MAX)
    with pytest.raises(ValueError, match="there is no loss 'absolute'"):
        Loss("absolute", 2, F15, LOGIT_MAX)
    with pytest.raises(ValueError, match="above the bound of 8 bits"):
        Loss("hinge", 2, 127, 255).upper(np.array([[-256]]), np.array([[1]]))
    with pytest.raises(ValueError, match="too wide for the tables"):
        _ = Loss("logistic", 2, F15, 1 << 62).chords


def test_scales_and_convexity() -> None:
    assert [scale(name, 127) for name in LOSSES] == [127 * 127, 127, 127 << 16, 127 << 16, 1]
    assert [is_convex(name) for name in LOSSES] == [True, True, True, True, False]
