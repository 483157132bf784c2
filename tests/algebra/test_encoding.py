"""Shows that there is one encoding for each point, and that everything else is a DecodeError.

Flag bits, coordinates at and above q, x without a point, points outside the subgroup, the
identity in its canonical and other forms, and every wrong length. The encoder that the tests
compare with is written again from the formats' descriptions (oracle.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra import oracle
from tests.algebra.conftest import BACKENDS, made, of_curve
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import to_limbs
from zkfed.errors import DecodeError

NAMES = sorted(BACKENDS)


def flag_bits(backend: Backend) -> int:
    return 3 if backend.curve == BLS12_381 else 2


def with_flags(backend: Backend, encoded: bytes, flags: int) -> bytes:
    shift = 8 - flag_bits(backend)
    return bytes([encoded[0] & ((1 << shift) - 1) | flags << shift]) + encoded[1:]


def sample(backend: Backend, group: str, scalar: int = 12345) -> bytes:
    return backend.encode(backend.generator(group, to_limbs([scalar])))


def refused(backend: Backend, group: str, data: bytes, count: int = 1) -> str:
    with pytest.raises(DecodeError) as caught:
        backend.decode(group, data, count)
    return str(caught.value)


# -- what is accepted --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", ["G1", "G2"])
@settings(max_examples=15)
@given(data=st.data())
def test_round_trip(name: str, group: str, data: st.DataObject) -> None:
    backend = made(name)
    scalars = data.draw(st.lists(st.integers(1, backend.curve.order - 1), max_size=3))
    points = backend.generator(group, to_limbs(scalars))
    encoded = backend.encode(points)
    assert len(encoded) == len(scalars) * backend.curve.point_bytes(group)
    decoded = backend.decode(group, encoded, len(scalars))
    assert backend.is_equal(decoded, points).all()
    assert backend.encode(decoded) == encoded


def test_the_format_equals_its_description(backend: Backend, group: str) -> None:
    curve = backend.curve
    base = oracle.generator(curve, group)
    seen = set()
    for scalar in range(1, 12):
        expected = oracle.compress(curve, group, oracle.multiply(curve, group, base, scalar))
        assert sample(backend, group, scalar) == expected
        seen.add(expected[0] >> (8 - flag_bits(backend)))
    assert len(seen) == 2  # both roots occurred


@pytest.mark.parametrize("name", of_curve("bls12-381"))
def test_published_encodings_of_the_generators_of_bls12_381(name: str) -> None:
    first = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    second = (
        "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
    )
    assert sample(made(name), "G1", 1).hex() == first
    assert sample(made(name), "G2", 1).hex() == second


def test_the_other_root_is_the_negative(backend: Backend, group: str) -> None:
    encoded = sample(backend, group)
    sign = 1 << (5 if backend.curve == BLS12_381 else 6)
    flipped = backend.decode(group, bytes([encoded[0] ^ sign]) + encoded[1:], 1)
    assert backend.is_equal(flipped, backend.negate(backend.decode(group, encoded, 1))).all()


def test_no_points_have_no_bytes(backend: Backend, group: str) -> None:
    assert len(backend.decode(group, b"", 0)) == 0


# -- what is refused ---------------------------------------------------------------------------------


def test_every_other_flag_is_refused(backend: Backend, group: str) -> None:
    encoded = sample(backend, group)
    valid = {0b100, 0b101} if backend.curve == BLS12_381 else {0b10, 0b11}
    for flags in range(1 << flag_bits(backend)):
        changed = with_flags(backend, encoded, flags)
        if flags in valid:
            assert backend.encode(backend.decode(group, changed, 1)) == changed
        else:
            refused(backend, group, changed)


def test_the_identity_is_refused(backend: Backend, group: str) -> None:
    encoded = backend.encode(backend.generator(group, to_limbs([0])))
    assert encoded == oracle.compress(backend.curve, group, None)
    assert "identity" in refused(backend, group, encoded)
    refused(backend, group, sample(backend, group) + encoded, 2)
    refused(backend, group, encoded + sample(backend, group), 2)


def test_every_other_form_of_the_identity_is_refused(backend: Backend, group: str) -> None:
    size = backend.curve.point_bytes(group)
    for flags in range(1 << flag_bits(backend)):
        for tail in (bytes(size - 1), bytes(size - 2) + b"\1", b"\xff" * (size - 1), sample(backend, group)[1:]):
            first = flags << (8 - flag_bits(backend))
            try:
                point = backend.decode(group, bytes([first]) + tail, 1)
            except DecodeError:
                continue
            assert not backend.is_identity(point).any()
            assert backend.encode(point) == bytes([first]) + tail


def test_a_coordinate_at_or_above_q_is_refused(backend: Backend, group: str) -> None:
    curve, q = backend.curve, backend.curve.base_modulus
    room = (1 << (8 * curve.coordinate_bytes - flag_bits(backend))) - q
    base = oracle.generator(curve, group)
    for scalar in range(1, 60):
        point = oracle.multiply(curve, group, base, scalar)
        if point[0][-1] < room:
            break
    else:
        pytest.fail("no point with a small enough coordinate")
    (*low, top), y = point
    assert backend.encode(backend.decode(group, oracle.compress(curve, group, point), 1))
    shifted = oracle.compress(curve, group, ((*low, top + q), y))
    assert "below q" in refused(backend, group, shifted)
    assert "below q" in refused(backend, group, oracle.compress(curve, group, ((*low, q), y)))
    if group == "G2":
        assert "below q" in refused(backend, group, oracle.compress(curve, group, ((low[0] + q, top), y)))
        assert "below q" in refused(backend, group, oracle.compress(curve, group, ((q, top), y)))
        all_ones = (1 << (8 * curve.coordinate_bytes)) - 1
        assert "below q" in refused(backend, group, oracle.compress(curve, group, ((all_ones, top), y)))


def test_an_x_without_a_point_is_refused(backend: Backend, group: str) -> None:
    curve = backend.curve
    missing = [x for x in oracle.scan_x(group) if oracle.lift(curve, group, x) is None]
    assert len(missing) > 10
    base = oracle.generator(curve, group)
    for x in missing[:6]:
        for y in (base[1], oracle.multiply(curve, group, base, curve.order - 1)[1]):
            refused(backend, group, oracle.compress(curve, group, (x, y)))


def test_a_point_outside_the_subgroup_is_refused(backend: Backend, group: str) -> None:
    curve = backend.curve
    points = [p for x in oracle.scan_x(group) if (p := oracle.lift(curve, group, x))][:5]
    for point in points:
        encoded = oracle.compress(curve, group, point)
        if curve == BN254 and group == "G1":  # its order is prime, so every point is inside
            assert backend.encode(backend.decode(group, encoded, 1)) == encoded
            continue
        assert oracle.multiply(curve, group, point, curve.order) is not None
        refused(backend, group, encoded)
        refused(backend, group, sample(backend, group) + encoded, 2)


def test_points_of_a_small_subgroup_are_refused(backend: Backend, group: str) -> None:
    curve, base = backend.curve, oracle.generator(backend.curve, group)
    outside = next(p for x in oracle.scan_x(group) if (p := oracle.lift(curve, group, x)))
    if curve == BN254 and group == "G1":  # there is no other subgroup than the whole curve
        assert oracle.multiply(curve, group, outside, curve.order) is None
        return
    in_cofactor = oracle.multiply(curve, group, outside, curve.order)
    refused(backend, group, oracle.compress(curve, group, in_cofactor))
    refused(backend, group, oracle.compress(curve, group, oracle.add(curve, group, base, in_cofactor)))


@pytest.mark.parametrize("count", [1, 3])
def test_every_wrong_length_is_refused(backend: Backend, group: str, count: int) -> None:
    encoded = backend.encode(backend.generator(group, to_limbs(list(range(5, 5 + count)))))
    for data in (b"", encoded[:-1], encoded + b"\0", encoded + encoded, encoded[: len(encoded) // 2]):
        refused(backend, group, data, count)
    refused(backend, group, encoded, count + 1)
    refused(backend, group, encoded, count - 1)
    refused(backend, group, encoded, 0)


def test_an_uncompressed_point_is_refused(backend: Backend) -> None:
    x, y = oracle.generator(backend.curve, "G1")
    size = backend.curve.coordinate_bytes
    refused(backend, "G1", x[0].to_bytes(size, "big") + y[0].to_bytes(size, "big"))
    refused(backend, "G1", x[0].to_bytes(size, "big") + y[0].to_bytes(size, "big"), 2)
    refused(backend, "G1", x[0].to_bytes(size, "big"))


def test_a_point_of_the_other_group_is_refused(backend: Backend) -> None:
    refused(backend, "G1", sample(backend, "G2"))
    refused(backend, "G2", sample(backend, "G1"))
    refused(backend, "G2", sample(backend, "G1") * 2)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(data=st.data())
def test_any_bytes_are_canonical_or_refused(name: str, data: st.DataObject) -> None:
    backend = made(name)
    group = data.draw(st.sampled_from(["G1", "G2"]))
    size = backend.curve.point_bytes(group)
    changes = data.draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 255)), max_size=3))
    encoded = bytearray(data.draw(st.sampled_from([sample(backend, group), bytes(size), b"\xff" * size])))
    for place, value in changes:
        encoded[place] = value
    try:
        points = backend.decode(group, bytes(encoded), 1)
    except DecodeError:  # anything else fails the test
        return
    assert backend.encode(points) == bytes(encoded)
    assert not backend.is_identity(points).any()


@pytest.mark.parametrize("curve", ["bls12-381", "bn254"])
def test_all_backends_accept_and_refuse_the_same(curve: str, group: str) -> None:
    rng, every = np.random.default_rng(3), [made(name) for name in of_curve(curve)]
    for _ in range(40):
        encoded = bytearray(sample(every[0], group, int(rng.integers(1, 1 << 60))))
        encoded[int(rng.integers(0, len(encoded)))] ^= 1 << int(rng.integers(0, 8))
        verdicts = []
        for backend in every:
            try:
                verdicts.append(backend.encode(backend.decode(group, bytes(encoded), 1)))
            except DecodeError:
                verdicts.append(None)
        assert all(v == verdicts[0] for v in verdicts)
