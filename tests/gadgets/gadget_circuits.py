"""One circuit a gadget, at the real field, with inputs that satisfy it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381, Curve
from zkfed.algebra.field import as_ints
from zkfed.gadgets.boolean import BitRanges, Ranges, boolean, in_range_by_bits, to_bits
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.fixedpoint import rescale
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.loss import declare_forms, squared_norm
from zkfed.gadgets.product import horner, public_product, sketch
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear
from zkfed.r1cs.system import System

__all__ = ["CIRCUITS", "Circuit", "run"]

LIMB_BITS = 4
WIDE = 1 << 20
CHANGE_MAX, NORM_MAX = 1 << 60, 1 << 60


@dataclass(frozen=True)
class Circuit:
    """A built gadget.

    Attributes:
        outputs: The gadget's results, as builder wires.
        static: Static inputs that satisfy it.
        private: Private inputs that satisfy it.
        derive: (private inputs, challenges, r) -> the derived inputs of the stage.
    """

    system: System
    static: dict[str, Any] = field(default_factory=dict)
    private: dict[str, Any] = field(default_factory=dict)
    outputs: Linear | None = None
    derive: Callable[[dict[str, Any], dict[str, int], int], dict[str, Any]] = lambda _private, _challenges, _order: {}


def secret(name: str) -> Any:
    return lambda values: as_ints(np.asarray(values.private[name], dtype=object))


def close(builder: Builder, ranges: Ranges) -> System:
    if isinstance(ranges, RangeTable):
        ranges.commit()
        (alpha,) = builder.challenge("alpha")
        ranges.close(alpha)
    return builder.finish()


def strategy(builder: Builder, name: str) -> Ranges:
    segment = builder.segment("s")
    return RangeTable(builder, LIMB_BITS, segment) if name == "table" else BitRanges(builder, segment)


def _boolean(curve: Curve) -> Circuit:
    builder = Builder("boolean", curve=curve)
    bits = builder.witness("bits", (4,), secret("x"), segment=builder.segment("s"), bounds=(0, 1))
    boolean(builder, "boolean", bits)
    return Circuit(builder.finish(), {}, {"x": [0, 1, 1, 0]}, bits)


def _bits(curve: Curve) -> Circuit:
    builder = Builder("bits", curve=curve)
    x = builder.witness("x", (3,), secret("x"), segment=builder.segment("s"))
    bits = to_bits(builder, "range", x, 10)
    return Circuit(builder.finish(), {}, {"x": [5, 1023, 300]}, bits)


def _range(name: str, bits: int) -> Callable[[Curve], Circuit]:
    def build(curve: Curve) -> Circuit:
        builder = Builder(f"range-{name}", curve=curve)
        ranges = strategy(builder, name)
        x = builder.witness("x", (3,), secret("x"), segment="s")
        if name == "bits":
            in_range_by_bits(builder, "range", x, bits)
        else:
            ranges.in_range("range", x, bits)
        return Circuit(close(builder, ranges), {}, {"x": [5, (1 << bits) - 1, 300 % (1 << bits)]}, x)

    return build


def _at_most(name: str) -> Callable[[Curve], Circuit]:
    def build(curve: Curve) -> Circuit:
        builder = Builder(f"at-most-{name}", curve=curve)
        ranges = strategy(builder, name)
        small, large = (builder.input(side, (3,), bounds=(-1000, 1000)) for side in ("small", "large"))
        at_most(ranges, "compare", small, large)
        return Circuit(close(builder, ranges), {"small": [-1000, 7, -3], "large": [1000, 7, 3]})

    return build


def _rescale(name: str) -> Callable[[Curve], Circuit]:
    def build(curve: Curve) -> Circuit:
        builder = Builder(f"rescale-{name}", curve=curve)
        ranges = strategy(builder, name)
        x = builder.input("x", (3,), bounds=(-WIDE, WIDE))
        q = rescale(ranges, "rescale", x, 5)
        return Circuit(close(builder, ranges), {"x": [-WIDE, 1234, -1]}, {}, q)

    return build


def _squared_norm(curve: Curve) -> Circuit:
    builder = Builder("squared-norm", curve=curve)
    x = builder.input("x", (2, 3), bounds=(-WIDE, WIDE))
    norm = builder.define("norm", squared_norm(builder, "squares", x), segment=builder.segment("s"))
    return Circuit(builder.finish(), {"x": [1, -2, 3, WIDE, -WIDE, 5]}, {}, norm)


def _horner(curve: Curve) -> Circuit:
    builder = Builder("horner", curve=curve)
    x = builder.witness("x", (2, 4), secret("x"), segment=builder.segment("s"))
    (point,) = builder.challenge("point")
    value = builder.define("value", horner(builder, "horner", x, point), segment=builder.segment("t"))
    return Circuit(builder.finish(), {}, {"x": [[1, 2, 3, 4], [5, 6, 7, 9]]}, value)


def _sketches(private: dict[str, Any], challenges: dict[str, int], order: int) -> dict[str, Any]:
    if "rho" not in challenges:
        return {}
    gram = as_ints(np.asarray(private["gram"])).copy()
    if "gamma" in challenges:
        gram = gram + challenges["gamma"] * np.identity(len(gram), dtype=object)
    s = sketch(gram, as_ints(np.asarray(private["gradient"])), challenges["rho"], challenges["tau"], order)
    return {"product/left": s.left, "product/offset": s.offset}


def _public_product(curve: Curve) -> Circuit:
    builder = Builder("public-product", curve=curve)
    segment = builder.segment("s")
    d = builder.witness("d", (4, 2), secret("factor"), segment=segment)
    v = builder.witness("v", (3, 2), secret("product"), segment=segment)
    rho, tau = builder.challenge("rho", "tau")
    public_product(builder, "product", v, d, challenges=(rho, tau))
    g, offset = np.arange(12).reshape(3, 4) - 5, np.arange(6).reshape(3, 2)
    factor = np.arange(8).reshape(4, 2) * 3 - 7
    private = {"gram": g, "gradient": offset, "factor": factor, "product": g @ factor + offset}
    return Circuit(builder.finish(), {}, private, v, _sketches)


def _forms(curve: Curve) -> Circuit:
    builder = Builder("quadratic-forms", curve=curve)
    segment = builder.segment("s")
    d = builder.witness("d", (3, 2), secret("update"), segment=segment)
    forms = declare_forms(builder, d, segment=segment, norm_max=NORM_MAX, change_max=CHANGE_MAX)
    (gamma,) = builder.challenge("gamma")
    v = forms.prove(gamma, builder.segment("t"))
    rho, tau = builder.challenge("rho", "tau")
    public_product(builder, "product", v, d, challenges=(rho, tau))
    x = np.arange(12).reshape(4, 3) - 6
    update = np.array([[5, -7], [100, 3], [-2, 11]])
    private = {"update": as_ints(update), "gram": as_ints(x.T @ x), "gradient": as_ints(np.arange(6).reshape(3, 2))}
    system = builder.finish()
    outputs = Linear.of_wires(np.concatenate([forms.change.wires, forms.norm.wires]))
    return Circuit(system, {}, private, outputs, _sketches)


CIRCUITS: dict[str, Callable[[Curve], Circuit]] = {
    "boolean": _boolean,
    "bits": _bits,
    "range/bits": _range("bits", 10),
    "range/table, limbs divide the range": _range("table", 12),
    "range/table, limbs do not divide the range": _range("table", 10),
    "range/table, one limb": _range("table", 4),
    "range/table, less than one limb": _range("table", 3),
    "at-most/bits": _at_most("bits"),
    "at-most/table": _at_most("table"),
    "rescale/bits": _rescale("bits"),
    "rescale/table": _rescale("table"),
    "squared-norm": _squared_norm,
    "horner": _horner,
    "public-product": _public_product,
    "quadratic-forms": _forms,
}


def run(circuit: Circuit, *, is_strict: bool = True, seed: int = 3, **changes: Any) -> Run:
    """Returns a run of the circuit with some of its inputs changed."""
    static = {k: changes.get(k, v) for k, v in circuit.static.items()}
    private = {k: changes.get(k, v) for k, v in circuit.private.items()}
    order = circuit.system.curve.order

    def derive(_stage: int, challenges: dict[str, int]) -> dict[str, Any]:
        return circuit.derive(private, challenges, order)

    return Run(circuit.system, static, private, derive, seed, is_strict)


def default(name: str) -> Circuit:
    return CIRCUITS[name](BLS12_381)
