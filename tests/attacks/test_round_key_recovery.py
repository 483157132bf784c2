"""Review finding C2: one well-formed bad ciphertext would make the released sum reveal the secret key.

A client (or the adders, in their own noise) adds a constant polynomial T to c1 of an honest ciphertext,
and T X^(N/2) to that of its second chunk. Every form check passes. Decryption then adds T s and T s X^(N/2),
whose slots are the real and the imaginary parts of T s at all roots: all of the secret key, under noise
that is small against T. Here the attack is first carried out against a key holder without the gate, where
it works; then against ours, whose only output is the word "failed".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.layers.parties import Cohort, make_policy, signed
from zkfed.errors import CiphertextRefused
from zkfed.he import loading
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import join_ciphertext, split_ciphertext
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.params import EncryptionParams, Scheme
from zkfed.layers import polis
from zkfed.layers.heart import Device
from zkfed.updates.messages import Failure, Release
from zkfed.updates.update import decode_ints

CKKS, BFV = EncryptionParams.of(Scheme.CKKS), EncryptionParams.of(Scheme.BFV)
DEGREE, PRIME = CKKS.degree, CKKS.primes[0]
T = 1 << 55
"""Scaled down by 2^24 it is 2^31 a slot and coefficient: far above a noise of 2^22, below the lane of 2^34."""


def square_root_of_minus_one() -> int:
    for base in range(2, 100):
        root = pow(base, (PRIME - 1) // 4, PRIME)
        if root * root % PRIME == PRIME - 1:
            return root
    raise RuntimeError("no root")


def poisoned(ciphertext: Ciphertext, times: int = T) -> Ciphertext:
    """Adds T to c1 of the first chunk and T X^(N/2) to that of the second; neither needs the key."""
    params = ciphertext.params
    words = split_ciphertext(params, ciphertext.count, ciphertext.data).copy()
    c1 = words.reshape(len(words), -1)[:, params.degree :]
    if params.scheme is Scheme.BFV:
        c1[0, 0] = (int(c1[0, 0]) + times) % PRIME  # coefficients: the constant one
    else:
        # Values at the roots, in bit-reversed order: X^(N/2) is +-i, and the sign is the order's top bit.
        c1[0] = (c1[0] + np.uint64(times)) % np.uint64(PRIME)
        if len(words) > 1:
            root = square_root_of_minus_one() * times % PRIME
            signs = np.array([root, PRIME - root], np.uint64).repeat(params.degree // 2)
            c1[1] = (c1[1] + signs) % np.uint64(PRIME)
    return Ciphertext(params, ciphertext.count, join_ciphertext(params, ciphertext.count, words))


def opened_without_a_gate(secret: SecretKey, total: Ciphertext, generator: np.random.Generator) -> Any:
    """Decrypts, rounds and adds both noises, and publishes what comes out."""
    vector = loading.load_vector(total.params, secret._context, total.data, total.count)
    noise = generator.normal(scale=36.3 * 2**16 * 2**0.5, size=total.count)
    return np.rint(loading.decrypt_vector(vector)) + np.rint(noise)


def secret_from_slots(real: npt.NDArray[np.float64], turned: npt.NDArray[np.float64]) -> Any:
    """Interpolates s from its values at the roots zeta^(3^j): a Fourier transform of length 2N.

    At an odd power e of zeta, X^(N/2) is i^e, so that a turned slot is the imaginary part up to its sign.
    """
    values = np.zeros(2 * DEGREE, complex)
    place = 1
    for j in range(DEGREE // 2):
        values[place] = real[j] + 1j * (turned[j] if place % 4 == 1 else -turned[j])
        values[2 * DEGREE - place] = np.conj(values[place])
        place = place * 3 % (2 * DEGREE)
    return np.fft.fft(values)[:DEGREE].real / DEGREE


def is_secret_key(secret: SecretKey, guess: npt.NDArray[np.int64]) -> bool:
    """Compares a guess with the library's own key, which holds values at the roots modulo the prime."""
    words = secret._context.secret_key().data.data
    words = words() if callable(words) else words
    generator = next(
        r for b in range(2, 200) if pow(r := pow(b, (PRIME - 1) // (2 * DEGREE), PRIME), DEGREE, PRIME) == PRIME - 1
    )
    smallest, power = generator, generator
    for _ in range(DEGREE):
        smallest, power = min(smallest, power), power * generator * generator % PRIME
    bits = DEGREE.bit_length() - 1
    for index in (0, 1, 7, 4095):
        exponent = 2 * int(f"{index:0{bits}b}"[::-1], 2) + 1
        root, value = pow(smallest, exponent, PRIME), 0
        for coefficient in guess[::-1].tolist():
            value = (value * root + coefficient) % PRIME
        if value != int(words[index]):
            return False
    return True


def test_without_the_gate_one_ciphertext_gives_the_secret_key_away() -> None:
    generator = np.random.default_rng(1)
    secret = SecretKey.generate(CKKS)
    updates = [generator.integers(-(1 << 15), 1 << 15, DEGREE) for _ in range(20)]
    ciphertexts = [encrypt(secret.public, u) for u in updates]
    assert Ciphertext.from_bytes(poisoned(ciphertexts[0]).data, CKKS, DEGREE)  # every check of form passes
    total = add(secret.public, [poisoned(ciphertexts[0]), *ciphertexts[1:]], DEGREE)
    published = opened_without_a_gate(secret, total, generator)
    half = DEGREE // 2
    slots = published * CKKS.scale / T
    # The sign of the square root was a guess: the other one gives s(1/X), which is ternary too.
    guesses = [secret_from_slots(slots[:half], sign * slots[half:]) for sign in (1, -1)]
    keys = [np.rint(g).astype(np.int64) for g in guesses]
    for guess, key in zip(guesses, keys, strict=True):
        assert np.abs(guess - key).max() < 0.01
        assert set(key.tolist()) == {-1, 0, 1}
    assert sum(is_secret_key(secret, key) for key in keys) == 1
    assert not any(is_secret_key(SecretKey.generate(CKKS), key) for key in keys)


def test_an_honest_sum_says_nothing_about_the_key() -> None:
    generator = np.random.default_rng(2)
    secret = SecretKey.generate(CKKS)
    ciphertexts = [encrypt(secret.public, generator.integers(-(1 << 15), 1 << 15, DEGREE)) for _ in range(3)]
    published = opened_without_a_gate(secret, add(secret.public, ciphertexts, DEGREE), generator)
    slots = published * CKKS.scale / T
    guess = secret_from_slots(slots[: DEGREE // 2], slots[DEGREE // 2 :])
    assert np.abs(guess).max() < 0.01  # nothing but the noise that made the guesses above uncertain


def test_rounding_already_refuses_what_is_no_integer() -> None:
    # With CKKS the slots of T s are no integers, unless T is so small that it changes nothing.
    secret = SecretKey.generate(CKKS)
    honest = encrypt(secret.public, np.arange(28))
    for times in (1 << 20, 1 << 27, 1 << 40, T):
        with pytest.raises(CiphertextRefused) as caught:
            secret.decrypt(poisoned(honest, times))
        assert caught.value.args == ("failed",)
    assert (secret.decrypt(poisoned(honest, 1 << 10)) == np.arange(28)).all()


def test_bfv_decrypts_it_without_a_word() -> None:
    # So there the opening equation is the only thing that stands between the key and the world.
    secret = SecretKey.generate(BFV)
    honest = encrypt(secret.public, np.arange(28))
    delta = PRIME // BFV.plain_modulus  # adds s itself to the plaintext, modulo t
    once, again = (secret.decrypt(poisoned(honest, delta)) for _ in range(2))
    assert (once == again).all()
    assert (once != np.arange(28)).any()
    other = SecretKey.generate(BFV)
    assert (other.decrypt(poisoned(encrypt(other.public, np.arange(28)), delta)) != once).any()


class KeyThief(Device):
    """Proves its honest update and poisons its ciphertext."""

    times = T

    def _encrypt(self, key: PublicKey, current: Any) -> bytes:
        plain = self.agreement.plaintext.pack(current.update.integers, current.blinder)
        return poisoned(encrypt(key, plain), self.times).to_bytes()


class WeakKeyThief(KeyThief):
    """Adds as much of the key as the rounding of BFV turns into whole numbers."""

    times = PRIME // BFV.plain_modulus


@pytest.mark.parametrize(("scheme", "kind"), [("ckks", KeyThief), ("bfv", KeyThief), ("bfv", WeakKeyThief)])
def test_the_gate_says_failed_and_nothing_else(scheme: str, kind: type[Device]) -> None:
    cohort = Cohort(make_policy(scheme=scheme), kinds=[kind])
    opened = cohort.ready()  # the adders cannot tell: proof, signature and framing hold
    secret = cohort.holder._attempts[opened.announced.body.encryption_key].secret
    outcome = signed(cohort.open(opened))
    failure = Failure.decode(outcome.body)
    assert outcome.kind == "failure"
    assert outcome.body == Failure(opened.announced.digest, failure.nonce).encode()
    assert secret._context is None


def test_the_adders_cannot_do_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    # Their own noise ciphertext is one of the summands, so they would need no client for it.
    cohort = Cohort()
    opened = cohort.start()
    cohort.seal_all(opened)
    monkeypatch.setattr(polis, "encrypt", lambda key, values: poisoned(encrypt(key, values)))
    cohort.add(opened)
    monkeypatch.undo()
    assert signed(cohort.open(opened)).kind == "failure"


def test_the_same_round_without_the_poison_is_released() -> None:
    for scheme in ("ckks", "bfv"):
        cohort = Cohort(make_policy(scheme=scheme))
        outcome = signed(cohort.open(cohort.ready()))
        assert len(decode_ints(Release.decode(outcome.body).sums)) == 12
