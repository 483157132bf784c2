"""Rounds in the ledger: all attempts are paid in advance, what was not begun comes back.

A process that dies between the two has spent everything that it reserved. A round whose model is
rolled back later has been seen all the same: nothing takes an entry out of a ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from zkfed.dp.entries import Entry
from zkfed.dp.loss import PrivacyLoss
from zkfed.encoding import Reader, Writer
from zkfed.errors import LedgerCorrupt, ZkfedError

__all__ = ["ATTEMPTS_MAX", "Reservations", "RoundTotals", "reserved", "settled"]

ATTEMPTS_MAX = 64


@dataclass(frozen=True, slots=True)
class RoundTotals:
    """What the rounds of one policy have used up.

    Attributes:
        rounds: Rounds that were reserved.
        begun: Attempts that were begun; all of a round that was never settled.
        failed: Of them, those of which nothing was released.
        bits: Acceptance bits without noise, which no epsilon covers.
    """

    rounds: int = 0
    begun: int = 0
    failed: int = 0
    bits: int = 0


def reserved(attempts: int, bits: int) -> bytes:
    """Returns the body of a reservation."""
    return Writer("zkfed/v1/reserved").u64(attempts).u64(bits).finish()


def settled(reservation: int, begun: int, failed: int) -> bytes:
    """Returns the body of a settlement."""
    return Writer("zkfed/v1/settled").u64(reservation).u64(begun).u64(failed).finish()


class Reservations:
    """The rounds that a ledger knows; derived from its entries."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Entry, int]] = {}
        self._totals: dict[bytes, RoundTotals] = {}

    def totals(self, question: bytes) -> RoundTotals:
        """Returns what the rounds under one policy have used up."""
        return self._totals.get(question, RoundTotals())

    def reserve(self, entry: Entry) -> PrivacyLoss:
        """Takes a reservation in and returns what it costs: all its attempts."""
        try:
            r = Reader(entry.body, "zkfed/v1/reserved", 256)
            attempts, bits = r.u64(ATTEMPTS_MAX), r.u64(1)
            r.finish()
        except ZkfedError as error:
            raise LedgerCorrupt(f"the ledger's entry {entry.index} is malformed: {error}") from None
        self._open[entry.index] = (entry, attempts)
        t = self.totals(entry.question)
        self._totals[entry.question] = RoundTotals(t.rounds + 1, t.begun + attempts, t.failed, t.bits + bits)
        return entry.loss.times(attempts)

    def settle(self, entry: Entry) -> tuple[PrivacyLoss, str]:
        """Takes a settlement in; returns what comes back, and to which period."""
        try:
            r = Reader(entry.body, "zkfed/v1/settled", 256)
            number, begun, failed = r.u64(), r.u64(ATTEMPTS_MAX), r.u64(ATTEMPTS_MAX)
            r.finish()
        except ZkfedError as error:
            raise LedgerCorrupt(f"the ledger's entry {entry.index} is malformed: {error}") from None
        of, attempts = self._open.pop(number, (None, 0))
        if of is None or (of.question, of.cohort, of.loss) != (entry.question, entry.cohort, entry.loss):
            raise LedgerCorrupt(f"the ledger's entry {entry.index} settles nothing, or a second time")
        if not failed <= begun <= attempts:
            raise LedgerCorrupt(f"the ledger's entry {entry.index} settles {begun} of {attempts} attempts")
        t = self.totals(entry.question)
        back = attempts - begun
        self._totals[entry.question] = RoundTotals(t.rounds, t.begun - back, t.failed + failed, t.bits)
        return entry.loss.times(back), of.period
