"""The one encoding of a ciphertext and of a public key.

The bytes are what TenSEAL's own loaders read (`CKKSVectorProto`, `BFVVectorProto`,
`TenSEALContextProto` around SEAL objects that are stored, not compressed), but for given
parameters and a given count everything except the coefficients is a constant:

    message = head | (prefix | coefficients) * blocks | tail

So the parser compares length and constants and reads the coefficients, each below its prime,
and there is nothing else that a sender could choose: no size, count, scale, level, version or
compression. One coefficient array has one encoding, `join(split(b)) == b`. The library's loaders
trust such fields: three bytes crash them, sixty thousand allocate 266 MB.

A coefficient is 8 bytes, little-endian. A ciphertext's block is one chunk of slots: two
polynomials modulo q0. A public key is one block: two polynomials modulo q0 and the special prime.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import CiphertextRefused, DecodeError
from zkfed.he.params import EncryptionParams, Scheme

__all__ = [
    "COUNT_MAX",
    "SEAL_VERSION",
    "Coefficients",
    "ciphertext_size",
    "join_ciphertext",
    "join_public_key",
    "public_key_size",
    "split_ciphertext",
    "split_public_key",
    "split_stored",
]

Coefficients = npt.NDArray[np.uint64]

COUNT_MAX = 1 << 24
"""Most integers in one ciphertext: 512 MiB for CKKS."""

SEAL_VERSION = (4, 3)
"""It stands in every header; TenSEAL 0.3.17 and 0.3.18 contain it."""
_POLYNOMIALS = 2
# SEAL names a level by the BLAKE2 hash of its parameters: that of ciphertexts, that of keys.
_LEVELS = {
    Scheme.CKKS: (
        "6afd21c68eaea2fa8274edfa3723ade74760cc4465d33aa4aa8ca90de97960fe",
        "70c484b8583c59c28fab11f4efa4d03777ecb3677fd671fc5ff8ebadb26cd65b",
    ),
    Scheme.BFV: (
        "85f1c176e69c7383218139dc0c99353f30ceaf384ac35f343a2e6dcc02988fe4",
        "5a3e685d2d7168fca2f046c7f2bede88642e5e85252a52ff68802d8ecce2bd12",
    ),
}
_SEAL_SCHEME = {Scheme.CKKS: 2, Scheme.BFV: 1}
_AUTO_FLAGS = b"\x10\x07"
"""Field 2 of TenSEALPublicProto: relinearise, rescale and switch moduli automatically."""


# -- how the libraries write a constant ------------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append((number & 127) | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, size: int) -> bytes:
    """Returns the key and length of a protobuf field that holds `size` bytes."""
    return _varint(number << 3 | 2) + _varint(size)


def _u64(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _seal_header(size: int, *, compression: int = 0) -> bytes:
    """Returns SEAL's header of an object of `size` bytes; compression 0 is none, 2 is zstd."""
    return b"\x5e\xa1\x10" + bytes([*SEAL_VERSION, compression, 0, 0]) + _u64(16 + size)


def _zstd_stored(size: int) -> bytes:
    """Returns the start of a zstd frame of one stored block, which is how noise compresses."""
    return b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", size - 256) + (size << 3 | 1).to_bytes(3, "little")


def _polynomials_start(params: EncryptionParams, level: int, *, is_ntt: int, scale: float) -> bytes:
    """Returns what stands before the coefficients of a SEAL ciphertext."""
    primes = (1, 2)[level]
    words = _POLYNOMIALS * primes * params.degree
    start = bytes.fromhex(_LEVELS[params.scheme][level]) + bytes([is_ntt])
    start += _u64(_POLYNOMIALS, params.degree, primes) + struct.pack("<d", scale) + _u64(1)
    return start + _seal_header(8 + 8 * words) + _u64(words)


