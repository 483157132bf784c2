"""Encrypted questions to devices that keep their own consent, store and ledger.

What a host gets is a sealed vector of who allowed it and can pay; whoever cannot sits out, and nothing says why.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.device.test_respondent import HOW, NOW, WHAT, device
from tests.layers.counts import CountCohort, agreed
from zkfed.adapters.memory import MemoryTransport
from zkfed.counts import CountBounds, Counts
from zkfed.device.respondent import Respondent
from zkfed.dp.query import CohortQuery
from zkfed.errors import PolicyError, SignatureInvalid
from zkfed.groth16.keys import ProvingKey
from zkfed.layers.bridge import check_release
from zkfed.orchestrator.client import RespondingClient
from zkfed.orchestrator.counting import CountRelease, count_encrypted, count_policy
from zkfed.orchestrator.options import Options, make_keys
from zkfed.policy import RoundPolicy

QUERY = replace(HOW, k=3)
ANSWERS = ("declarative", "declarative", "imperative", "both", "declarative")


@functools.cache
def keys(bounds: CountBounds) -> tuple[ProvingKey, ...]:
    return make_keys(count_policy(bounds, bytes(32), people=2, loss=(1.0, 1e-6), min_clients=2))


def policy_of(query: CohortQuery) -> RoundPolicy:
    bounds, people = query.counts.bounds, len(ANSWERS)
    return count_policy(bounds, query.digest, people=people, loss=(3.0, 1e-6), min_clients=query.k)


def people(folder: Path, **options: Any) -> list[Respondent]:
    """Returns devices on which somebody has been observed."""
    out = []
    for number, answer in enumerate(ANSWERS):
        (folder / str(number)).mkdir()
        one = device(folder / str(number), **options)
        one.observe(HOW, answer, now_s=NOW)
        out.append(one)
    return out


class Spy(MemoryTransport):
    """Keeps all that moves."""

    seen: list[bytes]

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def publish(self, channel: str, message: bytes) -> str:
        self.seen.append(channel.encode() + message)
        return super().publish(channel, message)


def ask(
    respondents: Sequence[Respondent], query: CohortQuery = QUERY, transport: Any = None, **policy: Any
) -> CountRelease:
    def make(index: int, heart: Any, shard: Any) -> RespondingClient:
        return RespondingClient(heart, respondents[index], query, clock=lambda: NOW)

    return count_encrypted(
        replace(policy_of(query), **policy), [np.zeros(query.count, np.int64)] * len(respondents),
        transport=transport or MemoryTransport(), options=Options(keys=keys(query.counts.bounds), make_client=make),
    )  # fmt: skip


def spent(one: Respondent) -> float:
    return one.ledger.spent(one.ledger.people(["anna"]), now_s=NOW).epsilon


def test_what_was_observed_is_counted_and_paid_by_every_device(tmp_path: Path) -> None:
    respondents, spy = people(tmp_path), Spy()
    release = ask(respondents, transport=spy)
    assert (release.people, release.refused) == (5, ())
    # Ten sigma of both noises, once in 10^20.
    assert np.abs(release.sums - [3, 1, 1]).max() <= 15 * release.sigma
    check_release(release.transcript)
    for one in respondents:
        assert 0 < spent(one) <= 3.0
        (used,) = [e for e in one.consent if e.action == "used"]
        assert (used.dimension, used.detail) == ("HOW", "HOW method, encrypted")
        assert used.paid == list(one.ledger.entries())[-1].digest
    everything = b"".join(spy.seen)
    assert not any(word in everything for word in (b"declarative", b"imperative", b"anna", b"method"))


@pytest.mark.parametrize("query", [QUERY, replace(WHAT, k=3)], ids=["one answer", "two answers"])
def test_the_devices_charge_is_no_less_than_what_the_noise_costs(query: CohortQuery, tmp_path: Path) -> None:
    (respondent, *_), policy = people(tmp_path), policy_of(query)
    respondent.answer(query, mode="encrypted", epsilon=policy.epsilon, now_s=NOW)
    (charge,) = [e for e in respondent.ledger.entries() if e.kind == "charge"]
    sigma = agreed(query.counts.bounds, keys(query.counts.bounds), epsilon=policy.epsilon).noise_scale.sigma
    # Of one person's squared norm T, as the noise really is; sigma is rounded up to 16 bits.
    assert float(charge.loss.rho) >= query.contributions / (2 * sigma**2) * (1 - 2**-12)


@pytest.mark.parametrize("why", ["withdrawn", "never granted", "no budget"])
def test_who_may_not_or_cannot_sits_out_and_nobody_learns_why(why: str, tmp_path: Path) -> None:
    respondents = people(tmp_path)
    if why == "no budget":
        poor = tmp_path / "poor"
        poor.mkdir()
        respondents[2] = device(poor, epsilon=1.0)
        respondents[2].observe(HOW, "imperative", now_s=NOW)
    elif why == "never granted":
        other = tmp_path / "other"
        other.mkdir()
        respondents[2] = device(other, allow=["WHO"])
    else:
        respondents[2].consent.withdraw("statistics", "HOW", now_s=NOW)
    spy = Spy()
    release = ask(respondents, transport=spy)
    assert release.people == 4
    (verdict,) = release.refused
    assert (verdict.code, verdict.reason) == ("unsatisfied-constraint", "sat out")
    assert spent(respondents[2]) == 0
    assert not any(e.action == "used" for e in respondents[2].consent)
    assert all(spent(one) > 0 for i, one in enumerate(respondents) if i != 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"delta": 1e-5},
        {"attempts": 2},
        {"min_clients": 2},
        {"statement": Counts(QUERY.counts.bounds, WHAT.digest)},
        {"statement": Counts(CountBounds(3, 1, 1, 1), QUERY.digest)},
    ],
    ids=["less noise", "attempts", "fewer people", "another question", "other bounds"],
)
def test_a_policy_that_asks_or_costs_more_gets_no_device(changes: Any, tmp_path: Path) -> None:
    respondents = people(tmp_path)
    with pytest.raises(PolicyError, match=r"the policy (asks something else|would cost)"):
        ask(respondents, **changes)
    assert all(spent(one) == 0 for one in respondents)


def test_only_a_true_announcement_is_charged_and_only_once(tmp_path: Path) -> None:
    (respondent, *_) = people(tmp_path)
    cohort = CountCohort(replace(policy_of(QUERY), max_clients=3), [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    client = RespondingClient(cohort.devices[0], respondent, QUERY, clock=lambda: NOW)
    opened = cohort.announce()
    join = functools.partial(client.join, base=cohort.base, previous=cohort.previous, round_number=1)
    broken = bytearray(opened.announcement)
    broken[-1] ^= 1
    with pytest.raises(SignatureInvalid):
        join(bytes(broken))
    assert spent(respondent) == 0
    first = join(opened.announcement)
    paid = spent(respondent)
    assert paid > 0
    # The transport lost the answer: the same commit again, at no cost.
    assert join(opened.announcement) == first
    assert spent(respondent) == paid
    cohort.adder.receive_commit(first, now_s=0)


def test_devices_that_observed_nothing_are_counted_with_no_answer(tmp_path: Path) -> None:
    respondents = people(tmp_path)
    for number in (0, 1):
        folder = tmp_path / f"silent-{number}"
        folder.mkdir()
        respondents[number] = device(folder)
    release = ask(respondents)
    assert release.people == 5
    assert np.abs(release.sums - [1, 1, 1]).max() <= 15 * release.sigma
