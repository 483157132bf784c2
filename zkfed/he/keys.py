"""The two keys: everybody's `PublicKey` and the key holder's `SecretKey`.

They are two types, so that what a client or an adder holds cannot contain a secret key. A key
pair serves one attempt: `SecretKey.generate` for each, `erase` after it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from zkfed.encoding import digest
from zkfed.errors import CiphertextRefused, PolicyError
from zkfed.he import loading
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.framing import join_public_key, split_public_key
from zkfed.he.params import TOLERANCE, EncryptionParams, Scheme

__all__ = ["PublicKey", "SecretKey"]


class PublicKey:
    """Encrypts and adds; its bytes have no place for a secret key.

    Whether it is the key of this attempt is not visible here: the caller compares `digest` with
    the announcement that the key holder signed.

    Args:
        params: Of the encryption.
        data: 131 KB, canonical.

    Raises:
        DecodeError: The bytes are not the canonical encoding of a key of these parameters: a
            secret key or evaluation keys stand in them, or weaker parameters, or they are cut.
        CiphertextRefused: Encryptions under the key would show their content.
    """

    def __init__(self, params: EncryptionParams, data: bytes) -> None:
        split_public_key(params, data)
        self.params, self._data = params, data

    def __repr__(self) -> str:
        return f"PublicKey({self.params.scheme}, {self.digest.hex()[:16]}...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and (self.params, self._data) == (other.params, other._data)

    def __hash__(self) -> int:
        return hash(self._data)

    @classmethod
    def from_bytes(cls, data: bytes, params: EncryptionParams) -> PublicKey:
        """Reads a key from anybody's bytes; see the class for what it raises."""
        return cls(params, data)

    def to_bytes(self) -> bytes:
        """Returns the canonical bytes."""
        return self._data

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes; an attempt announces it."""
        return digest("zkfed/v1/encryption-key", self.params.encode(), self._data)

    @cached_property
    def context(self) -> Any:
        """The library's form of the key, loaded at first use.

        Raises:
            CiphertextRefused: The library refuses it.
        """
        return loading.load_public(self._data)


class SecretKey:
    """Decrypts one attempt's aggregate; it never leaves the process that made it.

    There is no encoding of it, it cannot be copied or pickled, and its text shows nothing.
    """

    __slots__ = ("_context", "params", "public")

    def __init__(self, params: EncryptionParams, context: Any) -> None:
        self.params, self._context = params, context
        self.public = PublicKey(params, join_public_key(params, loading.public_words(params, context)))

    @classmethod
    def generate(cls, params: EncryptionParams) -> SecretKey:
        """Returns a fresh key pair; takes about 25 ms."""
        return cls(params, loading.make_context(params))

    def __repr__(self) -> str:
        return f"SecretKey({self.public!r}, secret hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not copied or pickled: generate one where it is used")

    def decrypt(self, ciphertext: Ciphertext) -> npt.NDArray[np.int64]:
        """Returns the integers of a ciphertext, rounded in here if the scheme is CKKS.

        Only the key holder calls it, only on one aggregate, and releases the result only if the
        opening equation holds. A BFV ciphertext under another key, or with too much noise, gives
        arbitrary integers; so may a CKKS one, if all its slots come out near integers.

        Args:
            ciphertext: The aggregate.

        Returns:
            Shape (count,), int64.

        Raises:
            CiphertextRefused: "failed", and nothing more: a slot is 0.25 or more from an integer
                or out of range, or the library fails. Which one it was would be an oracle.
            PolicyError: The key was erased, or is of other parameters.
        """
        if self._context is None:
            raise PolicyError("the secret key was erased: an attempt decrypts once, the next one has its own key")
        if ciphertext.params != self.params:
            raise PolicyError(f"a ciphertext of {ciphertext.params.scheme} and a key of {self.params.scheme}")
        vector = loading.load_vector(self.params, self._context, ciphertext.data, ciphertext.count)
        plain = loading.decrypt_vector(vector)
        if self.params.scheme is Scheme.BFV:
            return plain.astype(np.int64)
        nearest = np.rint(plain)
        with np.errstate(invalid="ignore"):
            is_exact = (np.abs(plain - nearest) < TOLERANCE) & (np.abs(nearest) <= self.params.value_max)
        if not is_exact.all():
            raise CiphertextRefused("failed")
        return nearest.astype(np.int64)

    def erase(self) -> None:
        """Drops the secret key; decrypting with it fails from then on.

        The library wipes its memory when the last object that uses the key is gone. Copies that
        the operating system made (swap, a dump) are out of reach.
        """
        self._context = None
