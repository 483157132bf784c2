"""Shows that what a host writes in `define` is what the circuit says: each relation, both strategies.

Every relation equals a plain predicate over all small values, a prover who computes on or picks
other intermediate values fails, no wire has a second value, and mistakes are refused by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.statements.circuit_samples import reducing
from tests.witness_runner import Run, free_wires, names_of
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import as_ints
from zkfed.errors import UnsatisfiedConstraint
from zkfed.r1cs.linear import Linear
from zkfed.r1cs.system import System
from zkfed.statements.definition import Definition, build

Define = Callable[[Definition], None]
TABLE = {-3: 10, 0: 7, 2: 0, 9: -4}
MANY = 300


def system_of(define: Define, curve: Any = BLS12_381) -> System:
    return build("custom:test", 1, define, curve)[0]


def padded(define: Define) -> Define:
    """The same relations beside enough range checks that a table is cheaper than bits."""

    def more(c: Definition) -> None:
        c.secret("others", (MANY,), 0, 255)
        define(c)

    return more


def run(system: System, values: dict[str, Any], *, is_strict: bool = True) -> Run:
    ints = {name: as_ints(np.asarray(value, dtype=object).ravel()) for name, value in values.items()}
    static = {i.name for i in system.inputs}
    public = {name: value for name, value in ints.items() if name in static}
    private = {name: value for name, value in ints.items() if name not in static}
    return Run(system, public, {"others": as_ints([7] * MANY), **private}, is_strict=is_strict)


def is_accepted(system: System, values: dict[str, Any]) -> bool:
    """Asks honest code, and a prover who computes on."""
    try:
        run(system, values).check()
    except UnsatisfiedConstraint:
        for forging in (system, reducing(system)):
            with pytest.raises(UnsatisfiedConstraint):
                run(forging, values, is_strict=False).check()
        return False
    return True


# -- relations -------------------------------------------------------------------------------------


def ranged(c: Definition) -> None:
    c.secret("x", (), -3, 9)


def power_of_two(c: Definition) -> None:
    c.secret("x", (), -4, 11)


def bit(c: Definition) -> None:
    c.secret("x", (), 0, 1)


def fixed(c: Definition) -> None:
    c.secret("x", (), 5, 5)


def at_most(c: Definition) -> None:
    x = c.secret("x", (), -20, 20)
    c.at_most("small", x * 3 - 1, 10)


def at_least(c: Definition) -> None:
    c.at_most("large", 4, c.secret("x", (), -20, 20))


def equal(c: Definition) -> None:
    c.equal("same", 2 * c.secret("x", (), -20, 20), 14)


def square(c: Definition) -> None:
    x = c.secret("x", (), -20, 20)
    c.equal("nine", c.product("square", x, x), 9)


def one_of(c: Definition) -> None:
    c.one_of("allowed", c.secret("x", (), -20, 20), [-3, 0, 7, 7])


def lookup(c: Definition) -> None:
    y = c.lookup("points", c.secret("x", (), -20, 20), TABLE)
    c.at_most("enough", 0, y)


def shift(c: Definition) -> None:
    c.equal("floor", c.shift_right("shifted", c.secret("x", (), -20, 20), 2), -2)


RELATIONS: dict[str, tuple[Define, Callable[[int], bool]]] = {
    "range": (ranged, lambda x: -3 <= x <= 9),
    "range of a power of two": (power_of_two, lambda x: -4 <= x <= 11),
    "bit": (bit, lambda x: x in (0, 1)),
    "fixed": (fixed, lambda x: x == 5),
    "at most": (at_most, lambda x: x >= -20 and 3 * x - 1 <= 10),
    "at least": (at_least, lambda x: 4 <= x <= 20),
    "equal": (equal, lambda x: x == 7),
    "product": (square, lambda x: x in (-3, 3)),
    "one of": (one_of, lambda x: x in (-3, 0, 7)),
    "lookup": (lookup, lambda x: -20 <= x <= 20 and TABLE.get(x, -1) >= 0),
    "shift": (shift, lambda x: x // 4 == -2),
}
EVERY = pytest.mark.parametrize("name", RELATIONS)
STRATEGIES = pytest.mark.parametrize("strategy", [lambda d: d, padded], ids=["bits", "table"])
HUGE = (1 << 60, -(1 << 60), BLS12_381.order // 2, pow(2, -1, BLS12_381.order), pow(3, -1, BLS12_381.order))


@STRATEGIES
@EVERY
def test_a_relation_is_exactly_its_predicate(name: str, strategy: Callable[[Define], Define]) -> None:
    define, holds = RELATIONS[name]
    system = system_of(strategy(define))
    for x in (*range(-24, 25), *HUGE):
        assert is_accepted(system, {"x": x}) == holds(x), x


@EVERY
def test_both_strategies_are_used_and_both_curves_have_one_form(name: str) -> None:
    define, _ = RELATIONS[name]
    systems = [system_of(define, curve) for curve in (BLS12_381, BN254)]
    assert len({s.constraint_count for s in systems}) == 1
    assert "table/sum" not in {label.name for label in systems[0].labels}
    assert "table/sum" in {label.name for label in system_of(padded(define)).labels}


@EVERY
def test_no_intermediate_value_has_a_second_value(name: str) -> None:
    define, holds = RELATIONS[name]
    system, x = system_of(define), next(x for x in range(-24, 25) if holds(x))
    free = names_of(system, free_wires(system, run(system, {"x": x}).check()))
    # The secret itself may be another one that is as true; nothing that is computed from it may.
    assert free <= {"input/ctx", "mask/secrets", "segment/secrets"}
    accepted = free_wires(system, run(system, {"x": x}).check())
    inside = [w for w in accepted if names_of(system, {w}) == {"segment/secrets"}]
    assert inside in ([], [system.segment("secrets").start])


def test_tensors_broadcast_and_are_summed() -> None:
    def define(c: Definition) -> None:
        limits, x = c.public("limits", 0, 9, (2,)), c.secret("x", (3, 2), 0, 9)
        c.at_most("each", x, limits)
        c.at_most("all", x[:, 0].sum() + x.reshape(6)[1], 12)

    system = system_of(define)
    for x, limits in itertools.product(
        ([1, 2, 3, 4, 5, 6], [9, 0, 3, 1, 0, 1], [0, 7, 0, 0, 0, 0]), ([5, 6], [9, 6], [9, 9])
    ):
        table = np.array(x).reshape(3, 2)
        expected = bool((table <= limits).all()) and sum(x[::2]) + x[1] <= 12
        assert is_accepted(system, {"x": x, "limits": limits}) == expected


@STRATEGIES
def test_one_hot_is_exact_for_bits_and_for_numbers(strategy: Callable[[Define], Define]) -> None:
    for low, high in ((0, 1), (-1, 2)):

        def define(c: Definition, low: int = low, high: int = high) -> None:
            c.one_hot("one answer", c.secret("x", (3,), low, high))

        system = system_of(strategy(define))
        for x in itertools.product((-1, 0, 1, 2), repeat=3):
            assert is_accepted(system, {"x": list(x)}) == (sorted(x) == [0, 0, 1])


# -- a prover who picks other intermediate values --------------------------------------------------


def image_is(c: Definition) -> None:
    image = c.public("image", -(1 << 20), 1 << 20)
    c.equal("is the image", c.lookup("points", c.secret("x", (), -20, 20), TABLE), image)


def choosing(system: System, **chosen: list[int]) -> System:
    """Returns the system of a cheat whose hints in the named methods return other values."""
    found, steps = set(), []
    for stage, wires, hint in system.steps:
        method = hint.__qualname__.split(".")[1]
        is_chosen = len(chosen.get(method, ())) == len(wires)
        found |= {method} if is_chosen else set()
        steps.append((stage, wires, (lambda _, m=method: as_ints(chosen[m])) if is_chosen else hint))
    assert found == set(chosen)
    return replace(system, steps=tuple(steps))


@STRATEGIES
def test_another_image_is_refused(strategy: Callable[[Define], Define]) -> None:
    system = system_of(strategy(image_is))
    for x, image in itertools.product((-3, 0, 2, 9, 1), (10, 7, 0, -4, 1)):
        forging = choosing(system, lookup=[image])
        if TABLE.get(x) == image:
            run(forging, {"x": x, "image": image}).check()
            continue
        assert not is_accepted(forging, {"x": x, "image": image})


def test_an_image_that_wraps_to_the_code_of_another_entry_fails_its_range_alone() -> None:
    # code(x, y) = (x + 20) + 41 (y + 4): for x = 0, the y whose code is that of (2, 0) modulo r.
    system, order = system_of(image_is), BLS12_381.order
    y = 2 * pow(41, -1, order) % order
    codes = sorted((k + 20) + 41 * (v + 4) for k, v in TABLE.items())
    counts = [int(code == 22 + 41 * 4) for code in codes]
    forging = choosing(system, lookup=[y], _look_up=counts)
    failing = run(forging, {"x": 0, "image": 0}, is_strict=False).failing() - {"is the image"}
    assert failing == {"points/image/low/sum", "points/image/high/sum"}
    # A code that no entry has fails the lookup.
    forging = choosing(system, lookup=[0], _look_up=counts)
    assert run(forging, {"x": 0, "image": 0}, is_strict=False).failing() == {"points/sum"}


# -- mistakes --------------------------------------------------------------------------------------


MISTAKES: dict[str, tuple[Define, type[Exception], str]] = {
    "no bounds": (lambda c: c.secret("x", (3,)), TypeError, "low"),
    "a bound None": (lambda c: c.secret("x", (3,), 0, None), TypeError, "bounds of x"),
    "a bound in floats": (lambda c: c.public("x", 0.0, 1), TypeError, "bounds of x"),
    "empty bounds": (lambda c: c.secret("x", (3,), 1, 0), ValueError, "allow nothing"),
    "a bound beyond the field": (lambda c: c.secret("x", (), 0, 1 << 255), ValueError, "wrap"),
    "a shape that is no tuple": (lambda c: c.secret("x", 3, 0, 1), TypeError, "shape of x"),
    "an empty shape": (lambda c: c.secret("x", (0,), 0, 1), TypeError, "shape of x"),
    "a bad name": (lambda c: c.secret("X y", (), 0, 1), ValueError, "not of the form"),
    "a reserved name": (lambda c: c.secret("ctx", (), 0, 1), ValueError, "reserved"),
    "no secret": (lambda c: c.public("x", 0, 1), ValueError, "nothing to prove"),
    "a commitment beyond its lane": (
        lambda c: c.secret("x", (), 0, 1 << 31, commit="update"), ValueError, r"\[-2\^31, 2\^31\)",
    ),
    "a commitment under a blinder's name": (lambda c: c.secret("x", (), 0, 1, commit="H-row"), ValueError, "use"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_declaration_is_refused(name: str) -> None:
    define, error, text = MISTAKES[name]
    with pytest.raises(error, match=text):
        system_of(define)


def with_x(relation: Callable[[Definition, Linear], Any]) -> Define:
    return lambda c: relation(c, c.secret("x", (3,), -(1 << 100), 1 << 100))


WRONG: dict[str, tuple[Define, type[Exception], str]] = {
    "overflow of a product": (
        with_x(lambda c, x: c.product("cube", x, c.product("square", x, x))), ValueError, "wrap around"),
    "overflow of a sum": (with_x(lambda c, x: c.equal("e", x * (1 << 160), 0)), ValueError, "wrap around"),
    "overflow of a comparison": (with_x(lambda c, x: c.at_most("e", x, x * (1 << 160))), ValueError, "wrap around"),
    "a fraction": (with_x(lambda c, x: c.at_most("e", x * 0.5, 1)), TypeError, "a constant is a float"),
    "a fraction beside": (with_x(lambda c, x: c.at_most("e", x, 1.5)), TypeError, "a constant is a float"),
    "a machine integer": (with_x(lambda c, x: c.equal("e", x, np.array([1.0]))), TypeError, "a constant is a float"),
    "wires times wires": (with_x(lambda c, x: c.equal("e", x * x, 1)), TypeError, "product"),
    "shapes that differ": (with_x(lambda c, x: c.equal("e", x, [1, 2])), ValueError, "shapes"),
    "no name": (with_x(lambda c, x: c.equal("", x, 1)), ValueError, "needs a name"),
    "no name but a value": (with_x(lambda c, x: c.at_most(x, 1, 2)), ValueError, "needs a name"),
    "a name with a slash": (with_x(lambda c, x: c.equal("a/b", x, 1)), ValueError, "without '/'"),
    "a name of a value": (with_x(lambda c, x: c.equal("x", x, 1)), ValueError, "taken"),
    "a name twice": (with_x(lambda c, x: [c.equal("e", x, 1), c.equal("e", x, 2)]), ValueError, "taken"),
    "a reserved name": (with_x(lambda c, x: c.equal("table", x, 1)), ValueError, "reserved"),
    "two commitments of one use": (
        lambda c: [c.secret(n, (), 0, 1, commit="row") for n in ("x", "y")], ValueError, "one use",
    ),
    "a secret twice": (with_x(lambda c, x: c.public("x", 0, 1)), ValueError, "taken"),
    "a secret of a relation's name": (
        with_x(lambda c, x: [c.equal("e", x, 1), c.secret("e", (), 0, 1)]), ValueError, "taken",
    ),
    "a scalar in a table of integers": (
        with_x(lambda c, x: c.lookup("e", c._builder.context, {0: 1})), ValueError, "with bounds",
    ),
    "an empty table": (with_x(lambda c, x: c.one_of("e", x, [])), ValueError, "at least one"),
    "a table of fractions": (with_x(lambda c, x: c.lookup("e", x, {1: 0.5})), ValueError, "integers"),
    "no shift": (with_x(lambda c, x: c.shift_right("e", x, 0)), ValueError, "shift by 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_relation_is_refused(name: str) -> None:
    define, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        system_of(define)
