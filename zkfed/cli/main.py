"""`zkfed`: check, inspect and run federations from a terminal. Exit codes: see output.py."""

from __future__ import annotations

import argparse
import importlib
import sys

from zkfed.cli.output import BUG, INTERRUPTED, MISSING, REFUSED, USAGE, Missing, Output, Usage
from zkfed.errors import ZkfedError

__all__ = ["COMMANDS", "main"]

COMMANDS = ("doctor", "demo", "check", "inspect", "keys", "serve", "join", "hold", "backends")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; never ends in a traceback."""
    options = _parser().parse_args(arguments)
    output = Output(options.command, options.format)
    try:
        return output.finish(options.run(options, output))
    except Usage as wrong:
        return output.finish(USAGE, ("usage", str(wrong)))
    except Missing as missing:
        return output.finish(MISSING, ("missing", str(missing)))
    except ZkfedError as error:
        return output.finish(REFUSED, (error.code, str(error)))
    except KeyboardInterrupt:
        return output.finish(INTERRUPTED, ("interrupted", "stopped; what was begun is spent and on record"))
    except BrokenPipeError:
        return output.finish(0)
    except Exception as bug:  # noqa: BLE001 - a text may hold a secret, so only the place is told
        return output.finish(BUG, ("bug", _place_of(bug)))


def _parser() -> argparse.ArgumentParser:
    name = "python -m zkfed" if sys.argv[0].endswith(("__main__.py", "pytest", "-c")) else "zkfed"
    parser = argparse.ArgumentParser(prog=name, description="Collective learning that can be checked.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        module = importlib.import_module(f"zkfed.cli.{command}")
        added: argparse.ArgumentParser = module.add_parser(commands)
        if not added.get_default("run"):
            added.set_defaults(run=module.run)
        added.add_argument("--format", choices=("text", "json"), default="text", help="one JSON envelope on stdout")
    return parser


def _place_of(bug: Exception) -> str:
    trace, place = bug.__traceback__, "?"
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(bug).__name__} at {place}: please report this line with the command that you ran"
