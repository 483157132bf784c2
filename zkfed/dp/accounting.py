"""What has been spent: zCDP composition over attempts and rounds, and the printed guarantee.

    rho_total = sum of rho over attempts,   epsilon = OpenDP's conversion of rho_total at delta

What each party sees of one client, and so what it is charged for:

    K   the sum under G's noise, in *every* attempt that it decrypts, released or not
    G   what is released, under K's noise (it knows its own)
    all others: what is released, under both noises; charged for one

Groups of one repeated attempt are disjoint, so one client is in one of them: an attempt
costs rho once, however many groups it has.

With a `RoundAccount` every round is charged to a durable ledger, together with all statistics about
the same people; without one `Spending` lives in memory, and a restart forgets what was spent.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from zkfed.dp.ledger import Ledger, People, Request
from zkfed.dp.loss import PrivacyLoss, epsilon_of
from zkfed.dp.noise import NoiseScale
from zkfed.errors import BudgetExceeded, PolicyError, ZkfedError
from zkfed.policy import RoundPolicy

__all__ = ["RoundAccount", "Spending", "View", "guarantee_line", "predicted_noise_signal"]

PARTIES = ("holder", "adder", "public")


@dataclass(frozen=True, slots=True)
class View:
    """The privacy loss of one client towards one party, over all attempts so far.

    Attributes:
        party: "holder", "adder" or "public".
        attempts: How many of them the party saw.
        rho: Their zCDP charge, exact.
        epsilon: At `delta`; 0.0 before the first attempt.
        delta: For the whole lifetime: rho is converted once, so delta does not add up.
    """

    party: str
    attempts: int
    rho: Fraction
    epsilon: float
    delta: float


@dataclass(frozen=True)
class RoundAccount:
    """Where the rounds of a federation are charged durably.

    Attributes:
        ledger: Of all statistics and rounds about these people.
        people: The people behind the clients.
        question: Names the federation: its policy without pinned keys, so that a restart continues.
        clock: Returns seconds since the epoch.
    """

    ledger: Ledger
    people: People
    question: bytes
    clock: Callable[[], float]


class Spending:
    """The privacy loss of one federation: reserve a round, charge its attempts, settle.

    A round reserves all attempts that its policy allows before anything is encrypted. An
    attempt is charged before K decrypts. What was reserved and not begun comes back when
    the round is settled. All sums are exact rationals; a refusal changes nothing.

    Args:
        scale: Of one party's noise; its rho is the charge of one attempt.
        delta: At which losses are stated.
        epsilon_max: The most that may ever be spent, at `delta`; None sets no limit.
        bits_max: How many un-noised acceptance bits (S1) a client may give in an epoch; None sets no limit.
        account: Charges every round to a ledger and continues where it stands; None forgets with the process.

    Raises:
        ValueError: `epsilon_max` is not a finite number above 0.
    """

    def __init__(
        self,
        scale: NoiseScale,
        *,
        delta: float,
        epsilon_max: float | None = None,
        bits_max: int | None = None,
        account: RoundAccount | None = None,
    ) -> None:
        if epsilon_max is not None and not 0 < epsilon_max < math.inf:
            raise ValueError(f"epsilon_max is {epsilon_max}, expected a finite number above 0")
        self._rho, self._delta, self._epsilon_max = Fraction(scale.rho), delta, epsilon_max
        self._bits, self.bits_max = 0, bits_max
        self._reserved = 0
        self._begun = 0
        self._failed: set[int] = set()
        self._spent = dict.fromkeys(PARTIES, 0)
        self._rounds = 0
        self._lock = threading.Lock()
        self.account, self._reservation = account, -1
        if account is not None:
            # A round that never came to its end counts as begun in all attempts and released in all.
            before = account.ledger.rounds(account.question)
            self._rounds, self._bits = before.rounds, before.bits
            self._spent = dict.fromkeys(PARTIES, before.begun - before.failed) | {"holder": before.begun}

    @property
    def rounds(self) -> int:
        """Rounds that were settled."""
        return self._rounds

    @property
    def bits(self) -> int:
        """Acceptance bits so far: yes or no about a client's registered rows, without noise.

        No epsilon covers them, so they stand on a line of their own. A round costs one, whether it
        ends with a release or not: who sits out has answered too.
        """
        return self._bits

    def reserve(self, attempts: int, *, bits: int = 0) -> None:
        """Sets the loss of a round's attempts aside before the round starts, and counts its bits.

        Raises:
            BudgetExceeded: The lifetime budget does not cover them all, or as many acceptance bits
                as allowed were given; nothing was reserved.
            PolicyError: The round before was not settled.
            ValueError: `attempts` is no int above 0.
        """
        if type(attempts) is not int or attempts < 1:
            raise ValueError(f"attempts is {attempts!r}, expected an int of at least 1")
        with self._lock:
            if self._reserved:
                raise PolicyError("a round is open: settle it before the next one is reserved")
            self._require(self._spent["holder"] + attempts)
            if bits and self.bits_max is not None and self._bits + bits > self.bits_max:
                raise BudgetExceeded(
                    f"{self._bits} acceptance bits about registered rows were given, the policy allows {self.bits_max}"
                )
            if self.account is not None:
                # Before anything is encrypted; a process that dies from here on has spent all of it.
                request = Request("round", self.account.question, self.account.people, PrivacyLoss.gaussian(self._rho))
                self._reservation = self.account.ledger.reserve(
                    request, attempts=attempts, bits=bits, now_s=self.account.clock()
                )
            self._reserved = attempts
            self._bits += bits

    def charge_attempt(self, number: int | None = None) -> None:
        """Charges an attempt of the open round; call it before K decrypts.

        Args:
            number: Of the attempt, from 1; all its groups name the same one and are charged
                once. None is the next attempt.

        Raises:
            BudgetExceeded: The attempt was not reserved; nothing may be decrypted.
        """
        with self._lock:
            wanted = self._begun + 1 if number is None else number
            if type(wanted) is not int or not 1 <= wanted <= self._reserved:
                raise BudgetExceeded(
                    f"attempt {wanted!r} is not among the {self._reserved} that were reserved; groups of one "
                    f"attempt are charged once, under the attempt's number"
                )
            self._begun = max(self._begun, wanted)

    def fail_attempt(self, number: int) -> None:
        """Notes that no group of an attempt was released: only K's view keeps its charge.

        Raises:
            PolicyError: The attempt was not begun.
        """
        with self._lock:
            if type(number) is not int or not 1 <= number <= self._begun:
                raise PolicyError(f"attempt {number!r} was not begun")
            self._failed.add(number)

    def settle(self) -> None:
        """Closes the open round: what was begun is spent, what was not begun comes back.

        Raises:
            PolicyError: No round is open.
            StoreFault: The ledger cannot record it: all that was reserved stays spent.
        """
        with self._lock:
            if not self._reserved:
                raise PolicyError("no round is open")
            try:
                if self.account is not None:
                    self.account.ledger.settle(
                        self._reservation, begun=self._begun, failed=len(self._failed), now_s=self.account.clock()
                    )
            except ZkfedError:
                self._begun = self._reserved
                raise
            finally:
                self._close()

    def _close(self) -> None:
        self._spent["holder"] += self._begun
        for party in ("adder", "public"):
            self._spent[party] += self._begun - len(self._failed)
        self._reserved = self._begun = 0
        self._failed.clear()
        self._rounds += 1

    def view(self, party: str) -> View:
        """Returns one party's view, the open round's begun attempts included.

        Args:
            party: "holder", "adder" or "public".

        Raises:
            ValueError: No such party.
        """
        if party not in PARTIES:
            raise ValueError(f"party is {party!r}, expected one of {PARTIES}")
        with self._lock:
            attempts = self._spent[party] + self._begun - (0 if party == "holder" else len(self._failed))
        rho = self._rho * attempts
        return View(party, attempts, rho, epsilon_of(rho, self._delta), self._delta)

    def total(self) -> tuple[float, float]:
        """Returns (epsilon, delta) over all attempts so far, towards the party that saw most: K."""
        view = self.view("holder")
        return view.epsilon, view.delta

    def _require(self, attempts: int) -> None:
        if self._epsilon_max is None:
            return
        epsilon = epsilon_of(self._rho * attempts, self._delta)
        if epsilon > self._epsilon_max:
            spent = epsilon_of(self._rho * self._spent["holder"], self._delta)
            raise BudgetExceeded(
                f"{spent:.4g} of epsilon {self._epsilon_max:.4g} are spent (delta {self._delta:.1g}) and this round "
                f"may take them to {epsilon:.4g}; nothing was released"
            )


def predicted_noise_signal(sigma: float, parameters: int, clients: int, clip_units: float) -> float:
    """Returns the predicted noise/signal ratio of a mean: sigma sqrt(2 P) / n in units of C.

    Above 1 the two noises are longer than any possible mean update.

    Args:
        sigma: Of one party's noise, in integer units.
        parameters: P.
        clients: n.
        clip_units: C 2^f, the clip in integer units.
    """
    return sigma * math.sqrt(2 * parameters) / (clients * clip_units)


def guarantee_line(policy: RoundPolicy, spending: Spending, scale: NoiseScale) -> str:
    """Returns the guarantee as one line that leaves nothing out.

    Unit, adjacency, epsilon and delta, scope, participation, clip with rounding, who drew
    the noise, who must not collude, and on what it is conditional.
    """
    view, seen = spending.view("holder"), spending.view("adder")
    charged = (scale.sensitivity / (1 << policy.model.fraction_bits)) / policy.clip_norm
    lifetime = (
        f"({view.epsilon:.4g}, {view.delta:.1g}) towards the key holder, ({seen.epsilon:.4g}, {seen.delta:.1g}) "
        f"towards everybody else (zCDP, rho {float(view.rho):.4g})"
    )
    bits = (
        f"not covered: {spending.bits} of {policy.acceptance_bits_max} un-noised acceptance bits about each client's "
        f"registered rows in this epoch; acceptance on them earns nothing without a public benchmark (S2)"
    )
    facts = [
        "user-level (one enrolled key), zero-out adjacency (membership is public)",
        "replacing an update instead of zeroing it costs twice the sensitivity",
        f"one attempt: ({scale.epsilon:.4g}, {scale.delta:.1g})",
        f"all {view.attempts} attempts of {spending.rounds} rounds so far: {lifetime}",
        "a key may take part in every round",
        f"clip C = {policy.clip_norm:.4g}, charged with rounding as {charged:.5g} C",
        "the adders and the key holder each drew integer Gaussian noise, one of the two is charged",
        f"sigma {scale.sigma / scale.sensitivity:.4g} times the charged clip",
        "not against the key holder together with the adders, or with anyone who sees a client's ciphertext",
        "towards adders that add what they were sent: whether a false sum opens is one bit an attempt without noise",
        "conditional on the accepted set",
        "computational",
        _of_ledger(spending.account),
        *([bits] if policy.statement.kind == "S1" else []),
    ]
    return "; ".join(facts)


def _of_ledger(account: RoundAccount | None) -> str:
    if account is None:
        return "other tasks about the same people are not counted, and a restart forgets these: there is no ledger"
    spent, ledger = account.ledger.spent(account.people, now_s=account.clock()), account.ledger
    limit = "" if ledger.epsilon_max is None else f" of {float(ledger.epsilon_max):.4g}"
    return (
        f"all statistics and rounds about these people in {spent.period}: ({spent.epsilon:.4g}, {ledger.delta:.1g})"
        f"{limit} by the ledger, over all periods ({spent.lifetime_epsilon:.4g}, {ledger.delta:.1g})"
    )
