"""What the command line says: results on stdout, people's text on stderr, one JSON envelope if asked for.

0    it holds, or it was done
1    it was refused, or does not hold: `code: text` on stderr
2    wrong usage
3    something is missing on this machine; the text names the command that gets it
70   a bug
130  interrupted
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

__all__ = ["BUG", "HOLDS", "INTERRUPTED", "MISSING", "REFUSED", "SCHEMA_VERSION", "USAGE", "Missing", "Output", "Usage"]

HOLDS, REFUSED, USAGE, MISSING, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130
SCHEMA_VERSION = 1


class Missing(Exception):
    """Something that a command needs is not on this machine; the text says how to get it."""


class Usage(Exception):
    """The command was called wrongly; the text says what was expected."""


class Output:
    """Where one command writes.

    Args:
        command: Its name, for the envelope.
        form: "text" or "json".
    """

    def __init__(self, command: str, form: str) -> None:
        self.command, self.is_json = command, form == "json"
        self.data: dict[str, Any] = {}
        self.out: TextIO = sys.stdout
        self.err: TextIO = sys.stderr

    def say(self, text: str) -> None:
        """Writes a line for people; never part of a result."""
        self.err.write(f"{text}\n")
        self.err.flush()

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """Writes a part of the result: its text now, or its data in the envelope at the end."""
        self.data.update(data)
        if not self.is_json:
            self.out.write(f"{text}\n")

    def finish(self, exit_code: int, error: tuple[str, str] | None = None) -> int:
        """Writes the error, if there is one, and the envelope; returns the exit code."""
        try:
            if self.is_json:
                named = {HOLDS: "ok", USAGE: "usage", INTERRUPTED: "interrupted", MISSING: "missing", BUG: "bug"}
                status = named.get(exit_code, "refused")
                envelope: dict[str, Any] = {
                    "schema_version": SCHEMA_VERSION, "command": self.command, "status": status,
                    "exit_code": exit_code, "data": self.data,
                }  # fmt: skip
                if error is not None:
                    envelope["error"] = {"code": error[0], "text": error[1]}
                self.out.write(json.dumps(envelope, sort_keys=True) + "\n")
            self.out.flush()
        except BrokenPipeError:
            # Whoever read us has seen enough (`zkfed check ... | head`); the interpreter flushes again at its end.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error is not None:
            self.say(f"{error[0]}: {error[1]}")
        return exit_code
