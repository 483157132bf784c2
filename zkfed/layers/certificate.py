"""The convex composition certificate: what the proofs of a round say about its sum.

    L(W0 + D_i) <= (1 - X) L(W0) for all i in I,   L convex,   0 < rate <= 1
    =>  L(W0 + rate/n sum_i D_i) <= (1 - rate) L(W0) + rate/n sum_i L(W0 + D_i) <= (1 - rate X) L(W0)

That is Jensen's inequality, and it is about a model that nobody sees: the mean without noise. Next
to it therefore stand what the noise is expected to cost and the loss of the published model, which
anyone can compute. The noise of m released groups with n updates in all moves a weight, in model
units, with a variance of at most v = 2 m (sigma rate / (n 2^f))^2: G and K add sigma each. With c
outputs and sums over the benchmark's rows x, the loss then grows on average by at most

    squared         v c sum |x|^2                               exactly that
    logistic        v/8 sum |x|^2      and  sqrt(v)/2 sum |x|   its curvature is below 1/4, its slope below 1
    hinge                                   sqrt(v)/2 sum |x|
    cross-entropy   v (c - 1)/4 sum |x|^2  and  sqrt(2 v ln c) sum |x|

The curvature of the cross-entropy is below (1 - J/c)/2, of trace (c - 1)/2; it grows by no more than
the noise's largest logit less the label's, and the mean of the largest of c subgaussians is known.

Not covered: the rounding of the published weights to 2^-f and their range; noise that was not
drawn as agreed; any other data than the benchmark.

Source: protocol.md section 6; Boehning, Multinomial logistic regression algorithm (1992), for the
curvature; Canonne, Kamath, Steinke (2020): discrete Gaussians are symmetric and subgaussian.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.counts import Counts
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import RoundRecord, Transcript, outcome_of, released_sums
from zkfed.losses import is_convex, scale
from zkfed.model import FEATURE_LIMIT
from zkfed.policy import Improvement, RoundPolicy
from zkfed.statements.terms import benchmark_terms

__all__ = ["Certificate", "NoCertificate", "certificates", "expected_excess", "refusals"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What holds for the sum of one round. All numbers are shares of the base model's loss.

    Attributes:
        round: Counted from 1.
        updates: n, how many were summed.
        loss: Which one.
        at_least: rate X: by how much the loss of the mean model without noise is lower, at least.
        expected_excess: What noise drawn as agreed adds to that loss on average, at most.
        published_change: By how much the loss of the published model is higher (or lower, below 0),
            rounded up.
    """

    round: int
    updates: int
    loss: str
    at_least: Fraction
    expected_excess: float
    published_change: Fraction

    def __str__(self) -> str:
        proven = math.floor(self.at_least * 10**6) / 10**4  # never more than is proven
        return (
            f"round {self.round}: without noise, the mean of the {self.updates} updates lowers the {self.loss} loss on "
            f"the benchmark by at least {proven:g} %; the noise is expected to add at most {self.expected_excess:.2%} "
            f"of the base loss; the published model's loss changed by {float(self.published_change):+.2%}"
        )


@dataclass(frozen=True, slots=True)
class NoCertificate:
    """Why nothing is claimed about the sum of a round.

    Attributes:
        round: Counted from 1.
        reasons: Each condition that does not hold.
    """

    round: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"round {self.round}: no certificate for the sum: {'; '.join(self.reasons)}"


def certificates(transcript: Transcript) -> tuple[Certificate | NoCertificate, ...]:
    """Checks a transcript and returns what its proofs say about the sum of each round.

    Raises:
        ZkfedError: The transcript does not hold; see `check_release`.
    """
    check_release(transcript)
    models = list(transcript.models())
    return tuple(
        _of_round(transcript.agreement, number, record, base=models[number - 1], published=models[number])
        for number, record in enumerate(transcript.rounds, start=1)
    )


def refusals(policy: RoundPolicy, benchmarks: Collection[bytes]) -> tuple[str, ...]:
    """Returns why updates under a policy do not compose; () if they do.

    Args:
        policy: Its releases are plain means (`apply_releases`); it knows no robust aggregation, for
            which nothing here would hold.
        benchmarks: Digest of the rows that each summed group proved something about.
    """
    if isinstance(policy.statement, Counts):
        return ("S4: counts of answers are about no model",)
    statement = policy.statement
    conditions = (
        (is_convex(statement.loss), f"the loss {statement.loss} is not convex"),
        (not statement.model.hidden, "the model is not linear, so that no loss is convex in its weights"),
        (statement.kind == "S2", f"{statement.kind}: each client proves it on rows of its own"),
        (policy.server_rate <= 1, f"the server's step is {policy.server_rate:g} times the mean, more than the mean"),
        (len(set(benchmarks)) > 0, "nothing was released"),
        (len(set(benchmarks)) <= 1, "the updates were proven on different benchmarks"),
    )
    return tuple(reason for is_met, reason in conditions if not is_met)


def expected_excess(statement: Improvement, features: npt.NDArray[Any], variance: float) -> float:
    """Returns how much noise adds to a convex loss of a linear model on average, at most.

    Args:
        statement: Loss and model.
        features: Integers with the bias column, shape (n, d + 1); 127 is 1.
        variance: v of each weight's noise, symmetric and independent, in model units.

    Returns:
        The bound for the sum over the rows, as a real loss.
    """
    squares = (features.astype(np.int64) ** 2).sum(axis=1) / FEATURE_LIMIT**2
    by_curvature, by_slope = variance * float(squares.sum()), math.sqrt(variance) * float(np.sqrt(squares).sum())
    outputs = statement.model.outputs
    return {
        "squared": by_curvature * outputs,
        "logistic": min(by_curvature / 8, by_slope / 2),
        "hinge": by_slope / 2,
        "cross-entropy": min(by_curvature * (outputs - 1) / 4, by_slope * math.sqrt(2 * math.log(outputs))),
    }[statement.loss]


def _of_round(
    agreement: Agreement, number: int, record: RoundRecord, *, base: npt.NDArray[Any], published: npt.NDArray[Any]
) -> Certificate | NoCertificate:
    policy = agreement.policy
    released = [a for a in record.attempts if outcome_of(a)[0] == "release"]
    reasons = refusals(policy, [Announced.decode(a.announced).body.benchmark for a in released])
    if reasons:
        return NoCertificate(number, reasons)
    statement, updates = policy.improvement, sum(n for _, n in released_sums(record))
    terms = benchmark_terms(statement, base, agreement.benchmark)
    rate, unit = Fraction(policy.server_rate), 1 << policy.model.fraction_bits
    variance = 2 * len(released) * (agreement.noise_scale.sigma * policy.server_rate / (updates * unit)) ** 2
    excess = expected_excess(statement, agreement.benchmark.features, variance)
    real = terms.loss / scale(statement.loss, FEATURE_LIMIT * unit)
    return Certificate(
        number, updates, statement.loss,
        at_least=rate * policy.millionths(number) / 10**6,
        expected_excess=excess / real,
        published_change=Fraction(terms.loss_change(published - base), terms.loss),
    )  # fmt: skip
