"""Three ways to answer one question: what each costs, how it is computed, how wide it is."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zkfed.counts import CountBounds
from zkfed.dp.answer import Answer
from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.mechanism import CountNoise, Threshold
from zkfed.dp.noise import calibrate
from zkfed.dp.plan import Asking, expected, people_needed
from zkfed.dp.query import CohortQuery, Reports
from zkfed.dp.randomise import RandomisedReports
from zkfed.dp.statistic import Estimate, Width, estimate
from zkfed.dp.who import Who
from zkfed.errors import DecodeError, PolicyError, shown
from zkfed.groth16.keys import ProvingKey
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.counting import check_keys, count_encrypted, count_policy
from zkfed.orchestrator.events import Event
from zkfed.orchestrator.options import Options, make_keys
from zkfed.policy import CLIENTS_MAX
from zkfed.ports import Transport

__all__ = ["Central", "Encrypted", "Local", "Way", "WayTerms"]

Found = tuple[tuple[Estimate, ...], str, int | None]
"""Estimates, outcome, and the least number of those who answered."""


@dataclass(frozen=True)
class WayTerms:
    """What a cohort's questions have in common.

    Attributes:
        delta: Of the budget.
        noise: "gaussian" or "laplace", in central mode.
        watch: Gets what happens while an encrypted question runs.
        transport: Makes what moves the messages of an encrypted question.
        keys: Of S4 and N from a ceremony, for bounds; None makes development keys.
    """

    delta: float
    noise: str
    watch: Callable[[Event], None] | None = None
    transport: Callable[[], Transport] | None = None
    keys: Callable[[CountBounds], tuple[ProvingKey, ...]] | None = None


class Way:
    """One way to answer one question: what it costs, how it is computed, how it reads."""

    mode = ""
    freshness = b""
    """What makes a repeat a repeat, beside question, people and loss; public."""
    record: Transcript | None = None
    """What anybody can check of it, once it is computed."""

    def __init__(self, terms: WayTerms, query: CohortQuery, reports: Reports, epsilon: Any) -> None:
        self.terms, self.query, self.reports = terms, query, reports
        self.persons: list[str] = reports.members[0]
        self.noise = CountNoise.calibrate(self.kind, epsilon, terms.delta, query.contributions)
        self.epsilon = epsilon

    @property
    def kind(self) -> str:
        return self.terms.noise

    @property
    def loss(self) -> PrivacyLoss:
        return self.noise.loss

    @property
    def described(self) -> str:
        name = "discrete Gaussian, sigma" if self.noise.kind == "gaussian" else "integer Laplace, scale"
        return f"{name} {self.noise.scale:.4g}"

    def is_hopeless(self) -> bool:
        """Whether the promised half-width cannot be kept even if everybody answers."""
        if self.query.half_width is None:
            return False
        # Equal shares are the most favourable ones.
        way = Asking(self.mode, self.epsilon, self.terms.delta, self.terms.noise)
        needed = people_needed(self.query, expected(self.query, way, share=1 / self.query.count))
        return needed is None or needed > len(self.persons)

    def compute(self) -> Answer:
        raise NotImplementedError

    def estimates(self, answer: Answer) -> Found:
        labels = answer.labels or self.labels
        return self._shown(*estimate(self.query, labels, answer.counts, self.width(answer), len(self.persons)))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.query.bucket_labels if isinstance(self.query, Who) else self.query.categories

    def width(self, answer: Answer) -> Width:
        return replace(self.noise, scale=answer.scale).half_width_of

    def _shown(self, found: tuple[Estimate, ...], outcome: str, answered: int | None) -> Found:
        """Leaves out the buckets of WHO that are too small to be shown."""
        if isinstance(self.query, Who):
            least = [self.query.shown_from(e.half_width) for e in found]
            found = tuple(
                sorted((e for e, low in zip(found, least, strict=True) if e.value >= low), key=lambda e: -e.value)
            )
        return found, outcome, answered


class Central(Way):
    """True reports are here; OpenDP noises their bounded sum."""

    mode = "central"

    def __init__(self, terms: WayTerms, query: CohortQuery, reports: Reports, epsilon: Any) -> None:
        super().__init__(terms, query, reports, epsilon)
        self.threshold: Threshold | None = None
        if isinstance(query, Who):
            self.threshold = Threshold.calibrate(terms.noise, epsilon, terms.delta, query.contributions, k=query.k)
            self.noise = self.threshold.noise

    def compute(self) -> Answer:
        _, indices = self.reports.bounded(self.query.contributions)
        if self.threshold is None:
            counts = np.bincount(indices, minlength=self.query.count).astype(np.int64)
            return Answer((), self.noise.add(counts), len(self.persons), self.noise.scale)
        counts = np.bincount(indices, minlength=len(self.reports.keys))
        held = {key: int(n) for key, n in zip(self.reports.keys, counts, strict=True) if n}
        shown_counts = self.threshold.release(held)
        labels = tuple(sorted(shown_counts))
        values = np.array([shown_counts[x] for x in labels], np.int64)
        return Answer(labels, values, len(self.persons), self.noise.scale)

    def estimates(self, answer: Answer) -> Found:
        if self.threshold is None:
            return super().estimates(answer)
        found, outcome, answered = estimate(
            self.query, answer.labels, answer.counts, self.width(answer), len(self.persons)
        )
        return tuple(sorted(found, key=lambda e: -e.value)), outcome, answered

    @property
    def described(self) -> str:
        if self.threshold is None:
            return super().described
        return (
            f"{super().described}; no group whose noised count is below {self.threshold.shown_from} is shown "
            f"(tau {self.threshold.tau}, k {self.query.k})"
        )


class Encrypted(Way):
    """Each report is proven and encrypted; the sum is opened with the noise of two parties."""

    mode = "encrypted"

    def __init__(self, terms: WayTerms, query: CohortQuery, reports: Reports, epsilon: Any) -> None:
        self.terms, self.query, self.reports, self.epsilon = terms, query, reports, epsilon
        self.persons = reports.members[0]
        if terms.transport is None:
            raise PolicyError("the encrypted mode needs a transport: CohortOptions(transport=...)")
        if len(self.persons) > CLIENTS_MAX:
            raise PolicyError(f"{query}: {len(self.persons)} people, one encrypted sum takes {CLIENTS_MAX}")
        # As a round charges it: at the norm rounded up to a whole number.
        drawn = calibrate(float(epsilon), terms.delta, math.isqrt(query.contributions - 1) + 1)
        self.noise = CountNoise("gaussian", drawn.sigma, PrivacyLoss.gaussian(drawn.rho), draws=2)
        self.bounds = query.counts.bounds
        loss = (float(epsilon), terms.delta)
        self.policy = count_policy(self.bounds, query.digest, people=len(self.persons), loss=loss, min_clients=query.k)
        self.keys: tuple[ProvingKey, ...] = ()
        if terms.keys is not None:
            self.policy, self.keys = replace(self.policy, setup="production"), terms.keys(self.bounds)
            check_keys(self.policy, self.keys)

    @property
    def described(self) -> str:
        return f"twice {super().described}"

    def compute(self) -> Answer:
        if self.terms.transport is None:
            raise PolicyError("the encrypted mode needs a transport")
        _, vectors = self.query.vectors(self.reports)
        release = count_encrypted(
            self.policy, list(vectors), transport=self.terms.transport(),
            options=Options(keys=self.keys or _keys(self.bounds)), watch=self.terms.watch,
        )  # fmt: skip
        check_release(release.transcript)
        self.record = release.transcript
        return Answer((), release.sums, release.people, release.sigma)


@functools.lru_cache(maxsize=4)
def _keys(bounds: CountBounds) -> tuple[ProvingKey, ...]:
    """Returns development keys of S4 and N: they serve every question of the same bounds."""
    return make_keys(count_policy(bounds, bytes(32), people=2, loss=(1.0, 1e-6), min_clients=2))


class Local(Way):
    """Reports were randomised on the devices."""

    mode = "local"

    def __init__(self, terms: WayTerms, query: CohortQuery, reports: RandomisedReports, epsilon: Any) -> None:
        if reports.question != query.digest:
            raise DecodeError(f"the reports are for another question than {query}")
        reports.randomiser.check(query)
        self.randomiser = reports.randomiser
        if epsilon is not None and exact("epsilon", epsilon, most=100) != self.randomiser.epsilon:
            raise PolicyError(
                f"the reports were randomised at epsilon {float(self.randomiser.epsilon):.4g}, not {shown(epsilon)}"
            )
        self.terms, self.query, self.epsilon = terms, query, self.randomiser.epsilon
        self.persons, self.data = reports.first_of_each()
        # What was randomised on the devices is no secret of the host: other reports are another question.
        self.freshness = reports.digest

    @property
    def loss(self) -> PrivacyLoss:
        return self.randomiser.loss

    @property
    def described(self) -> str:
        r = self.randomiser
        what = f"one of {r.count + 1} answers" if r.kind == "one-of" else f"each of {r.count} bits"
        return f"randomised response, {what}, kept with probability {r.p:.4g}"

    def compute(self) -> Answer:
        observed = self.randomiser.observed(self.data)
        return Answer((), observed, len(self.persons), self.randomiser.p)

    def estimates(self, answer: Answer) -> Found:
        r, people = self.randomiser, answer.people
        counts = r.estimate(answer.counts, people)
        found = estimate(self.query, self.labels, counts, lambda w: r.half_width_of(w, counts, people), people)
        return self._shown(*found)
