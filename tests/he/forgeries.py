"""Writes messages for TenSEAL by hand, honest or not: a second writer, independent of `framing`.

It imports nothing of zkfed and no library, so what it writes also checks that `framing` reads
exactly the honest ones.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

DEGREE = 4096
Q0, SPECIAL, T = 1152921504606830593, 1073692673, 274877816833
LEVEL = {
    "ckks": "6afd21c68eaea2fa8274edfa3723ade74760cc4465d33aa4aa8ca90de97960fe",
    "bfv": "85f1c176e69c7383218139dc0c99353f30ceaf384ac35f343a2e6dcc02988fe4",
}
SLOTS = {"ckks": 2048, "bfv": 4096}


def varint(number: int, *, padding: int = 0) -> bytes:
    """Returns a protobuf integer; with padding a longer encoding of the same integer."""
    out = []
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    if padding:
        out = [*out[:-1], out[-1] | 128, *[128] * (padding - 1), 0]
    return bytes(out)


def proto(number: int, data: bytes, *, padding: int = 0) -> bytes:
    return varint(number << 3 | 2) + varint(len(data), padding=padding) + data


def seal_object(body: bytes, *, version: tuple[int, int] = (4, 3), compression: int = 0) -> bytes:
    header = b"\x5e\xa1\x10" + bytes([*version, compression, 0, 0])
    return header + struct.pack("<Q", 16 + len(body)) + body


def noise(seed: int, size: int, below: int = Q0) -> bytes:
    """Returns coefficients as an honest ciphertext has them: uniform below the modulus."""
    return np.random.default_rng(seed).integers(0, below, size, dtype=np.uint64).tobytes()


@dataclass
class SealCiphertext:
    """One ciphertext of SEAL; the defaults are the honest values for CKKS."""

    level: str = LEVEL["ckks"]
    is_ntt: int = 1
    polynomials: int = 2
    degree: int = DEGREE
    primes: int = 1
    scale: float = 2.0**24
    correction: int = 1
    version: tuple[int, int] = (4, 3)
    compression: int = 0
    data: bytes = field(default_factory=lambda: noise(1, 2 * DEGREE))

    def encode(self) -> bytes:
        numbers = struct.pack("<QQQdQ", self.polynomials, self.degree, self.primes, self.scale, self.correction)
        array = seal_object(struct.pack("<Q", len(self.data) // 8) + self.data)
        body = bytes.fromhex(self.level) + bytes([self.is_ntt]) + numbers + array
        return seal_object(body, version=self.version, compression=self.compression)


def bfv_ciphertext(seed: int = 1) -> SealCiphertext:
    return SealCiphertext(level=LEVEL["bfv"], is_ntt=0, scale=1.0, data=noise(seed, 2 * DEGREE))


def compressed_zeros(polynomials: int) -> bytes:
    """Returns a SEAL ciphertext of zeros in a zstd frame: 64 KiB a polynomial packed into 4 bytes."""
    words = polynomials * DEGREE
    plain = SealCiphertext(polynomials=polynomials, data=bytes(8 * words)).encode()[16:]
    start, rest = len(plain) - 8 * words, 8 * words
    frame = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(plain))
    frame += (start << 3).to_bytes(3, "little") + plain[:start]
    while rest:
        size = min(rest, 1 << 17)
        rest -= size
        frame += (size << 3 | 1 << 1 | (rest == 0)).to_bytes(3, "little") + b"\0"  # a block of one repeated byte
    return seal_object(frame, compression=2)


def bomb(ciphertexts: int) -> bytes:
    """Returns a message of 280 bytes a ciphertext, each of which the library makes 512 KiB of."""
    return vector([1] * ciphertexts, [compressed_zeros(16)] * ciphertexts)


def vector(sizes: list[int], ciphertexts: list[bytes], scale: float | None = 2.0**24) -> bytes:
    """Returns a CKKSVectorProto; without a scale it is a BFVVectorProto."""
    out = proto(1, b"".join(varint(n) for n in sizes)) + b"".join(proto(2, c) for c in ciphertexts)
    return out if scale is None else out + b"\x19" + struct.pack("<d", scale)


def honest(scheme: str, count: int) -> bytes:
    """Returns a well-formed message that holds `count` unknown integers."""
    slots = SLOTS[scheme]
    sizes = [min(slots, count - at) for at in range(0, count, slots)]
    if scheme == "ckks":
        return vector(sizes, [SealCiphertext(data=noise(i, 2 * DEGREE)).encode() for i in range(len(sizes))])
    return vector(sizes, [bfv_ciphertext(i).encode() for i in range(len(sizes))], None)


def malformed(count: int) -> dict[str, bytes]:
    """Returns messages that are no CKKS ciphertext of `count` < 2048 integers, by what is wrong.

    The first seven crash, bloat or stall TenSEAL's own loaders, or make them show memory.
    """
    good = SealCiphertext().encode()
    wire = vector([count], [good])
    zeros = SealCiphertext(polynomials=16, data=bytes(8 * 16 * DEGREE)).encode()
    forged: dict[str, bytes] = {
        "sizes without a ciphertext (three bytes, a crash)": bytes.fromhex("0a0103"),
        "sizes above the slots (shows memory)": vector([5000], [good]),
        "sizes of a hundred million (allocates 1.6 GB)": vector([10**8], [good]),
        "two ciphertexts and one size": vector([count], [good, good]),
        "one ciphertext and two sizes": vector([count, count], [good]),
        "a bomb": bomb(200),
        "scale in the ciphertext NaN": vector([count], [SealCiphertext(scale=float("nan")).encode()]),
        "empty": b"",
        "size of another count": vector([count - 1], [good]),
        "size zero": vector([0], [good]),
        "one all-zero ciphertext of 16 polynomials": vector([count], [zeros]),
        "no scale": vector([count], [good], None),
        "scale twice": wire + wire[-9:],
        "ciphertext before sizes": wire[2 + len(varint(count)) : -9] + proto(1, varint(count)) + wire[-9:],
        "sizes twice": proto(1, varint(count)) + wire,
        "sizes not packed": b"\x08" + varint(count) + proto(2, good) + wire[-9:],
        "size not minimal": proto(1, varint(count, padding=2)) + proto(2, good) + wire[-9:],
        "length not minimal": proto(1, varint(count)) + proto(2, good, padding=1) + wire[-9:],
        "length above the message": proto(1, varint(count)) + b"\x12" + varint(1 << 30) + good + wire[-9:],
        "unknown field": wire + proto(9, b"x"),
        "trailing byte": wire + b"\0",
        "leading byte": b"\0" + wire,
        "BFV": vector([count], [bfv_ciphertext().encode()], None),
        "level of the key": vector([count], [SealCiphertext(level="00" * 32).encode()]),
        "not in NTT form": vector([count], [SealCiphertext(is_ntt=0).encode()]),
        "NTT form 2": vector([count], [SealCiphertext(is_ntt=2).encode()]),
        "three polynomials": vector([count], [SealCiphertext(polynomials=3, data=noise(1, 3 * DEGREE)).encode()]),
        "polynomials without data": vector([count], [SealCiphertext(polynomials=1 << 60).encode()]),
        "another degree": vector([count], [SealCiphertext(degree=8192).encode()]),
        "two primes": vector([count], [SealCiphertext(primes=2, data=noise(1, 4 * DEGREE)).encode()]),
        "correction factor": vector([count], [SealCiphertext(correction=2).encode()]),
        "another version": vector([count], [SealCiphertext(version=(4, 1)).encode()]),
        "marked zlib": vector([count], [SealCiphertext(compression=1).encode()]),
        "marked zstd": vector([count], [SealCiphertext(compression=2).encode()]),
        "another magic": wire.replace(b"\x5e\xa1\x10", b"\x5e\xa1\x11", 1),
        "header size": wire.replace(b"\x5e\xa1\x10", b"\x5e\xa1\x0f", 1),
        "coefficient equal to the modulus": vector([count], [with_coefficient(Q0)]),
        "coefficient of 64 bits": vector([count], [with_coefficient((1 << 64) - 1)]),
    }
    for name, scale in (("NaN", "nan"), ("infinite", "inf"), ("negative", "-1"), ("zero", "0"), ("2^23", "8388608")):
        forged[f"scale {name}"] = vector([count], [good], float(scale))
        forged[f"scale in the ciphertext {name}"] = vector([count], [SealCiphertext(scale=float(scale)).encode()])
    return forged


def with_coefficient(number: int) -> bytes:
    words = np.frombuffer(noise(1, 2 * DEGREE), np.uint64).copy()
    words[5000] = number
    return SealCiphertext(data=words.tobytes()).encode()
