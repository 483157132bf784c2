"""Shows over tiny fields, by trying all assignments, that gadgets accept exactly what they say.

A field of 13 to 131 elements is small enough to enumerate: no assignment of the prover's
wires, however it was found, satisfies the constraints unless the plain predicate holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.gadgets.toy_field import ToySystem, toy_curve
from zkfed.gadgets.boolean import BitRanges, boolean, to_bits
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.fixedpoint import rescale
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.loss import QuadraticForms
from zkfed.gadgets.product import public_product, sketch
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear


def unused(_values: Any) -> Any:
    raise NotImplementedError  # nothing here runs a witness program


@pytest.mark.parametrize("p", [31, 61, 97])
def test_boolean(p: int) -> None:
    builder = Builder("toy", curve=toy_curve(p))
    bit = builder.witness("bit", (1,), unused, bounds=(0, 1))
    boolean(builder, "boolean", bit)
    toy = ToySystem(builder.finish())
    (w,) = toy.wires(bit)
    table = toy.table(**{f"w{w}": range(p)})
    assert table[w][toy.accepted(table)].tolist() == [0, 1]


@pytest.mark.parametrize(("p", "count"), [(31, 1), (31, 2), (31, 3), (13, 2)])
def test_bits_are_the_bits_of_a_value_in_range(p: int, count: int) -> None:
    builder = Builder("toy", curve=toy_curve(p))
    value = builder.input("value", (2,))
    bits = to_bits(builder, "range", value[:1], count)
    to_bits(builder, "other", value[1:], 1)
    toy = ToySystem(builder.finish())
    (v, _), bit_wires = toy.wires(value), toy.wires(bits)
    axes = {f"w{v}": range(p), **{f"w{w}": range(p) for w in bit_wires}}
    table = toy.table(**axes)
    good = table[:, toy.accepted(table)]
    assert good[v].tolist() == list(range(1 << count))
    assert (good[bit_wires] == good[v] >> np.arange(count)[:, None] & 1).all()


def test_more_bits_than_the_field_has_room_for_are_refused() -> None:
    builder = Builder("toy", curve=toy_curve(31))
    for count in (4, 5, 9):
        with pytest.raises(ValueError, match="do not fit the field"):
            to_bits(builder, "range", builder.context.reshape(1), count)


# -- comparison and rescaling ---------------------------------------------------------------------


def closed(builder: Builder, table: RangeTable) -> ToySystem:
    table.commit()
    (alpha,) = builder.challenge("alpha")
    table.close(alpha)
    return ToySystem(builder.finish())


@pytest.mark.parametrize("strategy", ["bits", "table"])
def test_comparison(strategy: str) -> None:
    p, low, high = 61, -3, 4
    builder = Builder("toy", curve=toy_curve(p))
    segment = builder.segment("s")
    small, large = (builder.input(name, bounds=(low, high)) for name in ("small", "large"))
    ranges = BitRanges(builder) if strategy == "bits" else RangeTable(builder, 2, segment)
    at_most(ranges, "compare", small, large)
    toy = closed(builder, ranges) if isinstance(ranges, RangeTable) else ToySystem(builder.finish())
    (s,), (t,) = toy.wires(small), toy.wires(large)
    axes = {f"w{s}": range(low, high + 1), f"w{t}": range(low, high + 1)}
    if isinstance(ranges, RangeTable):
        limbs = [toy.system.segment("s").start]  # one limb, the top is what is left
        table = toy.table(**axes, **{f"w{w}": range(p) for w in limbs})
        good = table[:, toy.looked_up(table, 2)]
    else:
        bits = range(toy.system.private_start, toy.system.wire_count)
        assert len(bits) == 3
        table = toy.table(**axes, **{f"w{w}": range(2) for w in bits})  # others fail `boolean`
        good = table[:, toy.accepted(table)]
    signed = (good[[s, t]] + p // 2) % p - p // 2
    accepted = sorted({(x, y) for x, y in signed.T.tolist()})
    assert accepted == [(x, y) for x in range(low, high + 1) for y in range(x, high + 1)]


def rescaling(strategy: str, p: int) -> tuple[ToySystem, int, list[int]]:
    """Builds q = floor(x / 4) for x in [-8, 7]; returns x's wire and (q, remainder)'s."""
    builder = Builder("toy", curve=toy_curve(p))
    segment = builder.segment("s")
    x = builder.input("x", (1,), bounds=(-8, 7))
    ranges = BitRanges(builder) if strategy == "bits" else RangeTable(builder, 3, segment)
    q = rescale(ranges, "rescale", x, 2)
    toy = closed(builder, ranges) if isinstance(ranges, RangeTable) else ToySystem(builder.finish())
    return toy, int(toy.wires(x)[0]), [int(toy.system.final_of[q.wires[0] + i]) for i in (0, 1)]


@pytest.mark.parametrize("strategy", ["bits", "table"])
def test_rescaling_has_one_quotient(strategy: str) -> None:
    p = 83
    toy, x, (q, rem) = rescaling(strategy, p)
    table = toy.table(**{f"w{x}": range(-8, 8), f"w{q}": range(p), f"w{rem}": range(p)})
    if strategy == "table":
        good = table[:, toy.looked_up(table, 3)]
    else:
        # The only bits that can satisfy `to_bits` are the numbers' own (shown above).
        start = toy.system.private_start
        private = [w for w in range(start, toy.system.wire_count) if w not in (q, rem)]
        for wires, number in ((private[:2], (table[q] + 2) % p), (private[2:], table[rem])):
            table[wires] = number >> np.arange(len(wires))[:, None] & 1
        good = table[:, toy.accepted(table)]
    found = sorted(zip(*(((good[w] + p // 2) % p - p // 2).tolist() for w in (x, q, rem)), strict=True))
    assert found == [(v, v // 4, v % 4) for v in range(-8, 8)]


# -- lookups --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "limb_bits", "bits"),
    [(97, 2, 1), (97, 2, 2), (97, 2, 3), (97, 2, 4), (97, 2, 5), (97, 3, 1), (97, 3, 2), (97, 3, 4), (97, 3, 5),
     (131, 2, 6), (131, 3, 5), (131, 3, 6)],
)  # fmt: skip
def test_a_range_by_limbs_is_exact_when_limbs_do_not_divide_it(p: int, limb_bits: int, bits: int) -> None:
    builder = Builder("toy", curve=toy_curve(p))
    table = RangeTable(builder, limb_bits, builder.segment("s"))
    value = builder.input("value")
    table.in_range("range", value, bits)
    toy = closed(builder, table)
    (v,) = toy.wires(value)
    free = -(-bits // limb_bits) - 1
    start = toy.system.segment("s").start
    grid = toy.table(**{f"w{v}": range(p)}, **{f"w{start + i}": range(p) for i in range(free)})
    good = grid[:, toy.looked_up(grid, limb_bits)]
    assert good[v].tolist() == list(range(1 << bits))
    for i in range(free):
        assert (good[start + i] == good[v] >> limb_bits * i & ((1 << limb_bits) - 1)).all()


def test_the_lookup_argument_forces_table_entries_and_their_counts() -> None:
    """All pairs of values, all multiplicities, all challenges, all inverses and quotients."""
    p = 13
    builder = Builder("toy", curve=toy_curve(p))
    segment = builder.segment("s")
    values = builder.witness("values", (2,), unused, segment=segment)
    table = RangeTable(builder, 1, segment)
    table.in_range("range", values, 1)
    toy = closed(builder, table)
    system = toy.system
    x1, x2 = toy.wires(values)
    m0, m1 = system.segment("s").start + 2, system.segment("s").start + 3
    alpha = next(i.start for i in system.inputs if i.name == "alpha")
    inverses, quotients = (
        [system.private_start, system.private_start + 1],
        [system.private_start + 2 + t for t in (0, 1)],
    )
    free = system.segment("s").stop - 1  # the mask, used as one more axis: see below
    grid = toy.table(**{f"w{w}": range(p) for w in (x1, x2, m0, m1, alpha, free)})
    # What the rows determine is computed. A quotient is open only where alpha is its entry:
    # there it takes every value of the extra axis.
    toy.solve(grid, {x1, x2, m0, m1, alpha, free, *range(1, system.public_count)})
    assert set(inverses + quotients) == set(range(system.private_start, system.wire_count))
    for t, wire in enumerate(quotients):
        at_pole = grid[alpha] == t
        grid[wire, at_pole] = grid[free, at_pole]
    good = toy.accepted(grid).reshape((p,) * 6).any(axis=5)
    accepting = good.sum(axis=4)
    right = np.zeros_like(accepting, dtype=bool)
    for a in (0, 1):
        for b in (0, 1):
            right[a, b, (a == 0) + (b == 0), (a == 1) + (b == 1)] = True
    bound = 2 + 2 - 1  # lookups + table - 1: the degree of the numerator
    assert (accepting[~right] <= bound).all()
    assert accepting[~right].max() > 0
    assert (accepting[right] >= p - 2).all()


# -- identities at random points ------------------------------------------------------------------


def test_a_wrong_product_passes_for_few_challenges() -> None:
    p, m, n, c = 31, 3, 2, 2
    builder = Builder("toy", curve=toy_curve(p))
    segment = builder.segment("s")
    v = builder.witness("v", (m, c), unused, segment=segment)
    d = builder.witness("d", (n, c), unused, segment=segment)
    rho, tau = builder.challenge("rho", "tau")
    public_product(builder, "p", v, d, challenges=(rho, tau))
    toy = ToySystem(builder.finish())
    inputs = {i.name: i for i in toy.system.inputs}
    rand = np.random.default_rng(5)
    grid = toy.table(**{f"w{inputs[name].start}": range(p) for name in ("rho", "tau")})
    known = {*range(1, toy.system.private_start)}
    worst = 0
    for trial in range(60):
        g, offset, update = (rand.integers(-9, 9, shape).astype(object) for shape in ((m, n), (m, c), (n, c)))
        true = g @ update + offset
        wrong = true.copy()
        if trial:
            # Few wrong entries: then most challenges could go wrong.
            for _ in range(1 + trial % 3):
                wrong[rand.integers(m), rand.integers(c)] += int(rand.integers(1, p))
        for j in range(grid.shape[1]):
            s = sketch(g, offset, int(grid[inputs["rho"].start, j]), int(grid[inputs["tau"].start, j]), p)
            grid[inputs["p/left"].span, j] = s.left
            grid[inputs["p/offset"].start, j] = s.offset
        grid[toy.wires(v)] = (wrong.ravel() % p).astype(np.int64)[:, None]
        grid[toy.wires(d)] = (update.ravel() % p).astype(np.int64)[:, None]
        toy.solve(grid, set(known))
        count = int(toy.accepted(grid).sum())
        if ((wrong - true) % p == 0).all():
            assert count == p * p
        else:
            worst = max(worst, count)
    assert 0 < worst <= (m - 1 + c - 1) * p < (m + c) * p


def test_wrong_forms_pass_for_one_gamma_at_most() -> None:
    """All pairs (change, norm) and all gamma, for V = (G + gamma I) D + N."""
    p = 31
    builder = Builder("toy", curve=toy_curve(p))
    segment = builder.segment("s")
    d = builder.witness("d", (2, 1), unused, segment=segment)
    change = builder.witness("change", (), unused, segment=segment, bounds=(-3, 3))
    norm = builder.witness("norm", (), unused, segment=segment, bounds=(0, 3))
    (gamma,) = builder.challenge("gamma")
    v = QuadraticForms(builder, d, change, norm, 3, 3).prove(gamma, builder.segment("t"))
    builder.settle(v.wires.tobytes())  # V is given as the right one here
    toy = ToySystem(builder.finish())
    wires = [int(toy.wires(w)[0]) for w in (change, norm, gamma)]
    rand = np.random.default_rng(6)
    for _ in range(10):
        g, offset, update = (rand.integers(0, p, shape) for shape in ((2, 2), (2, 1), (2, 1)))
        grid = toy.table(**{f"w{w}": range(p) for w in wires})
        grid[toy.wires(d)] = update
        grid[toy.wires(v)] = (g @ update + offset + grid[wires[2]] * update) % p
        toy.solve(grid, set(range(1, toy.system.private_start)))
        accepting = toy.accepted(grid).reshape(p, p, p).sum(axis=2)
        right = (int((update * (g @ update + offset)).sum() % p), int((update * update).sum() % p))
        assert accepting[right] == p
        accepting[right] = 0
        assert accepting.max() == 1


def test_the_toy_oracle_sees_a_missing_row() -> None:
    builder = Builder("toy", curve=toy_curve(31))
    value: Linear = builder.input("value", (1,))
    to_bits(builder, "range", value, 2)
    toy = ToySystem(builder.finish())
    for side in toy.sides:
        side[0] = 0  # the first bit's boolean row
    bits = range(toy.system.private_start, toy.system.wire_count)
    table = toy.table(**{f"w{w}": range(31) for w in (*toy.wires(value).tolist(), *bits)})
    assert len(set(table[toy.wires(value)[0]][toy.accepted(table)].tolist())) > 4
