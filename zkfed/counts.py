"""Bounded count vectors as pure data: what a cohort statistic asks every person for.

    v in Z^K,   0 <= v_k <= each-max,   total-min <= sum_k v_k <= total-max

`Counts` is the statement of a `RoundPolicy` whose round is a statistic (S4): one vector a client
instead of one update, no base model and no benchmark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from zkfed.encoding import DIGEST_BYTES, Reader, Writer
from zkfed.errors import DecodeError, PolicyError, shown

__all__ = ["COUNT_BITS", "CountBounds", "CountVector", "Counts"]

COUNT_BITS = 15
"""Of a coordinate: as large as an update's, so that sums of 2^14 clients and the noise fit a lane."""
EACH_LIMIT = (1 << COUNT_BITS) - 1
COORDINATES_LIMIT = 1 << 16
_TAG = "zkfed/v1/counts-statement"


@dataclass(frozen=True, slots=True)
class CountBounds:
    """What everybody's vector satisfies; public.

    Attributes:
        coordinates: K, at most 2^16.
        each_max: The largest v_k, below 2^15.
        total_min: The least sum; 0 allows "no answer".
        total_max: The largest sum.

    Raises:
        PolicyError: The bounds allow no vector, or more than the circuit holds.
    """

    coordinates: int
    each_max: int = 1
    total_min: int = 1
    total_max: int = 1

    def __post_init__(self) -> None:
        k, numbers = self.coordinates, (self.coordinates, self.each_max, self.total_min, self.total_max)
        if any(type(n) is not int for n in numbers):
            raise PolicyError(f"count terms are whole numbers, got {', '.join(shown(n) for n in numbers)}")
        if not 1 <= k <= COORDINATES_LIMIT or not 1 <= self.each_max <= EACH_LIMIT:
            raise PolicyError(
                f"{shown(k)} coordinates of at most {shown(self.each_max)}; 1 to {COORDINATES_LIMIT} coordinates of "
                f"1 to {EACH_LIMIT} can be proven"
            )
        if not 0 <= self.total_min <= self.total_max <= k * self.each_max or not self.total_max:
            raise PolicyError(
                f"no vector has a sum between {shown(self.total_min)} and {shown(self.total_max)}: the coordinates "
                f"add up to at most {k * self.each_max}"
            )

    def __str__(self) -> str:
        total = f"{self.total_min} to {self.total_max}" if self.total_min < self.total_max else str(self.total_max)
        return f"{self.coordinates} counts of 0 to {self.each_max} each, {total} together"

    @property
    def is_one_hot(self) -> bool:
        return self.each_max == 1 and self.total_max == 1

    @property
    def l1(self) -> int:
        """The largest |v|_1: what one client adds to the histogram at most."""
        return self.total_max

    @property
    def squared_l2(self) -> int:
        """The largest |v|_2^2: the sum is convex, so it is reached with as many coordinates at e as fit."""
        full, rest = divmod(self.total_max, self.each_max)
        return full * self.each_max**2 + rest**2


@dataclass(frozen=True, slots=True)
class CountVector:
    """The "model" of a statistic, as far as sums, commitments and noise ask for one: K whole numbers.

    Attributes:
        parameters: K.
    """

    parameters: int

    fraction_bits, weight_bits, features, classes = 0, COUNT_BITS, 0, 1
    inputs, outputs, hidden = 1, 1, ()

    @property
    def shape(self) -> tuple[int]:
        """Of the vector."""
        return (self.parameters,)

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class Counts:
    """A statistic as the statement of a policy (S4): each client sends a vector within bounds.

    Attributes:
        bounds: Everybody's.
        question: Names what is counted, 32 bytes; a report for one question is none for another.
    """

    bounds: CountBounds
    question: bytes = field(default=bytes(DIGEST_BYTES))

    def __post_init__(self) -> None:
        if not isinstance(self.bounds, CountBounds):
            raise PolicyError(f"Counts.bounds is a {type(self.bounds).__name__}, expected CountBounds")
        question: object = self.question
        if not isinstance(question, bytes) or len(question) != DIGEST_BYTES:
            raise PolicyError(f"Counts.question names what is counted with {DIGEST_BYTES} bytes")

    @property
    def kind(self) -> str:
        return "S4"

    @property
    def model(self) -> CountVector:
        """K whole numbers."""
        return CountVector(self.bounds.coordinates)

    @property
    def clip_norm(self) -> float:
        """The largest L2 norm, for `RoundPolicy.clip_norm`."""
        return math.sqrt(self.bounds.squared_l2)

    def check_policy(self, clip_norm: float, server_rate: float, schedule: tuple[object, ...]) -> None:
        """Raises PolicyError if a policy says of a statistic what only a round of models has."""
        if (clip_norm, server_rate, schedule) != (self.clip_norm, 1.0, ()):
            raise PolicyError(
                f"a policy of counts has the clip norm of its bounds ({self.clip_norm:.6g}), the server rate 1 and no "
                f"schedule: nothing is clipped, and no model moves"
            )

    def encode(self) -> bytes:
        b = self.bounds
        w = Writer(_TAG).u64(b.coordinates).u64(b.each_max).u64(b.total_min).u64(b.total_max)
        return w.bytes(self.question).finish()

    @classmethod
    def decode(cls, data: bytes) -> Counts:
        """Reads a statement; raises DecodeError or PolicyError."""
        r = Reader(data, _TAG, limit=256)
        out = cls(CountBounds(r.u64(), r.u64(), r.u64(), r.u64()), r.bytes(exact=DIGEST_BYTES))
        r.finish()
        if out.encode() != data:
            raise DecodeError("counts: not the canonical encoding")
        return out

    @staticmethod
    def is_encoded(data: bytes) -> bool:
        """Returns whether bytes say that they are such a statement."""
        return data[4 : 4 + len(_TAG)] == _TAG.encode()
