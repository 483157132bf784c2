"""The language in which a host defines a statement of its own; see statement.py.

Every value is an integer with bounds, and bounds of sums and products follow from them: what could
wrap around the field is refused while the statement is defined. Secrets are committed before any
challenge, and so is every value that a relation computes from them; a host meets neither
challenges nor segments.

    value                    what is proven of it                        rows an entry
    secret in [low, high]    low <= x <= high, exactly                   1 for a bit, else its range checks
    at_most(x, y)            x <= y                                      range check of y - x
    equal(x, y)              x = y                                       1
    product(x, y)            a new value, x y                            1
    one_hot(v)               bits, exactly one is set                    1, and 1 if they are no bits yet
    one_of(x, values)        x is one of public integers                 1, and 1 for each of `values`
    lookup(x, table)         a new value, table[x]                       its range checks, and as one_of
    shift_right(x, f)        a new value, floor(x / 2^f)                 1 and range checks of both parts

Sums, differences and multiples by constants cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Ints, as_ints
from zkfed.commitments.pedersen import COORDINATE_MAX
from zkfed.errors import shown
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.gadgets.boolean import Ranges, boolean
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.fixedpoint import rescale
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.strategy import choose_ranges
from zkfed.gadgets.weighted import weighted_lookup
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant
from zkfed.r1cs.system import LinkSpec, System

__all__ = ["NAME", "Definition", "Variable", "build"]

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
"""Of statements, public values and secrets."""
RELATION = re.compile(r"[^/\x00-\x1f\x7f]{1,80}")
SEGMENT = "secrets"
RESERVED = {"ctx", "alpha", "table", "isolated"}


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared value.

    Attributes:
        low: Lowest integer.
        high: Highest integer.
        use: Of the Pedersen commitment that a secret is tied to; None where there is none.
    """

    name: str
    shape: tuple[int, ...]
    low: int
    high: int
    use: str | None = None


@dataclass
class _Recorder:
    """A strategy that only writes down what would be checked, so that the real one can be chosen."""

    builder: Builder
    segment: str | None = SEGMENT
    limb_bits: int = 1
    needed: list[tuple[int, int]] = field(default_factory=list)

    def in_range(self, name: str, value: Linear, bits: int) -> None:
        self.builder.bounds(value)
        self.needed.append((value.size, bits))

    def integer_in_range(self, name: str, value: Linear, bits: int) -> None:
        self.in_range(name, value, bits)


