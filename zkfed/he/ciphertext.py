"""A ciphertext as bytes that were checked: the type that flows between the parties."""

from __future__ import annotations

from dataclasses import dataclass, field

from zkfed.encoding import digest
from zkfed.he.framing import split_ciphertext
from zkfed.he.params import EncryptionParams

__all__ = ["Ciphertext"]


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An encryption of a vector of integers, or of a sum of such vectors.

    It cannot be built from bytes that are not canonical. What it holds, and under which key,
    cannot be seen: the opening equation of the round decides that.

    Attributes:
        params: Of the encryption.
        count: How many integers it holds.
        data: The canonical bytes; their number depends on `params` and `count` only.

    Raises:
        DecodeError: The bytes are not the canonical encoding of such a ciphertext.
        CiphertextRefused: A part of it is transparent.
        ValueError: `count` is out of range.
    """

    params: EncryptionParams
    count: int
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        split_ciphertext(self.params, self.count, self.data)

    @classmethod
    def from_bytes(cls, data: bytes, params: EncryptionParams, count: int) -> Ciphertext:
        """Reads a ciphertext from anybody's bytes; see the class for what it raises."""
        return cls(params, count, data)

    def to_bytes(self) -> bytes:
        """Returns the canonical bytes."""
        return self.data

    @property
    def digest(self) -> bytes:
        """SHA-256 under the tag that seals and aggregations sign."""
        return digest("zkfed/v1/ciphertext", self.data)
