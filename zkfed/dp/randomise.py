"""Local mode: every device randomises its own answer, and the host estimates from what it gets.

    one of K+1       the truth with probability p, each other answer with q   (no answer is the K+1st)
    bits             every bit of v is flipped with probability q = 1 - p
    n_k estimated    (c_k - n q) / (p - q),   c_k = how often k was reported

Adjacency is stronger than in the other modes: *any* answer of a person may be replaced by any
other. The mechanisms and their charges are OpenDP's. For T = 1 the one with the smaller variance is
taken.

Source: Warner 1965; Wang, Blocki, Li, Jha 2017 (USENIX Security), comparison of both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.mechanism import CONFIDENCE
from zkfed.dp.noise import _library
from zkfed.dp.query import CohortQuery, Report, Reports
from zkfed.encoding import Writer, digest
from zkfed.errors import DecodeError, PolicyError

__all__ = ["RandomisedReports", "Randomiser", "randomise"]

PLATFORM_GAP = 1e-12


@dataclass(frozen=True)
class Randomiser:
    """A calibrated randomised response for vectors of K bits of which at most T are set.

    Attributes:
        kind: "one-of" or "bits".
        count: K.
        contributions: T.
        p: Probability that a category that is in the answer is reported.
        q: Probability that another one is.
        epsilon: The loss of one report, exact; pure.
    """

    kind: str
    count: int
    contributions: int
    p: float
    q: float
    epsilon: Fraction

    @classmethod
    def calibrate(cls, query: CohortQuery, epsilon: Any) -> Randomiser:
        """Returns the more precise of the two mechanisms at a loss of at most epsilon a report.

        Raises:
            TypeError, ValueError: epsilon is no number or out of (0, 100].
        """
        wanted = exact("epsilon", epsilon, most=100)
        return _calibrate(query.count, query.contributions, wanted)

    def check(self, query: CohortQuery) -> None:
        """Checks that this is what its epsilon calibrates to: whoever sends reports cannot name a smaller loss.

        Raises:
            PolicyError: It is not.
            TypeError, ValueError: epsilon is no number or out of range.
        """
        honest = Randomiser.calibrate(query, self.epsilon)
        # Logarithms of two platforms may differ in the last bits of p and q; NaN is near nothing.
        is_near = all(abs(a - b) <= PLATFORM_GAP for a, b in ((honest.p, self.p), (honest.q, self.q)))
        if replace(self, p=honest.p, q=honest.q) != honest or type(self.epsilon) is not Fraction or not is_near:
            raise PolicyError(f"{query}: the reports were not randomised as their epsilon says")

    @property
    def loss(self) -> PrivacyLoss:
        """Of one report of one person."""
        return PrivacyLoss.pure(self.epsilon)

    def respond(self, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64] | npt.NDArray[np.uint8]:
        """Returns randomised answers, one a row, from the operating system's randomness.

        Args:
            rows: Category numbers of each person, distinct, at most T.

        Returns:
            "one-of": int64, shape (n,), K for no answer. "bits": uint8 of shape (n, ceil(K/8)).
        """
        mechanism = _response(self.kind, self.count, self.contributions, self.p)
        if any(len(set(row)) > self.contributions for row in rows):
            raise ValueError(f"an answer has more than {self.contributions} categories")
        if self.kind == "one-of":
            return np.array([mechanism(row[0] if len(row) else self.count) for row in rows], np.int64)
        bits = np.zeros((len(rows), self.count), bool)
        for bit, row in zip(bits, rows, strict=True):
            bit[list(row)] = True
        packed = np.packbits(bits, axis=1)
        out = [np.frombuffer(mechanism(row.tobytes()), np.uint8) for row in packed]
        return np.array(out, np.uint8).reshape(packed.shape)

    def observed(self, data: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Returns how often each category was reported, shape (K,).

        Raises:
            DecodeError: Not what `respond` returns.
        """
        if self.kind == "one-of":
            if data.ndim != 1 or data.dtype != np.int64 or ((data < 0) | (data > self.count)).any():
                raise DecodeError(f"randomised answers are int64 in [0, {self.count}]")
            return np.bincount(data, minlength=self.count + 1)[: self.count].astype(np.int64)
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != -(-self.count // 8):
            raise DecodeError(f"randomised answers are uint8 of {-(-self.count // 8)} bytes a person")
        return np.asarray(np.unpackbits(data, axis=1, count=self.count).sum(axis=0, dtype=np.int64))

    def estimate(self, observed: npt.NDArray[np.int64], people: int) -> npt.NDArray[np.float64]:
        """Returns the unbiased estimate of the true counts, shape (K,)."""
        return np.asarray((observed - people * self.q) / (self.p - self.q))

    def half_width_of(self, weights: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], people: int) -> float:
        """Returns the half-width of sum_k w_k n_k at 95 %: that of the randomisation, by its variance.

        Args:
            weights: w, shape (K,).
            counts: The estimated counts; the variance depends on them a little.
            people: n.
        """
        p, q, gap = self.p, self.q, self.p - self.q
        if self.kind == "bits":
            variance = people * p * (1 - p) * float((weights * weights).sum())
        else:
            # One person reports y with P[y | truth]; its variance of w_y, summed over people.
            w = np.append(weights, 0.0)
            true = np.clip(np.append(counts, people - counts.sum()), 0, people)
            true = true * (people / max(true.sum(), 1e-9))
            mean = q * w.sum() + (p - q) * w
            square = q * (w * w).sum() + (p - q) * w * w
            variance = float((true * (square - mean * mean)).sum())
        return NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(max(variance, 0.0)) / gap


