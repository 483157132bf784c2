"""The backends under test: every test that takes `backend` runs on each of them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable

import pytest

from zkfed.algebra.arkworks import ArkworksBackend
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.native import NativeBackend
from zkfed.algebra.reference import ReferenceBackend

BACKENDS: dict[str, Callable[[], Backend]] = {
    "reference/bls12-381": lambda: ReferenceBackend(BLS12_381),
    "reference/bn254": lambda: ReferenceBackend(BN254),
    "arkworks/bls12-381": ArkworksBackend,
}
# Built with `make native` where there is a Rust toolchain; then it passes every test of the others.
if importlib.util.find_spec("zkfed_native") is not None:
    BACKENDS["native/bls12-381"] = lambda: NativeBackend(BLS12_381, threads=2)
    BACKENDS["native/bn254"] = lambda: NativeBackend(BN254, threads=2)


def of_curve(name: str) -> list[str]:
    """Returns the names of all backends of one curve."""
    return [b for b in sorted(BACKENDS) if b.endswith(f"/{name}")]


@functools.cache
def made(name: str) -> Backend:
    return BACKENDS[name]()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return made(request.param)


@pytest.fixture(params=["G1", "G2"])
def group(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reference() -> Backend:
    return made("reference/bls12-381")


@pytest.fixture
def arkworks() -> Backend:
    return made("arkworks/bls12-381")
