"""Deletes every constraint of a circuit in turn and looks for a false claim that is then accepted."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator

from tests.evidence.forger import KEEP, Change, Forger

__all__ = ["Deletions", "holds_for_all_values", "label_of"]

ALIKE_MAX = 4
"""How many pairs of changes are tried that make the same tensors of constraints fail."""
Recipe = tuple[Change, ...]


def label_of(forger: Forger, row: int) -> str:
    """Returns the name of the tensor of constraints that a row belongs to."""
    return next(x for x in reversed(forger.system.labels) if x.start <= row).name


def holds_for_all_values(forger: Forger, row: int) -> bool:
    """Returns whether a row says a * 0 = 0: it deletes nothing, whatever the wires are."""
    _, b, c = forger.rows[row]
    return not b and not c


class Deletions:
    """The search over one circuit.

    Attributes:
        recipes: Changes to start a forgery from, most promising first: those that make the
            claim false and break few rows.
    """

    def __init__(self, forger: Forger) -> None:
        self.forger = forger
        self._rand = random.Random(5)
        self._bounds = {
            i.start + k: i.bounds for i in forger.system.inputs if i.bounds and not i.stage for k in range(i.size)
        }
        singles = [((w, t),) for w in forger.open_wires for t in self._steps(w)]
        claims = [change for change in singles if change[0][0] in self._bounds]
        others = [(w, t) for w in forger.committed if w not in forger.tied for t in (1, -1)]
        pairs = [(*a, b) for a in claims for b in [*others, *(c[0] for c in claims)] if a[0][0] != b[0]]
        self.recipes = [*self._varied(pairs), *(recipe for recipe, _ in self._ranked(singles))]
        self._worked: list[Recipe] = []

    def _steps(self, wire: int) -> list[int]:
        """What is added to a wire; a static input stays within the bounds that the verifier checks."""
        if wire not in self._bounds:
            return [1, -1, self._rand.randrange(self.forger.order)]
        low, high = self._bounds[wire]
        value, half = int(self.forger.honest(1)[wire]), self.forger.order // 2
        value -= self.forger.order if value > half else 0
        return sorted({1, -1, low - value, high - value} - {0})

    def _ranked(self, recipes: list[Recipe]) -> list[tuple[Recipe, set[int]]]:
        """Sorts recipes, those first that make the claim false; with the rows that each breaks."""
        found = []
        for recipe in recipes:
            z = self.forger.assign(1, recipe)
            if z is not None:
                found.append((recipe, self.forger.failing(z), self.forger.subject.holds(z)))
        return [f[:2] for f in sorted(found, key=lambda f: (f[2], len(f[1])))]

    def _varied(self, recipes: list[Recipe]) -> list[Recipe]:
        """Returns a few recipes for each set of tensors that fail together."""
        alike: Counter[frozenset[str]] = Counter()
        out = []
        for recipe, failing in self._ranked(recipes):
            kind = frozenset(label_of(self.forger, row) for row in failing)
            alike[kind] += 1
            if alike[kind] <= ALIKE_MAX:
                out.append(recipe)
        return out

    def _with_a_wire_of(self, row: int) -> Iterator[Recipe]:
        """Yields changes together with one of a wire of the row: kept as it was, or moved as far."""
        wires = sorted(self.forger.wires_of[row] & set(self.forger.open_wires))
        for recipe, wire in itertools.product(self.recipes, wires):
            _, step = recipe[0]
            if wire not in dict(recipe):
                yield from ((*recipe, (wire, add)) for add in (KEEP, step, -(step or 0)))

    def forgery(self, row: int) -> Recipe | None:
        """Returns changes whose false claim is accepted once the row is deleted, for all challenges tried."""
        tries = itertools.chain(self._worked, self.recipes, self._with_a_wire_of(row))
        found = next((recipe for recipe in tries if self.forger.succeeds(recipe, row)), None)
        if found is not None and found not in self._worked:
            self._worked.insert(0, found)
        return found
