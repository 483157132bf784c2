"""Shows that a loaded ciphertext is checked once more, should framing ever let another shape through.

The messages go straight to `loading`, past the framing that refuses every one of them; the library
itself accepts them all.
"""

from __future__ import annotations

import numpy as np
import pytest
import tenseal as ts

from tests.he import forgeries
from tests.he.forgeries import DEGREE, SealCiphertext, noise, vector
from zkfed.errors import CiphertextRefused, PolicyError
from zkfed.he import loading
from zkfed.he.keys import SecretKey
from zkfed.he.params import EncryptionParams, Scheme

COUNT = 666
CKKS = EncryptionParams.of(Scheme.CKKS)
LOADABLE = {
    "fewer integers": vector([COUNT - 1], [SealCiphertext().encode()]),
    "more integers than slots": vector([5000], [SealCiphertext().encode()]),
    "no ciphertext": vector([COUNT], []),
    "two ciphertexts": vector([COUNT - 6, 6], [SealCiphertext().encode()] * 2),
    "three polynomials": vector([COUNT], [SealCiphertext(polynomials=3, data=noise(1, 3 * DEGREE)).encode()]),
    "scale NaN": vector([COUNT], [SealCiphertext(scale=float("nan")).encode()]),
    "negative scale": vector([COUNT], [SealCiphertext(scale=-1.0).encode()]),
    "zeros": vector([COUNT], [SealCiphertext(data=bytes(16 * DEGREE)).encode()]),
    "a bomb's grain": forgeries.vector([COUNT], [forgeries.compressed_zeros(16)]),
}


@pytest.fixture(scope="module")
def secret() -> SecretKey:
    return SecretKey.generate(CKKS)


@pytest.mark.parametrize("what", LOADABLE)
def test_another_shape_is_refused_after_loading(secret: SecretKey, what: str) -> None:
    ts.ckks_vector_from(secret.public.context, LOADABLE[what])  # the library has nothing against it
    with pytest.raises(CiphertextRefused, match="another shape"):
        loading.load_vector(CKKS, secret.public.context, LOADABLE[what], COUNT)


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\x12\x05abcde", forgeries.honest("bfv", COUNT)], ids=len)
def test_what_the_library_refuses_is_refused_by_type(secret: SecretKey, data: bytes) -> None:
    with pytest.raises(CiphertextRefused):
        loading.load_vector(CKKS, secret.public.context, data, COUNT)
    with pytest.raises(CiphertextRefused):
        loading.load_public(b"\x0a\x01\x00" + data)


def test_an_honest_one_loads(secret: SecretKey) -> None:
    data = vector([COUNT], [SealCiphertext().encode()])
    loaded = loading.load_vector(CKKS, secret.public.context, data, COUNT)
    words = np.frombuffer(noise(1, 2 * DEGREE), np.uint64)
    assert (loading.vector_words(CKKS, loaded, COUNT).reshape(-1) == words).all()


def test_another_version_of_the_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its bytes differ, so that nothing would load; tenseal 0.3.16 with SEAL 4.1 is such a one.
    monkeypatch.setattr(loading, "SEAL_VERSION", (4, 9))
    loading._library.cache_clear()
    with pytest.raises(PolicyError, match=r"contains SEAL 4\.3, .* of SEAL 4\.9: install"):
        SecretKey.generate(CKKS)
    monkeypatch.undo()
    assert SecretKey.generate(CKKS).public.context.is_public()