# -- messages --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """The constants of one kind of message."""

    name: str
    head: bytes
    prefix: bytes
    tail: bytes
    shape: tuple[int, int, int, int]
    """Blocks, polynomials, primes, degree."""
    primes: tuple[int, ...]

    @property
    def stride(self) -> int:
        _, polynomials, primes, degree = self.shape
        return len(self.prefix) + 8 * polynomials * primes * degree

    @property
    def size(self) -> int:
        return len(self.head) + self.shape[0] * self.stride + len(self.tail)

    def split(self, data: bytes) -> Coefficients:
        """Returns the coefficients as a view of `data`, after checking every byte of it."""
        if not isinstance(data, bytes):
            raise DecodeError(f"{self.name}: expected bytes, got {type(data).__name__}")
        if len(data) != self.size:
            raise DecodeError(f"{self.name}: {len(data)} bytes, exactly {self.size} are expected")
        self._check_constant(data[: len(self.head)], self.head, "the head")
        self._check_constant(data[len(data) - len(self.tail) :], self.tail, "the tail")
        blocks = np.frombuffer(data, np.uint8, self.shape[0] * self.stride, len(self.head))
        prefixes = blocks.reshape(self.shape[0], self.stride)[:, : len(self.prefix)]
        wrong = np.flatnonzero((prefixes != np.frombuffer(self.prefix, np.uint8)).any(axis=1))
        if len(wrong):
            self._check_constant(prefixes[wrong[0]].tobytes(), self.prefix, f"the header of block {wrong[0]}")
        return self._check_coefficients(data)

    def _check_constant(self, got: bytes, expected: bytes, place: str) -> None:
        if got != expected:
            at = next(i for i, (a, b) in enumerate(zip(got, expected, strict=True)) if a != b)
            raise DecodeError(
                f"{self.name}: byte {at} of {place} is {got[at]:#04x}, expected {expected[at]:#04x}: "
                f"another shape than the policy's parameters fix"
            )

    def _check_coefficients(self, data: bytes) -> Coefficients:
        _, _, primes, degree = self.shape
        strides = (self.stride, 8 * primes * degree, 8 * degree, 8)
        offset = len(self.head) + len(self.prefix)
        words: npt.NDArray[Any] = np.ndarray(self.shape, "<u8", data, offset, strides)
        for i, prime in enumerate(self.primes):
            if int(words[:, :, i].max()) >= prime:
                raise DecodeError(f"{self.name}: a coefficient is not below its prime {prime}")
        # Without the second polynomial a ciphertext is its plaintext, and a public key hides nothing.
        if not words[:, 1:].any(axis=(1, 2, 3)).all():
            raise CiphertextRefused(f"{self.name}: transparent, its second polynomial is zero")
        return words

    def join(self, coefficients: Coefficients) -> bytes:
        """Returns the message of an array of coefficients; `split` is its inverse."""
        body = np.empty((self.shape[0], self.stride), np.uint8)
        body[:, : len(self.prefix)] = np.frombuffer(self.prefix, np.uint8)
        words = np.ascontiguousarray(coefficients, "<u8").reshape(self.shape[0], -1)
        body[:, len(self.prefix) :] = words.view(np.uint8)
        return b"".join([self.head, body.data, self.tail])


@lru_cache(maxsize=64, typed=True)  # typed: True and 1.0 are no counts
def _ciphertext_frame(params: EncryptionParams, count: int, compression: int = 0) -> _Frame:
    if type(count) is not int or not 1 <= count <= COUNT_MAX:
        raise ValueError(f"a ciphertext holds 1 to {COUNT_MAX} integers, not {count!r}")
    is_ckks = params.scheme is Scheme.CKKS
    chunks, slots, scale = params.chunks(count), params.slots, float(params.scale)
    sizes = b"".join(_varint(min(slots, count - i * slots)) for i in range(chunks))
    start = _polynomials_start(params, 0, is_ntt=int(is_ckks), scale=scale)
    inner = len(start) + 8 * _POLYNOMIALS * params.degree
    stored = _zstd_stored(inner) if compression else b""
    header = _seal_header(len(stored) + inner, compression=compression)
    prefix = _field(2, len(header) + len(stored) + inner) + header + stored + start
    tail = b"\x19" + struct.pack("<d", scale) if is_ckks else b""
    name = f"{params.scheme} ciphertext of {count} integers"
    shape = (chunks, _POLYNOMIALS, 1, params.degree)
    return _Frame(name, _field(1, len(sizes)) + sizes, prefix, tail, shape, params.primes[:1])


