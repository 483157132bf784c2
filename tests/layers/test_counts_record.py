"""The record of a statistic (S4) holds for its question, bounds and keys alone; anybody checks it from a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.layers.counts import (
    ONE_OF_FIVE,
    QUESTION,
    TWO_OF_FIVE,
    UP_TO_NINE,
    CountCohort,
    agreed,
    count_keys,
)
from tests.layers.forge import Forge
from tests.layers.own_rows import OwnCohort
from zkfed.__main__ import main
from zkfed.counts import CountBounds, Counts
from zkfed.errors import (
    CommitmentMismatch,
    DecodeError,
    KeyRefused,
    LimitExceeded,
    PolicyError,
    ZkfedError,
)
from zkfed.groth16.setup import development_keys
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Transcript, released_sums
from zkfed.statements.improvement import Benchmark
from zkfed.statements.one_hot import one_hot_circuit


def test_a_saved_record_is_checked_by_anybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = CountCohort()
    for _ in range(2):
        cohort.honest_round()
    cohort.transcript.save(tmp_path / "record")
    read = Transcript.load(tmp_path / "record")
    check_release(read)
    assert read.agreement.policy == cohort.agreement.policy
    assert main(["check", str(tmp_path / "record")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("holds: 2 rounds, checked in ")
    assert f"question    {QUESTION.hex()}\nbounds      5 counts of 0 to 1 each, 0 to 1 together\n" in out
    for number, record in enumerate(read.rounds, 1):
        ((sums, _),) = released_sums(record)
        assert f"round {number}: of 3 people: {' '.join(map(str, sums))}\n" in out
    assert "certificate" not in out


def test_keys_of_another_circuit_or_for_development_are_refused() -> None:
    agreed(ONE_OF_FIVE, count_keys(ONE_OF_FIVE))
    noise = count_keys(ONE_OF_FIVE)[1]
    for other in (count_keys(TWO_OF_FIVE)[0], count_keys(UP_TO_NINE)[0], development_keys(one_hot_circuit(4))):
        with pytest.raises(KeyRefused, match="another circuit"):
            agreed(ONE_OF_FIVE, (other, noise))
    with pytest.raises(KeyRefused, match="development key"):
        agreed(ONE_OF_FIVE, count_keys(ONE_OF_FIVE), setup="production")


def test_a_statistic_has_no_benchmark() -> None:
    agreement = CountCohort().agreement
    rows = Benchmark(np.zeros((2, 1), np.int64), np.zeros((2, 1), np.int64))
    with pytest.raises(ZkfedError):
        replace(agreement, benchmark=rows)


@pytest.mark.parametrize("field", ["question", "bounds", "delta", "min_clients"])
def test_a_record_holds_for_its_policy_alone(field: str) -> None:
    cohort = CountCohort()
    cohort.honest_round()
    agreement = cohort.agreement
    changed = {
        "question": {"statement": Counts(ONE_OF_FIVE, bytes(32))},
        "bounds": {"statement": Counts(CountBounds(5, 1, 1, 1), QUESTION)},
        "delta": {"delta": 1e-7},
        "min_clients": {"min_clients": 3},
    }[field]
    other = replace(agreement, policy=replace(agreement.policy, **changed))
    with pytest.raises(ZkfedError):
        check_release(Transcript(other, cohort.transcript.base, cohort.transcript.rounds))
    check_release(cohort.transcript)


def test_a_changed_count_is_seen_although_the_key_holder_signs_it() -> None:
    cohort = CountCohort()
    cohort.honest_round()
    forge = Forge(cohort, Transcript(cohort.agreement, cohort.base.copy(), list(cohort.transcript.rounds)))
    forge.sums(lambda sums: sums + np.array([0, 1, 0, 0, 0]))
    with pytest.raises(CommitmentMismatch):
        check_release(forge.transcript)
    check_release(cohort.transcript)


def test_a_record_with_a_beacon_is_refused() -> None:
    cohort = CountCohort()
    cohort.honest_round()
    forge = Forge(cohort, Transcript(cohort.agreement, cohort.base.copy(), list(cohort.transcript.rounds)))
    forge.put_record(0, reveals=(b"opened", b"opened"))
    with pytest.raises(DecodeError, match="its statement draws no rows"):
        check_release(forge.transcript)


def test_a_record_of_more_counts_than_a_reader_allows(tmp_path: Path) -> None:
    cohort = CountCohort()
    cohort.transcript.save(tmp_path)
    assert Transcript.load(tmp_path, parameters_max=5).agreement.policy == cohort.agreement.policy
    with pytest.raises(LimitExceeded, match="counts of 5 coordinates"):
        Transcript.load(tmp_path, parameters_max=4)


def test_a_statistic_has_no_registry() -> None:
    with pytest.raises(PolicyError, match="do not fit together"):
        replace(CountCohort().agreement, registry=OwnCohort().registry)
