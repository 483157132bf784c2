"""Our multi-scalar multiplication beside the bare wheel's and py_ecc's, on the same points."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest

from zkfed.algebra.arkworks import ArkworksBackend
from zkfed.algebra.backend import Backend, Points, use
from zkfed.algebra.field import to_limbs
from zkfed.algebra.polynomial import ntt

BACKEND = use()
ORDER = BACKEND.curve.order


def _scalars(kind: str, count: int) -> list[int]:
    if kind == "full":
        return [secrets.randbelow(ORDER) for _ in range(count)]
    if kind == "16-bit":
        return [secrets.randbelow(1 << 16) for _ in range(count)]
    return [(secrets.randbelow(1 << 16) - (1 << 15)) % ORDER for _ in range(count)]


def _points(count: int, backend: Backend = BACKEND) -> Points:
    return backend.generator("G1", to_limbs(_scalars("full", count)))


@pytest.mark.parametrize("kind", ["full", "16-bit", "signed-16-bit"])
def test_msm_4096_zkfed(benchmark: Any, kind: str) -> None:
    points, scalars = _points(4096), to_limbs(_scalars(kind, 4096))
    benchmark.pedantic(lambda: BACKEND.msm(points, scalars), rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("kind", ["full", "16-bit", "signed-16-bit"])
def test_msm_4096_bare_wheel(benchmark: Any, kind: str) -> None:
    """What a user would call instead; the conversion of scalars counts for both."""
    import py_arkworks_bls12381 as wheel

    points, numbers = _points(4096, ArkworksBackend()).raw, _scalars(kind, 4096)

    def run() -> None:
        wheel.G1Point.multiexp_unchecked(points, [wheel.Scalar(n) for n in numbers])

    benchmark.pedantic(run, rounds=7, warmup_rounds=1)


def test_msm_64_py_ecc(benchmark: Any) -> None:
    """py_ecc has no multi-scalar multiplication: 64 products and their sum."""
    from py_ecc.optimized_bls12_381 import G1, Z1, add, multiply

    points = [multiply(G1, k + 2) for k in range(64)]
    numbers = _scalars("full", 64)

    def run() -> None:
        total = Z1
        for point, number in zip(points, numbers, strict=True):
            total = add(total, multiply(point, number))

    benchmark.pedantic(run, rounds=3, warmup_rounds=0)


@pytest.mark.parametrize("size", [4096, 8192])
def test_ntt(benchmark: Any, size: int) -> None:
    values = np.array(_scalars("full", size), dtype=object)
    benchmark.pedantic(lambda: ntt(values, BACKEND.curve), rounds=10, warmup_rounds=1)
