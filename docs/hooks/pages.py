"""Writes what mkdocs.yml does not list by hand: the table of contents and the reference.

Every folder of docs/ is listed as it is, so a page that lands later is there without an edit; every
public module of the package gets a page that mkdocstrings fills from its docstrings; every frozen
circuit gets its statement; every page of an error says in which modules it is made.
`<!-- cost: NAME -->` becomes the table of that circuit's shapes. A link to a file outside docs/ becomes
the file's name in code, for the site holds no source. In docstrings, a drawing or a table made of
spaces becomes a code block.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from griffe import Extension
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[([^\]\n]*(?:\n[^\]\n]+)?)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
ALIGNED = re.compile(r"^\S(?:.*\S)? {3,}\S|^[│├└]")
SECTION = re.compile(r"^(?:Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
TAG = re.compile(r"<(?=[A-Za-z/])(?!https?:)")
ERROR = re.compile(r"^`zkfed\.errors\.(\w+)`", re.MULTILINE)
COST = re.compile(r"<!-- cost: ([a-z0-9-]+) -->")
# What explains rather than instructs; every other page on top of docs/ is a how-to.
EXPLANATION = ("threat-model.md", "cheats.md", "evidence.md", "benchmarks.md")
FIRST = ("index.md", "tutorial.md")


def modules() -> list[str]:
    """Returns the dotted name of each public module and package, packages before their modules."""
    found = []
    for path in (ROOT / "zkfed").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            found.append(".".join(parts))
    return sorted(found)


def public_names() -> dict[str, str]:
    """Returns the home of each name that `import zkfed` gives, as zkfed/__init__.py says it."""
    for node in ast.parse((ROOT / "zkfed" / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            return dict(ast.literal_eval(node.value))
    raise LookupError("zkfed/__init__.py has no _HOME")


def circuits() -> list[str]:
    """Returns the names of the frozen circuits."""
    return sorted(path.parent.name for path in (ROOT / "circuits").glob("*/statement.md"))


def _listed(folder: str) -> list[Any]:
    names = sorted((path.name for path in (DOCS / folder).glob("*.md")), key=lambda name: (name != "index.md", name))
    return [f"{folder}/{name}" for name in names]


def _reference() -> list[Any]:
    entries: dict[str, list[str]] = {}
    for name in modules():
        entries.setdefault(".".join(name.split(".")[:2]), []).append(name)
    grouped: list[Any] = []
    for first, names in entries.items():
        # Below its package a module is listed by its last name: the column is narrow.
        pages = [{name.removeprefix(f"{first}."): f"reference/{name}.md"} for name in names]
        grouped.append(pages[0] if len(pages) == 1 else {first: pages})
    return grouped


def contents() -> list[Any]:
    """Returns the table of contents: tutorial, how-to, reference, explanation, decisions."""
    top = sorted(path.name for path in DOCS.glob("*.md"))
    how_to = [name for name in top if name not in (*EXPLANATION, *FIRST)]
    explained = [name for name in EXPLANATION if name in top]
    frozen = [f"circuits/{name}.md" for name in circuits()]
    parts = [
        ("How-to", [*_listed("how-to"), *how_to]),
        ("Reference", [{"Modules": _reference()}, {"Error codes": _listed("errors")}, {"Frozen circuits": frozen}]),
        (
            "Explanation",
            [
                *explained[:1],
                *_listed("explanation"),
                {"Statements": _listed("explanation/statements")},
                *explained[1:],
            ],
        ),
        ("Decisions", _listed("decisions")),
    ]
    first = [{name.removesuffix(".md").capitalize(): name} for name in FIRST if name in top]
    return [*first, *({title: pages} for title, pages in parts)]


def cost_table(circuit: str) -> str:
    """Returns a circuit's shapes as a table, from the file that CI compares with the circuit."""
    shapes = json.loads((ROOT / "circuits" / circuit / "shape.json").read_text("utf-8"))["shapes"]
    lines = ["| shape | constraints | wires | public wires | challenge stages |", "|---|--:|--:|--:|--:|"]
    for name, shape in shapes.items():
        counts = (shape[key] for key in ("constraints", "wires", "public wires", "challenge stages"))
        lines.append(f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    return "\n".join(lines)


def raised_in(error: str) -> list[str]:
    """Returns the modules that make errors of a class, by its name."""
    found = []
    for module in modules():
        path = ROOT / Path(*module.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module != "zkfed.errors" and re.search(rf"(?<!class )\b{error}\(", source.read_text("utf-8")):
            found.append(module)
    return found


def on_config(config: Any) -> Any:
    """Sets the table of contents (a MkDocs event)."""
    config.nav = contents()
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the generated pages (a MkDocs event)."""
    homes = public_names()
    for name in modules():
        text = f"# {name}\n\n::: {name}\n"
        if name == "zkfed":
            names = "\n".join(f"- [`zkfed.{key}`][{homes[key]}.{key}]" for key in sorted(homes, key=str.lower))
            text = f"# zkfed\n\n::: zkfed\n    options: {{members: false}}\n\n## Public names\n\n{names}\n"
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for name in circuits():
        text = (ROOT / "circuits" / name / "statement.md").read_text("utf-8")
        files.append(File.generated(config, f"circuits/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Fills in costs, and turns links to what is not on the site into names (a MkDocs event)."""
    here = page.file.src_uri
    base = posixpath.dirname(f"docs/{here}")
    if here.startswith("circuits/"):
        base = here.removesuffix(".md")
    named = ERROR.search(markdown) if here.startswith("errors/") else None
    if named is not None:
        places = ", ".join(f"[{module}](../reference/{module}.md)" for module in raised_in(named[1])) or "Nowhere yet."
        markdown += f"\n## Made in\n\n{places}\n\nIts class: [zkfed.errors.{named[1]}][zkfed.errors.{named[1]}].\n"
    pieces = FENCE.split(COST.sub(lambda match: cost_table(match[1]), markdown))
    return "".join(piece if piece.startswith("```") else without_tags(_relinked(piece, here, base)) for piece in pieces)


def _relinked(markdown: str, here: str, base: str) -> str:
    def inside(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(base, link))
        if target.startswith("circuits/") and target.endswith("/statement.md"):
            target = f"docs/{posixpath.dirname(target)}.md"
        if not target.startswith("docs/"):
            return text if "`" in text else f"`{text}`" if text == target else f"{text} (`{target}`)"
        way = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(here) or ".")
        return f"[{text}]({way}{anchor})"

    return LINK.sub(inside, markdown)


def without_tags(text: str, code: str = "    ") -> str:
    """Returns text in which "<" opens no tag, as in <a, b> for a product; lines of code stay as they are."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.startswith(code):
            pieces = re.split(r"(`[^`]*`)", line)
            lines[number] = "".join(piece if piece.startswith("`") else TAG.sub("&lt;", piece) for piece in pieces)
    return "\n".join(lines)


def readable(docstring: str) -> str:
    """Returns a docstring whose drawings and tables are code blocks, and whose formulas open no tag."""
    found = SECTION.search(docstring)
    start = len(docstring) if found is None else found.start()
    blocks = re.split(r"(\n\s*\n)", docstring[:start])
    for number, block in enumerate(blocks):
        lines = block.split("\n")
        if not block.startswith("    ") and sum(bool(ALIGNED.match(line)) for line in lines) >= 2:
            blocks[number] = "\n".join(f"    {line}" for line in lines)
    # In a section, four spaces are its form and no code.
    return without_tags("".join(blocks)) + without_tags(docstring[start:], " " * 12)


class Readable(Extension):
    """Applies `readable` to every docstring when it is loaded (a Griffe extension)."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Changes one object's docstring (a Griffe event)."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)
