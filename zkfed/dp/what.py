"""WHAT: how many people have an intent of each category of a declared vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from zkfed.dp.query import CohortQuery
from zkfed.errors import PolicyError

__all__ = ["IntentRules", "What"]


@runtime_checkable
class IntentRules(Protocol):
    """What a vocabulary is: categories, and rules that a device maps raw commands with (zkfed.dp.vocabulary)."""

    @property
    def categories(self) -> tuple[str, ...]: ...

    @property
    def digest(self) -> bytes: ...

    def category_of(self, text: str) -> int | None:
        """Returns the category of one command, None if no rule knows it."""
        ...


@dataclass(frozen=True)
class What(CohortQuery):
    """How many people had an intent of each category, at most T categories of each person.

    `categories` may be a `zkfed.dp.vocabulary.Vocabulary`: then `sanitised` turns a person's raw commands into its
    categories, on the device, and drops everything else. An answer is a list of categories.
    """

    dimension: ClassVar[str] = "WHAT"

    def __post_init__(self) -> None:
        vocabulary = self.categories
        rules = vocabulary if isinstance(vocabulary, IntentRules) else None
        object.__setattr__(self, "_rules", rules)
        if rules is not None:
            object.__setattr__(self, "categories", rules.categories)
        super().__post_init__()

    def sanitised(self, commands: Iterable[Any]) -> tuple[str, ...]:
        """Returns the categories of a person's raw commands, in order of appearance, each once.

        Commands that no rule knows leave no trace. Call it on the device: what it returns may leave.

        Raises:
            PolicyError: The question was made from plain categories, which hold no rules.
        """
        rules = self.rules
        if rules is None:
            raise PolicyError(f"{self} was made from plain categories: give it a Vocabulary to sanitise commands")
        found = (rules.category_of(command) for command in commands)
        return tuple(dict.fromkeys(self.categories[i] for i in found if i is not None))

    @property
    def rules(self) -> IntentRules | None:
        """The vocabulary, if the question was made from one."""
        rules: IntentRules | None = self.__dict__["_rules"]
        return rules

    def _rest(self) -> bytes:
        return b"" if self.rules is None else self.rules.digest
