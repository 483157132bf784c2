"""The statistics demo asks every dimension in every mode, tells the truth about it, and lets no secret through."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import zkfed
from examples import demo_statistics, survey
from examples.interactions import PERSONAS, RARE, SECRETS, SHARES, VOCABULARY, make_people
from examples.statistics_page import _panel
from examples.studies import made_up, truth_of


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistics")
    assert demo_statistics.main(["--preset", "small", "--out", str(folder)]) == 0
    return folder


def test_the_report_has_every_dimension_in_every_mode(out: Path) -> None:
    report = json.loads((out / "report.json").read_text())
    asked = {(s["dataset"], s["dimension"], s["mode"]) for s in report["statistics"]}
    assert asked == {
        (d, q, m)
        for d in ("made-up log", "survey 1996")
        for q in ("WHO", "WHAT", "HOW", "WHEN")
        for m in ("central", "encrypted", "local")
    }
    needed = {"people", "estimate", "truth", "half_width", "epsilon", "delta", "spent", "remaining", "seconds"}
    assert all(needed <= s.keys() for s in report["statistics"])
    inside, total = report["coverage"]
    assert inside / total > 0.8
    assert [line.split(":")[0] for line in report["refusals"]] == [
        "asked again", "asked for too much", "put an old copy of the ledger back",
    ]  # fmt: skip


def test_no_secret_and_no_rare_group_is_in_any_file(out: Path) -> None:
    for path in out.iterdir():
        data = path.read_bytes()
        for secret in (*SECRETS, "person-00017", "voter-0017"):
            assert secret.encode() not in data, path.name
    shown = [e["label"] for s in json.loads((out / "report.json").read_text())["statistics"] for e in s["estimates"]]
    assert RARE not in shown


def test_the_page_is_whole_and_has_no_script(out: Path) -> None:
    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: set[str] = set()

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.add(tag)

    text = (out / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert {"table", "img", "details"} <= page.tags
    assert text.count("zero-out adjacency") >= 16
    assert "made up by a documented random process" in text
    for picture in ("statistics.png", "plan.png"):
        assert (out / picture).stat().st_size > 20_000


def test_the_unit_is_on_the_axis_of_the_shares() -> None:
    import matplotlib.pyplot as plt

    study, cohort = made_up(60), zkfed.Cohort(None, epsilon_per_person=4.0, delta=1e-6)
    for number, unit in ((1, "share of the cohort's people (%)"), (2, "share of those who answered (%)")):
        query, rows = study.questions[number][0], study.reports(number)
        answer = cohort.ask(query, rows, epsilon=1.0)
        figure, axis = plt.subplots()
        _panel(axis, [demo_statistics.Answered(study, answer, truth_of(query, rows))])
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("", unit)
        plt.close(figure)


def test_people_are_made_up_as_the_text_says() -> None:
    people = make_people(3000)
    assert make_people(50) == make_people(50)
    share = {p: sum(x.persona == p for x in people) / len(people) for p in PERSONAS}
    for name, expected in zip(PERSONAS, SHARES, strict=True):
        assert share[name] == pytest.approx(expected, abs=5 * np.sqrt(expected / len(people)))
    assert sum(p.persona == RARE for p in people) == 3
    assert np.mean([len(p.commands) for p in people]) == pytest.approx(12, abs=0.5)
    known = [VOCABULARY.category_of(c) is not None for p in people for c in p.commands]
    assert np.mean(known) == pytest.approx(0.9, abs=0.02)
    raw = " ".join(c for p in people for c in p.commands)
    assert all(secret in raw for secret in SECRETS)
    study = made_up(50)
    assert study.reports(1, 20).members[0][1] == "person-00002"


def test_the_survey_is_the_one_that_the_package_ships() -> None:
    voters = survey.load()
    assert len(voters) == 944
    assert sum(v.vote == "Clinton" for v in voters) == 551
    assert {v.party for v in voters} == set(survey.PARTIES)
    assert {v.news for v in voters} == set(survey.DAYS)
