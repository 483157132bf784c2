"""Shows that what the documents tell a reader to do works.

Every ```python block of README.md and docs/ runs, top to bottom, the blocks of one file in one
fresh interpreter; every `make` target and every link to a file that a document names exists.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "circuits").rglob("*.md")])

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(?!python)\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*(?:py|\{)[^\n]*", re.MULTILINE | re.IGNORECASE)
CODE_IN_TEXT = re.compile(r"`[^`\n]+`|^ {4}.*$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")
TARGET = re.compile(r"\bmake ([a-z]+(?:-[a-z]+)*)\b")
RULE = re.compile(r"^([a-z-]+):", re.MULTILINE)
BLOCKS_S_MAX = 600


def named_targets(text: str) -> set[str]:
    """Returns the make targets in a document's code, not those in its prose ("make sure")."""
    return set(TARGET.findall("\n".join(FENCE.findall(text) + CODE_IN_TEXT.findall(text))))


def program(text: str) -> str:
    """Returns the blocks of a document as one program with the document's line numbers."""
    lines = [""] * (text.count("\n") + 1)
    for match in BLOCK.finditer(text):
        first = text.count("\n", 0, match.start(1))
        for offset, line in enumerate(match[1].splitlines()):
            lines[first + offset] = line
    return "\n".join(lines)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def with_code() -> list[Path]:
    return [path for path in DOCUMENTS if BLOCK.search(path.read_text("utf-8"))]


def test_the_readme_has_code() -> None:
    assert ROOT / "README.md" in with_code()


@pytest.mark.parametrize("path", with_code(), ids=name)
def test_the_code_of_a_document_runs(path: Path, tmp_path: Path) -> None:
    # A program with the document's name and line numbers: a traceback shows the document's line.
    script = tmp_path / path.name
    script.write_text(program(path.read_text("utf-8")), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, timeout=BLOCKS_S_MAX, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{name(path)} does not run:\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_no_python_of_a_document_is_left_out(path: Path) -> None:
    # An indented fence, or one with another word for Python, would be shown and never run.
    text = path.read_text("utf-8")
    assert [fence for fence in FENCED.findall(text) if fence != "```python"] == []
    assert len(FENCED.findall(text)) == len(BLOCK.findall(text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_the_targets_and_files_that_a_document_names_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    targets = set(RULE.findall((ROOT / "Makefile").read_text("utf-8")))
    assert named_targets(text) - targets == set()
    missing = [link for link in LINK.findall(text) if not (path.parent / link).exists()]
    assert missing == []


def test_a_block_that_fails_is_noticed_with_its_line() -> None:
    text = "# Title\n\n```python\nx = 1\n```\n\ntext\n\n```sh\nmake demo\n```\n\n```python\nprint(x)\n1 / 0\n```\n"
    source = program(text)
    assert source.splitlines()[3] == "x = 1"
    with pytest.raises(ZeroDivisionError) as failed:
        exec(compile(source, "README.md", "exec"), {})  # noqa: S102
    assert failed.tb.tb_next is not None
    assert failed.tb.tb_next.tb_lineno == 15


def test_targets_are_found_in_code_and_not_in_prose() -> None:
    text = "Please make sure.\n\n    make one\n\nand `make two-a`:\n\n```sh\nmake three\n```\n"
    assert named_targets(text) == {"one", "two-a", "three"}
