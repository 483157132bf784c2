"""Ciphertexts that decrypt to something else than a sum of integers: repeated, mixed, foreign, noise.

CKKS is exact only while errors stay small. One ciphertext that is added 8192 times has 8192 times its
error, and what rounding then gives depends on the secret key. K's rounding check refuses it, with one
word. BFV says nothing and gives wrong integers; there, and wherever slots happen to lie near integers,
the opening equation of the round is what refuses.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.he import forgeries
from zkfed.errors import CiphertextRefused
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import join_ciphertext, split_ciphertext
from zkfed.he.keys import SecretKey
from zkfed.he.params import EncryptionParams, Scheme

COUNT = 666


@pytest.fixture(scope="module")
def keys() -> dict[Scheme, SecretKey]:
    return {scheme: SecretKey.generate(EncryptionParams.of(scheme)) for scheme in Scheme}


def repeated(ciphertext: Ciphertext, doublings: int) -> Ciphertext:
    params, count = ciphertext.params, ciphertext.count
    words, prime = split_ciphertext(params, count, ciphertext.data), np.uint64(params.primes[0])
    for _ in range(doublings):
        total = words + words
        words = np.where(total >= prime, total - prime, total)
    return Ciphertext(params, count, join_ciphertext(params, count, words))


def refused(secret: SecretKey, ciphertext: Ciphertext) -> None:
    with pytest.raises(CiphertextRefused) as caught:
        secret.decrypt(ciphertext)
    assert caught.value.args == ("failed",)  # no slot, no distance, no value
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_one_ciphertext_added_8192_times_is_caught(keys: dict[Scheme, SecretKey]) -> None:
    secret = keys[Scheme.CKKS]
    refused(secret, repeated(encrypt(secret.public, np.ones(COUNT, np.int64)), 13))


def test_few_repetitions_are_still_exact(keys: dict[Scheme, SecretKey]) -> None:
    # So that it is the error that is refused above, and not the repetition.
    for secret in keys.values():
        one = encrypt(secret.public, np.ones(COUNT, np.int64))
        assert (secret.decrypt(repeated(one, 6)) == 64).all()


def test_bfv_says_nothing_and_the_opening_equation_has_to(keys: dict[Scheme, SecretKey]) -> None:
    secret = keys[Scheme.BFV]
    plain = secret.decrypt(repeated(encrypt(secret.public, np.ones(COUNT, np.int64)), 17))
    assert (plain != 1 << 17).any()


def test_a_ciphertext_under_another_key(keys: dict[Scheme, SecretKey]) -> None:
    values = np.arange(COUNT)
    other = SecretKey.generate(EncryptionParams.of(Scheme.CKKS))
    refused(keys[Scheme.CKKS], encrypt(other.public, values))
    foreign = SecretKey.generate(EncryptionParams.of(Scheme.BFV))
    assert (keys[Scheme.BFV].decrypt(encrypt(foreign.public, values)) != values).any()


def test_uniform_noise_in_the_form_of_a_ciphertext(keys: dict[Scheme, SecretKey]) -> None:
    ckks = Ciphertext(EncryptionParams.of(Scheme.CKKS), COUNT, forgeries.honest("ckks", COUNT))
    refused(keys[Scheme.CKKS], ckks)
    bfv = Ciphertext(EncryptionParams.of(Scheme.BFV), COUNT, forgeries.honest("bfv", COUNT))
    assert keys[Scheme.BFV].decrypt(bfv).shape == (COUNT,)


def test_one_slot_off_by_a_quarter_is_enough() -> None:
    # The library encrypts the fraction, as a client with its own software could.
    import tenseal as ts

    from zkfed.he import loading

    params = EncryptionParams.of(Scheme.CKKS)
    secret = SecretKey.generate(params)

    def fraction(value: float) -> Ciphertext:
        slots = [1.0] * COUNT
        slots[77] = value
        vector = ts.ckks_vector(secret.public.context, slots)
        return Ciphertext(params, COUNT, join_ciphertext(params, COUNT, loading.vector_words(params, vector, COUNT)))

    for value in (2.3, -5.5, 0.74):
        refused(secret, fraction(value))
    for value in (2.2, -5.1, 0.8):
        assert secret.decrypt(fraction(value))[77] == round(value)
