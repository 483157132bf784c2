"""Events as OpenTelemetry traces (extra `otel`): a span for each round, below it one for each stage.

Spans say numbers, codes and stages, and the keys of refused clients; nothing else of a client.
"""

from __future__ import annotations

from typing import Any

from zkfed.errors import TransportError
from zkfed.orchestrator import events
from zkfed.renderers.fields import fields_of

__all__ = ["TraceRenderer"]


class TraceRenderer:
    """Turns events into spans.

    Args:
        provider: An OpenTelemetry `TracerProvider`; None takes the global one.

    Raises:
        TransportError: opentelemetry-api is not installed.
    """

    def __init__(self, provider: Any = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError:
            raise TransportError("traces need opentelemetry-api: pip install 'zkfed[otel]'") from None
        self._trace = trace
        self._tracer = trace.get_tracer("zkfed", tracer_provider=provider)
        self._round: Any = None
        self._stage: Any = None
        self._stage_key: tuple[str, int, int] | None = None

    def show(self, event: events.Event) -> None:
        """Starts, marks or ends spans."""
        if isinstance(event, events.RoundStarted):
            self.close()
            self._round = self._tracer.start_span(f"round {event.round}", attributes=_attributes(event))
        elif isinstance(event, events.Progress):
            self._move_on(event)
        elif self._round is not None:
            self._round.add_event(str(fields_of(event)["event"]), _attributes(event))
            if isinstance(event, events.RoundAbandoned):
                self._round.set_status(self._trace.StatusCode.ERROR, "no sum was released")
            if isinstance(event, events.Released | events.RoundAbandoned):
                self.close()

    def close(self) -> None:
        """Ends the spans that are open."""
        self._end_stage()
        if self._round is not None:
            self._round.end()
            self._round = None

    def _move_on(self, event: events.Progress) -> None:
        key = (event.stage, event.attempt, event.group)
        if key != self._stage_key:
            self._end_stage()
            parent = self._trace.set_span_in_context(self._round) if self._round is not None else None
            self._stage = self._tracer.start_span(event.stage, parent, attributes=_attributes(event))
            self._stage_key = key
        if self._stage is not None:
            self._stage.set_attribute("zkfed.done", event.done)

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._stage.end()
        self._stage, self._stage_key = None, None


def _attributes(event: events.Event) -> dict[str, Any]:
    plain = fields_of(event)
    return {f"zkfed.{n}": v for n, v in plain.items() if n != "reason" and isinstance(v, str | bool | int | float)}
