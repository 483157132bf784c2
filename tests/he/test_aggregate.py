"""Shows that the worker's sum is the sum, and what it refuses to add.

The sum is compared with one that is computed here, coefficient by coefficient, modulo q0.
"""

from __future__ import annotations

import numpy as np
import pytest

from zkfed.encoding import Writer
from zkfed.errors import CiphertextRefused, DecodeError
from zkfed.he.aggregate import add, add_here
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import join_ciphertext, split_ciphertext
from zkfed.he.keys import SecretKey
from zkfed.he.params import EncryptionParams, Scheme

BOTH = pytest.mark.parametrize("scheme", [*Scheme])


@pytest.fixture(scope="module")
def keys() -> dict[Scheme, SecretKey]:
    return {scheme: SecretKey.generate(EncryptionParams.of(scheme)) for scheme in Scheme}


def negated(ciphertext: Ciphertext) -> Ciphertext:
    words = split_ciphertext(ciphertext.params, ciphertext.count, ciphertext.data)
    prime = np.uint64(ciphertext.params.primes[0])
    opposite = np.where(words == 0, words, prime - words)
    data = join_ciphertext(ciphertext.params, ciphertext.count, opposite)
    return Ciphertext(ciphertext.params, ciphertext.count, data)


@BOTH
@pytest.mark.parametrize("number", [1, 2, 9])
def test_the_sum_is_the_sum_of_the_coefficients(keys: dict[Scheme, SecretKey], scheme: Scheme, number: int) -> None:
    params, count = keys[scheme].params, 5000
    ciphertexts = [encrypt(keys[scheme].public, np.arange(count) - i) for i in range(number)]
    words = [split_ciphertext(params, count, c.data).astype(object) for c in ciphertexts]
    expected = (sum(words) % params.primes[0]).astype(np.uint64)
    total = add(keys[scheme].public, ciphertexts, count)
    assert total.data == join_ciphertext(params, count, expected)
    assert (keys[scheme].decrypt(total) == number * np.arange(count) - sum(range(number))).all()


@BOTH
def test_what_is_not_added(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    key = keys[scheme].public
    first, second = encrypt(key, np.arange(10)), encrypt(key, np.arange(10))
    other = keys[Scheme.BFV if scheme is Scheme.CKKS else Scheme.CKKS].public
    with pytest.raises(ValueError, match="no ciphertext"):
        add(key, [], 10)
    with pytest.raises(CiphertextRefused, match=r"ciphertext 1 is .* with 11 integers, expected .* with 10"):
        add(key, [first, encrypt(key, np.arange(11))], 10)
    with pytest.raises(CiphertextRefused, match="ciphertext 0 is"):
        add(key, [first, second], 11)
    with pytest.raises(CiphertextRefused, match="ciphertext 1 is"):
        add(key, [first, encrypt(other, np.arange(10))], 10)
    with pytest.raises(CiphertextRefused, match="stands twice"):
        add(key, [first, second, first], 10)
    assert keys[scheme].decrypt(add(key, [first, second], 10)).tolist() == list(range(0, 20, 2))


@BOTH
def test_a_transparent_sum_is_refused(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    # A sum without its second polynomial would show what it holds to everybody.
    key = keys[scheme].public
    first, second = encrypt(key, np.arange(10)), encrypt(key, np.arange(10))
    with pytest.raises(CiphertextRefused, match="refuses to add"):
        add(key, [first, negated(first)], 10)
    assert keys[scheme].decrypt(add(key, [first, second, negated(first)], 10)).tolist() == list(range(10))


def test_a_ciphertext_under_another_key_is_added_and_only_seen_later(keys: dict[Scheme, SecretKey]) -> None:
    # It is well-formed, so nothing here can tell; decryption or the opening equation does.
    for scheme, secret in keys.items():
        other = SecretKey.generate(secret.params)
        mixed = [encrypt(secret.public, np.arange(100)), encrypt(other.public, np.arange(100))]
        total = add(secret.public, mixed, 100)
        if scheme is Scheme.CKKS:
            with pytest.raises(CiphertextRefused, match=r"^failed$"):
                secret.decrypt(total)
        else:
            assert (secret.decrypt(total) != 2 * np.arange(100)).any()


@BOTH
def test_the_worker_does_not_trust_its_parent(keys: dict[Scheme, SecretKey], scheme: Scheme) -> None:
    params, key = keys[scheme].params, keys[scheme].public
    good = encrypt(key, np.arange(10)).data
    head = Writer("zkfed/v1/worker-add").bytes(params.encode()).u64(10).u64(2).finish()
    for messages in ([head[:-1]], [head, key.to_bytes()[:-1]], [head, key.to_bytes(), good, good + b"\0"]):
        supply = iter(messages)
        with pytest.raises(DecodeError):
            add_here(lambda supply=supply: next(supply))
