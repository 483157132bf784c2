"""Shows that the exported `.r1cs` of every frozen statement are its constraints, and that wires have names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from circuits import export as command
from circuits.export import export, wire_names
from circuits.freeze import CURVES, STATEMENTS
from zkfed.interop import read_r1cs
from zkfed.r1cs.system import System


def rows_that_say_something(system: System) -> list[list[tuple[list[int], list[int]]]]:
    """Returns the sides of all rows but those a * 0 = 0, which a file leaves out."""
    out = []
    filled = np.diff(system.b.indptr) + np.diff(system.c.indptr) > 0
    for row in np.flatnonzero(filled).tolist():
        spans = [(m, slice(m.indptr[row], m.indptr[row + 1])) for m in system.matrices]
        out.append([(m.columns[s].tolist(), m.coefficients[s].tolist()) for m, s in spans])
    return out


@pytest.mark.parametrize("curve", CURVES)
def test_a_file_read_again_has_the_constraints_of_its_statement(curve: str, tmp_path: Path) -> None:
    paths = {path.stem: path for path in export(tmp_path, curve)}
    assert set(paths) == {statement.name for statement in STATEMENTS}
    for statement in STATEMENTS:
        systems = [statement.build(shape, curve) for shape in statement.shapes]
        system = min(systems, key=lambda s: s.constraint_count)
        found = read_r1cs(paths[statement.name])
        assert (found.wire_count, found.public_count) == (system.wire_count, system.public_count)
        assert rows_that_say_something(found) == rows_that_say_something(system)


def test_every_wire_has_a_name_of_its_own(tmp_path: Path) -> None:
    for path in export(tmp_path):
        lines = path.with_suffix(".sym").read_text("utf-8").splitlines()
        names = [line.split(",")[3] for line in lines]
        assert len(set(names)) == len(names) == read_r1cs(path).wire_count - 1
    system = STATEMENTS[0].build(STATEMENTS[0].shapes[-1], CURVES[0])
    for segment in system.segments:
        assert wire_names(system)[segment.stop - 1] == f"{segment.name}.mask"


def test_the_command_writes_or_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert command.main([str(tmp_path), "secp256k1"]) == 2
    assert command.main([str(tmp_path / "new")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(STATEMENTS)
