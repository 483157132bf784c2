"""Raw commands become category numbers, and nothing else of them goes anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.dp.query import Report
from zkfed.dp.vocabulary import COMMAND_CHARACTERS_MAX, Vocabulary
from zkfed.dp.what import What
from zkfed.errors import PolicyError

VOCABULARY = Vocabulary(
    {
        "install": ["install", "nix-env -i", "nix profile install"],
        "update": ["nixos-rebuild switch", "update", "nix flake update"],
        "search": ["nix search", "search"],
    }
)
INTENT = What("intent", VOCABULARY, contributions=2)
SECRETS = ["ghp_S3cretT0ken", "anna@example.org", "/data/anna/diary.txt", "https://intra.example/secret"]


@pytest.mark.parametrize(
    ("command", "category"),
    [
        ("install firefox", 0),
        ("sudo nix-env -i firefox", 0),
        ("please INSTALL it", 0),
        ("nix profile install nixpkgs#hello", 0),
        ("nix flake update", 1),
        ("nixos-rebuild switch --upgrade", 1),
        ("nix search nixpkgs editor", 2),
        ("nixos-rebuild build", None),
        ("installer", None),
        ("pre-install", None),
        ("", None),
        ("\u0456nstall firefox", None),  # a Cyrillic letter is another letter
        ("\uff49\uff4e\uff53\uff54\uff41\uff4c\uff4c firefox", 0),  # full width is the same letter
        ("inst\x00all", None),
        (None, None),
        (7, None),
        (b"install", None),
    ],
)
def test_a_command_has_the_category_of_its_longest_phrase(command: Any, category: int | None) -> None:
    assert VOCABULARY.category_of(command) == category


def test_a_huge_command_takes_no_time_and_what_lies_behind_is_not_read() -> None:
    assert VOCABULARY.category_of("a " * 5_000_000) is None
    assert VOCABULARY.category_of("x" * COMMAND_CHARACTERS_MAX + " install") is None
    assert VOCABULARY.category_of("install " + "nix " * 1_000_000) == 0


@given(st.text(max_size=200))
def test_whatever_comes_only_a_number_goes(text: str) -> None:
    found = VOCABULARY.category_of(text)
    assert found is None or (type(found) is int and 0 <= found < 3)


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_in_commands_leave_no_trace(secret: str) -> None:
    labels = INTENT.sanitised([f"install {secret}", secret, f"curl {secret}"])
    report = INTENT.report("anna", labels)
    assert labels == ("install",)
    for text in (repr(report), str(report), repr(labels), repr(vars(VOCABULARY)), repr(INTENT)):
        assert secret not in text
    assert (type(report), report.indices, report.keys) == (Report, (0,), ())


def test_what_leaves_is_bounded() -> None:
    labels = INTENT.sanitised(["search x", "install y", "update", "install z"] * 50)
    assert labels == ("search", "install", "update")
    assert INTENT.report("anna", labels).indices == (0, 2)


def test_another_vocabulary_asks_another_question() -> None:
    other = Vocabulary({**VOCABULARY.rules, "install": ["install"]})
    assert other.categories == VOCABULARY.categories
    assert What("intent", other, contributions=2).digest != INTENT.digest
    assert What("intent", VOCABULARY.categories, contributions=2).digest != INTENT.digest
    with pytest.raises(PolicyError, match="plain categories"):
        What("intent", VOCABULARY.categories).sanitised(["install"])


@pytest.mark.parametrize(
    "rules",
    [
        {}, {"a": []}, {"a": "install"}, {"a": [""]}, {"a": ["x"], "b": ["X"]}, {"a": [7]}, {"a": ["a " * 9]},
        {7: ["x"]}, {"a\n": ["x"]}, ["a"], None, {"a": ["b\x00"]},
    ],
)  # fmt: skip
def test_a_vocabulary_that_makes_no_sense_is_refused(rules: Any) -> None:
    with pytest.raises(PolicyError):
        Vocabulary(rules)
