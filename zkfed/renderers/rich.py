"""A bar for the stage that runs and a coloured line for everything that matters (needs rich, extra `demo`).

Colours follow the terminal, `NO_COLOR` and `TERM=dumb`, as rich does. Texts of events are never read as
markup.
"""

from __future__ import annotations

import sys
from typing import TextIO, cast

from zkfed.errors import PolicyError
from zkfed.orchestrator import events
from zkfed.renderers.stream import Stream, visible

__all__ = ["RichRenderer"]

STYLES: dict[type, str] = {
    events.Refused: "yellow", events.AttemptFailed: "red", events.Released: "green",
    events.RoundAbandoned: "red", events.RoundStarted: "bold",
}  # fmt: skip


class RichRenderer:
    """Shows events with rich.

    Args:
        stream: Where to; None for standard error.

    Raises:
        PolicyError: rich is not installed.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        except ImportError:
            raise PolicyError("this renderer needs rich: pip install 'zkfed[demo]'") from None
        # rich ends the process when a pipe breaks, and writes from a thread of its own: it never gets to see that.
        quiet = Stream(stream if stream is not None else sys.stderr)
        self._console = Console(file=cast(TextIO, quiet))
        self._bar = Progress(
            TextColumn("{task.description:28}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task, self._stage, self._is_running = self._bar.add_task("starting", total=None), "", False

    def show(self, event: events.Event) -> None:
        """Shows one event; a stream that fails silences the renderer and nothing else."""
        if not isinstance(event, events.Progress):
            self._print(str(event), STYLES.get(type(event), ""))
            return
        if not self._is_running:
            self._bar.start()
            self._is_running = True
        tries = f", attempt {event.attempt}" if event.attempt > 1 else ""
        stage = f"round {event.round}: {event.stage}{tries}"
        if stage != self._stage:
            self._bar.reset(self._task, total=event.total, description=stage)
            self._stage = stage
        self._bar.update(self._task, completed=event.done)

    def close(self) -> None:
        """Takes the bar away; `show` brings it back."""
        if self._is_running:
            self._is_running = False
            self._bar.stop()

    def say(self, text: str) -> None:
        """Shows a line of one's own above the bar."""
        self._print(text, "")

    def _print(self, text: str, style: str) -> None:
        self._console.print(visible(text), style=style, highlight=False, markup=False, emoji=False, soft_wrap=True)
