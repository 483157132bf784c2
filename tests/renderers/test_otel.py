"""Shows the traces of rounds: a span for each round, below it one for each stage, and no secret in either."""

from __future__ import annotations

import pytest

from tests.renderers.samples import BAD, EVENTS
from zkfed.orchestrator.events import Progress
from zkfed.renderers.following import follow
from zkfed.renderers.otel import TraceRenderer

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="pip install 'zkfed[test]'")


def test_rounds_and_stages_are_spans() -> None:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    list(follow((Progress(0, "setup", 1, 1), *EVENTS, BAD), TraceRenderer(provider)))
    provider.shutdown()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"setup", "round 1", "commit", "seal", "round 2"}
    first = spans["round 1"]
    assert spans["setup"].parent is None
    assert {spans[name].parent.span_id for name in ("commit", "seal")} == {first.context.span_id}
    assert spans["seal"].attributes["zkfed.done"] == 2
    assert [event.name for event in first.events] == ["refused", "attempt-failed", "released"]
    assert first.events[0].attributes["zkfed.code"] == "proof-invalid"
    assert first.status.is_unset
    assert not spans["round 2"].status.is_ok
    assert spans["round 2"].status.description == "no sum was released"
    assert not any("reason" in str(event.attributes) for span in spans.values() for event in span.events)
