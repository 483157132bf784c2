"""One way to show a federation: `follow` its events through a renderer.

    for event in follow(federation.run(rounds=3), renderer("auto")):
        ...                                   # your own work; or pass: `follow` shows everything

A renderer is anything with `show(event)` and `close()`. `show` also fits `CohortOptions(watch=...)` and
the loop of a host of your own.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TextIO, TypeVar

from zkfed.errors import PolicyError, shown
from zkfed.orchestrator.events import Event

__all__ = ["RENDERERS", "Renderer", "follow", "renderer"]

E = TypeVar("E", bound=Event)


class Renderer(Protocol):
    """Shows events."""

    def show(self, event: Event) -> None:
        """Shows one event, at once."""

    def close(self) -> None:
        """Puts what it writes to in order again; a second call does nothing."""


def follow(events: Iterable[E], renderer: Renderer) -> Iterator[E]:
    """Yields the events, each after it was shown; closes the renderer at the end, or at an error.

    Args:
        events: Such as `LocalFederation.run(rounds)`.
        renderer: Such as `renderer("auto")`.
    """
    try:
        for event in events:
            renderer.show(event)
            yield event
    finally:
        renderer.close()


def renderer(name: str = "auto", *, stream: TextIO | None = None) -> Renderer:
    """Returns a renderer by name.

    Args:
        name: "plain", "rich", "notebook", "jsonlines", "log" or "otel"; "auto" takes the notebook in one, rich on a
            terminal where it is installed, and plain lines otherwise.
        stream: Where to; standard error for "plain" and "rich", so that results stay alone on standard output,
            and standard output for "jsonlines".

    Raises:
        PolicyError: No such renderer, or rich is missing; the text names the command that gets it.
        TransportError: opentelemetry-api is missing.
    """
    if name == "auto":
        name = _fitting(stream or sys.stderr)
    if name not in RENDERERS:
        raise PolicyError(f"no renderer {shown(name)}, expected one of {('auto', *RENDERERS)}")
    return RENDERERS[name](stream)


def _fitting(stream: TextIO) -> str:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        return "notebook"
    from zkfed.renderers.stream import Stream

    has_rich = importlib.util.find_spec("rich") is not None
    return "rich" if has_rich and Stream(stream).isatty() else "plain"


def _plain(stream: TextIO | None) -> Renderer:
    from zkfed.renderers.plain import PlainRenderer

    return PlainRenderer(stream)


def _rich(stream: TextIO | None) -> Renderer:
    from zkfed.renderers.rich import RichRenderer

    return RichRenderer(stream)


def _notebook(stream: TextIO | None) -> Renderer:
    from zkfed.renderers.notebook import NotebookRenderer

    return NotebookRenderer()


def _jsonlines(stream: TextIO | None) -> Renderer:
    from zkfed.renderers.jsonlines import JsonLinesRenderer

    return JsonLinesRenderer(stream)


def _log(stream: TextIO | None) -> Renderer:
    from zkfed.renderers.log import LogRenderer

    return LogRenderer()


def _otel(stream: TextIO | None) -> Renderer:
    from zkfed.renderers.otel import TraceRenderer

    return TraceRenderer()


RENDERERS: dict[str, Callable[[TextIO | None], Renderer]] = {
    "plain": _plain, "rich": _rich, "notebook": _notebook, "jsonlines": _jsonlines, "log": _log,
    "otel": _otel,
}  # fmt: skip
"""By name: makes a renderer on a stream, or on its own one for None."""
