"""One event of each kind, and ones whose texts come from somebody hostile."""

from __future__ import annotations

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

HOSTILE = "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>[bold red]x[/bold red]\r\nERROR forged line\u202e :smile:"
VERDICT = Verdict("ab" * 32, False, "proof-invalid", "the proof does not hold")
EVENTS: tuple[Event, ...] = (
    EnrolmentClosed(0, 3, 1),
    RegistrationClosed(0, 3, 1),
    RoundStarted(1, 0.01, 1.5, 3),
    Progress(1, "commit", 1, 2),
    Progress(1, "commit", 2, 2),
    Progress(1, "seal", 1, 2),
    Progress(1, "seal", 2, 2),
    Refused(1, VERDICT),
    AttemptFailed(1, 1, 0, 3, is_lost=False),
    Released(1, 2, 1, 2, 1.5, 2.0, 1e-6, {"check": 0.5}),
    RoundStarted(2, 0.0, float("nan"), 3),
    RoundAbandoned(2, "too few updates"),
)
BAD = Refused(1, Verdict("ab" * 32, False, "decode", HOSTILE))
