"""From integers to a ciphertext, under a public key."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.he import loading
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.framing import COUNT_MAX, join_ciphertext
from zkfed.he.keys import PublicKey

__all__ = ["Ciphertext", "encrypt"]


def encrypt(public_key: PublicKey, values: npt.NDArray[Any]) -> Ciphertext:
    """Encrypts a vector of integers, with fresh randomness of the operating system.

    Args:
        public_key: Of this attempt, from `PublicKey.from_bytes`.
        values: Signed integers, shape (count,), 1 <= count <= 2^24, of absolute value at most
            `params.value_max`: 2^34 for CKKS, 2^37 for BFV.

    Returns:
        The ciphertext: 32 (CKKS) or 16 (BFV) bytes an integer, in chunks of 64 KiB.

    Raises:
        TypeError: `values` are not signed integers.
        ValueError: Shape or range does not fit; the text does not name a value.
    """
    params, array = public_key.params, np.asarray(values)
    if not np.issubdtype(array.dtype, np.signedinteger):
        raise TypeError(f"values are {array.dtype}, expected signed integers: rounding is the caller's decision")
    if array.ndim != 1 or not 1 <= len(array) <= COUNT_MAX:
        raise ValueError(f"values of shape {array.shape}, expected (count,) with 1 <= count <= {COUNT_MAX}")
    # Compared from both sides: the absolute value of -2^63 is negative.
    if int(array.max()) > params.value_max or int(array.min()) < -params.value_max:
        raise ValueError(f"a value is outside [-{params.value_max}, {params.value_max}], the range of {params.scheme}")
    words = loading.encrypt_chunks(params, public_key.context, array.astype(np.int64))
    return Ciphertext(params, len(array), join_ciphertext(params, len(array), words))