@lru_cache(maxsize=4)
def _public_key_frame(params: EncryptionParams) -> _Frame:
    is_ckks = params.scheme is Scheme.CKKS
    numbers = b"".join(_seal_header(8) + _u64(n) for n in (*params.primes, params.plain_modulus))
    context = bytes([_SEAL_SCHEME[params.scheme]]) + _u64(params.degree, len(params.primes)) + numbers
    context = _seal_header(len(context)) + context
    start = _polynomials_start(params, 1, is_ntt=1, scale=1.0)
    inner = len(start) + 8 * _POLYNOMIALS * len(params.primes) * params.degree
    key = _field(1, 16 + inner) + _seal_header(inner)
    # TenSEAL writes -1 where a scheme has no scale.
    tail = _AUTO_FLAGS + b"\x19" + struct.pack("<d", float(params.scale) if is_ckks else -1.0)
    prefix = _field(1, len(context)) + context + _field(2, len(key) + inner + len(tail)) + key + start
    shape = (1, _POLYNOMIALS, len(params.primes), params.degree)
    return _Frame(f"{params.scheme} public key", b"", prefix, tail, shape, params.primes)


# -- the parser and the writer ---------------------------------------------------------------------


def ciphertext_size(params: EncryptionParams, count: int) -> int:
    """Returns the bytes of a ciphertext of `count` integers, 1 <= count <= 2^24."""
    return _ciphertext_frame(params, count).size


def split_ciphertext(params: EncryptionParams, count: int, data: bytes) -> Coefficients:
    """Returns the coefficients of a ciphertext, a view of its bytes.

    Args:
        params: The parameters that the policy fixes.
        count: How many integers the ciphertext must hold.
        data: From anybody.

    Returns:
        Shape (chunks, 2, 1, N); every number is below q0.

    Raises:
        DecodeError: A byte that is not a coefficient differs, or a coefficient is not below q0.
        CiphertextRefused: A chunk is transparent: it would show its content without any key.
        ValueError: `count` is out of range.
    """
    return _ciphertext_frame(params, count).split(data)


def split_stored(params: EncryptionParams, count: int, data: bytes) -> Coefficients:
    """Returns the coefficients of a ciphertext that the library itself wrote on this machine.

    It asks zstd to compress, which finds nothing in noise and stores it as it is. This is no door
    for bytes from outside: only `split_ciphertext` reads the canonical encoding.

    Raises:
        DecodeError: The library wrote something else; the caller reads the coefficients one by one.
    """
    return _ciphertext_frame(params, count, 2).split(data)


def join_ciphertext(params: EncryptionParams, count: int, coefficients: Coefficients) -> bytes:
    """Returns the canonical bytes of a ciphertext; `split_ciphertext` is the inverse."""
    return _ciphertext_frame(params, count).join(coefficients)


def public_key_size(params: EncryptionParams) -> int:
    """Returns the bytes of a public key."""
    return _public_key_frame(params).size


def split_public_key(params: EncryptionParams, data: bytes) -> Coefficients:
    """Returns the coefficients of a public key, a view of its bytes.

    A key with a secret key, evaluation keys or other parameters has another length or other
    constants, and is refused like any other malformed bytes.

    Returns:
        Shape (1, 2, 2, N); numbers modulo q0 and modulo the special prime.

    Raises:
        DecodeError: A byte that is not a coefficient differs, or a coefficient is not below its prime.
        CiphertextRefused: The second polynomial is zero.
    """
    return _public_key_frame(params).split(data)


def join_public_key(params: EncryptionParams, coefficients: Coefficients) -> bytes:
    """Returns the canonical bytes of a public key; `split_public_key` is the inverse."""
    return _public_key_frame(params).join(coefficients)
