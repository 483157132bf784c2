"""A person's answer is a bounded vector of category numbers, whatever and however often the person says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.dp.how import How
from zkfed.dp.query import CohortQuery, Report, Reports
from zkfed.dp.what import What
from zkfed.dp.when import RHYTHMS, When
from zkfed.dp.who import Who
from zkfed.errors import DecodeError, LimitExceeded, PolicyError, ZkfedError

HOW = How("method", ["declarative", "imperative", "both"])
WHAT = What("intent", ("install", "configure", "debug", "update"), contributions=2)
WHEN = When("hour-of-week")
WHO = Who("persona")
ANSWERS: list[tuple[CohortQuery, Any]] = [
    (HOW, "both"), (WHAT, ["debug", "install"]), (WHEN, [0, 167, "Tue 13h"]), (WHO, "power user")
]  # fmt: skip


@pytest.mark.parametrize(("query", "answer"), ANSWERS)
def test_nothing_of_an_answer_shows(query: CohortQuery, answer: Any) -> None:
    report = query.report("anna", answer)
    reports = query.reports([report])
    for text in (repr(report), str(report), repr(reports), str(reports)):
        assert not any(word in text for word in ("anna", "both", "debug", "167", "power"))


@pytest.mark.parametrize(("query", "answer"), ANSWERS)
def test_a_million_rows_of_one_person_weigh_as_one_answer(query: CohortQuery, answer: Any) -> None:
    one = query.reports([("anna", answer)])
    rows = 1 << 20
    owner = np.repeat(np.arange(rows), len(one.indices))
    many = dataclasses.replace(one, persons=["anna"] * rows, owner=owner, indices=np.tile(one.indices, rows))
    assert many.members[0] == ["anna"]
    people, vectors = query.vectors(many)
    assert people == ["anna"]
    assert (vectors == query.vectors(one)[1]).all()
    assert vectors.sum() <= query.contributions


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.lists(st.integers(0, 3), max_size=6)), max_size=12))
def test_bounding_equals_its_plain_form(rows: list[tuple[str, list[int]]]) -> None:
    """The first T distinct categories of each person count, in the order of arrival."""
    reports = WHAT.reports((person, [WHAT.categories[i] for i in answer]) for person, answer in rows)
    expected: dict[str, list[int]] = {person: [] for person, _ in rows}
    for person, answer in rows:
        # Each report is bounded by itself, on the device, before the person's reports are merged.
        for i in sorted(dict.fromkeys(answer).keys() & set(list(dict.fromkeys(answer))[:2])):
            if i not in expected[person] and len(expected[person]) < 2:
                expected[person].append(i)
    people, vectors = WHAT.vectors(reports)
    assert people == list(expected)
    for person, v in zip(people, vectors, strict=True):
        assert np.flatnonzero(v).tolist() == sorted(expected[person])


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=2), st.sampled_from([*HOW.categories, None])), max_size=9))
def test_columns_are_reports(rows: list[tuple[str, str | None]]) -> None:
    slow, fast = HOW.reports(rows), HOW.columns([p for p, _ in rows], [a for _, a in rows])
    for name in ("persons", "owner", "indices"):
        assert list(getattr(slow, name)) == list(getattr(fast, name))


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (HOW, "tabs"), (HOW, 0), (HOW, ["declarative", "spaces"]), (HOW, b"both"), (HOW, math.nan), (HOW, True),
        (WHAT, "install firefox"), (WHAT, {"install": 3}), (WHEN, 168), (WHEN, -1), (WHEN, True), (WHEN, 3.0),
        (WHEN, "Mon 24h"), (WHO, ""), (WHO, " x"), (WHO, "a\nb"), (WHO, "x" * 81), (WHO, 7), (WHO, b"power"),
    ],
)  # fmt: skip
def test_an_answer_outside_the_categories_is_refused_and_not_repeated(query: CohortQuery, answer: Any) -> None:
    with pytest.raises(DecodeError) as error:
        query.report("anna", answer)
    assert len(repr(answer)) < 4 or repr(answer).strip("'") not in str(error.value)


@pytest.mark.parametrize("person", ["", "x" * 201, None, 7, b"anna"])
def test_a_person_has_a_name(person: Any) -> None:
    with pytest.raises(DecodeError):
        HOW.report(person, "both")
    with pytest.raises(DecodeError):
        HOW.columns([person], ["both"])


def test_a_report_is_for_one_question() -> None:
    other = How("method", ["declarative", "imperative"])
    with pytest.raises(DecodeError):
        HOW.reports([other.report("anna", "imperative")])
    with pytest.raises(DecodeError):
        HOW.vectors(other.reports([("anna", "imperative")]))
    with pytest.raises(DecodeError):
        HOW.reports([("anna",)])  # type: ignore[list-item]


def test_a_report_holds_numbers_and_no_text() -> None:
    kinds = {f.name: f.type for f in dataclasses.fields(Report)}
    assert kinds == {"person": "str", "question": "bytes", "indices": "tuple[int, ...]", "keys": "tuple[str, ...]"}
    for query, answer in ANSWERS[:3]:
        assert query.report("anna", answer).keys == ()


@pytest.mark.parametrize(
    "build",
    [
        lambda: How("m", ["a"]),
        lambda: How("m", ["a", "a"]),
        lambda: How("m", "ab"),
        lambda: How("", ["a", "b"]),
        lambda: How("m\n", ["a", "b"]),
        lambda: How("m", ["a", "b"], contributions=2),
        lambda: How("m", ["a", "b"], half_width="0%"),
        lambda: How("m", ["a", "b"], half_width="nan"),
        lambda: How("m", ["a", "b"], k=1),
        lambda: How("m", ["a", "b"], k=True),
        lambda: What("m", []),
        lambda: What("m", ["a", "b"], contributions=3),
        lambda: What("m", ["a", 3]),
        lambda: When("hour-of-year"),
        lambda: When(7),  # type: ignore[arg-type]
        lambda: When("hour-of-week", contributions=-1),
        lambda: Who("m", categories=("a",)),
        lambda: Who("m", buckets=1),
        lambda: Who("m", buckets=2, known=("a", "b", "c")),
    ],
)
def test_questions_that_make_no_sense_are_refused(build: Any) -> None:
    with pytest.raises(ZkfedError) as error:
        build()
    assert isinstance(error.value, PolicyError)


def test_the_name_of_a_question_is_all_that_it_asks() -> None:
    same = How("method", ["declarative", "imperative", "both"])
    assert same.digest == HOW.digest
    others = [
        How("methods", HOW.categories), How("method", HOW.categories[::-1]), How("method", HOW.categories, k=21),
        What("method", HOW.categories), What("method", HOW.categories, contributions=2),
        Who("method"), Who("method", buckets=65),
    ]  # fmt: skip
    assert len({q.digest for q in [HOW, *others]}) == len(others) + 1
    # What a promise is does not change what is asked.
    assert How("method", HOW.categories, half_width="5%").digest == HOW.digest


def test_the_rhythms_have_the_bins_that_they_say() -> None:
    assert {name: (len(bins), most) for name, (bins, most) in RHYTHMS.items()} == {
        "hour-of-week": (168, 8), "hour-of-day": (24, 4), "day-of-week": (7, 3), "session-length": (6, 1),
        "sessions-per-day": (6, 1),
    }  # fmt: skip
    assert WHEN.report("anna", ["Sun 23h"]).indices == (167,)
    assert WHEN.report("anna", list(range(100))).indices == tuple(range(8))
    assert When("pause", ["short", "long"]).contributions == 1


def test_labels_fall_into_public_buckets() -> None:
    query = Who("persona", known=("beginner", "power user"))
    reports = query.reports([("a", "power user"), ("b", "power user"), ("c", "somebody else"), ("d", None)])
    assert reports.keys == ("power user", "somebody else")
    people, vectors = query.vectors(reports)
    assert people == ["a", "b", "c", "d"]
    assert vectors.sum(axis=0)[query.bucket("power user")] >= 2
    assert query.bucket_labels[query.bucket("beginner")] == "beginner"
    assert vectors[3].sum() == 0


def test_two_labels_in_one_bucket_count_once() -> None:
    query = Who("persona", buckets=2, contributions=2)
    labels = [f"label {i}" for i in range(8)]
    pair = [x for x in labels if query.bucket(x) == query.bucket(labels[0])][:2]
    assert len(pair) == 2
    assert query.vectors(query.reports([("a", pair)]))[1].sum() == 1
    assert isinstance(query.reports([("a", pair)]), Reports)


def test_vectors_that_do_not_fit_into_memory_are_refused() -> None:
    query = What("wide", [str(i) for i in range(1 << 14)])
    rows = query.columns([f"p{i}" for i in range((1 << 14) + 1)], ["0"] * ((1 << 14) + 1))
    with pytest.raises(LimitExceeded):
        query.vectors(rows)
