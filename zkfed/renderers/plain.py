"""Lines of text: for terminals, files and logs of a job. Needs nothing but Python."""

from __future__ import annotations

import sys
from typing import TextIO

from zkfed.orchestrator.events import Event, Progress
from zkfed.renderers.stream import Stream, visible

__all__ = ["PlainRenderer"]

CLEAR = "\r\x1b[2K"


class PlainRenderer:
    """Writes a line for each event; progress on one line that is written over, on a terminal only.

    Elsewhere progress is a line when a stage has ended: a file of a thousand "12/24" helps nobody.

    Args:
        stream: Where to; None for standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = Stream(stream if stream is not None else sys.stderr)
        self._is_terminal = self._stream.isatty()
        self._is_over_written = False

    def show(self, event: Event) -> None:
        """Shows one event."""
        text = visible(str(event))
        if isinstance(event, Progress) and self._is_terminal:
            self._stream.write(f"{CLEAR}{text[:100]}")
            self._is_over_written = True
            return
        if isinstance(event, Progress) and event.done < event.total:
            return
        self.close()
        self._stream.write(f"{text}\n")

    def close(self) -> None:
        """Takes the line of progress away."""
        if self._is_over_written:
            self._stream.write(CLEAR)
            self._is_over_written = False
