"""The texts of all events, for people: short, in one line, with the numbers that matter."""

from __future__ import annotations

import dataclasses

import pytest

from zkfed.orchestrator import events
from zkfed.orchestrator.events import (
    AttemptFailed,
    EnrolmentClosed,
    Event,
    Progress,
    Refused,
    RegistrationClosed,
    Released,
    RoundAbandoned,
    RoundStarted,
)
from zkfed.updates.update import Verdict

TEXTS = [
    (EnrolmentClosed(0, 24, 1), "enrolment closed: 24 devices, 1 refused"),
    (
        RegistrationClosed(0, 24, 2),
        "registration closed: 24 clients have registered rows of their own, 2 refused",
    ),
    (
        RoundStarted(3, 0.05, 0.4, 24),
        "round 3: 24 devices, improvement of at least 5.00%, predicted noise/signal 0.40",
    ),
    (
        RoundStarted(1, 0.01, 1.5, 5),
        "round 1: 5 devices, improvement of at least 1.00%, predicted noise/signal 1.50  (more noise than signal)",
    ),
    (Progress(1, "seal", 2, 5), "round 1, attempt 1: seal 2/5"),
    (Progress(1, "seal", 2, 5, 2, 1), "round 1, attempt 2 group 2: seal 2/5"),
    (
        Refused(2, Verdict("ab" * 32, False, "proof-invalid", "the proof does not hold")),
        "round 2: abababababab refused (proof-invalid): the proof does not hold",
    ),
    (
        AttemptFailed(1, 1, 0, 9, is_lost=False),
        "round 1: attempt 1 failed closed (9 updates); trying again in random groups",
    ),
    (
        AttemptFailed(1, 2, 1, 4, is_lost=True),
        "round 1: attempt 2 group 2 failed closed (4 updates); its updates are lost",
    ),
    (
        Released(4, 20, 2, 1, 0.5, 2.0, 1e-6),
        "round 4: released the sum of 20 updates, 2 refused; privacy spent so far (2, 1e-06)",
    ),
    (
        Released(4, 20, 2, 2, 0.5, 2.921, 1e-6),
        "round 4: released the sum of 20 updates after 2 attempts, 2 refused; privacy spent so far (2.92, 1e-06)",
    ),
    (RoundAbandoned(5, "too few"), "round 5: abandoned, too few"),
]


@pytest.mark.parametrize(("event", "text"), TEXTS)
def test_the_text_of_an_event(event: Event, text: str) -> None:
    assert str(event) == text


def test_every_kind_of_event_has_a_text_here_and_cannot_be_changed() -> None:
    assert {type(e).__name__ for e, _ in TEXTS} == {*events.__all__} - {"Event"}
    for event, _ in TEXTS:
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.round = 9  # type: ignore[misc]
