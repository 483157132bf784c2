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
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from zkfed.errors import StoreFault
from zkfed.renderers.stream import Stream

__all__ = ["BUG", "HOLDS", "INTERRUPTED", "MISSING", "REFUSED", "SCHEMA_VERSION", "USAGE", "Missing", "Output", "Usage"]

HOLDS, REFUSED, USAGE, MISSING, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130
SCHEMA_VERSION = 1
NO_CODES = ("bug", "interrupted", "missing", "usage")  # said by the command line alone: no error has them


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
        # A process that was started without stdout or stderr has None there.
        self.out: TextIO = sys.stdout or io.StringIO()
        self.err: TextIO = sys.stderr or io.StringIO()
        self._people = Stream(self.err)

    def say(self, text: str) -> None:
        """Writes lines for people; never part of a result, so nothing fails when nobody reads them."""
        self._people.write(_printable(text) + "\n")

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """Writes a part of the result: its text now, or its data in the envelope at the end.

        Raises:
            BrokenPipeError: Nobody reads it any more.
            StoreFault: It cannot be written, such as onto a disk that is full.
        """
        self.data.update(data)
        if not self.is_json:
            self._write(_printable(text) + "\n")

    def finish(self, exit_code: int, error: tuple[str, str] | None = None) -> int:
        """Writes the error, if there is one, and the envelope; returns the exit code."""
        try:
            if self.is_json:
                self._write(json.dumps(self._envelope(exit_code, error), sort_keys=True) + "\n")
            self._flush()
        except BrokenPipeError:
            pass  # whoever read us has seen enough (`zkfed check ... | head`)
        except StoreFault as fault:
            exit_code, error = exit_code or REFUSED, error or (fault.code, str(fault))
        if error is not None:
            self.say(f"{error[0]}: {error[1]}".replace("\n", "\\n"))
        return exit_code

    def _envelope(self, exit_code: int, error: tuple[str, str] | None) -> dict[str, Any]:
        named = {HOLDS: "ok", USAGE: "usage", INTERRUPTED: "interrupted", MISSING: "missing", BUG: "bug"}
        envelope: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION, "command": self.command, "status": named.get(exit_code, "refused"),
            "exit_code": exit_code, "data": self.data,
        }  # fmt: skip
        if error is not None:
            page = "how-to/command-line" if error[0] in NO_CODES else f"errors/{error[0]}"
            envelope["error"] = {"code": error[0], "text": error[1], "docs": f"docs/{page}.md"}
        return envelope

    def _write(self, text: str) -> None:
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        with self._told():
            self.out.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _flush(self) -> None:
        with self._told():
            self.out.flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tells why a result cannot be written, once: the interpreter would try again at its end, and complain."""
        try:
            yield
        except OSError as fault:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())
            if isinstance(fault, BrokenPipeError):
                raise
            raise StoreFault(f"the result cannot be written to stdout: {fault.strerror}") from None


def _printable(text: str) -> str:
    """Returns a text with its lines, and every other character that moves a cursor or is none escaped."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
