"""One JSON object a line and event, for programs: stable names, a schema version, no NaN."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from zkfed.orchestrator.events import Event
from zkfed.renderers.fields import SCHEMA_VERSION, fields_of
from zkfed.renderers.stream import Stream

__all__ = ["JsonLinesRenderer"]


class JsonLinesRenderer:
    """Writes `{"schema_version": 1, "event": "released", "round": 1, ...}` for each event.

    Args:
        stream: Where to; None for standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = Stream(stream if stream is not None else sys.stdout)

    def show(self, event: Event) -> None:
        """Writes one line, ASCII only, and flushes it."""
        line = json.dumps({"schema_version": SCHEMA_VERSION} | fields_of(event), allow_nan=False)
        self._stream.write(f"{line}\n")

    def close(self) -> None:
        """Does nothing: every line is out already, and the stream is its owner's."""