@dataclass(frozen=True)
class RandomisedReports:
    """Many people's randomised answers: what the host sees in the local mode, and all of it.

    Attributes:
        question: `CohortQuery.digest`.
        randomiser: How they were made.
        persons: Who answers; of several reports of one person the first counts.
        data: See `Randomiser.respond`.
    """

    question: bytes
    randomiser: Randomiser
    persons: tuple[str, ...] = field(repr=False)
    data: npt.NDArray[Any] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.persons) != len(self.data):
            raise DecodeError(f"{len(self.persons)} persons and {len(self.data)} randomised answers")

    def __len__(self) -> int:
        return len(self.persons)

    def __add__(self, other: RandomisedReports) -> RandomisedReports:
        """Returns the reports of both; raises PolicyError unless both answer the same question in the same way."""
        if (self.question, self.randomiser) != (other.question, other.randomiser):
            raise PolicyError("reports for different questions, or of different randomisation, do not add up")
        data = np.concatenate([self.data, other.data])
        return RandomisedReports(self.question, self.randomiser, self.persons + other.persons, data)

    @property
    def digest(self) -> bytes:
        """Names the reports by what is in them: it is public to whoever holds them."""
        w = Writer("zkfed/v1/randomised-reports").list([p.encode() for p in self.persons])
        return digest("zkfed/v1/randomised-reports", w.bytes(self.data.tobytes()).finish())

    def first_of_each(self) -> tuple[list[str], npt.NDArray[Any]]:
        """Returns the distinct people and the first answer of each."""
        first = dict(zip(reversed(self.persons), range(len(self.persons) - 1, -1, -1), strict=True))
        places = sorted(first.values())
        return [self.persons[i] for i in places], self.data[places]


def randomise(query: CohortQuery, reports: Reports | Report, *, epsilon: Any) -> RandomisedReports:
    """Randomises answers; call it on the device, with the device's own report.

    Args:
        query: The question.
        reports: True answers; they stay where they are.
        epsilon: Loss of one report, in (0, 100].

    Raises:
        TypeError, ValueError: epsilon is no number or out of range.
        DecodeError: The reports are for another question.
    """
    randomiser = Randomiser.calibrate(query, epsilon)
    rows = query.reports([reports]) if isinstance(reports, Report) else reports
    people, vectors = query.vectors(rows)
    answers = [np.flatnonzero(v).tolist() for v in vectors]
    return RandomisedReports(query.digest, randomiser, tuple(people), randomiser.respond(answers))


@functools.lru_cache(maxsize=64)
def _calibrate(count: int, contributions: int, epsilon: Fraction) -> Randomiser:
    wanted, found = float(epsilon), []
    if contributions == 1:
        p = _search(lambda x: _response("one-of", count, 1, x).map(1) <= wanted, 1 / (count + 1), 1.0)
        found.append(Randomiser("one-of", count, 1, p, (1 - p) / count, epsilon))
    p = _search(lambda x: _response("bits", count, contributions, x).map(1) <= wanted, 0.5, 1.0)
    found.append(Randomiser("bits", count, contributions, p, 1 - p, epsilon))
    return min(found, key=lambda r: r.q * (1 - r.q) / (r.p - r.q) ** 2)


def _search(is_private: Any, low: float, high: float) -> float:
    """Returns the largest probability of the truth that OpenDP's map still finds private enough."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if is_private(middle) else (low, middle)
    return low


@functools.lru_cache(maxsize=256)
def _response(kind: str, count: int, contributions: int, p: float) -> Any:
    library = _library()
    if kind == "one-of":
        return library.m.make_randomized_response(list(range(count + 1)), prob=p)
    domain = library.bitvector_domain(max_weight=contributions)
    return library.m.make_randomized_response_bitvec(domain, library.discrete_distance(), f=2 * (1 - p))
