"""Deletes every constraint of a circuit in turn and looks for a false claim that is then accepted."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.evidence.forger import DOUBLE, KEEP, SOLVE, Change, Forger
from tests.evidence.subjects import Subject

__all__ = ["Deletions", "Starts", "holds_for_all_values", "label_of"]

ALIKE_MAX = 4
"""How many pairs of changes are tried that make the same tensors of constraints fail."""
DEPTHS, TRIES_MAX = 3, 8000
FEW = 3
FAR = (1 << 12, -(1 << 12))
Recipe = tuple[Change, ...]


@dataclass(frozen=True)
class Found:
    """What a recipe does to the whole circuit: how many rows it breaks, of which tensors; whether the claim holds."""

    recipe: Recipe
    broken: int
    kind: frozenset[int | str]
    holds: bool


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
        lies: Changes that make the claim false, those first that break few rows.
        others: Changes that do not, alone.
    """

    def __init__(self, forger: Forger) -> None:
        self.forger = forger
        start = forger.assign(1)
        self.start = forger.honest(1) if start is None else start
        self._rand = random.Random(5)
        self._bounds = {
            i.start + k: i.bounds for i in forger.system.inputs if i.bounds and not i.stage for k in range(i.size)
        }
        singles = self._ranked([((w, t),) for w in forger.open_wires for t in self._steps(w)])
        lies = [found for found in singles if not found.holds]
        claims = [found.recipe[0] for found in singles if found.recipe[0][0] in self._bounds]
        false = [found.recipe[0] for found in lies if found.recipe[0][0] in self._bounds]
        others = [(w, t) for w in forger.committed if w not in forger.tied for t in (1, -1)]
        pairs = [*itertools.product(false, others), *itertools.combinations(claims, 2)]
        pairs = [pair for pair in pairs if pair[0][0] != pair[1][0]]
        self.simple = [found.recipe for found in lies]
        self.lies = [*self._varied(pairs), *self.simple]
        self.others = [found.recipe for found in singles if found.holds]
        self._worked: list[Recipe] = []

    @property
    def recipes(self) -> list[Recipe]:
        return self.lies + self.others

    def _steps(self, wire: int) -> list[int]:
        """What is added to a wire; a static input stays within the bounds that the verifier checks."""
        random_one = self._rand.randrange(self.forger.order)
        if wire not in self._bounds:
            return [1, -1, *self._other_roots(wire), *FAR, random_one, -random_one]
        low, high = self._bounds[wire]
        value, half = int(self.start[wire]), self.forger.order // 2
        value -= self.forger.order if value > half else 0
        return sorted({1, -1, low - value, high - value} - {0})

    def _other_roots(self, wire: int) -> list[int]:
        """What leads to the second value of a wire for which a quadratic row holds: the other branch."""
        forger, z, out = self.forger, self.start, []
        for row in forger.rows_with[wire]:
            a, b, c = forger.rows[row]
            if wire in a and wire in b:
                az, bz = (sum(v * int(z[w]) for w, v in side.items()) for side in (a, b))
                slope = a[wire] * bz + b[wire] * az - c.get(wire, 0)
                out.append(-slope * pow(a[wire] * b[wire], -1, forger.order) % forger.order)
        return [step for step in out if step]

    def _ranked(self, recipes: list[Recipe]) -> list[Found]:
        """Sorts recipes, those first that break few rows."""
        found = []
        for recipe in recipes:
            z = self.forger.assign(1, recipe)
            if z is not None:
                failing = self.forger.failing(z)
                kind = frozenset(row if len(failing) < FEW else label_of(self.forger, row) for row in failing)
                found.append(Found(recipe, len(failing), kind, self.forger.subject.holds(z, self.forger.work.private)))
        return sorted(found, key=lambda f: f.broken)

    def _varied(self, recipes: list[Recipe]) -> list[Recipe]:
        """Returns a few false claims for each set of tensors that fail together."""
        alike: Counter[frozenset[int | str]] = Counter()
        out = []
        for found in self._ranked(recipes):
            alike[found.kind] += not found.holds
            if not found.holds and alike[found.kind] <= ALIKE_MAX:
                out.append(found.recipe)
        return out

    def _with_a_wire_of(self, row: int, recipes: list[Recipe]) -> Iterator[Recipe]:
        """Yields changes together with one of a wire of the row: solved for, kept as it was, or moved as far."""
        wires = sorted(self.forger.wires_of[row] & set(self.forger.open_wires))
        for rules in ((SOLVE,), (KEEP,), ()):
            for recipe, wire in itertools.product(recipes, wires):
                step = recipe[0][1]
                if wire not in dict(recipe):
                    for rule in rules or (*FAR, step, -step if isinstance(step, int) else KEEP):
                        yield (*recipe, (wire, rule))

    def _with_one_kept(self, row: int) -> Iterator[Recipe]:
        """Yields a lie about a wire of the row, a committed wire kept as it was, and one of the row solved for."""
        wires = self.forger.wires_of[row]
        near = {w for other in range(len(self.forger.rows)) if wires & self.forger.wires_of[other]
                for w in self.forger.wires_of[other]}  # fmt: skip
        lies = [recipe for recipe in self.simple if recipe[0][0] in near]
        late = sorted(wires & set(self.forger.open_wires) - set(self.forger.committed))
        for recipe, kept, solved in itertools.product(lies, self.forger.committed, late):
            if kept != recipe[0][0] and kept not in self.forger.tied:
                yield from ((*recipe, (kept, KEEP), (solved, rule)) for rule in (SOLVE, DOUBLE))

    def forgery(self, row: int, depths: Iterable[int] = range(DEPTHS)) -> Recipe | None:
        """Returns changes whose false claim is accepted once the row is deleted, for all challenges tried."""
        parts = [
            itertools.chain(self._worked, self.lies), self._with_a_wire_of(row, self.simple),
            itertools.chain(
                self._with_a_wire_of(row, self.lies), self._with_one_kept(row),
                self.others, self._with_a_wire_of(row, self.others),
            ),
        ]  # fmt: skip
        tries = itertools.chain.from_iterable(parts[depth] for depth in depths)
        tries = itertools.islice(tries, TRIES_MAX)
        found = next((recipe for recipe in tries if self.forger.succeeds(recipe, row)), None)
        if found is not None and found not in self._worked:
            self._worked.insert(0, found)
        return found


class Starts:
    """The search from every start of a subject: cheap tries from all of them come before dear ones."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.first = Deletions(Forger(subject))

    @cached_property
    def _all(self) -> list[Deletions]:
        first = self.first.forger
        more = (Forger(self.subject, work, live=live, first=first) for work, live in self.subject.starts())
        return [self.first, *map(Deletions, more)]

    def forgery(self, row: int, *, is_listed: bool = False) -> Recipe | None:
        """Returns the changes of some start, as `Deletions.forgery`; cheap tries only for a row that is listed."""
        cheap = self.first.forgery(row, [0])
        if cheap is not None or is_listed:
            return cheap
        tries = (search.forgery(row, [depth]) for depth in range(DEPTHS) for search in self._all)
        return next((found for found in tries if found is not None), None)
