"""Shows that a sealed ciphertext opens for its key, announcement and commit, and otherwise not at all.

The suite is RFC 9180's: its published vector opens (A.2.1; the vector is a fact of the RFC). The
associated data of that vector needs the library's internal function, since the public one has none;
this is why ours enters as `info`.
"""

from __future__ import annotations

import copy
import pickle
import secrets

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed.encoding import Writer
from zkfed.errors import CiphertextRefused, DecodeError
from zkfed.he.sealing import SEAL_OVERHEAD, SealingKey, SealingPublicKey, _suite, open_sealed, seal

KEY = SealingKey.generate()


def test_the_published_vector_opens() -> None:
    private = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
    )
    sealed = bytes.fromhex(
        "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )
    info, aad = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"), b"Count-0"
    plain = openssl.hpke._decrypt_with_aad(_suite(), sealed, private, info, aad)
    assert plain == b"Beauty is truth, truth beauty"
    public = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a"
    assert SealingKey(private).public.to_bytes().hex() == public


def test_our_context_is_the_info_of_the_rfc() -> None:
    # So another implementation can open what we seal: info as below, no associated data.
    sealed = seal(KEY.public, b"plain", info=b"announcement", aad=b"commit")
    info = Writer("zkfed/v1/seal-context").bytes(b"announcement").bytes(b"commit").finish()
    assert openssl.hpke._decrypt_with_aad(_suite(), sealed, KEY._key, info, b"") == b"plain"


@settings(max_examples=50)
@given(plain=st.binary(max_size=500), info=st.binary(max_size=40), aad=st.binary(max_size=40))
def test_what_is_sealed_opens(plain: bytes, info: bytes, aad: bytes) -> None:
    sealed = seal(KEY.public, plain, info=info, aad=aad)
    assert len(sealed) == len(plain) + SEAL_OVERHEAD
    assert open_sealed(KEY, sealed, info=info, aad=aad) == plain
    assert seal(KEY.public, plain, info=info, aad=aad) != sealed


def test_a_large_ciphertext() -> None:
    plain = secrets.token_bytes(3 << 20)
    assert open_sealed(KEY, seal(KEY.public, plain, info=b"", aad=b""), info=b"", aad=b"") == plain


@pytest.mark.parametrize(
    ("info", "aad"), [(b"a", b"c"), (b"b", b"d"), (b"ab", b""), (b"", b"ab"), (b"b", b"a"), (b"", b"")]
)
def test_another_context_does_not_open(info: bytes, aad: bytes) -> None:
    sealed = seal(KEY.public, b"plain", info=b"a", aad=b"b")
    with pytest.raises(CiphertextRefused, match="does not open"):
        open_sealed(KEY, sealed, info=info, aad=aad)


def test_another_key_does_not_open() -> None:
    sealed = seal(KEY.public, b"plain", info=b"a", aad=b"b")
    with pytest.raises(CiphertextRefused):
        open_sealed(SealingKey.generate(), sealed, info=b"a", aad=b"b")


def test_no_changed_byte_opens() -> None:
    sealed = seal(KEY.public, b"plain text", info=b"a", aad=b"b")
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            if (position, bit) == (31, 7):
                continue  # X25519 ignores this bit of a point, but HPKE hashes it: see below
            with pytest.raises(CiphertextRefused):
                open_sealed(KEY, bytes(changed), info=b"a", aad=b"b")
    masked = sealed[:31] + bytes([sealed[31] ^ 128]) + sealed[32:]
    with pytest.raises(CiphertextRefused):
        open_sealed(KEY, masked, info=b"a", aad=b"b")


def test_no_other_length_opens() -> None:
    sealed = seal(KEY.public, b"plain text", info=b"a", aad=b"b")
    for size in range(len(sealed)):
        with pytest.raises(CiphertextRefused):
            open_sealed(KEY, sealed[:size], info=b"a", aad=b"b")
    for longer in (sealed + b"\0", b"\0" + sealed, sealed + sealed):
        with pytest.raises(CiphertextRefused):
            open_sealed(KEY, longer, info=b"a", aad=b"b")


@pytest.mark.parametrize("point", [0, 1, (1 << 255) - 20], ids=["zero", "one", "minus one"])
def test_a_point_of_small_order_is_refused(point: int) -> None:
    data = point.to_bytes(32, "little")
    with pytest.raises(DecodeError, match="small order"):
        SealingPublicKey.from_bytes(data)
    with pytest.raises(CiphertextRefused):
        open_sealed(KEY, data + bytes(40), info=b"", aad=b"")


@pytest.mark.parametrize(
    "data",
    [
        b"", bytes(31), bytes(33), b"\xff" * 32, ((1 << 255) - 19).to_bytes(32, "little"),
        (9 + (1 << 255)).to_bytes(32, "little"),
    ],
    ids=["empty", "short", "long", "all ones", "the prime", "the ignored bit"],
)  # fmt: skip
def test_a_malformed_key_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        SealingPublicKey.from_bytes(data)


def test_keys_are_their_bytes_and_the_private_one_does_not_get_out() -> None:
    again = SealingPublicKey.from_bytes(KEY.public.to_bytes())
    assert again == KEY.public
    assert hash(again) == hash(KEY.public)
    assert again != SealingKey.generate().public
    private = KEY._key.private_bytes_raw()
    assert private.hex() not in repr(KEY)
    assert "secret hidden" in repr(KEY)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied or pickled"):
            leak(KEY)
