"""`zkfed`: check, inspect and run federations from a terminal. Exit codes: see output.py."""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
from pathlib import Path
from typing import NoReturn

from zkfed import __version__
from zkfed.cli.output import BUG, INTERRUPTED, MISSING, REFUSED, USAGE, Missing, Output, Usage
from zkfed.errors import StoreFault, ZkfedError

__all__ = ["COMMANDS", "main"]

COMMANDS = ("doctor", "demo", "check", "inspect", "keys", "serve", "join", "hold", "backends")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; never ends in a traceback."""
    output = Output(*_asked(arguments))
    try:
        options = _parser().parse_args(arguments)
        return output.finish(options.run(options, output))
    except Usage as wrong:
        return output.finish(USAGE, ("usage", str(wrong)))
    except Missing as missing:
        return output.finish(MISSING, ("missing", str(missing)))
    except ZkfedError as error:
        return output.finish(REFUSED, (error.code, str(error)))
    except ModuleNotFoundError as fault:
        if (fault.name or "zkfed").startswith("zkfed"):
            return output.finish(BUG, ("bug", _place_of(fault)))
        how = "`zkfed doctor` lists what is; pip install --force-reinstall zkfed"
        return output.finish(MISSING, ("missing", f"the module {fault.name} is not installed: {how}"))
    except KeyboardInterrupt:
        return output.finish(INTERRUPTED, ("interrupted", "stopped; a round that was begun stays spent"))
    except BrokenPipeError:
        return output.finish(0)
    except OSError as fault:
        # A path of somebody's may be refused wherever it is first looked at, even by asking whether it is there.
        name = Path(str(fault.filename)).name if fault.filename else "the system"
        return output.finish(
            REFUSED, (StoreFault.code, f"{name} cannot be used: {fault.strerror or 'no reason given'}")
        )
    except Exception as bug:  # noqa: BLE001 - a text may hold a secret, so only the place is told
        return output.finish(BUG, ("bug", _place_of(bug)))


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong, so that it is told as every other error is."""

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}; see `{self.prog} --help`")


def _asked(arguments: list[str] | None) -> tuple[str, str]:
    """Returns the command and the format that somebody seems to want, however wrong the rest is."""
    words = sys.argv[1:] if arguments is None else arguments
    command = next((word for word in words if word in COMMANDS), "")
    is_json = "--format=json" in words or ("--format", "json") in itertools.pairwise(words)
    return command, "json" if is_json else "text"


def _parser() -> argparse.ArgumentParser:
    name = "python -m zkfed" if sys.argv[0].endswith(("__main__.py", "pytest", "-c")) else "zkfed"
    parser = _Parser(prog=name, description="Collective learning that can be checked.")
    parser.add_argument("--version", action="version", version=f"zkfed {__version__}")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one envelope on stdout")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        module = importlib.import_module(f"zkfed.cli.{command}")
        added: argparse.ArgumentParser = module.add_parser(commands)
        if not added.get_default("run"):
            added.set_defaults(run=module.run)
        added.add_argument(
            "--format", choices=("text", "json"), default=argparse.SUPPRESS, help="json: one envelope on stdout"
        )
    return parser


def _place_of(bug: Exception) -> str:
    trace, place = bug.__traceback__, "?"
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(bug).__name__} at {place}: please report this line with the command that you ran"
