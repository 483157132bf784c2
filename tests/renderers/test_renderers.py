"""Shows that every renderer shows every event, that hostile texts stay text, and that no bad stream costs a round."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.layers.parties import make_policy, proving_keys
from tests.renderers.samples import BAD, EVENTS, HOSTILE, VERDICT
from zkfed.errors import PolicyError
from zkfed.local import LocalFederation
from zkfed.orchestrator.events import Event, Progress, Released
from zkfed.orchestrator.options import Options
from zkfed.renderers.fields import fields_of, kind_of_event
from zkfed.renderers.following import RENDERERS, follow, renderer
from zkfed.renderers.jsonlines import JsonLinesRenderer
from zkfed.renderers.log import LOGGER, LogRenderer, level_of
from zkfed.renderers.notebook import ROWS_MAX, NotebookRenderer
from zkfed.renderers.plain import PlainRenderer
from zkfed.renderers.rich import RichRenderer
from zkfed.renderers.stream import LINE_CHARACTERS_MAX, visible

ON_STREAMS = ("plain", "rich", "jsonlines")


class Terminal(io.StringIO):
    """A stream in front of which a person sits."""

    def isatty(self) -> bool:
        return True


class Failing(io.StringIO):
    """A stream that takes some writes, and then none."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def shown_by(name: str, events: tuple[Event, ...], stream: io.StringIO | None = None) -> str:
    out = stream if stream is not None else io.StringIO()
    shows = renderer(name, stream=out)
    assert tuple(follow(events, shows)) == events
    shows.close()
    return out.getvalue()


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_every_event_but_progress_is_a_line(name: str) -> None:
    lines = shown_by(name, EVENTS).splitlines()
    for event in EVENTS:
        if not isinstance(event, Progress):
            assert str(event) in lines


def test_progress_is_a_line_a_stage_in_a_file_and_one_line_on_a_terminal() -> None:
    assert shown_by("plain", EVENTS[3:7]) == "round 1, attempt 1: commit 2/2\nround 1, attempt 1: seal 2/2\n"
    seen = shown_by("plain", EVENTS[3:8], Terminal())
    assert seen.count("\n") == 1
    assert seen.endswith(f"\r\x1b[2K{EVENTS[7]}\n")


@pytest.mark.parametrize("name", ON_STREAMS)
@pytest.mark.parametrize("kind", [io.StringIO, Terminal], ids=["file", "terminal"])
def test_what_a_client_says_moves_no_cursor_and_forges_no_line(name: str, kind: type[io.StringIO]) -> None:
    seen = shown_by(name, (BAD,), kind())
    for bad in ("\x1b[2J", "\x1b]0;", "\x07", "\nERROR", "\u202e"):
        assert bad not in seen
    if name != "jsonlines":
        assert "[bold red]x[/bold red]" in seen
        assert ":smile:" in seen


def test_a_notebook_escapes_markup_and_keeps_a_bounded_number_of_rows() -> None:
    notebook = NotebookRenderer()
    for event in (BAD, Progress(1, "<b>", 1, 2)):
        notebook.show(event)
    html = notebook._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt; 1/2" in html
    for _ in range(ROWS_MAX + 4):
        notebook.show(EVENTS[0])
    notebook.close()
    assert "<div>5 events before</div>" in notebook._repr_html_()
    assert "<progress" not in notebook._repr_html_()
    assert repr(notebook) == f"NotebookRenderer({ROWS_MAX + 5} events)"


def test_json_lines_have_stable_fields() -> None:
    rows = [json.loads(line) for line in shown_by("jsonlines", EVENTS).splitlines()]
    assert [row["schema_version"] for row in rows] == [1] * len(EVENTS)
    assert [row["event"] for row in rows] == [kind_of_event(event) for event in EVENTS]
    assert rows[3] == {
        "schema_version": 1, "event": "progress", "round": 1, "stage": "commit", "done": 1, "total": 2, "attempt": 1,
        "group": 0,
    }  # fmt: skip
    assert rows[7] == {
        "schema_version": 1, "event": "refused", "round": 1, "client": "ab" * 32, "is_accepted": False,
        "code": "proof-invalid", "reason": VERDICT.reason, "attempt": 1,
    }  # fmt: skip
    assert rows[9]["seconds"] == {"check": 0.5}
    assert rows[10]["noise_signal"] is None


def test_a_value_of_an_unknown_type_is_told_by_its_type() -> None:
    event = Released(1, 2, 0, 1, 0.5, 1.0, 1e-6, {"check": b"secret"})  # type: ignore[dict-item]
    assert fields_of(event)["seconds"] == {"check": "bytes"}


