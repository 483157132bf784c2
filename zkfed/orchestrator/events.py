"""What a round reports while it runs: typed events that read well when printed."""

from __future__ import annotations

from dataclasses import dataclass, field

from zkfed.updates.update import Verdict

__all__ = [
    "AttemptFailed",
    "EnrolmentClosed",
    "Event",
    "Progress",
    "Refused",
    "RegistrationClosed",
    "Released",
    "RoundAbandoned",
    "RoundStarted",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in a round.

    Attributes:
        round: Counted from 1.
    """

    round: int


@dataclass(frozen=True, slots=True)
class EnrolmentClosed(Event):
    """It is settled which devices may take part; `round` is 0.

    Attributes:
        devices: Enrolled keys.
        refused: Answers that were turned down.
    """

    devices: int
    refused: int

    def __str__(self) -> str:
        return f"enrolment closed: {self.devices} devices, {self.refused} refused"


@dataclass(frozen=True, slots=True)
class RegistrationClosed(Event):
    """The clients' own rows are registered (S1); `round` is 0.

    Attributes:
        accepted: Clients that take part in the rounds.
        refused: Clients whose registration was turned down; a `Refused` follows for each.
    """

    accepted: int
    refused: int

    def __str__(self) -> str:
        return f"registration closed: {self.accepted} clients have registered rows of their own, {self.refused} refused"


@dataclass(frozen=True, slots=True)
class RoundStarted(Event):
    """A round is announced.

    Attributes:
        at_least: The share that every update must prove, as a fraction; 0 for counts (S4).
        noise_signal: Predicted noise over signal of the mean update, in units of the clip.
        devices: Enrolled clients.
    """

    at_least: float
    noise_signal: float
    devices: int

    def __str__(self) -> str:
        warning = "  (more noise than signal)" if self.noise_signal > 1 else ""
        claim = f"improvement of at least {self.at_least:.2%}" if self.at_least else "bounded counts"
        return (
            f"round {self.round}: {self.devices} devices, {claim}, "
            f"predicted noise/signal {self.noise_signal:.2f}{warning}"
        )


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """A stage moves on.

    Attributes:
        stage: "setup", "commit", "beacon", "seal", "check", "add", "open" or "audit".
        done: Of `total`.
        attempt: Counted from 1.
        group: Of a repeated attempt, counted from 0.
    """

    stage: str
    done: int
    total: int
    attempt: int = 1
    group: int = 0

    def __str__(self) -> str:
        where = f", attempt {self.attempt}" + (f" group {self.group + 1}" if self.attempt > 1 else "")
        return f"round {self.round}{where}: {self.stage} {self.done}/{self.total}"


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """An update was turned down; the verdict names the client and the reason."""

    verdict: Verdict
    attempt: int = 1

    def __str__(self) -> str:
        return f"round {self.round}: {self.verdict}"


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """The key holder said "failed", or a group had too few valid updates: nothing was released.

    Nobody is named: whose fault it was cannot be seen without decrypting.

    Attributes:
        attempt: Counted from 1.
        group: Counted from 0.
        clients: How many updates were in the sum; they are lost if no attempt is left.
        is_lost: Whether no attempt is left for them.
    """

    attempt: int
    group: int
    clients: int
    is_lost: bool

    def __str__(self) -> str:
        then = "its updates are lost" if self.is_lost else "trying again in random groups"
        where = f"attempt {self.attempt}" + (f" group {self.group + 1}" if self.attempt > 1 else "")
        return f"round {self.round}: {where} failed closed ({self.clients} updates); {then}"


@dataclass(frozen=True, slots=True)
class Released(Event):
    """The round's noised sum is public and the model has moved.

    Attributes:
        accepted: Updates in the released sums.
        refused: Updates turned down.
        attempts: How often the round was tried.
        noise_signal: Predicted for the groups that were released.
        epsilon: Spent so far, for `delta`.
        delta: Of `epsilon`.
        seconds: Per stage, for this round.
    """

    accepted: int
    refused: int
    attempts: int
    noise_signal: float
    epsilon: float
    delta: float
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        tries = "" if self.attempts == 1 else f" after {self.attempts} attempts"
        return (
            f"round {self.round}: released the sum of {self.accepted} updates{tries}, {self.refused} refused; "
            f"privacy spent so far ({self.epsilon:.3g}, {self.delta:.0e})"
        )


@dataclass(frozen=True, slots=True)
class RoundAbandoned(Event):
    """No sum was released; the model stays and the reserved budget is spent.

    Attributes:
        reason: For people.
    """

    reason: str

    def __str__(self) -> str:
        return f"round {self.round}: abandoned, {self.reason}"
