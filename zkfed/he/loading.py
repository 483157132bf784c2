"""The only module that calls TenSEAL, which it imports at first use.

What goes in are parameters, integers and messages that `framing` has checked byte by byte; what
comes out are coefficients and integers. Chunks are cut here, since the library prints to the
standard streams when it has to cut. Its errors become `CiphertextRefused`.

The library draws its randomness itself, from the operating system; no test can choose it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import CiphertextRefused, DecodeError, PolicyError
from zkfed.he.framing import SEAL_VERSION, Coefficients, split_stored
from zkfed.he.params import EncryptionParams, Scheme

__all__ = [
    "add_into",
    "decrypt_vector",
    "encrypt_chunks",
    "load_public",
    "load_vector",
    "make_context",
    "preload",
    "public_words",
    "vector_words",
]


@cache
def _library() -> Any:
    """Returns TenSEAL, if its SEAL writes and reads the format of `framing`."""
    import tenseal  # type: ignore[import-untyped]
    import tenseal.sealapi  # type: ignore[import-untyped]

    header = tenseal.sealapi.Serialization.SEALHeader()
    found = (header.version_major, header.version_minor)
    if found != SEAL_VERSION:
        raise PolicyError(
            f"tenseal {tenseal.__version__} contains SEAL {found[0]}.{found[1]}, whose bytes differ from those of "
            f"SEAL {SEAL_VERSION[0]}.{SEAL_VERSION[1]}: install tenseal 0.3.17 or 0.3.18"
        )
    return tenseal


def preload() -> None:
    """Imports the library now, for a process that may open no files later."""
    _library()


def make_context(params: EncryptionParams) -> Any:
    """Returns a fresh context with a secret key."""
    ts = _library()
    bits = [q.bit_length() for q in params.primes]
    if params.scheme is Scheme.CKKS:
        context = ts.context(ts.SCHEME_TYPE.CKKS, params.degree, coeff_mod_bit_sizes=bits, n_threads=1)
        context.global_scale = float(params.scale)
        return context
    return ts.context(
        ts.SCHEME_TYPE.BFV, params.degree, plain_modulus=params.plain_modulus, coeff_mod_bit_sizes=bits, n_threads=1
    )


def load_public(data: bytes) -> Any:
    """Returns the context of a public key whose bytes `framing.split_public_key` has accepted."""
    ts = _library()
    try:
        return ts.context_from(data, n_threads=1)
    except (ValueError, RuntimeError):
        raise CiphertextRefused("the library refuses the public key") from None


def public_words(params: EncryptionParams, context: Any) -> Coefficients:
    """Returns the coefficients of a context's public key."""
    key = context.public_key().data.data()
    return _words(key, 2 * len(params.primes) * params.degree)


def encrypt_chunks(params: EncryptionParams, context: Any, values: npt.NDArray[np.int64]) -> Coefficients:
    """Returns the coefficients of fresh encryptions of `values`, one row a chunk."""
    ts = _library()
    make = ts.ckks_vector if params.scheme is Scheme.CKKS else ts.bfv_vector
    out = np.empty((params.chunks(len(values)), 2 * params.degree), np.uint64)
    for i in range(len(out)):
        chunk = values[i * params.slots : (i + 1) * params.slots]
        out[i] = vector_words(params, make(context, chunk.tolist()), len(chunk)).reshape(-1)
    return out


def load_vector(params: EncryptionParams, context: Any, data: bytes, count: int) -> Any:
    """Loads a ciphertext whose bytes `framing.split_ciphertext` has accepted.

    Framing has fixed every field already; that the library read the same is checked again, on
    the loaded object.

    Raises:
        CiphertextRefused: The library refuses the bytes, or read another shape.
    """
    ts = _library()
    is_ckks = params.scheme is Scheme.CKKS
    try:
        vector = (ts.ckks_vector_from if is_ckks else ts.bfv_vector_from)(context, data)
    except (ValueError, RuntimeError):
        raise CiphertextRefused("the library refuses the ciphertext") from None
    chunks = vector.ciphertext()
    if vector.size() != count or len(chunks) != params.chunks(count):
        raise CiphertextRefused("the loaded ciphertext has another shape than its bytes")
    for c in chunks:
        shape = (c.size(), c.coeff_modulus_size(), c.poly_modulus_degree(), c.scale, c.is_ntt_form())
        if shape != (2, 1, params.degree, float(params.scale), is_ckks) or c.is_transparent():
            raise CiphertextRefused("the loaded ciphertext has another shape than its bytes")
    return vector


def add_into(total: Any, vector: Any) -> None:
    """Adds a loaded ciphertext to another in place, which is twice as fast as a new sum.

    Raises:
        CiphertextRefused: The library refuses, for example because the sum is transparent.
    """
    try:
        total += vector
    except (ValueError, RuntimeError):
        raise CiphertextRefused("the library refuses to add the ciphertext") from None


def vector_words(params: EncryptionParams, vector: Any, count: int) -> Coefficients:
    """Returns the coefficients of a ciphertext that the library holds."""
    try:
        return split_stored(params, count, vector.serialize())
    except DecodeError:
        size = 2 * params.degree
        return np.concatenate([_words(c, size) for c in vector.ciphertext()])


def _words(polynomials: Any, size: int) -> Coefficients:
    return np.fromiter(map(polynomials.__getitem__, range(size)), np.uint64, size)


def decrypt_vector(vector: Any) -> npt.NDArray[np.float64] | npt.NDArray[np.int64]:
    """Returns what a ciphertext holds: floats for CKKS, integers for BFV.

    The floats of CKKS reveal the secret key to whoever also has the ciphertext: they never
    leave the function that rounds them.

    Raises:
        CiphertextRefused: The library fails; the text says nothing more.
    """
    try:
        return np.asarray(vector.decrypt())
    except (ValueError, RuntimeError):
        raise CiphertextRefused("failed") from None
