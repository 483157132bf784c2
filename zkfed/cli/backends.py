"""`zkfed backends`: which arithmetic runs, and why."""

from __future__ import annotations

import argparse
from typing import Any

from zkfed.cli.output import HOLDS, Output

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("backends", help="say which arithmetic backend runs, and why")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Lists the backends; a star marks the one that is used."""
    from zkfed.algebra.backend import backends

    found = backends()
    lines = [f"{'*' if b.is_chosen else ' '} {b.name:10} {', '.join(b.curves):20} {b.reason}" for b in found]
    data = [{"name": b.name, "curves": list(b.curves), "chosen": b.is_chosen, "reason": b.reason} for b in found]
    output.result("\n".join(lines), {"backends": data})
    return HOLDS
