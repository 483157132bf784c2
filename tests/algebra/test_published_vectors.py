"""Shows that every backend gives what the published vectors of the EVM precompiles say.

EIP-2537 for BLS12-381, EIP-196 and EIP-197 for BN254. The vectors hold uncompressed points;
they enter through compression and our strict decoder, so the *fail* vectors test the decoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.algebra import oracle
from tests.algebra.conftest import made, of_curve
from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.field import to_limbs
from zkfed.errors import DecodeError

VECTORS = Path(__file__).parent.parent / "vectors"
FOLDER_OF = {"bls12-381": "eip2537", "bn254": "eip196_197"}
FOLDERS = {name: folder for curve, folder in FOLDER_OF.items() for name in of_curve(curve)}
Hex = list[str] | None


def read(folder: str, file: str) -> Any:
    path = VECTORS / folder / file
    return json.loads(path.read_text()) if path.exists() else {}


def cases(kind: str, names: Sequence[str] = tuple(FOLDERS)) -> list[Any]:
    return [
        pytest.param(name, group, case, id=f"{name}-{case['name']}")
        for name in names
        for group in ("G1", "G2")
        for case in read(FOLDERS[name], f"{group.lower()}.json").get(kind, [])
    ]


def xy(point: Hex) -> oracle.XY:
    if point is None:
        return None
    numbers = tuple(int(c, 16) for c in point)
    return numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]


def compressed(backend: Backend, group: str, point: Hex) -> bytes:
    return oracle.compress(backend.curve, group, xy(point))


def points(backend: Backend, group: Any, values: list[Hex]) -> Points:
    identity = backend.generator(group, to_limbs([0]))
    parts = [identity if v is None else backend.decode(group, compressed(backend, group, v), 1) for v in values]
    return backend.concat(group, parts)


@pytest.mark.parametrize(("name", "group", "case"), cases("add"))
def test_add(name: str, group: str, case: dict[str, Any]) -> None:
    backend = made(name)
    got = backend.add(points(backend, group, [case["left"]]), points(backend, group, [case["right"]]))
    assert backend.encode(got) == compressed(backend, group, case["expected"])


@pytest.mark.parametrize(("name", "group", "case"), cases("msm"))
def test_multiples_and_their_sums(name: str, group: str, case: dict[str, Any]) -> None:
    backend = made(name)
    bases = points(backend, group, case["points"])
    # The precompiles reduce scalars themselves; ours refuse one that is not below r.
    factors = to_limbs([int(k, 16) % backend.curve.order for k in case["scalars"]])
    expected = compressed(backend, group, case["expected"])
    assert backend.encode(backend.msm(bases, factors)) == expected
    total = backend.generator(group, to_limbs([0]))
    scaled = backend.scale(bases, factors)
    for i in range(len(scaled)):
        total = backend.add(total, backend.take(scaled, np.array([i])))
    assert backend.encode(total) == expected


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{case['name']}")
        for name, folder in FOLDERS.items()
        for case in read(folder, "pairing.json")
    ],
)
def test_pairing(name: str, case: dict[str, Any]) -> None:
    backend = made(name)
    left = points(backend, "G1", [a for a, _ in case["pairs"]])
    right = points(backend, "G2", [b for _, b in case["pairs"]])
    assert backend.is_pairing_product_one(left, right) is case["is_one"]


@pytest.mark.parametrize(("name", "group", "case"), cases("fail"))
def test_points_that_the_precompiles_refuse(name: str, group: str, case: dict[str, Any]) -> None:
    backend = made(name)
    encoded = compressed(backend, group, case["point"])
    if "not on curve" not in case["error"]:
        with pytest.raises(DecodeError):
            backend.decode(group, encoded, 1)
        return
    # A compressed point holds no y: the x has no point, none in the subgroup, or another one.
    try:
        decoded = backend.decode(group, encoded, 1)
    except DecodeError:
        return
    base, y = oracle.lift(backend.curve, group, xy(case["point"])[0]), xy(case["point"])[1]
    assert base is not None
    assert y != base[1]
    assert y != tuple(-c % backend.curve.base_modulus for c in base[1])
    assert backend.encode(decoded) == encoded


@pytest.mark.parametrize(
    ("name", "count"),
    [("reference/bls12-381", (9, 12, 7)), ("arkworks/bls12-381", (9, 12, 7)), ("reference/bn254", (6, 6, 0))],
)
def test_the_vectors_are_all_there(name: str, count: tuple[int, ...]) -> None:
    assert tuple(len(cases(kind, [name])) for kind in ("add", "msm", "fail")) == count
