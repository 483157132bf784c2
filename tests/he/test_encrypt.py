"""Shows that integers come back exactly, at their extremes and from sums of hundreds of clients.

Also that the library prints nothing, that two encryptions of one vector differ, and what is no vector of
integers is refused without naming a value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed.encoding import digest
from zkfed.errors import DecodeError
from zkfed.fixedpoint import blinder_from_limbs, blinder_limbs
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import ciphertext_size
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.params import EncryptionParams, Scheme

BOTH = pytest.mark.parametrize("scheme", [*Scheme])
SMALL, LARGE = -(1 << 15), (1 << 15) - 1
NOISE = (1 << 28) - 1


@pytest.fixture(scope="module")
def keys() -> dict[Scheme, SecretKey]:
    return {scheme: SecretKey.generate(EncryptionParams.of(scheme)) for scheme in Scheme}


def public(secret: SecretKey) -> PublicKey:
    """Returns the key as a client gets it: from bytes."""
    return PublicKey.from_bytes(secret.public.to_bytes(), secret.params)


@BOTH
@pytest.mark.parametrize("count", [1, 2, 666, 2047, 2048, 2049, 4096, 4097, 9000])
def test_what_goes_in_comes_out(keys: dict[Scheme, SecretKey], scheme: Scheme, count: int) -> None:
    values = np.random.default_rng(count).integers(SMALL, LARGE + 1, count)
    values[[0, -1]] = LARGE, SMALL
    ciphertext = encrypt(public(keys[scheme]), values)
    assert len(ciphertext.data) == ciphertext_size(keys[scheme].params, count)
    plain = keys[scheme].decrypt(Ciphertext.from_bytes(ciphertext.to_bytes(), keys[scheme].params, count))
    assert plain.dtype == np.int64
    assert (plain == values).all()


@BOTH
def test_hundreds_of_clients_add_exactly(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    # 650 coordinates and 16 limbs of a blinder from 300 clients, and one noise; many at their ends.
    rng, secret = np.random.default_rng(7), keys[scheme]
    order = 52435875175126190479447740508185965837690552500527637822603658699938581184513
    key, vectors, blinders = public(secret), [], []
    for client in range(300):
        values = rng.choice([SMALL, LARGE], 650) if client % 3 == 0 else rng.integers(SMALL, LARGE + 1, 650)
        values[:8] = SMALL if client % 2 else LARGE
        values[8:16], values[16:24] = LARGE, SMALL
        blinder = order - 1 - client
        vectors.append(np.concatenate([values, np.array(blinder_limbs(blinder))]))
        blinders.append(blinder)
    noise = np.concatenate([rng.choice([-NOISE, NOISE], 650), np.full(16, (1 << 16) - 1)])
    total = add(key, [encrypt(key, v) for v in [*vectors, noise]], 666)
    plain = secret.decrypt(total)
    assert (plain == np.sum(vectors, axis=0) + noise).all()
    assert blinder_from_limbs(plain[-16:].tolist(), order) == (sum(blinders) + (1 << 256) - 1) % order


@BOTH
@settings(max_examples=40)
@given(data=st.data())
def test_any_integers_in_range(keys: dict[Scheme, SecretKey], scheme: Scheme, data: st.DataObject) -> None:
    most = keys[scheme].params.value_max
    integers = st.integers(-most, most) | st.sampled_from([-most, most, 0, 1, -1])
    values = np.array(data.draw(st.lists(integers, min_size=1, max_size=50)))
    assert (keys[scheme].decrypt(encrypt(keys[scheme].public, values)) == values).all()


@BOTH
def test_encryption_is_random_and_its_length_fixed(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    first, second = (encrypt(keys[scheme].public, np.zeros(100, np.int64)) for _ in range(2))
    third = encrypt(keys[scheme].public, np.full(100, LARGE))
    assert first.data != second.data
    assert len(first.data) == len(second.data) == len(third.data)


@BOTH
def test_the_library_prints_nothing(
    keys: dict[Scheme, SecretKey], scheme: Scheme, capfd: pytest.CaptureFixture[str]
) -> None:
    key = public(keys[scheme])
    values = np.arange(10_000)
    keys[scheme].decrypt(add(key, [encrypt(key, values)], 10_000))
    assert capfd.readouterr() == ("", "")


@BOTH
def test_small_integer_types_are_integers(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    values = np.array([-128, 127], np.int8)
    assert keys[scheme].decrypt(encrypt(keys[scheme].public, values)).tolist() == [-128, 127]


@BOTH
@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0]), np.array([True]), np.array(["1"]), np.array([1], np.uint64), np.array([1], object),
        np.array([]), None, [0.5],
    ],
    ids=repr,
)  # fmt: skip
def test_only_signed_integers_are_encrypted(keys: dict[Scheme, SecretKey], scheme: Scheme, values: Any) -> None:
    with pytest.raises(TypeError, match="expected signed integers"):
        encrypt(keys[scheme].public, values)


@BOTH
def test_shape_and_range_are_checked(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    most = keys[scheme].params.value_max
    for shape in [(0,), (2, 2), ()]:
        with pytest.raises(ValueError, match="of shape"):
            encrypt(keys[scheme].public, np.zeros(shape, np.int64))
    for value in (most + 1, -most - 1, (1 << 63) - 1, -(1 << 63)):
        with pytest.raises(ValueError, match="a value is outside") as caught:
            encrypt(keys[scheme].public, np.array([0, value]))
        assert str(abs(value)) not in str(caught.value)


@BOTH
def test_a_ciphertext_is_its_checked_bytes(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    params, one = keys[scheme].params, encrypt(keys[scheme].public, np.arange(10))
    assert one.digest == digest("zkfed/v1/ciphertext", one.to_bytes())
    assert Ciphertext.from_bytes(one.to_bytes(), params, 10) == one
    assert len(repr(one)) < 300
    for count in (9, 11):
        with pytest.raises(DecodeError):
            Ciphertext(params, count, one.data)
    other = EncryptionParams.of(Scheme.BFV if scheme is Scheme.CKKS else Scheme.CKKS)
    with pytest.raises(DecodeError):
        Ciphertext(other, 10, one.data)
