"""A text stream that is written for people or programs, and that never ends a federation.

A round that is under way has spent privacy budget. A terminal that is closed, a full disk or a letter
that the terminal cannot show must not cost it.
"""

from __future__ import annotations

from typing import TextIO

__all__ = ["Stream", "visible"]

LINE_CHARACTERS_MAX = 4096


def visible(text: str) -> str:
    r"""Returns the text on one line, without anything that moves a cursor or recolours a terminal.

    Every character that is not printable becomes an escape such as \x1b; a long text ends in "...".
    """
    cut = text if len(text) <= LINE_CHARACTERS_MAX else text[: LINE_CHARACTERS_MAX - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


class Stream:
    """Writes to a text stream until that fails once; from then on it is silent.

    Attributes:
        is_open: Whether everything so far was written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.is_open = stream, True
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Returns whether a person is looking, so that a line may be written over."""
        try:
            return self.is_open and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def write(self, text: str) -> int:
        """Writes text and flushes; characters that the stream's encoding lacks are escaped."""
        if self.is_open:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
                self._stream.flush()
            except (OSError, ValueError):  # ValueError: it was closed
                self.is_open = False
        return len(text)

    def flush(self) -> None:
        """Does nothing: every text is out already. For those who take this for a file."""
