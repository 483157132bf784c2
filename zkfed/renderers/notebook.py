"""A table in a notebook that grows while a federation runs. Everything from outside is escaped."""

from __future__ import annotations

import importlib
from html import escape
from typing import Any

from zkfed.orchestrator import events
from zkfed.renderers.stream import visible

__all__ = ["NotebookRenderer"]

ROWS_MAX = 200
COLOURS: dict[type, str] = {
    events.Refused: "#9a6700", events.AttemptFailed: "#b42318", events.RoundAbandoned: "#b42318",
    events.Released: "#1a7f37",
}  # fmt: skip


class NotebookRenderer:
    """Shows events as HTML, in place, where IPython is loaded; `_repr_html_` shows them anywhere.

    The last 200 events are kept; the number of those before is said.
    """

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._left_out = 0
        self._progress: events.Progress | None = None
        self._handle: Any = None

    def __repr__(self) -> str:
        return f"NotebookRenderer({self._left_out + len(self._rows)} events)"

    def show(self, event: events.Event) -> None:
        """Shows one event."""
        if isinstance(event, events.Progress):
            self._progress = event
        else:
            colour = COLOURS.get(type(event), "inherit")
            self._rows.append(f'<div style="color:{colour}">{escape(visible(str(event)))}</div>')
            if len(self._rows) > ROWS_MAX:
                del self._rows[0]
                self._left_out += 1
        self._display()

    def close(self) -> None:
        """Takes the bar of progress away."""
        self._progress = None
        self._display()

    def _repr_html_(self) -> str:
        head = [f"<div>{self._left_out} events before</div>"] if self._left_out else []
        return "".join(["<div>", *head, *self._rows, self._bar(), "</div>"])

    def _bar(self) -> str:
        p = self._progress
        if p is None:
            return ""
        text = escape(visible(str(p)))
        return f'<div><progress value="{int(p.done)}" max="{max(int(p.total), 1)}"></progress> {text}</div>'

    def _display(self) -> None:
        if self._handle is not None:
            self._handle.update(self)
            return
        try:
            # Optional, and slow to load: only a notebook has it already.
            display = importlib.import_module("IPython.display").display
            shell = importlib.import_module("IPython").get_ipython()
        except ImportError:
            return
        if shell is not None:
            self._handle = display(self, display_id=True)
