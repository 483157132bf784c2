"""Shows that statements pin every wire: changed alone, each is rejected or stands on the reviewed list.

Gadgets are shown the same in tests/gadgets/test_tampering.py. Here too: no gadget and no
statement of the library is left out of the evidence.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import zkfed
from circuits.freeze import STATEMENTS as FROZEN
from tests.evidence.definitions import DEFINITIONS, circuit_of
from tests.evidence.evaluations import EVALUATIONS, evaluation
from tests.evidence.reviewed import FREE_INPUTS, FREE_WIRES
from tests.evidence.subjects import GADGET_CIRCUITS, RUNS, STATEMENTS
from tests.witness_runner import free_wires, names_of
from zkfed.algebra.curve import BLS12_381

LIBRARY = Path(zkfed.__file__).parent
CONSTRAINING = {"enforce", "product", "define", "witness"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_other_value_of_any_wire_is_accepted(name: str) -> None:
    work = STATEMENTS[name].run()
    places = names_of(work.system, free_wires(work.system, work.check()))
    expected = {*FREE_WIRES} | set(FREE_INPUTS.get(name, ())[:1])
    assert {re.sub("^mask/.*", "mask", place) for place in places} == expected


# -- nothing is left out --------------------------------------------------------------------------


def test_every_frozen_statement_is_a_subject() -> None:
    named = {name.split("/")[0] for name in STATEMENTS}
    assert {statement.name for statement in FROZEN} | {"custom"} == named


def constraining(folder: str) -> Iterator[tuple[str, int]]:
    """Yields (file, line) of every function that adds wires or rows."""
    for path in sorted((LIBRARY / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                calls = (n.func for n in ast.walk(node) if isinstance(n, ast.Call))
                if any(isinstance(f, ast.Attribute) and f.attr in CONSTRAINING for f in calls):
                    yield str(path), node.lineno


def called(work: Callable[[], Any]) -> set[tuple[str, int]]:
    """Returns (file, line) of every function of the library that runs."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return {(code.co_filename, code.co_firstlineno) for code in codes}


def _first_lines(found: set[tuple[str, int]], wanted: set[tuple[str, int]]) -> set[tuple[str, int]]:
    # A decorated function begins at its decorator.
    return {(file, line) for file, line in wanted if not {(file, line), (file, line - 1)} & found}


def test_every_gadget_has_a_circuit_of_its_own() -> None:
    wanted = set(constraining("gadgets"))
    assert len(wanted) > 8
    missing = _first_lines(called(lambda: [build(BLS12_381) for build in GADGET_CIRCUITS.values()]), wanted)
    assert missing == set()
    assert _first_lines(called(lambda: GADGET_CIRCUITS["boolean"](BLS12_381)), wanted)  # the test can fail


def _build_statements() -> None:
    for run in RUNS.values():
        run()
    for name in EVALUATIONS:
        evaluation.__wrapped__(name)
    for of in DEFINITIONS.values():
        circuit_of.__wrapped__(of.define)


def test_every_function_that_builds_a_statement_is_in_a_subject() -> None:
    for module in [m for n, m in sys.modules.items() if n.startswith("zkfed.statements.")]:
        for value in vars(module).values():
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()
    wanted = set(constraining("statements"))
    missing = _first_lines(called(_build_statements), wanted)
    assert missing == set()
