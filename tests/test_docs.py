"""Shows that the documentation builds without a warning, lists every page, and holds every public name."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# What the theme and Markdown write; another tag is a formula such as <a, b> that a browser swallows.
TAGS = (
    "a article b blockquote body br button code dd del details div dl dt em footer form h1 h2 h3 h4 h5 h6 head header "
    "hr html img input kbd label li link main meta nav ol p path pre script small span strong sub summary sup svg "
    "table tbody td th thead title tr ul"
)
LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"((?:https?:)?//[^\"]+)\"")
TAG = re.compile(r"<([A-Za-z][^\s/>]*)")
OPEN = re.compile(r"\[<?[\w.`/<>]+\]\[[\w.]*\]")
BUILD_S_MAX = 300


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", DOCS / "hooks" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = load_hook()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # The variable silences a banner about the theme's future.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=BUILD_S_MAX, check=False, capture_output=True, text=True
    )
    # Under --quiet warnings are not counted: that lines of a lower level are there shows that these would be, too.
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("INFO ")] == []
    assert (done.returncode, any("Documentation built" in line for line in lines)) == (0, True)
    return folder


def listed(entries: list[Any]) -> list[str]:
    """Returns the pages of a table of contents, in order."""
    found = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(entry)
        else:
            for value in entry.values():
                found += [value] if isinstance(value, str) else listed(value)
    return found


def defined_names(module: str) -> set[str]:
    """Returns the names that a module both defines and declares public."""
    path = ROOT / Path(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    own: set[str] = set()
    public: set[str] = set()
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            own.add(node.name)
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if ast.unparse(target) == "__all__":
                public = set(ast.literal_eval(node.value))
    return own & public


def test_every_page_of_docs_is_listed_once() -> None:
    written = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    pages = listed(HOOK.contents())
    generated = {page for page in pages if page.startswith(("reference/", "circuits/"))}
    assert len(set(pages)) == len(pages)
    assert set(pages) - generated == written


def test_the_site_builds_without_a_warning_or_a_foreign_file(site: Path) -> None:
    loaded = {(page.name, url) for page in site.rglob("*.html") for url in LOADED.findall(page.read_text("utf-8"))}
    assert loaded == set()


def test_make_docs_counts_warnings() -> None:
    (command,) = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "mkdocs build" in line]
    assert "--strict" in command
    assert "--quiet" not in command


def test_no_formula_became_a_tag(site: Path) -> None:
    found = {(page.name, tag) for page in site.rglob("*.html") for tag in TAG.findall(page.read_text("utf-8"))}
    assert {(page, tag) for page, tag in found if tag not in TAGS.split()} == set()


def test_every_cross_reference_is_resolved(site: Path) -> None:
    found = {(page.name, text) for page in site.rglob("*.html") for text in OPEN.findall(page.read_text("utf-8"))}
    assert found == set()


def test_the_reference_holds_every_public_name_of_every_module(site: Path) -> None:
    missing = []
    for module in HOOK.modules():
        page = (site / "reference" / f"{module}.html").read_text("utf-8")
        missing += [f"{module}.{name}" for name in defined_names(module) if f'id="{module}.{name}"' not in page]
    assert sorted(missing) == []


def test_the_first_page_of_the_reference_links_every_name_of_the_package(site: Path) -> None:
    import zkfed

    page = (site / "reference" / "zkfed.html").read_text("utf-8")
    linked = {name for name, home in HOOK.public_names().items() if f"{home}.html#{home}.{name}" in page}
    assert linked == set(zkfed.__all__)


def test_a_link_out_of_the_site_becomes_a_name_and_code_stays() -> None:
    text = "[a](../b.py), [c](d.md#e), [f](../circuits/g/statement.md)\n\n```python\nx[0](y)\n```\n"
    out = HOOK._relinked("[a](../b.py), [c](d.md#e), [f](../circuits/g/statement.md)", "page.md", "docs")
    assert out == "a (`b.py`), [c](d.md#e), [f](circuits/g.md)"
    assert HOOK.FENCE.split(text)[1] == "```python\nx[0](y)\n```"


def test_every_frozen_circuit_stands_with_its_cost_on_the_page_of_its_statement() -> None:
    pages = sorted((DOCS / "explanation" / "statements").glob("*.md"))
    shown = [(path.stem, name) for path in pages for name in HOOK.COST.findall(path.read_text("utf-8"))]
    frozen = {}
    for name in HOOK.circuits():
        text = (ROOT / "circuits" / name / "statement.md").read_text("utf-8")
        found = re.match(r"# .* \(statement (\w+)\)\n", text)
        assert found is not None
        frozen[name] = found[1].lower()
    assert sorted(shown) == sorted((kind, name) for name, kind in frozen.items())


def test_the_cost_of_a_circuit_is_read_from_its_shape() -> None:
    assert "| 64x10 n=200 | 3,599 | 5,818 | 74 | 2 |" in HOOK.cost_table("improvement-v1").splitlines()


def test_a_drawing_becomes_code_and_a_formula_no_tag() -> None:
    text = "One <a, b> and `<c>`.\n\nx     first\ny     second\n\nArgs:\n    z: Of <d, e>.\n"
    expected = "One &lt;a, b> and `<c>`.\n\n    x     first\n    y     second\n\nArgs:\n    z: Of &lt;d, e>.\n"
    assert HOOK.readable(text) == expected


def test_a_page_of_an_error_says_where_it_is_made(site: Path) -> None:
    page = (site / "errors" / "budget-exceeded.html").read_text("utf-8")
    assert {"zkfed.dp.accounting", "zkfed.dp.ledger", "zkfed.layers.heart"} <= set(HOOK.raised_in("BudgetExceeded"))
    assert 'href="../reference/zkfed.dp.ledger.html"' in page
