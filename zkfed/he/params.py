"""The parameters of the encryption, and when a sum under them is exact.

There is one set for each scheme. Both have ring degree 4096 and 90 bits of modulus, below the
limits for 128 bits of security against classical (109) and quantum (101) attacks. The special
prime counts, since the public key is published under it.

    scheme  slots  a slot holds                       error of one fresh encryption
    CKKS     2048  2^24 x, rounded after decryption   683 / 2^24 a slot (standard deviation)
    BFV      4096  x mod t, t = 274877816833          16 a coefficient, of q0 / 2t = 2^21
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, PolicyError, excerpt
from zkfed.fixedpoint import LIMB_BITS

__all__ = ["TOLERANCE", "EncryptionParams", "Scheme", "check_exact"]

TOLERANCE = 0.25
"""How far from an integer a decrypted CKKS slot may be; beyond it nothing is released."""

_INTEGER_MAX = (1 << 63) - 1
_MODULUS_BITS_MAX = {2048: 51, 4096: 101, 8192: 202, 16384: 411}
"""Most bits of modulus for 128 bits of security against quantum attacks, ternary secret.
Source: the table of the homomorphic encryption standard, as in OpenFHE's stdlatticeparms."""
_DEVIATIONS = 32
"""How many deviations are kept free. The error of a CKKS slot is normal with a variance that the secret
key draws for the slot, about exponentially; over keys that is Laplace's distribution, and one slot is
beyond T deviations with probability exp(-sqrt(2) T): 2e-20 for T = 32, 3e-9 for T = 14. Among 370,000
slots one of 10.0 was measured."""
_SLOT_ERROR = 683
"""sqrt(N/2) times the deviation of a coefficient: the real part of a CKKS slot, times the scale."""
_COEFFICIENT_ERROR = 16
"""sqrt((1 + 2N/3) / 12) = 15.1: rounding away the special prime, with a ternary secret key."""


class Scheme(StrEnum):
    """CKKS (default; exact by rounding) or BFV (exact; half the bytes)."""

    CKKS = "ckks"
    BFV = "bfv"


