"""Who is charged: sets of pseudonyms, and what everybody in them has spent.

People with the same history form one *atom*. A charge to a cohort splits the atoms that it cuts and
adds to the totals of those inside, so a cohort that is asked a thousand times costs a thousand
additions and not a thousand times its size.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from zkfed.dp.loss import PrivacyLoss
from zkfed.encoding import digest
from zkfed.errors import DecodeError

__all__ = ["People", "Totals"]

PSEUDONYM_BYTES = 16
PEOPLE_MAX = 1 << 24


@dataclass(frozen=True)
class People:
    """A cohort as its ledger sees it.

    Attributes:
        members: Distinct pseudonyms of 16 bytes, ascending, one after the other.
    """

    members: bytes = field(repr=False)

    def __post_init__(self) -> None:
        size = PSEUDONYM_BYTES
        if len(self.members) % size or not 0 < len(self.members) <= PEOPLE_MAX * size:
            raise DecodeError(f"a cohort of {len(self.members)} bytes is no list of 1 to {PEOPLE_MAX} pseudonyms")
        if any(a >= b for a, b in pairwise(self.pseudonyms())):
            raise DecodeError("a cohort is not in order: a set has one form")

    @classmethod
    def of(cls, ids: Iterable[str | bytes], salt: bytes) -> People:
        """Returns the set of people behind identifiers.

        A pseudonym is keyed by the ledger's salt: two ledgers do not match by themselves. Whoever has
        the ledger file and guesses an identifier can tell whether that person is in it.

        Args:
            ids: A str, or bytes as their hexadecimal digits.
            salt: Of the ledger, 32 bytes.

        Raises:
            DecodeError: An identifier is neither, or there is none.
        """
        if isinstance(ids, str):
            raise DecodeError("people are a list of identifiers; one string would be a person a letter")
        found = set[bytes]()
        for one in ids:
            text = one.hex() if isinstance(one, bytes) else one
            if not isinstance(text, str):
                raise DecodeError("a person is named by a str or by bytes")
            try:
                name = text.encode()
            except UnicodeEncodeError:
                raise DecodeError("an identifier is no Unicode text") from None
            found.add(hashlib.blake2b(name, key=salt, digest_size=PSEUDONYM_BYTES).digest())
        return cls(b"".join(sorted(found)))

    def __len__(self) -> int:
        return len(self.members) // PSEUDONYM_BYTES

    def pseudonyms(self) -> list[bytes]:
        """Returns them one by one."""
        size = PSEUDONYM_BYTES
        return [self.members[i : i + size] for i in range(0, len(self.members), size)]

    @cached_property
    def digest(self) -> bytes:
        """Names the set."""
        return digest("zkfed/v1/cohort", self.members)


@dataclass
class _Atom:
    size: int
    lifetime: PrivacyLoss
    period: PrivacyLoss


class Totals:
    """What everybody has spent, from the entries of a ledger; all of it is derived."""

    def __init__(self) -> None:
        self._atoms: list[_Atom] = []
        self._atom_of: dict[bytes, int] = {}
        self._cohorts: dict[bytes, set[int]] = {}
        self.period = ""

    def start_period(self, name: str) -> None:
        """Begins a period: nobody has spent anything in it."""
        if name != self.period:
            self.period = name
            for atom in self._atoms:
                atom.period = PrivacyLoss.zero()

    def charge(self, cohort: bytes, loss: PrivacyLoss, load: Callable[[bytes], People]) -> None:
        """Adds a loss to everybody in a cohort.

        Args:
            cohort: Its digest.
            loss: What each of them loses.
            load: Returns the people of a cohort that was never charged before.
        """
        if cohort not in self._cohorts:
            self._split(load(cohort))
        for number in self._cohorts[cohort]:
            atom = self._atoms[number]
            atom.lifetime, atom.period = atom.lifetime + loss, atom.period + loss

    def refund(self, cohort: bytes, loss: PrivacyLoss, period: str) -> None:
        """Takes a part of an earlier charge back; its period has nothing of it if another one runs."""
        for number in self._cohorts[cohort]:
            atom = self._atoms[number]
            atom.lifetime -= loss
            if period == self.period:
                atom.period -= loss

    def histories(self, people: People) -> list[tuple[PrivacyLoss, PrivacyLoss]]:
        """Returns the distinct (loss in this period, loss over all) of the people in a cohort; changes nothing."""
        found = self._cohorts.get(people.digest) or {self._atom_of.get(p, -1) for p in people.pseudonyms()}
        zero = PrivacyLoss.zero()
        return [(zero, zero) if i < 0 else (self._atoms[i].period, self._atoms[i].lifetime) for i in sorted(found)]

    def _split(self, people: People) -> None:
        """Takes a cohort in: atoms that it cuts are split."""
        members = people.pseudonyms()
        parts = Counter(self._atom_of.get(person, -1) for person in members)
        replaced, zero = dict[int, int](), PrivacyLoss.zero()
        for old, count in parts.items():
            if old >= 0 and count == self._atoms[old].size:
                continue
            source = _Atom(0, zero, zero) if old < 0 else self._atoms[old]
            replaced[old] = len(self._atoms)
            self._atoms.append(_Atom(count, source.lifetime, source.period))
            if old >= 0:
                source.size -= count
                for inside in self._cohorts.values():
                    if old in inside:
                        inside.add(replaced[old])
        for person in members:
            old = self._atom_of.get(person, -1)
            self._atom_of[person] = replaced.get(old, old)
        self._cohorts[people.digest] = {replaced.get(old, old) for old in parts}