class Definition:
    """What `Statement.define` writes to; see the module.

    Values are `Linear` tensors: they add up, are multiplied by integer constants, indexed,
    reshaped and summed (`x.sum()`).

    Attributes:
        publics: What was declared public, in order.
        secrets: What was declared secret, in order.
        relations: The names of the relations.
    """

    def __init__(self, builder: Builder, ranges: Ranges) -> None:
        self._builder, self._ranges = builder, ranges
        self._memberships: list[tuple[str, Linear, Ints, Linear]] = []
        self.publics: list[Variable] = []
        self.secrets: list[Variable] = []
        self.relations: list[str] = []

    # -- values --------------------------------------------------------------------------

    def public(self, name: str, low: int, high: int, shape: tuple[int, ...] = ()) -> Linear:
        """Declares a public value: everybody knows it, and the verifier checks its bounds.

        Raises:
            ValueError: The name is taken or malformed, or the bounds are empty or too wide.
            TypeError: The bounds are no integers.
        """
        self.publics.append(self._declared(name, shape, low, high))
        # One flat input: a tensor of one entry has the shape () in a layout.
        wires = self._builder.input(name, (int(np.prod(shape)),) if shape else (), bounds=(low, high))
        return wires.reshape(*shape)

    def secret(self, name: str, shape: tuple[int, ...], low: int, high: int, *, commit: str | None = None) -> Linear:
        """Declares a secret tensor, each entry proven to lie in [low, high].

        Args:
            name: Under which `prove` gets it.
            shape: Of the tensor; () for one integer.
            low: Lowest integer.
            high: Highest integer; both included.
            commit: Ties the flat tensor to a Pedersen commitment with the generators of this
                use, seven coordinates to a lane. Of the use "update", it is the commitment C_D of a round.

        Raises:
            ValueError: As for `public`; or a committed secret is outside [-2^31, 2^31).
            TypeError: The bounds are no integers.
        """
        variable, builder = self._declared(name, shape, low, high, commit), self._builder
        segment = SEGMENT
        if commit is not None:
            if type(commit) is not str or not NAME.fullmatch(commit):
                raise ValueError(f"{builder.name}: {name} is committed for the use {shown(commit)}, not {NAME.pattern}")
            if commit in [v.use for v in self.secrets]:
                raise ValueError(f"{builder.name}: two commitments have the generators of one use, {commit!r}")
            if low < -COORDINATE_MAX or high >= COORDINATE_MAX:
                raise ValueError(f"{builder.name}: {name} is committed, so it has to lie in [-2^31, 2^31)")
            segment = builder.segment(f"secret/{name}", LinkSpec(f"secret/{name}", commit, LANES, LANE_BITS))

        self.secrets.append(variable)

        def hint(values: Values) -> Ints:
            return np.asarray(values.private[name], dtype=object)

        wires = builder.witness(name, shape, hint, segment=segment, bounds=(low, high))
        self._prove_bounds(name, wires, low, high)
        return wires

    def _declared(self, name: str, shape: tuple[int, ...], low: int, high: int, use: str | None = None) -> Variable:
        where = self._builder.name
        if type(low) is not int or type(high) is not int:
            raise TypeError(f"{where}: the bounds of {name} are {shown(low)} and {shown(high)}, expected integers")
        if low > high:
            raise ValueError(f"{where}: the bounds of {name} allow nothing: {low} to {high}")
        if type(shape) is not tuple or any(type(n) is not int or n < 1 for n in shape):
            raise TypeError(f"{where}: the shape of {name} is {shown(shape)}, expected a tuple of positive integers")
        reserved = RESERVED | {*self.relations} | {v.name for v in (*self.publics, *self.secrets)}
        if type(name) is not str or not NAME.fullmatch(name) or name in reserved:
            raise ValueError(f"{where}: the name {shown(name)} is taken, reserved or not of the form {NAME.pattern}")
        self._builder.check_budget((low, high))
        return Variable(name, shape, low, high, use)

    def _prove_bounds(self, name: str, wires: Linear, low: int, high: int) -> None:
        """Enforces low <= x <= high for single wires that claim it."""
        builder, flat = self._builder, wires.reshape(wires.size)
        width = high - low
        if (low, high) == (0, 1):
            boolean(builder, f"{name}/bit", flat)
            return
        if width == 0:
            builder.enforce(f"{name}/fixed", flat - low, constant(1), constant(0))
        else:
            bits = width.bit_length()
            self._ranges.in_range(f"{name}/low", flat - low, bits)
            if width + 1 != 1 << bits:
                self._ranges.in_range(f"{name}/high", high - flat, bits)
        builder.justify(flat - low, (0, width))

    # -- relations -----------------------------------------------------------------------

    def at_most(self, relation: str, small: Any, large: Any) -> None:
        """Enforces small <= large, entry by entry (shapes broadcast)."""
        left, right = self._pair(relation, small, large)
        at_most(self._ranges, relation, left, right)

    def equal(self, relation: str, left: Any, right: Any) -> None:
        """Enforces left = right, entry by entry (shapes broadcast)."""
        a, b = self._pair(relation, left, right)
        self._builder.enforce(relation, a - b, constant(1), constant(0))

    def product(self, relation: str, left: Any, right: Any) -> Linear:
        """Returns left * right, entry by entry (shapes broadcast)."""
        a, b = self._pair(relation, left, right)
        return self._builder.product(relation, a, a if left is right else b, segment=SEGMENT)

    def one_hot(self, relation: str, bits: Any) -> None:
        """Enforces that each entry is 0 or 1 and exactly one is 1."""
        (flat,) = self._operands(relation, bits)
        bounds = self._builder.bounds(flat)
        if bounds is None or bounds[0] < 0 or bounds[1] > 1:
            self._builder.enforce(f"{relation}/bit", flat, flat - 1, constant(0))
        self._builder.enforce(f"{relation}/sum", flat.sum() - 1, constant(1), constant(0))

    def one_of(self, relation: str, value: Any, values: Sequence[int]) -> None:
        """Enforces that each entry is one of the public integers `values`.

        Raises:
            ValueError: `values` is empty.
        """
        (operand,) = self._operands(relation, value)
        self._look_up(relation, operand.reshape(operand.size), self._constants(relation, [*dict.fromkeys(values)]))

    def lookup(self, relation: str, value: Any, table: Mapping[int, int]) -> Linear:
        """Returns table[x] for each entry x; an x that is no key does not satisfy the statement.

        Raises:
            ValueError: The table is empty.
        """
        (x,) = self._operands(relation, value)
        keys, images = self._constants(relation, [*table]), self._constants(relation, [*table.values()])
        bounds = self._builder.bounds(x)
        if bounds is None:
            raise ValueError(f"{self._builder.name}: {relation}: only integers with bounds can be looked up")
        least, most = int(images.min()), int(images.max())
        pairs = dict(zip(keys.tolist(), images.tolist(), strict=True))

        def hint(values: Values) -> Ints:
            flat = values(x).ravel().tolist()
            return as_ints(np.array([pairs.get(v, least) for v in flat], dtype=object))

        y = self._builder.witness(f"{relation}/image", x.shape, hint, segment=SEGMENT, bounds=(least, most))
        self._prove_bounds(f"{relation}/image", y, least, most)
        # One number for each pair: with 0 <= x - base < step and y in its range, no two pairs share it.
        base = min(bounds[0], int(keys.min()))
        step = max(bounds[1], int(keys.max())) - base + 1
        code = (x - base) + (y - least) * step
        codes = (keys - base) + (images - least) * step
        self._look_up(relation, code.reshape(x.size), np.sort(codes))
        return y

    def shift_right(self, relation: str, value: Any, fraction_bits: int) -> Linear:
        """Returns floor(x / 2^fraction_bits) for each entry."""
        (x,) = self._operands(relation, value)
        if type(fraction_bits) is not int or fraction_bits < 1:
            raise ValueError(f"{self._builder.name}: {relation}: a shift by {shown(fraction_bits)} bits")
        return rescale(self._ranges, relation, x.reshape(x.size), fraction_bits).reshape(*x.shape)

    # -- inside --------------------------------------------------------------------------

    def _pair(self, relation: str, left: Any, right: Any) -> tuple[Linear, Linear]:
        a, b = self._operands(relation, left, right)
        try:
            shape = np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ValueError(f"{self._builder.name}: {relation}: shapes {a.shape} and {b.shape} differ") from None
        return a.broadcast_to(shape), b.broadcast_to(shape)

    def _operands(self, relation: str, *values: Any) -> list[Linear]:
        """Names a relation and returns its operands as wires with integer coefficients."""
        where = self._builder.name
        if type(relation) is not str or not RELATION.fullmatch(relation):
            raise ValueError(
                f"{where}: a relation needs a name of 1 to 80 characters without '/', got {shown(relation)}"
            )
        names = {v.name for v in (*self.publics, *self.secrets)}
        if relation in names | RESERVED or relation in self.relations:
            raise ValueError(f"{where}: the relation's name {relation!r} is taken or reserved")
        self.relations.append(relation)
        out = [v if isinstance(v, Linear) else constant(v) for v in values]
        for operand in out:
            if not operand.size:
                raise ValueError(f"{where}: {relation}: an empty tensor; a relation of nothing would always hold")
            wrong = {type(c) for c in operand.coefficients.tolist()} - {int}
            if wrong:
                raise TypeError(f"{where}: {relation}: a constant is a {wrong.pop().__name__}, expected an integer")
        return out

    def _constants(self, relation: str, values: Sequence[int]) -> Ints:
        if not values or any(type(v) is not int for v in values):
            raise ValueError(f"{self._builder.name}: {relation}: expected a table of integers with at least one entry")
        return as_ints(values)

    def _look_up(self, relation: str, value: Linear, entries: Ints) -> None:
        """Commits how often each table entry occurs; the identity is proven after the challenge."""
        builder, place = self._builder, {entry: i for i, entry in enumerate(entries.tolist())}
        builder.bounds(value)
        builder.check_budget((int(entries.min()), int(entries.max())))

        def hint(values: Values) -> Ints:
            found = [place[v] for v in values(value).tolist() if v in place]
            return np.bincount(np.array(found, np.int64), minlength=len(entries)).astype(object)

        counts = builder.witness(f"{relation}/counts", (len(entries),), hint, segment=SEGMENT)
        builder.expect(counts, (0, value.size))
        builder.owe(counts.wires.tobytes(), relation)
        self._memberships.append((relation, value, entries, counts))

    def _close(self) -> None:
        """Draws the challenge and proves what was looked up; nothing is defined after it."""
        builder, ranges = self._builder, self._ranges
        if isinstance(ranges, RangeTable):
            ranges.commit()
        elif not self._memberships:
            return
        (alpha,) = builder.challenge("alpha")
        if isinstance(ranges, RangeTable):
            ranges.close(alpha)
        for relation, value, entries, counts in self._memberships:
            weights = constant(np.ones(value.size, dtype=np.int64))
            weighted_lookup(builder, relation, (value, weights), (entries, counts), alpha)
            builder.settle(counts.wires.tobytes())


def build(name: str, version: int, define: Callable[[Definition], None], curve: Curve) -> tuple[System, Definition]:
    """Returns the circuit of a definition, and what it declared.

    `define` runs twice: what the first run checks decides how the second one checks it.

    Raises:
        ValueError: A value could wrap around the field, or a name is wrong.
        TypeError: A bound, shape or constant is no integer.
    """
    dry = Builder(name, version=version, curve=curve)
    dry.segment(SEGMENT)
    recorder = _Recorder(dry)
    first = Definition(dry, recorder)
    define(first)
    builder = Builder(name, version=version, curve=curve)
    ranges = choose_ranges(builder, recorder.needed, builder.segment(SEGMENT))
    definition = Definition(builder, ranges)
    define(definition)
    if (first.publics, first.secrets, first.relations) != (
        definition.publics, definition.secrets, definition.relations
    ):  # fmt: skip
        raise ValueError(f"{name}: define does something else the second time; a relation could be missing")
    if not definition.secrets:
        raise ValueError(f"{name}: no secret is declared, so there is nothing to prove")
    definition._close()
    return builder.finish(), definition
