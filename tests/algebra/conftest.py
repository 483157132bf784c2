"""The backends under test: every test that takes `backend` runs on each of them."""

from __future__ import annotations

import functools

import pytest

from zkfed.algebra.arkworks import ArkworksBackend
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.reference import ReferenceBackend

BACKENDS = {
    "reference/bls12-381": lambda: ReferenceBackend(BLS12_381),
    "reference/bn254": lambda: ReferenceBackend(BN254),
    "arkworks/bls12-381": ArkworksBackend,
}


@functools.cache
def made(name: str) -> Backend:
    backend: Backend = BACKENDS[name]()
    return backend


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
