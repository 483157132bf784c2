"""Writes every frozen statement as `.r1cs` with the names of its wires, for analysers of other people.

    python -m circuits.export FOLDER [CURVE]     the smallest shape of each, bls12-381 unless named

A `.r1cs` file has no challenges: they are public inputs there, and what ties them to committed wires
is lost. docs/evidence.md says what an analyser can and cannot see in such a file.

The `.sym` file is circom's: a line "label,wire,component,name" for each wire.
"""

from __future__ import annotations

import sys
from pathlib import Path

from circuits.freeze import CURVES, STATEMENTS
from zkfed.interop import write_r1cs
from zkfed.r1cs.system import System

__all__ = ["export", "wire_names"]


def wire_names(system: System) -> list[str]:
    """Names every wire: "one", "input.<name>[i]", "<segment>[i]", "<segment>.mask" or "private[i]"."""
    names = ["one"]
    for i in system.inputs:
        names += [f"input.{i.name}"] if i.shape == () else [f"input.{i.name}[{k}]" for k in range(i.size)]
    for s in system.segments:
        names += [f"{s.name}[{k}]" for k in range(s.stop - s.start - 1)] + [f"{s.name}.mask"]
    return names + [f"private[{k}]" for k in range(system.wire_count - len(names))]


def export(folder: Path, curve: str = CURVES[0]) -> list[Path]:
    """Writes `<statement>.r1cs` and `.sym` of the smallest shape of every frozen statement.

    Returns:
        The `.r1cs` files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for statement in STATEMENTS:
        system = min((statement.build(shape, curve) for shape in statement.shapes), key=lambda s: s.constraint_count)
        path = folder / f"{statement.name}.r1cs"
        write_r1cs(system, path)
        lines = [f"{wire},{wire},0,main.{name}" for wire, name in enumerate(wire_names(system)) if wire]
        path.with_suffix(".sym").write_text("\n".join(lines) + "\n", "utf-8")
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    """Runs the command line."""
    is_named = arguments[1:] in ([], *([curve] for curve in CURVES))
    if not arguments or arguments[0].startswith("-") or not is_named:
        sys.stderr.write(f"usage: python -m circuits.export FOLDER [{' | '.join(CURVES)}]\n")
        return 2
    for path in export(Path(arguments[0]), *arguments[1:]):
        sys.stdout.write(f"{path} ({path.stat().st_size:,} bytes)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
