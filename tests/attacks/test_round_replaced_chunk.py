"""G replaces one chunk of a client's ciphertext by its own guess and asks K whether it was right.

With rho in one chunk only, K's answer "release" or "failed" tells G whether the guess was right: an
un-noised bit about one update. Every chunk carries its own share of rho, so that a replaced chunk
takes an unknown share with it and the sum fails whatever the guess.

Source: our own review. What it does not stop: algebra on a ciphertext that keeps its limbs
(docs/threat-model.md).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.algebra.curve import BLS12_381
from zkfed.errors import CommitmentMismatch
from zkfed.fixedpoint import LIMBS
from zkfed.he.encrypt import Ciphertext, encrypt
from zkfed.he.framing import join_ciphertext, split_ciphertext
from zkfed.he.keys import SecretKey
from zkfed.he.params import EncryptionParams, Scheme
from zkfed.layers.plaintext import PlaintextLayout

R = BLS12_381.order


@given(st.integers(1, 40), st.integers(LIMBS + 1, LIMBS + 9), st.integers(0, R - 1))
def test_a_plaintext_is_read_as_it_was_written(parameters: int, slots: int, blinder: int) -> None:
    layout = PlaintextLayout(parameters, slots, R)
    values = np.arange(parameters) - 7
    packed = layout.pack(values, blinder)
    assert len(packed) == layout.count
    read, rho = layout.unpack(packed)
    assert read.tolist() == values.tolist()
    assert rho == blinder


def test_sums_of_plaintexts_are_plaintexts_of_sums() -> None:
    layout = PlaintextLayout(30, LIMBS + 8, R)
    blinders = [R - 1, 5, 1 << 250]
    total = sum(layout.pack(np.full(30, i), rho) for i, rho in enumerate(blinders))
    values, rho = layout.unpack(total)
    assert values.tolist() == [3] * 30
    assert rho == sum(blinders) % R


def test_each_chunk_is_blinded_anew() -> None:
    layout = PlaintextLayout(30, LIMBS + 8, R)
    first, second = (layout.pack(np.zeros(30, np.int64), 5) for _ in range(2))
    limbs = [slice(i + 8, i + 8 + LIMBS) for i in range(0, 72, LIMBS + 8)]
    assert layout.chunks == 4
    for part in limbs:
        assert first[part].tolist() != second[part].tolist()


@pytest.mark.parametrize("length", [0, 29 + 4 * LIMBS, 31 + 4 * LIMBS])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(CommitmentMismatch):
        PlaintextLayout(30, LIMBS + 8, R).unpack(np.zeros(length, np.int64))


@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_right_guess_of_a_chunk_no_longer_opens(scheme: Scheme) -> None:
    """The victim's first chunk is zero, G guesses just that: R comes out wrong all the same."""
    params = EncryptionParams.of(scheme)
    layout = PlaintextLayout(params.slots + 5, params.slots, R)
    secret = SecretKey.generate(params)
    values, rho = np.zeros(layout.parameters, np.int64), 12345
    victim = encrypt(secret.public, layout.pack(values, rho))
    guess = encrypt(secret.public, layout.pack(values, 0))
    swapped = Ciphertext.from_bytes(_swap(victim, guess, params, layout), params, layout.count)
    honest, got = layout.unpack(secret.decrypt(victim)), layout.unpack(secret.decrypt(swapped))
    assert honest[1] == rho
    assert got[0].tolist() == values.tolist()
    assert got[1] != rho


def _swap(victim: Ciphertext, guess: Ciphertext, params: EncryptionParams, layout: PlaintextLayout) -> bytes:
    """Returns the victim's ciphertext with its first chunk from the guess."""
    mine = split_ciphertext(params, layout.count, victim.to_bytes())
    other = split_ciphertext(params, layout.count, guess.to_bytes())
    return join_ciphertext(params, layout.count, [other[0], *mine[1:]])
