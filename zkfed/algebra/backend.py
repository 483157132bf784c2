"""The backend protocol: vectors in, vectors out.

A backend owns the representation of points. Scalars cross the seam as limbs (field.py), so
a compiled core needs no call and no Python object per element. Every method is a pure
function. Points that a backend hands out are on the curve and in the r-torsion; `decode`
and `decode_affine` are the only doors from bytes and check both.

    native      zkfed_native, built from rust/ by `make native`: both curves, the fastest
    arkworks    the PyPI wheel py-arkworks-bls12381, BLS12-381
    reference   py_ecc and Python integers, both curves, slow: the oracle and the fallback

`use(curve)` returns the first of them that works; the environment variable ZKFED_BACKEND names
one instead. `backends()` says which one runs and why.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import BLS12_381, CURVES, Curve
from zkfed.algebra.field import Ints, Limbs

__all__ = [
    "Backend", "BackendStatus", "Compiled", "CompiledProver", "Group", "Matrix", "Points", "backends", "use",
]  # fmt: skip

Group = Literal["G1", "G2"]
BoolVector = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Points:
    """A vector of points of one group, in its backend's own representation.

    Attributes:
        group: "G1" or "G2".
        raw: Owned by the backend that made it; a sequence for the Python backends.
    """

    group: Group
    raw: Any

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Points({self.group}, {len(self)})"


Matrix = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Ints]
"""Compressed rows: indptr, columns, coefficients in [0, r)."""


class CompiledProver(Protocol):
    """A circuit and a proving key inside a backend."""

    def prove(
        self, z: Limbs, blinding: Limbs, *, is_checked: bool, report: Callable[[float], None] | None
    ) -> tuple[Points, Points, Points] | None:
        """Returns A, B and C for z and (r, s); None if a row does not hold and `is_checked`."""
        ...


class Compiled(Protocol):
    """The matrices of a circuit inside a backend."""

    def key_scalars(self, size: int, trapdoors: Limbs, private_start: int) -> tuple[Limbs, Limbs, Limbs, Limbs]:
        """Returns u, v, k, h (groth16/assembly.py) from (tau, alpha, beta, delta)."""
        ...

    def prover(
        self, points: Sequence[Points], a_wires: npt.NDArray[np.int64], b_wires: npt.NDArray[np.int64]
    ) -> CompiledProver:
        """Takes (alpha, beta, delta) in G1, (beta, delta) in G2, a, b1, b2, k and h."""
        ...


class Backend(Protocol):
    """Vector operations on one curve. Lengths that do not fit are a ValueError."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def curve(self) -> Curve: ...

    def decode(self, group: Group, data: bytes, count: int) -> Points:
        """Decodes `count` compressed points; refuses identity.

        Raises:
            DecodeError: Wrong length, non-canonical, off the curve, outside the r-torsion,
                or the identity.
        """
        ...

    def encode(self, points: Points) -> bytes:
        """Returns the canonical compressed encodings, concatenated."""
        ...

    def decode_affine(self, group: Group, data: bytes | memoryview, count: int) -> Points:
        """Takes `count` uncompressed points, as `encode_affine` writes them; refuses the identity.

        The native backend does not copy points in read-only memory: it keeps the memory.

        Raises:
            DecodeError: As `decode`.
        """
        ...

    def encode_affine(self, points: Points) -> bytes:
        """Returns x | y of each point (points.py); faster to decode, for files that stay here."""
        ...

    def generator(self, group: Group, scalars: Limbs) -> Points:
        """Returns s_i * generator for each i (fixed-base)."""
        ...

    def scale(self, points: Points, scalars: Limbs) -> Points:
        """Returns s_i * P_i for each i; one scalar serves all points."""
        ...

    def add(self, left: Points, right: Points) -> Points:
        """Returns P_i + Q_i for each i."""
        ...

    def negate(self, points: Points) -> Points:
        """Returns -P_i for each i."""
        ...

    def msm(self, points: Points, scalars: Limbs) -> Points:
        """Returns the one point sum_i s_i * P_i (the identity if empty)."""
        ...

    def take(self, points: Points, index: npt.NDArray[np.intp]) -> Points:
        """Returns P_index[i] for each i."""
        ...

    def concat(self, group: Group, parts: Sequence[Points]) -> Points:
        """Returns all points of the parts, in order."""
        ...

    def is_identity(self, points: Points) -> BoolVector:
        """Returns, for each point, whether it is the identity."""
        ...

    def is_equal(self, left: Points, right: Points) -> BoolVector:
        """Returns, for each i, whether P_i = Q_i."""
        ...

    def is_pairing_product_one(self, left: Points, right: Points) -> bool:
        """Returns whether prod_i e(P_i, Q_i) = 1, P in G1, Q in G2."""
        ...

    def hash_to_g1(self, messages: Sequence[bytes], domain: bytes) -> Points:
        """Hashes each message to G1 (RFC 9380 random oracle suite; BN254: ours, SvdW)."""
        ...

    def quotient(self, a: Limbs, b: Limbs, c: Limbs) -> Limbs:
        """Returns (A*B - C) on the coset g*H, from the values of A, B, C on H.

        H has n = len(a) elements, a power of two, g is the curve's field generator. The
        constant 1/Z(g) is folded into the proving key.
        """
        ...

    def compiled(self, wires: int, matrices: Sequence[Matrix]) -> Compiled | None:
        """Takes the matrices A, B, C of a circuit; None if this backend proves by its vectors."""
        ...


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What `backends()` reports of one backend."""

    name: str
    curves: tuple[str, ...]
    is_available: bool
    is_chosen: bool
    reason: str


_PREFERENCE = ("native", "arkworks", "reference")
_CURVES_OF = {
    "native": ("bls12-381", "bn254"),
    "arkworks": ("bls12-381",),
    "reference": ("bls12-381", "bn254"),
}
_NEEDS = {"native": "zkfed_native", "arkworks": "py_arkworks_bls12381", "reference": "py_ecc"}
_INSTALL = {"native": "make native", "arkworks": "pip install py-arkworks-bls12381", "reference": "pip install py-ecc"}
_log = logging.getLogger("zkfed")


def _why_not(name: str) -> str:
    """Returns why a backend cannot be used, or "" if it can."""
    if importlib.util.find_spec(_NEEDS[name]) is None:
        return f"not installed: {_INSTALL[name]}"
    return _fault_of_native() if name == "native" else ""


@functools.cache
def _fault_of_native() -> str:
    # A compiled module may be there and not load, or be older than what calls it.
    from zkfed.algebra.native import load

    try:
        load()
    except ImportError as error:
        return f"does not work: {error}"
    return ""


def _chosen_name(curve: Curve) -> tuple[str, str]:
    wanted = os.environ.get("ZKFED_BACKEND", "")
    if wanted:
        if wanted not in _CURVES_OF:
            raise ValueError(f"ZKFED_BACKEND={wanted!r}: expected one of {', '.join(_CURVES_OF)}")
        if curve.name not in _CURVES_OF[wanted]:
            return "reference", f"ZKFED_BACKEND={wanted} does not have {curve.name}"
        return wanted, "named by ZKFED_BACKEND"
    fault = ""
    for name in _PREFERENCE[:-1]:
        why_not = _why_not(name)
        if curve.name in _CURVES_OF[name] and not why_not:
            return name, f"the fastest one that works{fault}"
        if why_not.startswith("does not work"):
            fault = f"; {name} {why_not}"
    return _PREFERENCE[-1], f"no compiled backend works for this curve; expect it to be 10 to 100 times slower{fault}"


@functools.cache
def _load(name: str, curve: Curve) -> Backend:
    backend: Backend
    if name == "native":
        from zkfed.algebra.native import NativeBackend

        backend = NativeBackend(curve)
    elif name == "arkworks":
        from zkfed.algebra.arkworks import ArkworksBackend

        backend = ArkworksBackend()
    else:
        from zkfed.algebra.reference import ReferenceBackend

        backend = ReferenceBackend(curve)
    return backend


@functools.cache
def _say_once(name: str, curve_name: str, reason: str) -> None:
    is_bad = reason.startswith("no compiled") or "does not work" in reason
    level = logging.WARNING if is_bad else logging.INFO
    _log.log(level, "zkfed computes %s with the %s backend: %s", curve_name, name, reason)


def use(curve: Curve | str = BLS12_381) -> Backend:
    """Returns the backend for `curve`, loaded at first use.

    Raises:
        ValueError: Unknown curve, or ZKFED_BACKEND names an unknown backend.
        ImportError: ZKFED_BACKEND names a backend that is not installed or does not work.
    """
    if isinstance(curve, str):
        if curve not in CURVES:
            raise ValueError(f"curve {curve!r}: expected one of {', '.join(CURVES)}")
        curve = CURVES[curve]
    name, reason = _chosen_name(curve)
    _say_once(name, curve.name, reason)
    return _load(name, curve)


def backends(curve: Curve = BLS12_381) -> list[BackendStatus]:
    """Says which backends there are for `curve`, which one runs and why."""
    chosen, reason = _chosen_name(curve)
    out = []
    for name, curves in _CURVES_OF.items():
        why_not = _why_not(name)
        why = "; ".join(filter(None, [reason, why_not])) if name == chosen else why_not or "installed, not needed"
        out.append(BackendStatus(name, curves, not why_not, name == chosen, why))
    return out