@dataclass(frozen=True, slots=True)
class EncryptionParams:
    """One parameter set; every field is checked, and other values than the set's are refused.

    Attributes:
        scheme: CKKS or BFV.
        degree: N of the ring Z[X]/(X^N + 1).
        primes: q0, which carries a ciphertext, and the special prime; both 1 mod 2N.
        scale: By which CKKS multiplies a value; 1 for BFV.
        plain_modulus: t of BFV; 0 for CKKS.

    Raises:
        PolicyError: Less than 128 bits of security, or a set that the format does not know.
    """

    scheme: Scheme
    degree: int
    primes: tuple[int, ...]
    scale: int
    plain_modulus: int

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "scheme", Scheme(self.scheme))
        except ValueError:
            raise PolicyError(f"{excerpt(str(self.scheme), 16)!r} is no scheme, expected ckks or bfv") from None
        numbers = (self.degree, self.scale, self.plain_modulus, *self.primes)
        if any(type(n) is not int or not 0 <= n <= _INTEGER_MAX for n in numbers):
            raise PolicyError("degree, primes, scale and plain modulus are integers in [0, 2^63)")
        bits, limit = sum(q.bit_length() for q in self.primes), _MODULUS_BITS_MAX.get(self.degree, 0)
        if bits > limit:
            raise PolicyError(
                f"{bits} bits of modulus at ring degree {self.degree} are less than 128 bits of security; "
                f"at most {limit} are accepted, EncryptionParams.of(scheme) has 90 at 4096"
            )
        fields = (self.degree, self.primes, self.scale, self.plain_modulus)
        if fields != _SETS[self.scheme]:
            raise PolicyError(
                f"{self.scheme}: degree, primes, scale and plain modulus are {fields}, expected "
                f"{_SETS[self.scheme]}: use EncryptionParams.of(scheme)"
            )

    @classmethod
    def of(cls, scheme: Scheme) -> EncryptionParams:
        """Returns the parameter set of a scheme."""
        return cls(scheme, *_SETS[Scheme(scheme)])

    @property
    def slots(self) -> int:
        """Integers in one ciphertext of the library; longer vectors are cut into chunks."""
        return self.degree // 2 if self.scheme is Scheme.CKKS else self.degree

    @property
    def value_max(self) -> int:
        """The largest absolute value that a slot, and hence a sum, may have.

        CKKS: q0 / 4 / scale, since no coefficient of a plaintext is above scale times the largest
        slot, and must stay below q0 / 2. BFV: (t - 1) / 2.
        """
        if self.scheme is Scheme.CKKS:
            return self.primes[0] // (4 * self.scale)
        return (self.plain_modulus - 1) // 2

    def chunks(self, count: int) -> int:
        """Returns how many ciphertexts of the library hold `count` integers."""
        return -(-count // self.slots)

    def encode(self) -> bytes:
        """Returns the canonical bytes."""
        w = Writer("zkfed/v1/encryption").text(self.scheme.value).u64(self.degree)
        w.list([q.to_bytes(8, "big") for q in self.primes])
        return w.u64(self.scale).u64(self.plain_modulus).finish()

    @classmethod
    def decode(cls, data: bytes) -> EncryptionParams:
        """Reads parameters.

        Raises:
            DecodeError: Not canonical.
            PolicyError: Weaker or other parameters than the scheme's set.
        """
        r = Reader(data, "zkfed/v1/encryption", limit=1024)
        name, degree = r.text(limit=16), r.u64(_INTEGER_MAX)
        primes = tuple(int.from_bytes(q, "big") for q in r.list(16, exact=8))
        scale, modulus = r.u64(_INTEGER_MAX), r.u64(_INTEGER_MAX)
        r.finish()
        if name not in [scheme.value for scheme in Scheme]:
            raise DecodeError(f"the scheme {excerpt(name, 16)!r} is not ckks or bfv")
        return cls(Scheme(name), degree, primes, scale, modulus)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return digest("zkfed/v1/encryption-digest", self.encode())


_PRIMES = (1152921504606830593, 1073692673)
_SETS: dict[Scheme, tuple[int, tuple[int, ...], int, int]] = {
    Scheme.CKKS: (4096, _PRIMES, 1 << 24, 0),
    Scheme.BFV: (4096, _PRIMES, 1, 274877816833),
}


def check_exact(params: EncryptionParams, *, sum_bound: int, terms: int) -> None:
    """Checks that every honest sum decrypts to exactly the integers that were encrypted.

        all     max(sum_bound, terms (2^16 - 1)) <= value_max
        CKKS    32 * 683 sqrt(terms) <= 0.25 scale
        BFV     32 * 16 sqrt(terms) <= q0 / 2t

    The second term of the maximum are the limbs of the blinders, which every plaintext carries
    beside its integers. The errors of fresh encryptions add like the square root; a ciphertext
    that is made, or repeated, to have a larger error fails the rounding check or the opening
    equation instead.

    Args:
        params: The encryption's parameters.
        sum_bound: Largest absolute value of a coordinate of the sum, encrypted noise included.
        terms: Number of ciphertexts that are added, encrypted noise included.

    Raises:
        PolicyError: Such a sum might not be exact.
    """
    if type(sum_bound) is not int or type(terms) is not int or sum_bound < 0 or terms < 1:
        raise PolicyError("check_exact takes sum_bound >= 0 and terms >= 1, both int")
    largest = max(sum_bound, terms * ((1 << LIMB_BITS) - 1))
    if largest > params.value_max:
        raise PolicyError(
            f"{params.scheme}: a coordinate of the sum may reach {largest}, decryption is exact up to "
            f"{params.value_max}: allow fewer clients"
        )
    if params.scheme is Scheme.CKKS:
        error, room = _SLOT_ERROR, params.scale * TOLERANCE
    else:
        error, room = _COEFFICIENT_ERROR, params.primes[0] / (2 * params.plain_modulus)
    if _DEVIATIONS * error * math.sqrt(terms) > room:
        most = int((room / (_DEVIATIONS * error)) ** 2)
        raise PolicyError(
            f"{params.scheme}: the errors of {terms} ciphertexts may change the sum, those of {most} cannot: "
            f"allow fewer clients"
        )