@pytest.mark.parametrize("name", ON_STREAMS)
@pytest.mark.parametrize("writes", [0, 1, 3])
def test_a_stream_that_fails_ends_no_federation(name: str, writes: int) -> None:
    stream = Failing(writes)
    assert tuple(follow(EVENTS, renderer(name, stream=stream))) == EVENTS


@pytest.mark.parametrize("name", ON_STREAMS)
def test_a_closed_stream_ends_no_federation(name: str) -> None:
    stream = io.StringIO()
    shows = renderer(name, stream=stream)
    stream.close()
    assert tuple(follow(EVENTS, shows)) == EVENTS


def test_letters_that_a_terminal_lacks_are_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    PlainRenderer(stream).show(Progress(1, "prüfen", 2, 2))
    assert raw.getvalue() == b"round 1, attempt 1: pr\\xfcfen 2/2\n"


def test_a_text_is_cut_and_made_visible() -> None:
    assert visible("a\tb\nc\x1b") == "a\\tb\\nc\\x1b"
    assert len(visible("x" * 10**6)) == LINE_CHARACTERS_MAX


def test_no_colour_where_somebody_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    shows = RichRenderer(out)
    shows.show(EVENTS[7])
    shows.say("[red]own line[/red]")
    shows.close()
    assert "\x1b[33m" not in out.getvalue()
    assert "[red]own line[/red]" in out.getvalue()


def test_auto_takes_what_fits() -> None:
    assert isinstance(renderer(stream=io.StringIO()), PlainRenderer)
    assert isinstance(renderer(stream=Terminal()), RichRenderer)
    assert isinstance(renderer("jsonlines"), JsonLinesRenderer)
    with pytest.raises(PolicyError, match="no renderer 'html', expected one of"):
        renderer("html")
    assert set(RENDERERS) == {"plain", "rich", "notebook", "jsonlines", "log", "otel"}


def test_the_renderer_is_closed_when_whoever_follows_stops_or_the_federation_fails() -> None:
    out = Terminal()
    steps = follow(EVENTS[3:], PlainRenderer(out))
    next(steps)
    assert out.getvalue().endswith("commit 1/2")
    steps.close()
    assert out.getvalue().endswith("commit 1/2\r\x1b[2K")

    def failing() -> Iterator[Event]:
        yield EVENTS[3]
        raise PolicyError("the budget is spent")

    with pytest.raises(PolicyError):
        list(follow(failing(), PlainRenderer(out)))
    assert out.getvalue().endswith("commit 1/2\r\x1b[2K")


@pytest.mark.parametrize(
    ("missing", "name", "extra"), [("rich", "rich", "zkfed[demo]"), ("opentelemetry", "otel", "zkfed[otel]")]
)
def test_a_missing_package_is_named_with_the_command_that_gets_it(missing: str, name: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from zkfed.errors import ZkfedError\n"
        "from zkfed.renderers.following import renderer\n"
        f"try: renderer({name!r})\n"
        "except ZkfedError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"pip install '{extra}'" in done.stdout


def test_log_records_have_levels_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="zkfed"):
        list(follow((*EVENTS, BAD), renderer("log")))
    assert [record.levelno for record in caplog.records] == [level_of(event) for event in (*EVENTS, BAD)]
    assert caplog.records[7].levelno == logging.WARNING
    assert caplog.records[7].zkfed["code"] == "proof-invalid"
    assert caplog.records[11].levelno == logging.ERROR
    assert "\n" not in caplog.records[-1].getMessage()


def test_the_library_writes_nothing_to_a_host_that_did_not_ask(capfd: pytest.CaptureFixture[str]) -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in LOGGER.handlers)
    script = (
        "from tests.renderers.samples import EVENTS\n"
        "from zkfed.renderers.following import follow, renderer\n"
        "list(follow(EVENTS, renderer('log')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_whole_federation_is_followed() -> None:
    options = Options(keys=proving_keys())
    federation = LocalFederation(make_policy(), 3, options=options)
    out, records = io.StringIO(), []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.levelno)

    logger = logging.getLogger("tests.renderers")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Keeping())

    def both() -> Iterator[Event]:
        yield from follow(follow(federation.run(1), renderer("jsonlines", stream=out)), LogRenderer(logger))

    events = list(both())
    assert len(out.getvalue().splitlines()) == len(records) == len(events)
    assert isinstance(events[-1], Released)
    assert HOSTILE not in out.getvalue()
