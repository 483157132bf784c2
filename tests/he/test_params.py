"""Shows when a sum is exact: the rule holds at its extremes, is needed, and weaker parameters are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from zkfed.encoding import Writer
from zkfed.errors import DecodeError, PolicyError
from zkfed.he import loading
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import Coefficients, join_ciphertext, split_ciphertext
from zkfed.he.keys import SecretKey
from zkfed.he.params import EncryptionParams, Scheme, check_exact
from zkfed.policy import CLIENTS_MAX, Improvement, LinearModel, RoundPolicy

BOTH = pytest.mark.parametrize("params", [EncryptionParams.of(s) for s in Scheme], ids=[*Scheme])
CKKS, BFV = (EncryptionParams.of(s) for s in Scheme)


def doubled(params: EncryptionParams, words: Coefficients, times: int) -> Coefficients:
    """Returns 2^times the ciphertext: what adding one ciphertext that often gives."""
    for _ in range(times):
        total = words + words
        words = np.where(total >= params.primes[0], total - np.uint64(params.primes[0]), total)
    return words


# -- the parameter set -----------------------------------------------------------------------------


@BOTH
def test_one_encoding(params: EncryptionParams) -> None:
    assert EncryptionParams.decode(params.encode()) == params
    assert len(params.digest) == 32


def test_the_schemes_differ() -> None:
    assert CKKS.digest != BFV.digest
    assert (CKKS.slots, BFV.slots) == (2048, 4096)


@pytest.mark.parametrize(
    "weaker",
    [
        {"primes": (CKKS.primes[0], (1 << 49) - 1)},  # 109 bits: safe classically, not against quantum attacks
        {"primes": (CKKS.primes[0],) * 2},
        {"degree": 2048},
        {"degree": 1024, "primes": (12289,)},
        {"degree": 0, "primes": (CKKS.primes[0],)},
    ],
)
def test_weaker_parameters_are_refused_at_creation_and_on_load(weaker: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="128 bits of security"):
        dataclasses.replace(CKKS, **weaker)
    fields = {"degree": CKKS.degree, "primes": CKKS.primes, **weaker}
    w = Writer("zkfed/v1/encryption").text("ckks").u64(fields["degree"])
    w.list([q.to_bytes(8, "big") for q in fields["primes"]])
    with pytest.raises(PolicyError, match="128 bits of security"):
        EncryptionParams.decode(w.u64(CKKS.scale).u64(0).finish())


@pytest.mark.parametrize(
    "other",
    [
        {"degree": 8192}, {"primes": (CKKS.primes[0], 1073643521)}, {"scale": 1 << 20}, {"scale": 1 << 30},
        {"plain_modulus": BFV.plain_modulus}, {"scheme": Scheme.BFV}, {"scheme": "bgv"}, {"degree": 4096.0},
        {"scale": True}, {"scale": -1}, {"primes": ()},
    ],
)  # fmt: skip
def test_other_parameters_are_refused(other: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        dataclasses.replace(CKKS, **other)


@BOTH
def test_malformed_parameters_are_refused(params: EncryptionParams) -> None:
    data = params.encode()
    for bad in (b"", data[:-1], data + b"\0", data.replace(params.scheme.encode(), b"x" * len(params.scheme))):
        with pytest.raises(DecodeError):
            EncryptionParams.decode(bad)


# -- the rule --------------------------------------------------------------------------------------


@BOTH
def test_the_largest_policy_is_exact(params: EncryptionParams) -> None:
    statement = Improvement(model=LinearModel(features=64, classes=10), rows=200, at_least="5%")
    policy = RoundPolicy(statement, clip_norm=1.0, epsilon=2.0, delta=1e-6, min_clients=16, max_clients=CLIENTS_MAX)
    check_exact(params, sum_bound=policy.sum_bound, terms=CLIENTS_MAX + 1)


@BOTH
@pytest.mark.parametrize(
    ("sum_bound", "terms"),
    [
        ("above", 1),  # the range of a slot
        (0, 1 << 30),  # the limbs of the blinders, which no bound on D covers
        (0, 0), (-1, 1), (1.0, 1), (1, True),
    ],
)  # fmt: skip
def test_an_inexact_sum_is_refused(params: EncryptionParams, sum_bound: Any, terms: Any) -> None:
    bound = params.value_max + 1 if sum_bound == "above" else sum_bound
    with pytest.raises(PolicyError):
        check_exact(params, sum_bound=bound, terms=terms)


def test_the_limbs_of_the_blinders_count_too() -> None:
    # Whatever bounds D: each plaintext carries limbs up to 2^16 - 1 beside it.
    check_exact(BFV, sum_bound=0, terms=2_097_000)
    with pytest.raises(PolicyError, match="a coordinate of the sum may reach 137447604060"):
        check_exact(BFV, sum_bound=0, terms=2_097_316)


def test_too_many_errors_are_refused() -> None:
    check_exact(CKKS, sum_bound=1, terms=36_000)
    with pytest.raises(PolicyError, match="errors of 40000 ciphertexts may change the sum, those of 36"):
        check_exact(CKKS, sum_bound=1, terms=40_000)


@BOTH
@pytest.mark.parametrize("sign", [1, -1, 0], ids=["largest", "smallest", "mixed"])
def test_the_range_is_exact_to_its_ends(params: EncryptionParams, sign: int) -> None:
    # A constant vector puts all its weight on one coefficient; alternating ends spread it.
    count = params.slots
    values = np.full(count, sign * params.value_max)
    if sign == 0:
        values = params.value_max * (1 - 2 * (np.arange(count) % 2))
    secret = SecretKey.generate(params)
    assert (secret.decrypt(encrypt(secret.public, values)) == values).all()


@BOTH
def test_beyond_the_range_a_sum_is_wrong_and_nobody_is_told(params: EncryptionParams) -> None:
    # Hence the rule: four times the largest value comes out as a small integer.
    secret = SecretKey.generate(params)
    one = encrypt(secret.public, np.full(64, params.value_max))
    words = doubled(params, split_ciphertext(params, 64, one.data), 2)
    wrong = secret.decrypt(Ciphertext(params, 64, join_ciphertext(params, 64, words)))
    assert (np.abs(wrong) < 64).all()
    with pytest.raises(PolicyError):
        check_exact(params, sum_bound=4 * params.value_max, terms=4)


def test_the_error_of_a_slot_is_the_one_that_the_rule_assumes() -> None:
    secret = SecretKey.generate(CKKS)
    values, errors = np.zeros(CKKS.slots, np.int64), []
    for _ in range(20):
        c = encrypt(secret.public, values)
        errors.append(loading.decrypt_vector(loading.load_vector(CKKS, secret._context, c.data, len(values))))
    deviation = np.array(errors).std() * CKKS.scale
    assert 600 < deviation < 770  # 683; over keys it varies by 1 %
    assert np.abs(errors).max() * CKKS.scale < 16 * 683  # Laplace: exp(-22) a slot, of 40960


def test_the_error_of_bfv_is_the_one_that_the_rule_assumes() -> None:
    import tenseal.sealapi as seal

    secret = SecretKey.generate(BFV)
    c = encrypt(secret.public, np.full(BFV.slots, BFV.value_max))
    chunk = loading.load_vector(BFV, secret._context, c.data, BFV.slots).ciphertext()[0]
    decryptor = seal.Decryptor(secret._context.seal_context().data, secret._context.secret_key().data)
    # 21 bits of room, the largest of 4096 coefficients is about 4 * 15.1 = 2^6.
    assert 14 <= decryptor.invariant_noise_budget(chunk) <= 16
