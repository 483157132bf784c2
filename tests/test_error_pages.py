"""Shows that each error code has a page, each page a code, and each example is a text that the code can write."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from zkfed import errors
from zkfed.errors import ZkfedError

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "errors"
CODES = {c.code: c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ZkfedError)}
EXAMPLE = re.compile(r"^## Example\n\n((?: {4}.*\n)+)", re.MULTILINE)
PARTS = ["## Usual causes", "## What to do", "## State"]


def template(node: ast.expr) -> str:
    """Returns a text in the code as a pattern: what is filled in may be anything."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    return ".+"


def written() -> dict[str, list[str]]:
    """Returns the texts with which the code makes each class of error, as patterns."""
    texts: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "zkfed").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                texts[node.func.id].append(template(node.args[0]))
    return texts


TEXTS = written()


def page(code: str) -> str:
    return (PAGES / f"{code}.md").read_text("utf-8")


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"index"} == set(CODES)


def test_the_index_lists_every_code_with_its_class() -> None:
    index = page("index")
    listed = set(re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\) \| `(\w+)` \|", index, re.MULTILINE))
    assert listed == {(code, c.__name__) for code, c in CODES.items()}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_page_says_what_it_is_what_to_do_and_what_became_of_the_state(code: str) -> None:
    text = page(code)
    assert text.startswith(f"# {code}\n\n`zkfed.errors.{CODES[code].__name__}`")
    assert [part for part in PARTS if f"\n{part}\n\n" not in text] == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_an_example_is_a_text_that_the_code_writes(code: str) -> None:
    name = CODES[code].__name__
    found = EXAMPLE.search(page(code))
    # A template that is filled in as a whole fits everything, and shows nothing.
    patterns = [pattern for pattern in TEXTS[name] if pattern != ".+"]
    if found is None:
        assert name == "ZkfedError" or ("Reserved: no code raises it yet" in page(code) and not TEXTS[name])
    else:
        example = " ".join(line.strip() for line in found[1].splitlines())
        assert any(re.fullmatch(pattern, example) for pattern in patterns), example
