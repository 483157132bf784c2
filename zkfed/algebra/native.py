"""Both curves through the compiled module zkfed_native, built from rust/: the fastest backend.

Points stay in the module, affine and contiguous; scalars cross as the bytes of their limbs. The
module releases the interpreter's lock while it computes, uses as many threads as the process
may, and stops when Ctrl-C is pressed. A panic in it comes out as `BackendFault`.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Group, Matrix, Points
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import Limbs, to_limbs
from zkfed.algebra.hash_to_curve import check_domain
from zkfed.algebra.points import check_pairing_input, check_same_group
from zkfed.errors import BackendFault, DecodeError

__all__ = ["INTERFACE", "NativeBackend", "load"]

# What this file calls; rust/python/src/lib.rs has the same number. A change of either raises both.
INTERFACE = 2


class NativeBackend:
    """The `Backend` protocol on zkfed_native; see the module.

    Args:
        curve: Either curve.
        threads: At most so many; as many as this process may use if it is None.

    Raises:
        ImportError: As `load`.
        ValueError: Another curve, or no thread.
    """

    name = "native"

    def __init__(self, curve: Curve = BLS12_381, *, threads: int | None = None) -> None:
        if curve not in (BLS12_381, BN254):
            raise ValueError(f"curve {curve.name}: the native backend has {BLS12_381.name} and {BN254.name}")
        self._threads = _usable_cores() if threads is None else threads
        if self._threads < 1:
            raise ValueError(f"{self._threads} threads: expected at least 1")
        self._curve = curve
        self._module = load()

    @property
    def curve(self) -> Curve:
        return self._curve

    def __repr__(self) -> str:
        return f"NativeBackend({self._curve.name})"

    def decode(self, group: Group, data: bytes, count: int) -> Points:
        raw = _typed(self._module.decode, self._curve.name, group, bytes(data), count, self._threads)
        return Points(group, raw)

    def decode_affine(self, group: Group, data: bytes | memoryview, count: int) -> Points:
        raw = _typed(self._module.decode_affine, self._curve.name, group, data, count, self._threads)
        return Points(group, raw)

    def encode_affine(self, points: Points) -> bytes:
        return bytes(_typed(points.raw.encode_affine))

    def encode(self, points: Points) -> bytes:
        return bytes(_typed(points.raw.encode, self._threads))

    def generator(self, group: Group, scalars: Limbs) -> Points:
        return Points(group, _typed(self._module.generator, self._curve.name, group, _bytes(scalars), self._threads))

    def scale(self, points: Points, scalars: Limbs) -> Points:
        return Points(points.group, _typed(points.raw.scale, _bytes(scalars), self._threads))

    def add(self, left: Points, right: Points) -> Points:
        check_same_group(left, right)
        return Points(left.group, _typed(left.raw.add, right.raw))

    def negate(self, points: Points) -> Points:
        return Points(points.group, _typed(points.raw.negate))

    def msm(self, points: Points, scalars: Limbs) -> Points:
        return Points(points.group, _typed(points.raw.msm, _bytes(scalars), self._threads))

    def take(self, points: Points, index: npt.NDArray[np.intp]) -> Points:
        return Points(points.group, _typed(points.raw.take, np.ascontiguousarray(index, dtype=np.int64).tobytes()))

    def concat(self, group: Group, parts: Sequence[Points]) -> Points:
        if any(p.group != group for p in parts):
            raise ValueError(f"points of different groups cannot be one vector of {group}")
        return Points(group, _typed(self._module.concat, self._curve.name, group, [p.raw for p in parts]))

    def is_identity(self, points: Points) -> npt.NDArray[np.bool_]:
        return np.frombuffer(_typed(points.raw.is_identity), dtype=np.bool_)

    def is_equal(self, left: Points, right: Points) -> npt.NDArray[np.bool_]:
        check_same_group(left, right)
        return np.frombuffer(_typed(left.raw.is_equal, right.raw), dtype=np.bool_)

    def is_pairing_product_one(self, left: Points, right: Points) -> bool:
        check_pairing_input(left, right)
        return bool(_typed(self._module.is_pairing_product_one, left.raw, right.raw))

    def hash_to_g1(self, messages: Sequence[bytes], domain: bytes) -> Points:
        check_domain(domain)
        raw = _typed(self._module.hash_to_g1, self._curve.name, [bytes(m) for m in messages], domain, self._threads)
        return Points("G1", raw)

    def quotient(self, a: Limbs, b: Limbs, c: Limbs) -> Limbs:
        sides = (_bytes(a), _bytes(b), _bytes(c))
        out = _typed(self._module.quotient, self._curve.name, sides, self._threads)
        return _limbs(out)

    def compiled(self, wires: int, matrices: Sequence[Matrix]) -> _Circuit:
        return _Circuit(self._module, self._curve.name, (wires, matrices), self._threads)


class _Circuit:
    """`Compiled` on zkfed_native."""

    def __init__(self, module: Any, curve: str, system: tuple[int, Sequence[Matrix]], threads: int) -> None:
        wires, matrices = system
        # Few coefficients are distinct: each is handed over once, entries by number.
        numbers: dict[int, int] = {}
        rows = [
            (
                indptr[1:].astype(np.uint32).tobytes(),
                columns.astype(np.uint32).tobytes(),
                np.fromiter((numbers.setdefault(c, len(numbers)) for c in values.tolist()), np.uint32).tobytes(),
            )
            for indptr, columns, values in matrices
        ]
        self._module, self._threads = module, threads
        self._raw = _typed(module.Circuit, curve, wires, _bytes(to_limbs(numbers)), rows)

    def key_scalars(self, size: int, trapdoors: Limbs, private_start: int) -> tuple[Limbs, Limbs, Limbs, Limbs]:
        u, v, k, h = _typed(self._raw.key_scalars, size, _bytes(trapdoors), private_start, self._threads)
        return _limbs(u), _limbs(v), _limbs(k), _limbs(h)

    def prover(
        self, points: Sequence[Points], a_wires: npt.NDArray[np.int64], b_wires: npt.NDArray[np.int64]
    ) -> _Prover:
        wires = (w.astype(np.uint32).tobytes() for w in (a_wires, b_wires))
        return _Prover(_typed(self._module.Prover, self._raw, [p.raw for p in points], *wires), self._threads)


class _Prover:
    """`CompiledProver` on zkfed_native."""

    def __init__(self, raw: Any, threads: int) -> None:
        self._raw, self._threads = raw, threads

    def prove(
        self, z: Limbs, blinding: Limbs, *, is_checked: bool, report: Callable[[float], None] | None
    ) -> tuple[Points, Points, Points] | None:
        proof = _typed(self._raw.prove, _bytes(z), _bytes(blinding), is_checked, self._threads, report)
        if proof is None:
            return None
        a, b, c = proof
        return Points("G1", a), Points("G2", b), Points("G1", c)


@functools.cache
def load() -> Any:
    """Returns the module zkfed_native.

    Raises:
        ImportError: It is not installed, does not load, or has another interface than this file.
    """
    # By name: a machine without a build has no such module, and mypy no stub of it.
    module = importlib.import_module("zkfed_native")
    found = getattr(module, "INTERFACE", 0)
    if found != INTERFACE:
        raise ImportError(f"zkfed_native has interface {found}, expected {INTERFACE}: build it anew with `make native`")
    return module


def _typed(call: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the module and turns its own exceptions into the library's."""
    module = load()
    try:
        return call(*arguments)
    except module.DecodeRefused as error:
        raise DecodeError(str(error)) from None
    except module.CoreFault as error:
        raise BackendFault(str(error)) from None


def _bytes(scalars: Limbs) -> bytes:
    return np.ascontiguousarray(scalars, dtype="<u8").tobytes()


def _limbs(data: bytes) -> Limbs:
    return np.frombuffer(data, dtype="<u8").reshape(-1, 4)


def _usable_cores() -> int:
    # Not os.cpu_count(): a container or taskset may allow fewer.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
