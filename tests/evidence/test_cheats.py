"""Shows that every cheat of protocol.md section 6 has a test that fails without the check.

Each check of cheats.py and of the modules beside it is taken out of a copy of the repository, and its
test is run there. Tests of brokers need their servers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evidence.bad_input import BAD_INPUT
from tests.evidence.carrying import CARRIED
from tests.evidence.cheats import CHEATS, Check
from tests.evidence.counting import COUNT_CHEATS
from tests.evidence.frameworks import FRAMEWORK_CHEATS
from tests.evidence.hosting import HOST_CHEATS
from tests.evidence.insiders import INSIDER_CHEATS
from tests.evidence.keeping import KEPT
from tests.evidence.spending import LEDGER_CHEATS

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    **CHEATS,
    "Adding more to a statistic than a person may": COUNT_CHEATS,
    "Spending more than a person has": LEDGER_CHEATS,
    **KEPT,
    "Bad input, refused before anything is proven": BAD_INPUT,
    **HOST_CHEATS,
    **INSIDER_CHEATS,
    **FRAMEWORK_CHEATS,
    **CARRIED,
}
CHECKS = [pytest.param(c, id=f"{title}: {c.cheat}") for title, checks in TABLES.items() for c in checks]
ACCEPTED = re.compile(r"^E +(AssertionError: (assert|\w+ accepted:)|assert |Failed: DID NOT RAISE)", re.MULTILINE)


def table() -> str:
    """Returns the tables of docs/cheats.md."""
    out = []
    for title, checks in TABLES.items():
        out += [f"## {title}", "", "| cheat | answer | code | test |", "|---|---|---|---|"]
        for c in checks:
            file, name = c.test.split(" ")[0].split("::")
            code = f"[{c.file}](../zkfed/{c.file})"
            out.append(f"| {c.cheat} | {c.answer} | {code} | [{name}](../tests/{file}) |")
        out.append("")
    return "\n".join(out)


def test_the_document_lists_the_checks() -> None:
    text = (ROOT / "docs" / "cheats.md").read_text("utf-8")
    assert table() in text, f"docs/cheats.md holds:\n{table()}"


@pytest.mark.parametrize("check", CHECKS)
def test_code_and_test_of_a_check_exist(check: Check) -> None:
    found = (ROOT / "zkfed" / check.file).read_text("utf-8").count(check.code)
    assert found == 1, f"{check.file} holds the check {found} times: who moves a check quotes it here anew"
    file, name = check.test.split(" ")[0].split("::")
    assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text("utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for part in ("zkfed", "tests", "circuits", "examples", "benches"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    node, *chosen = test.split(" ")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{node}", *chosen]
    # No byte code is kept: a file that changes twice in a second would run as it was before.
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_without_the_check_its_test_fails(check: Check, copy: Path) -> None:
    file = copy / "zkfed" / check.file
    whole = file.read_text("utf-8")
    file.write_text(whole.replace(check.code, check.without), "utf-8")
    try:
        out = run(copy, check.test)
    finally:
        file.write_text(whole, "utf-8")
    assert out.returncode == 1, out.stdout[-2000:]
    # The cheat succeeds, or meets the check behind: it is not the removal that breaks something else.
    assert check.said in out.stdout if check.said else ACCEPTED.search(out.stdout), out.stdout[-3000:]
