"""Small statements of a host: each relation of `Definition` alone, with ranges by bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tests.evidence.claims import Reading
from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import as_ints
from zkfed.r1cs.system import System
from zkfed.statements.definition import Definition, build

__all__ = ["DEFINITIONS", "Defined", "circuit_of"]

TABLE = {-1: 2, 0: 0, 1: 1}


def _range(c: Definition) -> None:
    c.secret("x", (), -1, 3)


def _fixed(c: Definition) -> None:
    c.secret("x", (), 5, 5)


def _bits(c: Definition) -> None:
    x = c.secret("x", (2,), 0, 1)
    c.equal("number", x[0] + x[1] * 2, c.public("p", 0, 3))


def _at_most(c: Definition) -> None:
    c.at_most("small", c.secret("x", (), 0, 3), c.public("p", 0, 3))


def _equal(c: Definition) -> None:
    c.equal("same", c.secret("x", (), 0, 3) * 2, c.public("p", 0, 6))


def _product(c: Definition) -> None:
    x, y = c.secret("x", (), 0, 3), c.secret("y", (), -2, 1)
    c.equal("result", c.product("times", x, y), c.public("p", -6, 3))


def _one_hot(c: Definition) -> None:
    c.one_hot("one", c.secret("x", (3,), -1, 2))


def _one_of(c: Definition) -> None:
    c.one_of("known", c.secret("x", (2,), 0, 3), [0, 2, 3])


def _lookup(c: Definition) -> None:
    c.equal("image", c.lookup("points", c.secret("x", (), -2, 1), TABLE), c.public("p", -1, 3))


def _shift(c: Definition) -> None:
    c.equal("floor", c.shift_right("half", c.secret("x", (), -4, 3), 1), c.public("p", -2, 1))


@cache
def circuit_of(define: Callable[[Definition], None]) -> System:
    """Returns the circuit of a definition."""
    return build("custom:evidence", 1, define, BLS12_381)[0]


@dataclass(frozen=True)
class Defined:
    """One relation, values, and what it says.

    Attributes:
        starts: (secrets one after another, the public value p); the first is an honest run, others may lie.
        says: Whether the relation is true of the signed secrets and p.
    """

    define: Callable[[Definition], None]
    starts: tuple[tuple[tuple[int, ...], int | None], ...]
    says: Callable[[list[int], int], bool]

    def run(self, start: int = 0) -> Run:
        values, public = self.starts[start]
        private = {"x": as_ints(values)}
        if self.define is _product:
            private = {"x": as_ints(values[:1]), "y": as_ints(values[1:])}
        return Run(circuit_of(self.define), {} if public is None else {"p": public}, private)

    def claim(self, at: Reading) -> bool:
        values, public = self.starts[0]
        return self.says(at.segment("secrets")[: len(values)].tolist(), 0 if public is None else int(at.input("p")[0]))


DEFINITIONS = {
    "custom/range": Defined(_range, (((-1,), None), ((3,), None)), lambda x, _: -1 <= x[0] <= 3),
    "custom/fixed": Defined(_fixed, (((5,), None),), lambda x, _: x[0] == 5),
    "custom/bits": Defined(_bits, (((1, 0), 1), ((0, 1), 2)), lambda x, p: {*x} <= {0, 1} and x[0] + 2 * x[1] == p),
    "custom/at-most": Defined(_at_most, (((3,), 3), ((0,), 0)), lambda x, p: 0 <= x[0] <= p),
    "custom/equal": Defined(_equal, (((3,), 6), ((0,), 0)), lambda x, p: 0 <= x[0] <= 3 and 2 * x[0] == p),
    "custom/product": Defined(
        _product, (((3, -2), -6), ((0, 1), 0)),
        lambda x, p: 0 <= x[0] <= 3 and -2 <= x[1] <= 1 and x[0] * x[1] == p,
    ),
    "custom/one-hot": Defined(
        _one_hot, (((0, 1, 0), None), ((1, 0, 0), None), ((0, 0, 1), None)), lambda x, _: sorted(x) == [0, 0, 1]
    ),
    "custom/one-of": Defined(_one_of, (((3, 0), None), ((0, 3), None)), lambda x, _: {*x} <= {0, 2, 3}),
    "custom/lookup": Defined(_lookup, (((1,), 1), ((-1,), 2), ((5,), 0)), lambda x, p: TABLE.get(x[0]) == p),
    "custom/shift": Defined(_shift, (((3,), 1), ((-4,), -2)), lambda x, p: -4 <= x[0] <= 3 and x[0] // 2 == p),
}  # fmt: skip
