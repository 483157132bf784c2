"""A declared vocabulary of intents: what a device makes of raw commands, and all that may leave of them.

    "sudo nix-env -iA nixos.firefox --token=..."  ->  "install"  ->  category number 0

A rule is a sequence of words; a command belongs to the category with the longest rule that is found
in it, word by word. There are no patterns: matching takes time proportional to the command, whatever
is in it. What no rule knows is dropped and leaves no trace.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from zkfed.dp.query import check_label
from zkfed.encoding import Writer, digest
from zkfed.errors import PolicyError

__all__ = ["Vocabulary"]

CATEGORIES_MAX = 1 << 10
RULES_MAX = 1 << 12
WORDS_MAX = 8
COMMAND_CHARACTERS_MAX = 4096
"""What lies behind is not looked at."""


def _words(text: str) -> list[str]:
    # NFKC folds look-alikes of the same letter (full width, ligatures), not those of another alphabet.
    folded = unicodedata.normalize("NFKC", text[:COMMAND_CHARACTERS_MAX]).casefold()
    return folded.split()[: COMMAND_CHARACTERS_MAX // 2]


@dataclass(frozen=True)
class Vocabulary:
    """Categories of intents, and the words that they are known by; public, and the same on every device.

    Attributes:
        rules: For each category the phrases that stand for it, such as
            `{"install": ["install", "nix-env -i"], "update": ["nixos-rebuild switch"]}`. A phrase is 1
            to 8 words, compared without regard to case.

    Raises:
        PolicyError: No category, too many, or a phrase that is empty or stands for two.
    """

    rules: Mapping[str, Iterable[str]] = field(hash=False)

    def __post_init__(self) -> None:
        given: object = self.rules
        if not isinstance(given, Mapping) or not 1 <= len(given) <= CATEGORIES_MAX:
            raise PolicyError(f"a vocabulary maps 1 to {CATEGORIES_MAX} categories to phrases")
        rules: dict[str, tuple[str, ...]] = {}
        for category, phrases in self.rules.items():
            if isinstance(phrases, str) or not isinstance(phrases, Iterable):
                raise PolicyError(f"the phrases of {category!r} are a {type(phrases).__name__}, expected a list")
            rules[check_label("a category", category)] = tuple(check_label("a phrase", p) for p in phrases)
        object.__setattr__(self, "rules", rules)
        if not 1 <= len(self._places) <= RULES_MAX:
            raise PolicyError(f"a vocabulary has 1 to {RULES_MAX} phrases, this one {len(self._places)}")

    @cached_property
    def _places(self) -> dict[tuple[str, ...], int]:
        places: dict[tuple[str, ...], int] = {}
        for number, (category, phrases) in enumerate(self.rules.items()):
            for phrase in phrases:
                words = tuple(_words(phrase))
                if not 1 <= len(words) <= WORDS_MAX:
                    raise PolicyError(f"a phrase of {category!r} has {len(words)} words, expected 1 to {WORDS_MAX}")
                if places.setdefault(words, number) != number:
                    raise PolicyError(f"a phrase stands for {category!r} and for another category")
        return places

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._places))

    @property
    def categories(self) -> tuple[str, ...]:
        """The labels, in the order of their numbers."""
        return tuple(self.rules)

    @cached_property
    def digest(self) -> bytes:
        """Names the vocabulary with all its rules: another one asks another question."""
        w = Writer("zkfed/v1/vocabulary")
        for category, phrases in self.rules.items():
            w.text(category).list([p.encode() for p in phrases])
        return digest("zkfed/v1/vocabulary-digest", w.finish())

    def category_of(self, text: object) -> int | None:
        """Returns the number of the category of one command, None if no rule knows it.

        The longest phrase wins; of equally long ones the first in the command.

        Args:
            text: Raw, from the device; anything else than a str is nothing that is known.
        """
        if not isinstance(text, str):
            return None
        words = _words(text)
        for size in range(min(self._longest, len(words)), 0, -1):
            for start in range(len(words) - size + 1):
                found = self._places.get(tuple(words[start : start + size]))
                if found is not None:
                    return found
        return None
