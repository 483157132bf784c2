"""Shows that uncompressed points are read as strictly as compressed ones, by every backend alike.

Coordinates at and above q, points off the curve, outside the subgroup and of small order, alone
and in long vectors, the identity and every wrong length are a DecodeError. What the tests compare
with is written again from the format's description, on py_ecc's points (oracle.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra import oracle
from tests.algebra.conftest import BACKENDS, made, of_curve
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BN254, CURVES, Curve
from zkfed.algebra.field import to_limbs
from zkfed.errors import DecodeError

NAMES = sorted(BACKENDS)


def affine(curve: Curve, point: oracle.XY) -> bytes:
    """The format once more: each coefficient times R, lowest byte first."""
    x, y = point or ((0,), (0,))
    radix = {"bls12-381": 2**384, "bn254": 2**256}[curve.name]
    size = {"bls12-381": 48, "bn254": 32}[curve.name]
    return b"".join(bytes((c * radix % curve.base_modulus >> 8 * i) & 255 for i in range(size)) for c in (*x, *y))


def size_of(backend: Backend, group: str) -> int:
    return 2 * backend.curve.point_bytes(group)


def sample(backend: Backend, group: str, *scalars: int) -> bytes:
    return backend.encode_affine(backend.generator(group, to_limbs(list(scalars or (12345,)))))


def refused(backend: Backend, group: str, data: bytes, count: int = 1) -> str:
    with pytest.raises(DecodeError) as caught:
        backend.decode_affine(group, data, count)
    return str(caught.value)


def outside(curve: Curve, group: str) -> list[oracle.XY]:
    """Points of the curve that are not in the group: any, of an order without r, and one shifted by the latter."""
    found = next(p for x in oracle.scan_x(group) if (p := oracle.lift(curve, group, x)))
    error = oracle.multiply(curve, group, found, curve.order)
    return [found, error, oracle.add(curve, group, oracle.generator(curve, group), error)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", ["G1", "G2"])
@settings(max_examples=15)
@given(data=st.data())
def test_round_trip(name: str, group: str, data: st.DataObject) -> None:
    backend = made(name)
    scalars = data.draw(st.lists(st.integers(1, backend.curve.order - 1), max_size=3))
    points = backend.generator(group, to_limbs(scalars))
    encoded = backend.encode_affine(points)
    assert len(encoded) == len(scalars) * size_of(backend, group)
    for given_data in (encoded, memoryview(encoded), memoryview(bytearray(encoded)), memoryview(b"x" + encoded)[1:]):
        decoded = backend.decode_affine(group, given_data, len(scalars))
        assert backend.is_equal(decoded, points).all()
        assert backend.encode_affine(decoded) == encoded
        assert backend.encode(decoded) == backend.encode(points)


def test_the_format_equals_its_description(backend: Backend, group: str) -> None:
    base = oracle.generator(backend.curve, group)
    for scalar in range(1, 8):
        point = oracle.multiply(backend.curve, group, base, scalar)
        assert sample(backend, group, scalar) == affine(backend.curve, point)


def test_the_identity_is_zeros_and_is_refused(backend: Backend, group: str) -> None:
    zeros = bytes(size_of(backend, group))
    assert sample(backend, group, 0) == zeros
    assert sample(backend, group, 5, 0) == sample(backend, group, 5) + zeros
    assert "identity" in refused(backend, group, zeros)
    refused(backend, group, sample(backend, group) + zeros, 2)
    assert "identity" in refused(backend, group, zeros + sample(backend, group), 2)


def test_a_coordinate_at_or_above_q_is_refused(backend: Backend, group: str) -> None:
    encoded, size, q = sample(backend, group), backend.curve.coordinate_bytes, backend.curve.base_modulus
    for at in range(0, len(encoded), size):
        value = int.from_bytes(encoded[at : at + size], "little")
        for same in (value + q, q, (1 << 8 * size) - 1):
            changed = encoded[:at] + same.to_bytes(size, "little") + encoded[at + size :]
            assert "below q" in refused(backend, group, changed)


def test_a_point_off_the_curve_is_refused(backend: Backend, group: str) -> None:
    encoded, half = sample(backend, group), size_of(backend, group) // 2
    other = sample(backend, group, 999)
    for x, y in ((encoded[:half], other[half:]), (encoded[half:], encoded[:half]), (bytes(half), encoded[half:])):
        assert "curve" in refused(backend, group, x + y)
        assert "curve" in refused(backend, group, other + x + y, 2)


def test_a_point_outside_the_subgroup_is_refused(backend: Backend, group: str) -> None:
    curve = backend.curve
    if curve == BN254 and group == "G1":  # its order is prime, so every point is inside
        points = [p for x in oracle.scan_x(group) if (p := oracle.lift(curve, group, x))]
        data = b"".join(affine(curve, p) for p in points)
        assert backend.encode_affine(backend.decode_affine(group, data, len(points))) == data
        return
    for point in outside(curve, group):
        assert "subgroup" in refused(backend, group, affine(curve, point))
        refused(backend, group, sample(backend, group) + affine(curve, point), 2)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("native/")])
@pytest.mark.parametrize("count", [1024, 1 << 15])
def test_long_vectors_hide_no_point_outside_the_subgroup(name: str, count: int) -> None:
    """Long vectors are checked as sums of random subsets, as strictly as each point alone."""
    backend, rng = made(name), np.random.default_rng(1)
    curve, group = backend.curve, "G1" if "bls" in name else "G2"
    scalars = rng.integers(1, 1 << 62, (count, 4), dtype=np.uint64) >> np.array([0, 0, 0, 3], dtype=np.uint64)
    honest, size = backend.encode_affine(backend.generator(group, scalars)), size_of(backend, group)
    assert len(backend.decode_affine(group, honest, count)) == count
    error = outside(curve, group)[1]
    minus = (error[0], tuple(-c % curve.base_modulus for c in error[1]))
    for first, second in ((0, count - 1), (count // 2, count // 2 + 1)):
        data = bytearray(honest)
        data[first * size : (first + 1) * size] = affine(curve, error)
        assert "subgroup" in refused(backend, group, bytes(data), count)
        data[second * size : (second + 1) * size] = affine(curve, minus)  # the sum is as if both were absent
        assert "subgroup" in refused(backend, group, bytes(data), count)


@pytest.mark.parametrize("count", [1, 3])
def test_every_wrong_length_is_refused(backend: Backend, group: str, count: int) -> None:
    encoded = sample(backend, group, *range(5, 5 + count))
    for data in (b"", encoded[:-1], encoded + b"\0", encoded + encoded, encoded[: len(encoded) // 2]):
        refused(backend, group, data, count)
    for wrong in (0, count - 1, count + 1, 1 << 32, (1 << 64) - 1):
        refused(backend, group, encoded, wrong)
    assert len(backend.decode_affine(group, b"", 0)) == 0


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(data=st.data())
def test_any_bytes_are_canonical_or_refused(name: str, data: st.DataObject) -> None:
    backend = made(name)
    group = data.draw(st.sampled_from(["G1", "G2"]))
    size = size_of(backend, group)
    changes = data.draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 255)), max_size=3))
    encoded = bytearray(data.draw(st.sampled_from([sample(backend, group), bytes(size), b"\xff" * size])))
    for place, value in changes:
        encoded[place] = value
    try:
        points = backend.decode_affine(group, bytes(encoded), 1)
    except DecodeError:  # anything else fails the test
        return
    assert backend.encode_affine(points) == bytes(encoded)
    assert not backend.is_identity(points).any()


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_all_backends_accept_and_refuse_the_same(curve: str, group: str) -> None:
    rng, every = np.random.default_rng(3), [made(name) for name in of_curve(curve)]
    for i in range(20):
        encoded = bytearray(sample(every[0], group, int(rng.integers(1, 1 << 60))))
        assert all(sample(b, group, i) == sample(every[0], group, i) for b in every)
        if i % 2:
            encoded[int(rng.integers(0, len(encoded)))] ^= 1 << int(rng.integers(0, 8))
        verdicts = []
        for backend in every:
            try:
                verdicts.append(backend.encode_affine(backend.decode_affine(group, bytes(encoded), 1)))
            except DecodeError:
                verdicts.append(None)
        assert all(v == (None if i % 2 else bytes(encoded)) for v in verdicts)
