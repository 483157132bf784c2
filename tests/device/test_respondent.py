"""Nothing leaves a device without a consent that holds and a budget that covers it, in any mode."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zkfed.device.consent import ConsentBook
from zkfed.device.respondent import Respondent
from zkfed.device.rhythm import bins_of, sessions_of
from zkfed.device.store import LocalStore
from zkfed.dp.how import How
from zkfed.dp.ledger import Ledger
from zkfed.dp.query import CohortQuery, Report
from zkfed.dp.randomise import RandomisedReports
from zkfed.dp.vocabulary import Vocabulary
from zkfed.dp.what import What
from zkfed.dp.when import When
from zkfed.dp.who import Who
from zkfed.errors import BudgetExceeded, DecodeError, NotAuthorised, PolicyError, StoreFault

NOW = 1_700_000_000
"""Tuesday, 14 November 2023, 22:13:20 UTC."""
MODES = ("central", "encrypted", "local")
HOW = How("method", ["declarative", "imperative", "both"])
WHAT = What("intent", Vocabulary({"install": ["install"], "search": ["search"]}), contributions=2)
WHEN = When("hour-of-week", contributions=2)
WHO = Who("persona")


def device(folder: Path, *, epsilon: float = 4.0, allow: Any = ("WHO", "WHAT", "HOW", "WHEN")) -> Respondent:
    consent = ConsentBook(folder / "consent", version=1)
    for dimension in allow:
        consent.grant("statistics", dimension, now_s=NOW)
    store = LocalStore(folder / "store", key=secrets.token_bytes(32))
    ledger = Ledger(folder / "own.db", epsilon_max=epsilon, delta=1e-6, period="quarter")
    return Respondent("anna", consent=consent, store=store, ledger=ledger)


def observe_all(one: Respondent) -> None:
    for answer in ("both", "declarative", "declarative"):
        one.observe(HOW, answer, now_s=NOW)
    one.observe(WHO, "power user", now_s=NOW)
    one.observe_commands(WHAT, ["install x", "ls /data/anna", "search y", "install z"], now_s=NOW)
    one.observe_times(WHEN, [NOW, NOW + 60, NOW + 3600], utc_offset_s=3600, now_s=NOW)


@pytest.mark.parametrize(
    ("query", "indices", "keys"),
    [(HOW, (0,), ()), (WHO, (WHO.bucket("power user"),), ("power user",)), (WHAT, (0, 1), ()), (WHEN, (47, 48), ())],
    ids=str,
)
def test_the_most_frequent_categories_leave(
    query: CohortQuery, indices: tuple[int, ...], keys: tuple[str, ...], tmp_path: Path
) -> None:
    one = device(tmp_path)
    observe_all(one)
    report = one.answer(query, mode="central", epsilon=0.5, now_s=NOW)
    assert isinstance(report, Report)
    assert (report.indices, report.keys) == (indices, keys)
    assert query.reports([report]).persons == ["anna"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("query", [HOW, WHO, WHAT, WHEN], ids=str)
def test_nothing_leaves_without_consent(mode: str, query: CohortQuery, tmp_path: Path) -> None:
    others = [d for d in ("WHO", "WHAT", "HOW", "WHEN") if d != query.dimension]
    one = device(tmp_path, allow=others)
    observe_all(one)
    before = one.ledger.checkpoint()
    with pytest.raises(NotAuthorised, match="no consent to statistics"):
        one.answer(query, mode=mode, epsilon=0.5, now_s=NOW)
    assert one.ledger.checkpoint() == before
    one.consent.grant("statistics", query.dimension, now_s=NOW)
    assert one.answer(query, mode=mode, epsilon=0.5, now_s=NOW)
    one.consent.withdraw("statistics", query.dimension, now_s=NOW)
    with pytest.raises(NotAuthorised, match="withdrawn"):
        one.answer(query, mode=mode, epsilon=0.5, now_s=NOW)


@pytest.mark.parametrize("mode", MODES)
def test_a_host_that_asks_for_ever_meets_the_devices_own_budget(mode: str, tmp_path: Path) -> None:
    one = device(tmp_path, epsilon=1.0)
    observe_all(one)
    one.answer(HOW, mode=mode, epsilon=0.9, now_s=NOW)
    uses = len(list(one.consent))
    with pytest.raises(BudgetExceeded):
        one.answer(WHO, mode=mode, epsilon=0.9, now_s=NOW)
    assert len(list(one.consent)) == uses


def test_a_repeated_local_question_gets_the_same_random_answer(tmp_path: Path) -> None:
    one = device(tmp_path)
    observe_all(one)
    answers = [one.answer(WHEN, mode="local", epsilon=0.5, now_s=NOW + i) for i in range(8)]
    assert all(isinstance(a, RandomisedReports) and np.array_equal(a.data, answers[0].data) for a in answers)
    assert one.ledger.spent(one.ledger.people(["anna"]), now_s=NOW).epsilon == 0.5
    again = Respondent("anna", consent=one.consent, store=one._store, ledger=one.ledger)
    assert np.array_equal(again.answer(WHEN, mode="local", epsilon=0.5, now_s=NOW).data, answers[0].data)
    assert one.answer(HOW, mode="local", epsilon=0.5, now_s=NOW).randomiser.kind == "one-of"
    assert one.answer(HOW, mode="local", epsilon=0.5, now_s=NOW).data.shape == (1,)


def test_every_central_answer_is_paid(tmp_path: Path) -> None:
    one = device(tmp_path, epsilon=1.0)
    for _ in range(3):
        one.answer(HOW, mode="central", epsilon=0.5, now_s=NOW)
    assert sum(e.kind == "charge" for e in one.ledger.entries()) == 3


def test_every_use_is_on_record_and_names_what_paid(tmp_path: Path) -> None:
    one = device(tmp_path)
    observe_all(one)
    one.answer(HOW, mode="central", epsilon=0.5, now_s=NOW)
    used = [e for e in one.consent if e.action == "used"]
    assert [(e.purpose, e.dimension, e.detail) for e in used] == [("statistics", "HOW", "HOW method, central")]
    assert used[0].paid == list(one.ledger.entries())[-1].digest


def test_no_answer_is_in_any_file_but_the_encrypted_one(tmp_path: Path) -> None:
    one = device(tmp_path)
    observe_all(one)
    for query in (HOW, WHO, WHAT, WHEN):
        one.answer(query, mode="central", epsilon=0.1, now_s=NOW)
    files = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for word in (b"declarative", b"power", b"install", b"/data/anna", b"anna"):
        assert word not in files
    assert not any(w in repr(one) + str(list(one.consent)) for w in ("anna", "declarative", "power"))


def test_who_observed_nothing_answers_nothing(tmp_path: Path) -> None:
    report = device(tmp_path).answer(HOW, mode="central", epsilon=0.5, now_s=NOW)
    assert isinstance(report, Report)
    assert report.indices == ()


@pytest.mark.parametrize("epsilon", [0, -1, float("nan"), True, "1", None])
def test_a_useless_epsilon_costs_nothing(epsilon: Any, tmp_path: Path) -> None:
    one = device(tmp_path)
    before = one.ledger.checkpoint()
    with pytest.raises((TypeError, ValueError)):
        one.answer(HOW, mode="local", epsilon=epsilon, now_s=NOW)
    with pytest.raises(PolicyError):
        one.answer(HOW, mode="raw", epsilon=0.5, now_s=NOW)
    assert one.ledger.checkpoint() == before


def test_raw_text_is_refused_and_not_repeated(tmp_path: Path) -> None:
    one = device(tmp_path)
    with pytest.raises(DecodeError) as error:
        one.observe(HOW, "my password is hunter2", now_s=NOW)
    assert "hunter2" not in str(error.value)
    assert len(one._store) == 0


def test_a_use_that_cannot_be_recorded_does_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = device(tmp_path)
    observe_all(one)

    def full(*_: Any, **__: Any) -> None:
        raise StoreFault("no space left on the device")

    monkeypatch.setattr("zkfed.device.consent.replace_file", full)
    for mode in MODES:
        with pytest.raises(StoreFault):
            one.answer(HOW, mode=mode, epsilon=0.5, now_s=NOW)


# -- rhythms ---------------------------------------------------------------------------------------


def test_local_hours_do_not_depend_on_the_zone() -> None:
    """Tuesday 22:13 is hour 46 of the week wherever it is Tuesday 22:13."""
    for offset in (-10 * 3600, 0, 5 * 3600 + 1800, 13 * 3600):
        assert bins_of(When("hour-of-week"), [NOW - offset], utc_offset_s=offset) == [46]
        assert bins_of(When("hour-of-day"), [NOW - offset], utc_offset_s=offset) == [22]
        assert bins_of(When("day-of-week"), [NOW - offset], utc_offset_s=offset) == [1]


def test_sessions_end_at_a_pause_of_half_an_hour() -> None:
    times = [NOW, NOW + 600, NOW + 2400, NOW + 2400 + 1801]
    assert sessions_of(reversed(times)) == [(NOW, NOW + 2400), (NOW + 4201, NOW + 4201)]
    assert bins_of(When("session-length"), times[:3], utc_offset_s=0) == [3]
    assert bins_of(When("session-length"), [NOW], utc_offset_s=0) == [0]


def test_sessions_per_day_count_days_without_any() -> None:
    day = 86400
    daily = [NOW + i * day for i in range(5)]
    assert bins_of(When("sessions-per-day"), daily, utc_offset_s=0) == [1]
    assert bins_of(When("sessions-per-day"), [NOW, NOW + 30 * day], utc_offset_s=0) == [0]
    assert bins_of(When("sessions-per-day"), [NOW + i * 7200 for i in range(60)], utc_offset_s=0) == [5]


@pytest.mark.parametrize("offset", [50401, -50401, 1.0, True, None])
def test_an_offset_is_that_of_some_place(offset: Any) -> None:
    with pytest.raises(PolicyError):
        bins_of(When("hour-of-day"), [NOW], utc_offset_s=offset)


def test_a_rhythm_of_ones_own_has_bins_that_only_the_host_can_tell() -> None:
    assert bins_of(When("hour-of-day"), [], utc_offset_s=0) == []
    with pytest.raises(PolicyError):
        bins_of(When("pause", ["short", "long"]), [NOW], utc_offset_s=0)
