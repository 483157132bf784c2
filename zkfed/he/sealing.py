"""HPKE around a ciphertext, so that only the adders see it.

The key holder could decrypt a client's ciphertext, so it leaves the client only under a second
encryption, to the adders' sealing key. RFC 9180, base mode, one message a key encapsulation:
DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

    sealed = enc (32 bytes) | AEAD ciphertext | tag (16 bytes)

The library's interface takes `info` and no associated data. Both of ours enter as its `info`,
length-prefixed: the key schedule hashes it, so that another context gives another key, and in
single-shot use a different associated data fails in the same way as it would inside the AEAD.

Base mode does not say who sealed: the signature beside the sealed update does.
"""

from __future__ import annotations

from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from zkfed.encoding import Writer
from zkfed.errors import CiphertextRefused, DecodeError

__all__ = ["SEAL_OVERHEAD", "SealingKey", "SealingPublicKey", "open_sealed", "seal"]

SEAL_OVERHEAD = 48
"""Bytes by which a sealed message is longer than its plaintext."""

_KEY_BYTES = 32
_FIELD_PRIME = (1 << 255) - 19


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class SealingPublicKey:
    """The adders' X25519 key, to which ciphertexts are sealed.

    Args:
        data: 32 bytes, a canonical u-coordinate that is not of small order.

    Raises:
        DecodeError: Anything else; a shared secret with a point of small order is no secret.
    """

    __slots__ = ("_data", "_key")

    def __init__(self, data: bytes) -> None:
        if len(data) != _KEY_BYTES:
            raise DecodeError(f"a sealing key has {len(data)} bytes, expected {_KEY_BYTES}")
        if int.from_bytes(data, "little") >= _FIELD_PRIME:
            raise DecodeError("a sealing key is not below 2^255 - 19, hence not canonical")
        self._data, self._key = data, X25519PublicKey.from_public_bytes(data)
        try:
            X25519PrivateKey.generate().exchange(self._key)
        except ValueError:
            raise DecodeError("a sealing key is a point of small order") from None

    def __repr__(self) -> str:
        return f"SealingPublicKey({self._data.hex()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingPublicKey) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)

    @classmethod
    def from_bytes(cls, data: bytes) -> SealingPublicKey:
        """Reads a key from anybody's bytes; see the class for what it raises."""
        return cls(data)

    def to_bytes(self) -> bytes:
        """Returns the 32 bytes of the key."""
        return self._data


class SealingKey:
    """The adders' private sealing key: it shows nothing and is not copied or pickled."""

    __slots__ = ("_key", "public")

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = SealingPublicKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> SealingKey:
        """Returns a fresh key."""
        return cls(X25519PrivateKey.generate())

    def __repr__(self) -> str:
        return f"SealingKey({self.public!r}, secret hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a sealing key is not copied or pickled: generate one where it is used")


def seal(public: SealingPublicKey, plaintext: bytes, *, info: bytes, aad: bytes) -> bytes:
    """Encrypts a message to the adders.

    Args:
        public: From `SealingPublicKey.from_bytes`.
        plaintext: A ciphertext's canonical bytes.
        info: What the message belongs to: the announcement's digest.
        aad: What it is bound to: the commit's digest.

    Returns:
        48 bytes more than `plaintext`.

    Source: RFC 9180 section 6.1 (single-shot), base mode.
    """
    return bytes(_suite().encrypt(plaintext, public._key, _context(info, aad)))


def open_sealed(key: SealingKey, data: bytes, *, info: bytes, aad: bytes) -> bytes:
    """Decrypts a message that was sealed to this key with the same `info` and `aad`.

    Raises:
        CiphertextRefused: It was not: it is cut or changed, for another key, round or commit.
    """
    if len(data) < SEAL_OVERHEAD:
        raise CiphertextRefused(f"a sealed ciphertext of {len(data)} bytes, expected at least {SEAL_OVERHEAD}")
    try:
        return bytes(_suite().decrypt(data, key._key, _context(info, aad)))
    except (InvalidTag, ValueError):
        raise CiphertextRefused(
            "a sealed ciphertext does not open: it was changed, or sealed to another key, announcement or commit"
        ) from None


def _context(info: bytes, aad: bytes) -> bytes:
    return Writer("zkfed/v1/seal-context").bytes(info).bytes(aad).finish()
