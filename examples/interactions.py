"""A made-up log of people who use a helper, by a documented random process. It is not data about anybody.

    persona     one of six with shares 38, 24, 15, 11, 8, 4 %; three people share a seventh, rare one
    method      declarative with the persona's probability (0.35 to 0.95); else imperative (3/4) or both
    commands    12 on average (Poisson) a person over four weeks; the intent by the persona's weights; one in
                ten is something else, with a token, a path or an address in it
    hours       each person wakes at an hour of the persona (plus or minus 2) in a time zone of its own, and
                has 3 to 20 sessions in those four weeks, most of them 1 to 14 hours after waking

Commands are text: what a device makes of them goes through the vocabulary, as on a real one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zkfed.dp.vocabulary import Vocabulary

__all__ = ["METHODS", "SECRETS", "VOCABULARY", "Person", "make_people"]

VOCABULARY = Vocabulary(
    {
        "install": ["install", "nix-env -iA", "nix profile install"],
        "update": ["nixos-rebuild switch", "nix flake update", "upgrade"],
        "search": ["nix search", "find"],
        "configure": ["edit configuration.nix", "enable", "set option"],
        "debug": ["journalctl", "why does", "fix"],
        "clean": ["nix-collect-garbage", "free space"],
        "learn": ["explain", "how do", "man"],
    }
)
METHODS = ("declarative", "imperative", "both")
PERSONAS = ("home user", "developer", "administrator", "student", "tinkerer", "researcher")
RARE = "lighthouse keeper"
SHARES = (0.38, 0.24, 0.15, 0.11, 0.08, 0.04)
DECLARATIVE = (0.55, 0.85, 0.95, 0.45, 0.80, 0.70, 0.35)
WAKING = (8, 9, 6, 10, 11, 8, 20)
WEIGHTS = np.array(
    [
        [9, 5, 6, 2, 3, 2, 4], [6, 6, 4, 8, 7, 2, 2], [3, 9, 1, 9, 8, 5, 1], [7, 2, 8, 2, 4, 1, 9],
        [6, 4, 6, 9, 6, 4, 3], [5, 3, 7, 4, 5, 2, 6], [1, 1, 1, 1, 1, 1, 9],
    ]
)  # fmt: skip
SECRETS = ("ghp_Zz81secretTOKEN", "/data/anna/diary.txt", "anna@example.org", "192.0.2.77")
OBJECTS = ("firefox", "postgresql", "the printer", "flake.nix", "python3", "this error")
START_S = 1_700_000_000
DAY_S = 86_400


@dataclass(frozen=True)
class Person:
    """One made-up person, as the device sees it."""

    name: str
    persona: str
    method: str
    commands: tuple[str, ...]
    times_s: tuple[int, ...]
    utc_offset_s: int


def make_people(count: int, *, seed: int = 6) -> list[Person]:
    """Returns `count` people of the process above; equal seeds give equal people."""
    rng = np.random.default_rng(seed)
    personas = rng.choice(len(PERSONAS), count, p=SHARES)
    personas[: min(3, count)] = len(PERSONAS)
    return [_person(rng, i, int(p)) for i, p in enumerate(personas)]


def _person(rng: np.random.Generator, number: int, persona: int) -> Person:
    is_declarative = rng.random() < DECLARATIVE[persona]
    method = METHODS[0] if is_declarative else METHODS[1] if rng.random() < 0.75 else METHODS[2]
    phrases = list(VOCABULARY.rules.values())
    weights = WEIGHTS[persona] / WEIGHTS[persona].sum()
    commands = []
    for intent in rng.choice(len(phrases), rng.poisson(12), p=weights):
        what = OBJECTS[rng.integers(len(OBJECTS))]
        if rng.random() < 0.1:
            commands.append(f"curl {SECRETS[rng.integers(len(SECRETS))]} {what}")
        else:
            phrase = phrases[intent][rng.integers(len(phrases[intent]))]
            commands.append(f"{phrase} {what} {SECRETS[rng.integers(len(SECRETS))] if rng.random() < 0.05 else ''}")
    offset = int(rng.integers(-10, 12)) * 3600
    waking = (WAKING[persona] + rng.normal(0, 2)) % 24
    days = rng.integers(0, 28, rng.integers(3, 21))
    hours = (waking + 1 + 13 * rng.beta(2, 2.5, len(days))) % 24
    midnight = START_S - START_S % DAY_S
    times = tuple(int(midnight + d * DAY_S + h * 3600 - offset) for d, h in zip(days, hours, strict=True))
    name = f"person-{number:05d}"
    return Person(name, (*PERSONAS, RARE)[persona], method, tuple(commands), times, offset)
