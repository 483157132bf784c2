"""Messages that crash, bloat or poison TenSEAL's loaders are refused before it sees them.

The list is that of the study (dp-he.md 6.3) and what follows from it: a three-byte message that
crashes the library, inflated sizes that show memory, bombs, scales that make every later addition
fail. Some are then handed to the library past the framing, to show that they are real and that the
worker process holds.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.he import forgeries
from tests.peak_memory import at_most
from zkfed.errors import CiphertextRefused, DecodeError, SandboxViolation
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.params import EncryptionParams, Scheme
from zkfed.he.worker import Limits, run

COUNT = 666
CKKS = EncryptionParams.of(Scheme.CKKS)
LIMITS = Limits(memory_bytes=2 << 30, cpu_s=30, wall_s=60.0)
MALFORMED = forgeries.malformed(COUNT)


@pytest.fixture(scope="module")
def secret() -> SecretKey:
    return SecretKey.generate(CKKS)


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_message_is_refused(what: str, secret: SecretKey) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((DecodeError, CiphertextRefused)) as caught:
            Ciphertext.from_bytes(MALFORMED[what], CKKS, COUNT)
        with pytest.raises((DecodeError, CiphertextRefused)):
            PublicKey.from_bytes(MALFORMED[what], CKKS)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert type(caught.value) in (DecodeError, CiphertextRefused)
    assert len(str(caught.value)) < 400


def test_the_next_honest_one_is_accepted(secret: SecretKey) -> None:
    good = encrypt(secret.public, np.arange(COUNT))
    assert (secret.decrypt(add(secret.public, [good], COUNT)) == np.arange(COUNT)).all()


def unframed(secret: SecretKey, message: bytes, *, count: int = COUNT, limits: Limits = LIMITS) -> bytes:
    """Adds a message to an honest one in the worker that checks nothing."""
    good = encrypt(secret.public, np.arange(count)).data
    batch = [b"add", secret.public.to_bytes(), good, message]
    return run(batch, reply_bytes_max=1000, limits=limits, module="tests.he.raw_worker")


def test_the_honest_one_passes_the_unchecked_worker(secret: SecretKey) -> None:
    assert unframed(secret, encrypt(secret.public, np.arange(COUNT)).data) == b"added"


def test_three_bytes_crash_the_library_and_not_us(secret: SecretKey) -> None:
    with pytest.raises(SandboxViolation, match="died by signal 11"):
        unframed(secret, bytes.fromhex("0a0103"), count=3)
    test_the_next_honest_one_is_accepted(secret)


def test_a_bomb_meets_the_limits(secret: SecretKey) -> None:
    # After a failed allocation the library may spin on a lock forever: the processor limit ends that.
    message = forgeries.bomb(6000)
    assert len(message) < 1 << 20  # for 3 GB
    with at_most(64 << 20), pytest.raises(SandboxViolation):
        unframed(secret, message, limits=Limits(1 << 30, cpu_s=2, wall_s=60.0))
    test_the_next_honest_one_is_accepted(secret)


def test_a_poisoned_scale_loads_and_breaks_the_sum(secret: SecretKey) -> None:
    # Hence the scale is a constant of the framing: the library takes it and fails at the next addition.
    for scale in (float("nan"), float("inf"), -(2.0**24)):
        message = forgeries.vector([COUNT], [forgeries.SealCiphertext(scale=scale).encode()])
        with pytest.raises(SandboxViolation, match="failed"):
            unframed(secret, message)
