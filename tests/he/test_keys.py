"""Shows that a public key has no place for a secret one, and that a secret key does not get out."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import tenseal as ts

from tests.he import forgeries
from zkfed.errors import DecodeError, PolicyError
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.params import EncryptionParams, Scheme

BOTH = pytest.mark.parametrize("params", [EncryptionParams.of(s) for s in Scheme], ids=[*Scheme])
FLAGS = ("save_public_key", "save_secret_key", "save_galois_keys", "save_relin_keys")


@BOTH
def test_a_public_key_holds_no_secret(params: EncryptionParams) -> None:
    secret = SecretKey.generate(params)
    for key in (secret.public, PublicKey.from_bytes(secret.public.to_bytes(), params)):
        assert key.context.is_public()
        assert not key.context.is_private()
        assert not key.context.has_secret_key()
        assert not key.context.has_relin_keys()
        with pytest.raises(ValueError, match="Secret key"):
            key.context.secret_key()


@BOTH
def test_a_public_key_is_its_bytes(params: EncryptionParams) -> None:
    first, second = SecretKey.generate(params).public, SecretKey.generate(params).public
    again = PublicKey.from_bytes(first.to_bytes(), params)
    assert again == first
    assert hash(again) == hash(first)
    assert again.digest == first.digest
    assert first != second
    assert first.digest != second.digest
    assert len(repr(first)) < 100


@BOTH
@pytest.mark.parametrize("saved", [FLAGS, FLAGS[:2], (FLAGS[0], FLAGS[3]), FLAGS[:1], ()], ids=len)
def test_what_the_library_writes_is_not_read(params: EncryptionParams, saved: tuple[str, ...]) -> None:
    # With the secret key, with evaluation keys, compressed, or without any key.
    secret = SecretKey.generate(params)
    secret._context.generate_galois_keys()
    blob = secret._context.serialize(**{flag: flag in saved for flag in FLAGS})
    with pytest.raises(DecodeError):
        PublicKey.from_bytes(blob, params)


@BOTH
def test_nothing_can_be_appended_to_a_key(params: EncryptionParams) -> None:
    data = SecretKey.generate(params).public.to_bytes()
    private = forgeries.proto(3, forgeries.proto(1, forgeries.seal_object(bytes(32))) + b"\x10\x01")
    for bad in (data + private, private + data, data + b"\x20\x01", data + data, data + b"\0", b""):
        with pytest.raises(DecodeError):
            PublicKey.from_bytes(bad, params)


@pytest.mark.parametrize(("degree", "bits"), [(4096, [60, 49]), (4096, [54, 55]), (2048, [30, 24]), (8192, [60, 30])])
def test_keys_of_other_parameters_are_refused(degree: int, bits: list[int]) -> None:
    context = ts.context(ts.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=bits, n_threads=1)
    context.global_scale = 2.0**24
    blob = context.serialize(**{flag: flag == "save_public_key" for flag in FLAGS})
    with pytest.raises(DecodeError):
        PublicKey.from_bytes(blob, EncryptionParams.of(Scheme.CKKS))


def test_a_key_of_the_other_scheme_is_refused() -> None:
    ckks, bfv = (EncryptionParams.of(s) for s in Scheme)
    data = SecretKey.generate(ckks).public.to_bytes()
    with pytest.raises(DecodeError):
        PublicKey.from_bytes(data, bfv)
    with pytest.raises(PolicyError, match="a ciphertext of ckks and a key of bfv"):
        SecretKey.generate(bfv).decrypt(encrypt(PublicKey.from_bytes(data, ckks), np.arange(3)))


@BOTH
def test_a_secret_key_does_not_get_out(params: EncryptionParams) -> None:
    secret = SecretKey.generate(params)
    assert repr(secret) == str(secret) == f"SecretKey({secret.public!r}, secret hidden)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied or pickled"):
            leak(secret)
    assert not hasattr(secret, "to_bytes")
    assert not hasattr(secret, "__dict__")


@BOTH
def test_an_erased_key_decrypts_no_more(params: EncryptionParams) -> None:
    secret = SecretKey.generate(params)
    ciphertext = encrypt(secret.public, np.arange(3))
    assert secret.decrypt(ciphertext).tolist() == [0, 1, 2]
    secret.erase()
    with pytest.raises(PolicyError, match="was erased"):
        secret.decrypt(ciphertext)
    secret.erase()
    assert secret.public.digest  # the public key of the attempt stays known
