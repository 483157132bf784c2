"""Shows that a ciphertext and a key have one encoding, and that everything else is refused unread.

`forgeries` writes the same messages by hand; every byte that is not a coefficient is flipped in
every bit, lengths are cut at every boundary, and hypothesis mutates at random. What still loads
differs in coefficients only, and the library reads it as the same shape.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.he import forgeries
from zkfed.errors import CiphertextRefused, DecodeError
from zkfed.he import loading
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import (
    COUNT_MAX,
    ciphertext_size,
    join_ciphertext,
    join_public_key,
    public_key_size,
    split_ciphertext,
    split_public_key,
)
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.params import EncryptionParams, Scheme

BOTH = pytest.mark.parametrize("params", [EncryptionParams.of(s) for s in Scheme], ids=[*Scheme])
CKKS, BFV = (EncryptionParams.of(s) for s in Scheme)
COEFFICIENTS = 8 * 2 * 4096
COUNT = 666


@pytest.fixture(scope="module")
def keys() -> dict[Scheme, SecretKey]:
    return {scheme: SecretKey.generate(EncryptionParams.of(scheme)) for scheme in Scheme}


def refuse(params: EncryptionParams, data: bytes, count: int = COUNT) -> str:
    with pytest.raises((DecodeError, CiphertextRefused)) as caught:
        Ciphertext.from_bytes(data, params, count)
    return str(caught.value)


# -- one encoding ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("count", [1, 127, 128, 666, 2047, 2048, 2049, 4096, 4097, 10_000])
def test_a_second_writer_agrees(params: EncryptionParams, count: int) -> None:
    wire = forgeries.honest(params.scheme, count)
    assert len(wire) == ciphertext_size(params, count)
    words = split_ciphertext(params, count, wire)
    assert words.shape == (params.chunks(count), 2, 1, 4096)
    assert join_ciphertext(params, count, words) == wire


@BOTH
def test_the_library_reads_what_we_write_and_we_what_it_writes(
    params: EncryptionParams, keys: dict[Scheme, SecretKey]
) -> None:
    secret = keys[params.scheme]
    values = np.arange(-2500, 2500)
    ciphertext = encrypt(secret.public, values)
    vector = loading.load_vector(params, secret._context, ciphertext.data, len(values))
    assert join_ciphertext(params, len(values), loading.vector_words(params, vector, len(values))) == ciphertext.data
    assert (secret.decrypt(ciphertext) == values).all()


@BOTH
def test_the_slow_way_out_of_the_library_gives_the_same(
    params: EncryptionParams, keys: dict[Scheme, SecretKey]
) -> None:
    # It is taken if the library should ever compress what it writes.
    ciphertext = encrypt(keys[params.scheme].public, np.arange(5000))
    vector = loading.load_vector(params, keys[params.scheme]._context, ciphertext.data, 5000)

    class Compressed:
        def serialize(self) -> bytes:
            return b"anything else"

        def ciphertext(self) -> list[object]:
            return vector.ciphertext()  # type: ignore[no-any-return]

    fast, slow = (loading.vector_words(params, v, 5000) for v in (vector, Compressed()))
    assert join_ciphertext(params, 5000, fast) == join_ciphertext(params, 5000, slow) == ciphertext.data


@BOTH
def test_a_public_key_has_one_encoding(params: EncryptionParams, keys: dict[Scheme, SecretKey]) -> None:
    data = keys[params.scheme].public.to_bytes()
    assert len(data) == public_key_size(params)
    words = split_public_key(params, data)
    assert join_public_key(params, words) == data
    assert words[:, :, 0].max() < params.primes[0]
    assert words[:, :, 1].max() < params.primes[1]


@pytest.mark.parametrize("count", [0, -1, COUNT_MAX + 1, True, 1.0, "1"])
def test_a_count_out_of_range_is_misuse(count: int) -> None:
    with pytest.raises(ValueError, match="a ciphertext holds 1 to"):
        ciphertext_size(CKKS, count)


# -- everything else is refused --------------------------------------------------------------------


def structure(wire: bytes, tail: int) -> list[int]:
    """Returns the positions of the bytes that are not coefficients, for one chunk."""
    start = len(wire) - tail - COEFFICIENTS
    return [*range(start), *range(len(wire) - tail, len(wire))]


@BOTH
def test_every_bit_that_is_not_a_coefficient_is_fixed(params: EncryptionParams) -> None:
    wire = forgeries.honest(params.scheme, COUNT)
    for position in structure(wire, 9 if params.scheme is Scheme.CKKS else 0):
        for bit in range(8):
            changed = bytearray(wire)
            changed[position] ^= 1 << bit
            refuse(params, bytes(changed))


@BOTH
def test_every_bit_of_a_key_that_is_not_a_coefficient_is_fixed(
    params: EncryptionParams, keys: dict[Scheme, SecretKey]
) -> None:
    data = keys[params.scheme].public.to_bytes()
    start = len(data) - 11 - 2 * COEFFICIENTS
    for position in [*range(start), *range(len(data) - 11, len(data))]:
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(DecodeError):
            PublicKey.from_bytes(bytes(changed), params)


@BOTH
def test_truncated_at_every_boundary(params: EncryptionParams, keys: dict[Scheme, SecretKey]) -> None:
    wire, key = forgeries.honest(params.scheme, 5000), keys[params.scheme].public.to_bytes()
    for size in {*range(200), *range(200, len(wire), 509), *range(len(wire) - 200, len(wire))}:
        refuse(params, wire[:size], 5000)
        refuse(params, wire[size:] if size else b"", 5000)
    for size in {*range(400), *range(400, len(key), 1021), *range(len(key) - 200, len(key))}:
        with pytest.raises(DecodeError):
            PublicKey.from_bytes(key[:size], params)


@BOTH
@pytest.mark.parametrize(
    "data", [None, "text", 5, bytearray(70_000), memoryview(b"x")], ids=lambda data: type(data).__name__
)
def test_only_bytes_are_bytes(params: EncryptionParams, data: bytes) -> None:
    assert "expected bytes" in refuse(params, data)
    with pytest.raises(DecodeError):
        PublicKey.from_bytes(data, params)


@BOTH
def test_a_coefficient_at_its_prime_is_refused(params: EncryptionParams, keys: dict[Scheme, SecretKey]) -> None:
    wire = split_ciphertext(params, COUNT, forgeries.honest(params.scheme, COUNT)).copy()
    wire[0, 1, 0, 17] = params.primes[0]
    assert "not below its prime" in refuse(params, join_ciphertext(params, COUNT, wire))
    for i in range(2):
        key = split_public_key(params, keys[params.scheme].public.to_bytes()).copy()
        key[0, 0, i, 4095] = params.primes[i]
        with pytest.raises(DecodeError, match="not below its prime"):
            PublicKey.from_bytes(join_public_key(params, key), params)


@BOTH
def test_a_transparent_chunk_is_refused(params: EncryptionParams, keys: dict[Scheme, SecretKey]) -> None:
    words = split_ciphertext(params, 9000, forgeries.honest(params.scheme, 9000)).copy()
    words[1, 1] = 0
    assert "transparent" in refuse(params, join_ciphertext(params, 9000, words), 9000)
    key = split_public_key(params, keys[params.scheme].public.to_bytes()).copy()
    key[0, 1] = 0
    with pytest.raises(CiphertextRefused, match="transparent"):
        PublicKey.from_bytes(join_public_key(params, key), params)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "copy", "zero"]),
        st.integers(0, 2 * 65_800),
        st.integers(0, 255),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=6,
)


def mutated(wire: bytes, edits: list[tuple[str, int, int, int]]) -> bytes:
    out = bytearray(wire)
    for kind, where, value, length in edits:
        at = where % (len(out) + 1)
        if kind == "flip" and at < len(out):
            out[at] ^= value
        elif kind == "insert":
            out[at:at] = bytes([value]) * length
        elif kind == "delete":
            del out[at : at + length]
        elif kind == "copy":
            out[at : at + length] = out[:length]
        else:
            out[at : at + length] = bytes(min(length, len(out) - at))
    return bytes(out)


@BOTH
@settings(max_examples=300)
@given(edits=EDITS)
@example(edits=[("flip", 40_000, 1, 1)])  # the lowest bits of a coefficient: still honest in form
def test_a_mutant_is_refused_or_another_honest_message(
    params: EncryptionParams, keys: dict[Scheme, SecretKey], edits: list[tuple[str, int, int, int]]
) -> None:
    count = params.slots + 10
    data = mutated(forgeries.honest(params.scheme, count), edits)
    try:
        ciphertext = Ciphertext.from_bytes(data, params, count)
    except (DecodeError, CiphertextRefused):
        return
    assert join_ciphertext(params, count, split_ciphertext(params, count, data)) == data
    loading.load_vector(params, keys[params.scheme].public.context, ciphertext.data, count)


@BOTH
@settings(max_examples=100)
@given(data=st.binary(max_size=300))
def test_noise_is_refused(params: EncryptionParams, data: bytes) -> None:
    refuse(params, data)
    refuse(params, data, 1)
    with pytest.raises(DecodeError):
        PublicKey.from_bytes(data, params)


def test_refusing_needs_no_library() -> None:
    # What is refused has not been near a loader: TenSEAL is not even imported.
    script = (
        "import sys\n"
        "from tests.he import forgeries\n"
        "from zkfed.errors import CiphertextRefused, DecodeError\n"
        "from zkfed.he.ciphertext import Ciphertext\n"
        "from zkfed.he.keys import PublicKey\n"
        "from zkfed.he.params import EncryptionParams, Scheme\n"
        "params, refused = EncryptionParams.of(Scheme.CKKS), 0\n"
        "for data in forgeries.malformed(666).values():\n"
        "    for read in (lambda: Ciphertext.from_bytes(data, params, 666), lambda: PublicKey(params, data)):\n"
        "        try: read()\n"
        "        except (CiphertextRefused, DecodeError): refused += 1\n"
        "Ciphertext.from_bytes(forgeries.honest('ckks', 666), params, 666)\n"
        "print(refused, 2 * len(forgeries.malformed(666)), any('tenseal' in m for m in sys.modules))\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True)
    refused, total, is_loaded = done.stdout.split()
    assert refused == total
    assert is_loaded == "False"
