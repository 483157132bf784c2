"""Review: a noise or an encryption key that serves two attempts is seen by everybody.

Whoever knows two sums under one noise knows their difference without any. The adders below
draw once and commit to the same vector in every attempt: each message of theirs is valid.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.layers.parties import Cohort
from zkfed.errors import Replay
from zkfed.layers import polis
from zkfed.layers.agreement import Agreement
from zkfed.layers.bridge import check_release
from zkfed.layers.noise import NoiseVector


class _DrawnOnce:
    """What lazy adders, or adders that were restored from a snapshot, call instead of `NoiseVector`."""

    def __init__(self) -> None:
        self.noise: NoiseVector | None = None

    def draw(self, agreement: Agreement) -> NoiseVector:
        self.noise = self.noise or NoiseVector.draw(agreement)
        return self.noise


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> Cohort:
    cohort = Cohort()
    monkeypatch.setattr(polis, "NoiseVector", _DrawnOnce())
    for _ in range(2):
        cohort.honest_round()
    return cohort


def test_one_noise_in_two_rounds_is_refused(lazy: Cohort) -> None:
    with pytest.raises(Replay, match="round 2, attempt 1: an encryption key or a noise is used twice"):
        check_release(lazy.transcript)


def test_that_is_the_only_thing_wrong_with_it(lazy: Cohort) -> None:
    last: Any = lazy.transcript.rounds.pop()
    check_release(lazy.transcript)
    lazy.transcript.rounds.append(last)
    with pytest.raises(Replay):
        check_release(lazy.transcript)
