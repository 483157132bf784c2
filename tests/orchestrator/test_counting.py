"""A statistic is a round of bounded vectors: proven, encrypted, summed, noised twice, and checked by anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

import zkfed
from zkfed.__main__ import main
from zkfed.adapters.memory import MemoryTransport
from zkfed.counts import CountBounds, Counts
from zkfed.errors import DecodeError, KeyRefused, PolicyError, ZkfedError
from zkfed.he.encrypt import encrypt
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.layers.transcript import Transcript, released_sums
from zkfed.orchestrator.client import CountClient
from zkfed.orchestrator.cohort import CohortOptions
from zkfed.orchestrator.counting import CountRelease, count_encrypted, count_policy
from zkfed.orchestrator.options import Options, make_keys
from zkfed.policy import RoundPolicy

QUESTION = bytes(range(32))
PEOPLE = 12


def policy_of(bounds: CountBounds, *, people: int = PEOPLE, epsilon: float = 2.0) -> RoundPolicy:
    return count_policy(bounds, QUESTION, people=people, loss=(epsilon, 1e-6), min_clients=4)


def vectors_of(bounds: CountBounds, people: int = PEOPLE) -> list[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(people)
    rows = []
    for i in range(people):
        v = np.zeros(bounds.coordinates, np.int64)
        v[rng.choice(bounds.coordinates, i % (bounds.total_max + 1), replace=False)] = 1
        rows.append(v)
    return rows


def count(bounds: CountBounds, vectors: list[Any], **options: Any) -> CountRelease:
    policy = policy_of(bounds, people=len(vectors))
    return count_encrypted(policy, vectors, transport=MemoryTransport(), options=Options(**options))


@pytest.mark.parametrize("bounds", [CountBounds(5, 1, 0, 1), CountBounds(7, 1, 0, 3)], ids=["one", "three"])
def test_the_sum_is_the_sum_with_two_noises(bounds: CountBounds, tmp_path: Path) -> None:
    vectors = vectors_of(bounds)
    release = count(bounds, vectors)
    assert (release.people, release.refused) == (PEOPLE, ())
    noise = release.sums - np.sum(vectors, axis=0)
    # By chance once in 10^9: chi-square of the two noises' variance.
    statistic = float((noise.astype(float) ** 2).sum()) / (2 * release.sigma**2)
    assert stats.chi2.sf(statistic, bounds.coordinates) > 1e-9
    release.transcript.save(tmp_path)
    check_release(Transcript.load(tmp_path))
    assert set(release.seconds) >= {"commit", "seal", "check", "add", "open"}


@pytest.mark.parametrize(("scheme", "curve"), [("bfv", "bls12-381"), ("ckks", "bn254"), ("bfv", "bn254")])
def test_schemes_and_curves(scheme: str, curve: str) -> None:
    bounds = CountBounds(3, 1, 0, 1)
    policy = replace(policy_of(bounds, epsilon=50.0), scheme=scheme, curve=curve)
    release = count_encrypted(policy, [np.array([1, 0, 0])] * PEOPLE, transport=MemoryTransport())
    # Ten sigma of both noises.
    assert np.abs(release.sums - [PEOPLE, 0, 0]).max() <= 15 * release.sigma
    check_release(release.transcript)


def test_a_production_policy_takes_keys_of_a_ceremony_alone() -> None:
    bounds = CountBounds(3, 1, 0, 1)
    policy = replace(policy_of(bounds), setup="production")
    for options in (None, Options(keys=make_keys(policy_of(bounds)))):
        with pytest.raises((PolicyError, KeyRefused), match="ceremony"):
            count_encrypted(policy, vectors_of(bounds), transport=MemoryTransport(), options=options)


def test_both_noises_are_in_the_sum() -> None:
    """64 coordinates of nothing: their variance is that of two noises, at 10^-9 each way."""
    bounds = CountBounds(64, 1, 0, 1)
    release = count(bounds, [np.zeros(64, np.int64)] * 4)
    value = float((release.sums.astype(float) ** 2).sum()) / (2 * release.sigma**2)
    assert 1e-9 < stats.chi2.cdf(value, 64) < 1 - 1e-9


def test_a_policy_of_counts_is_canonical() -> None:
    policy = policy_of(CountBounds(5, 1, 0, 2))
    assert RoundPolicy.decode(policy.encode()) == policy
    with pytest.raises(PolicyError):
        _ = policy.improvement
    for wrong in (policy.statement.encode()[:-1], policy.statement.encode() + b"\0"):
        with pytest.raises(ZkfedError):
            Counts.decode(wrong)
    with pytest.raises(PolicyError):
        Counts(CountBounds(5), b"short")


class Raw(CountClient):
    """A device whose library does not check what it commits to."""

    def join(self, announcement: bytes, *, base: Any, previous: bytes, round_number: int) -> bytes:
        self.device._check = lambda *_: None  # type: ignore[method-assign]
        return super().join(announcement, base=base, previous=previous, round_number=round_number)


def changed(wrong: list[int], kind: type[CountClient] = Raw) -> Callable[..., CountClient]:
    return lambda i, device, v: kind(device, np.array(wrong, np.int64)) if i == 0 else CountClient(device, v)


@pytest.mark.parametrize("wrong", [[2, 0, 0], [1, 1, 0], [-1, 1, 0], [1, 0, -1], [300, 0, 0], [1 << 14, 0, 0]])
def test_a_vector_outside_the_bounds_has_no_proof(wrong: list[int]) -> None:
    bounds = CountBounds(3, 1, 0, 1)
    release = count(bounds, vectors_of(bounds), make_client=changed(wrong))
    assert release.people == PEOPLE - 1
    assert [v.is_accepted for v in release.refused] == [False]
    assert str(wrong) not in str(release.refused[0])


@pytest.mark.parametrize("wrong", [[2, 0, 0], [1, 1, 0], [-1, 1, 0]])
def test_an_honest_device_sits_out_rather_than_send_one(wrong: list[int]) -> None:
    bounds = CountBounds(3, 1, 0, 1)
    release = count(bounds, vectors_of(bounds), make_client=changed(wrong, CountClient))
    assert release.people == PEOPLE - 1


class Stuffed(CountClient):
    """Proves one vector and encrypts another."""

    def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
        current = self.device._current()
        if not current.proof:
            current.proof = self.device._prove(current)
        current.update.integers[:] = 100
        return super().seal(announcement, encryption_key)


def test_a_ciphertext_of_another_vector_fails_closed() -> None:
    bounds = CountBounds(3, 1, 0, 1)
    with pytest.raises(PolicyError, match="abandoned"):
        count(bounds, vectors_of(bounds), make_client=changed([1, 0, 0], Stuffed))


class Copied(CountClient):
    """Sends what another device sent."""

    sealed: bytes = b""

    def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
        message = super().seal(announcement, encryption_key)
        Copied.sealed, message = Copied.sealed or message, Copied.sealed or message
        return message


def test_a_copied_report_counts_once() -> None:
    Copied.sealed = b""
    bounds = CountBounds(3, 1, 0, 1)
    release = count(
        bounds, vectors_of(bounds), workers=1,
        make_client=lambda i, device, v: (Copied if i < 2 else CountClient)(device, v),
    )  # fmt: skip
    assert release.people == PEOPLE - 1


def test_too_few_people_are_not_counted() -> None:
    bounds = CountBounds(3, 1, 0, 1)
    with pytest.raises(PolicyError):
        count(bounds, vectors_of(bounds, 3))
    with pytest.raises(PolicyError):
        count_policy(bounds, QUESTION, people=1 << 15, loss=(1.0, 1e-6), min_clients=4)


def test_a_record_of_another_question_or_sum_does_not_check() -> None:
    bounds = CountBounds(3, 1, 0, 1)
    release = count(bounds, vectors_of(bounds))
    transcript = release.transcript
    agreement = transcript.agreement
    other = replace(agreement.policy, statement=Counts(bounds, bytes(32)))
    changed_agreement = replace(agreement, policy=other)
    with pytest.raises(ZkfedError):
        check_release(Transcript(changed_agreement, transcript.base, transcript.rounds))


@pytest.mark.parametrize("mode", ["encrypted"])
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (zkfed.Who("persona", k=4, known=("power user",), buckets=16), "power user"),
        (zkfed.What("intent", ["install", "debug", "other"], contributions=2, k=4), ["install", "debug"]),
        (zkfed.How("method", ["a", "b"], k=4), "a"),
        (zkfed.When("hour-of-day", k=4), [3, 4, 5]),
    ],
    ids=str,
)
def test_all_four_dimensions(mode: str, query: Any, answer: Any) -> None:
    rows = query.reports((f"p{i}", answer if i % 4 else None) for i in range(24))
    cohort = zkfed.Cohort(None, epsilon_per_person=30, delta=1e-6)
    found = cohort.ask(query, rows, epsilon=20, mode=mode)
    top = max(found.estimates, key=lambda e: e.value)
    assert abs(top.value - (1.0 if query.is_share else 18.0)) <= 4 * max(top.half_width, 0.01)
    assert "adders and the key holder each drew noise" in found.guarantee
    assert cohort.ask(query, rows, epsilon=20, mode=mode).is_stored


def test_keys_serve_every_question_of_the_same_bounds() -> None:
    bounds = CountBounds(3, 1, 0, 1)
    keys = make_keys(policy_of(bounds))
    assert count(bounds, vectors_of(bounds), keys=keys).people == PEOPLE
    with pytest.raises(ZkfedError):
        count(CountBounds(4, 1, 0, 1), vectors_of(CountBounds(4, 1, 0, 1)), keys=keys)


def test_vectors_of_another_length_are_refused() -> None:
    bounds = CountBounds(3, 1, 0, 1)
    release = count(bounds, [np.zeros(4, np.int64), *vectors_of(bounds, 8)])
    assert release.people == 8
    assert release.refused[0].code == DecodeError.code


def few(people: int = 6) -> tuple[Any, Any]:
    query = zkfed.What("intent", ["a", "b"], k=4)
    return query, query.reports((f"p{i}", "a") for i in range(people))


def test_the_record_of_a_question_is_kept_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query, rows = few()
    options = CohortOptions(records=tmp_path / "records")
    cohort = zkfed.Cohort(tmp_path / "ledger.db", epsilon_per_person=30, delta=1e-6, options=options)
    cohort.ask(query, rows, epsilon=1)
    assert not (tmp_path / "records").exists()  # of the central mode there is none
    found = cohort.ask(query, rows, epsilon=5, mode="encrypted")
    folder = tmp_path / "records" / str(found.entry)
    assert main(["check", str(folder)]) == 0
    assert f"question    {query.digest.hex()}\n" in capsys.readouterr().out
    read = Transcript.load(folder)
    ((sums, people),) = released_sums(read.rounds[0])
    assert people == 6
    assert [e.value for e in found.estimates] == sums.tolist()
    # A repeat is the stored answer: no second record.
    cohort.ask(query, rows, epsilon=5, mode="encrypted")
    assert [f.name for f in (tmp_path / "records").iterdir()] == [str(found.entry)]


def test_development_keys_for_a_ceremonys_are_refused_before_anything_is_spent() -> None:
    query, rows = few()
    made = list[CountBounds]()

    def development(bounds: CountBounds) -> Any:
        made.append(bounds)
        return make_keys(policy_of(bounds))

    cohort = zkfed.Cohort(None, epsilon_per_person=30, delta=1e-6, options=CohortOptions(keys=development))
    with pytest.raises(KeyRefused, match="ceremony"):
        cohort.ask(query, rows, epsilon=5, mode="encrypted")
    assert made == [CountBounds(2, 1, 0, 1)]
    assert not list(cohort.ledger.entries())
    assert cohort.ask(query, rows, epsilon=5).outcome == "released"


@pytest.mark.parametrize("wrong", ["of another circuit", "one key", "three keys"])
def test_keys_that_do_not_fit_are_refused_before_anything_is_spent(wrong: str) -> None:
    query, rows = few()
    keys = make_keys(policy_of(CountBounds(3, 1, 0, 1)))
    given = {"of another circuit": keys, "one key": keys[:1], "three keys": (*keys, keys[0])}[wrong]
    cohort = zkfed.Cohort(None, epsilon_per_person=30, delta=1e-6, options=CohortOptions(keys=lambda _: given))
    with pytest.raises((KeyRefused, PolicyError)):
        cohort.ask(query, rows, epsilon=5, mode="encrypted")
    assert not list(cohort.ledger.entries())


def test_keys_of_a_ceremony_make_a_production_record(tmp_path: Path) -> None:
    """Keys that say they come from a ceremony: their origin is data, which nothing here can prove."""
    query, rows = few()
    made = make_keys(policy_of(CountBounds(2, 1, 0, 1)))
    keys = tuple(replace(k, verifying=replace(k.verifying, origin="phase2:test")) for k in made)
    options = CohortOptions(keys=lambda _: keys, records=tmp_path)
    cohort = zkfed.Cohort(None, epsilon_per_person=30, delta=1e-6, options=options)
    found = cohort.ask(query, rows, epsilon=5, mode="encrypted")
    agreement = Transcript.load(tmp_path / str(found.entry)).agreement
    assert agreement.policy.setup == "production"
    check_release(Transcript.load(tmp_path / str(found.entry)))


def test_a_sum_that_does_not_open_is_spent_and_not_released(monkeypatch: pytest.MonkeyPatch) -> None:
    query, rows = few()
    cohort = zkfed.Cohort(None, epsilon_per_person=30, delta=1e-6)
    real = Device._encrypt
    monkeypatch.setattr(Device, "_encrypt", stuffed)
    with pytest.raises(PolicyError, match="abandoned"):
        cohort.ask(query, rows, epsilon=5, mode="encrypted")
    monkeypatch.setattr(Device, "_encrypt", real)
    assert len(list(cohort.ledger.entries())) == 1
    # What was spent stays spent; asked anew it costs once more, and is answered.
    found = cohort.ask(query, rows, epsilon=5, mode="encrypted", again=1)
    assert found.outcome == "released"
    assert found.cost.spent > found.cost.epsilon


def stuffed(device: Device, key: Any, current: Any) -> bytes:
    """Encrypts one more than was proven."""
    return encrypt(key, device.agreement.plaintext.pack(current.update.integers + 1, current.blinder)).to_bytes()
