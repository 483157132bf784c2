"""Shows that no node and no server under Flower gets more than an error: silence, odd bytes, odd metrics, old state."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg

from tests.adapters.flower_grid import HereGrid, as_is
from tests.adapters.test_flower import SHAPE, plain_app, policy_once
from tests.layers.parties import ROWS, make_policy, proving_keys
from zkfed import check_release
from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.errors import DecodeError, PolicyError
from zkfed.orchestrator.calls import Answer, Ask
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.synthetic import synthetic_cohort

NODES = 3


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("flower") / "kit"
    policy = policy_once()
    write_kit(folder, policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, ROWS)[1])
    return str(folder)


def run(
    kit: str, grid: HereGrid, *, exchanges: int = 1, timeout: float = 60, inner: FedAvg | None = None
) -> tuple[Zkfed, Any]:
    strategy = Zkfed(inner or FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=exchanges), timeout=timeout)
    return strategy, strategy.start(grid, ArrayRecord([np.zeros(SHAPE)]), num_rounds=1, timeout=timeout)


def node_two_refused(strategy: Zkfed, result: Any) -> tuple[str, str]:
    """Returns code and reason of node 2's refusal; the two others are released."""
    metrics = result.train_metrics_clientapp[1]
    assert (metrics["accepted"], metrics["refused"]) == (2, 1)
    check_release(strategy.node.transcript)
    ((name, verdict),) = strategy.refused
    assert name == "node 2"
    return verdict.code, verdict.reason


def second_reply_of_two(change: Any) -> Any:
    """Changes node 2's reply to training; the one to its enrolment passes."""
    seen = []

    def on_the_way(node: int, reply: Message) -> Any:
        seen.append(node)
        return change(reply) if node == 2 and seen.count(2) == 2 else reply

    return on_the_way


def unreadable(reply: Message) -> Any:
    def fetched() -> Message:
        raise ValueError("bytes of a stranger")

    return fetched


def never_uploaded(reply: Message) -> Any:
    def fetched() -> Message:
        threading.Event().wait(30)
        return reply

    return fetched


def from_super_link(reply: Message) -> Message:
    """What SuperLink answers itself when a node went away: the reply does not name the node."""
    reply.__dict__.update(_content=None, _error=Error(5, "node unavailable"))
    reply.metadata.__dict__["_src_node_id"] = 1 << 40
    return reply


MISSING = {
    "never-comes": (lambda reply: None, 1.0, ("no-answer", "no reply came in time")),
    "never-uploaded": (never_uploaded, 3.0, ("no-answer", "no reply came in time")),
    "unreadable": (unreadable, 60.0, ("transport", "cannot read the reply (ValueError)")),
    "of-super-link": (from_super_link, 60.0, ("transport", "node unavailable")),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_reply_that_is_not_there(kit: str, name: str) -> None:
    """Nothing, nothing to fetch, bytes that Flower cannot read, SuperLink's own word: this node alone is refused."""
    change, timeout, (code, reason) = MISSING[name]
    strategy, result = run(
        kit, HereGrid([plain_app([ZkfedMod(kit)])] * NODES, second_reply_of_two(change)), timeout=timeout
    )
    found = node_two_refused(strategy, result)
    assert found[0] == code
    assert reason in found[1]


def test_a_network_that_is_gone_ends_the_run(kit: str) -> None:
    """What is no node's doing is not put down to a node."""

    def gone(reply: Message) -> Any:
        def fetched() -> Message:
            raise ConnectionRefusedError("no SuperLink")

        return fetched

    with pytest.raises(ConnectionRefusedError):
        run(kit, HereGrid([plain_app([ZkfedMod(kit)])] * NODES, second_reply_of_two(gone)))


def other(record: dict[str, Any]) -> Any:
    def change(reply: Message) -> Message:
        reply.content = RecordDict({"zkfed": ConfigRecord({**dict(reply.content["zkfed"]), **record})})
        return reply

    return change


@pytest.mark.parametrize(
    "record",
    [
        {"version": True},
        {"version": 1.0},
        {"version": b"1" * 10_000},
        {"version": [1]},
        {"more": b"x"},
        {"answer": "x"},
    ],
    ids=["bool", "float", "bytes", "list", "more", "text"],
)
def test_a_record_that_is_almost_right(kit: str, record: dict[str, Any]) -> None:
    """Another type of version, a field more, text: decode, and no long word of the sender."""
    found = node_two_refused(
        *run(kit, HereGrid([plain_app([ZkfedMod(kit)])] * NODES, second_reply_of_two(other(record))))
    )
    assert found[0] == "decode"
    assert len(found[1]) < 300


def evaluating(kit: str) -> ClientApp:
    app = plain_app([ZkfedMod(kit)] if kit else [])

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        metrics = {"num-examples": 1, "loss": float(context.node_id)}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    return app


def metrics_of(**metrics: Any) -> Any:
    def change(reply: Message) -> Message:
        reply.content = RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 1.0, **metrics})})
        return reply

    return change


def error(reply: Message) -> Message:
    reply.__dict__.update(_content=None, _error=Error(1, "\x1b[31m" + "x" * 10_000))
    return reply


def two_records(reply: Message) -> Message:
    reply.content = RecordDict({**dict(reply.content), "more": MetricRecord({"loss": 1})})
    return reply


ODD = {
    "nan": metrics_of(loss=float("nan")),
    "list": metrics_of(loss=[1.0, 2.0]),
    "more": metrics_of(accuracy=1.0),
    "error": error,
    "two-records": two_records,
    "unreadable": unreadable,
}


@pytest.mark.parametrize("name", ODD)
def test_an_evaluation_that_does_not_fit(kit: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """One node's metrics end no run and spoil no average: the node is named, and left out."""

    def on_the_way(node: int, reply: Message) -> Any:
        return ODD[name](reply) if node == 2 and reply.metadata.message_type == "evaluate" else reply

    inner = FedAvg(fraction_evaluate=1.0)
    _, result = run(kit, HereGrid([evaluating(kit)] * NODES, on_the_way), inner=inner)
    assert result.train_metrics_clientapp[1]["accepted"] == NODES
    assert result.evaluate_metrics_clientapp[1]["loss"] == 0.5
    (said,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert "node 2" in said
    assert len(said) < 400
    assert "\x1b" not in said


def test_plain_fedavg_dies_of_an_evaluation() -> None:
    """The control: without Zkfed, one node with a second MetricRecord ends the run for everybody."""

    def on_the_way(node: int, reply: Message) -> Any:
        return two_records(reply) if node == 2 and reply.metadata.message_type == "evaluate" else reply

    grid = HereGrid([evaluating("")] * NODES, on_the_way)
    with pytest.raises(InconsistentMessageReplies):
        FedAvg(fraction_evaluate=1.0).start(grid, ArrayRecord([np.zeros(SHAPE)]), num_rounds=1)


def test_an_evaluation_that_no_average_can_be_made_of(kit: str) -> None:
    """Weights of zero from all: there is no result, and the run goes on."""

    def weightless(node: int, reply: Message) -> Any:
        return metrics_of(**{"num-examples": 0})(reply) if reply.metadata.message_type == "evaluate" else reply

    _, result = run(kit, HereGrid([evaluating(kit)] * NODES, weightless), inner=FedAvg(fraction_evaluate=1.0))
    assert result.train_metrics_clientapp[1]["accepted"] == NODES
    assert not result.evaluate_metrics_clientapp


class Server:
    """A server that changes what node 2 is asked, and what it remembers, before its app sees it."""

    def __init__(self, app: ClientApp, change: Any) -> None:
        self.app, self.change, self.asked = app, change, list[Ask]()

    def __call__(self, message: Message, context: Context) -> Message:
        self.asked.append(Ask.decode(message.content["zkfed"]["request"]))
        self.change(len(self.asked), message, context)
        return self.app(message, context)


def arrays_of(*arrays: Any) -> Any:
    def change(number: int, message: Message, context: Context) -> None:
        if number == 2:
            message.content = RecordDict({**dict(message.content), "arrays": ArrayRecord(list(arrays))})

    return change


def second_arrays(number: int, message: Message, context: Context) -> None:
    message.content = RecordDict(
        {**dict(message.content), "more": ArrayRecord([np.zeros(SHAPE)])} if number == 2 else dict(message.content)
    )


SERVERS = {
    "integers": (arrays_of(np.zeros(SHAPE, np.int64)), "decode"),
    "text": (arrays_of(np.zeros(SHAPE, "U8")), "decode"),
    "too-few": (arrays_of(np.zeros(SHAPE)[1:]), "decode"),
    "too-many": (arrays_of(np.zeros(SHAPE), np.zeros(1)), "decode"),
    "two-records": (second_arrays, "decode"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_arrays_of_another_model(kit: str, name: str) -> None:
    """A device does not train from arrays that cannot hold the base that both parties signed."""
    change, code = SERVERS[name]
    app = plain_app([ZkfedMod(kit)])
    found = node_two_refused(*run(kit, HereGrid([app, app, Server(app, change)])))
    assert f"zkfed: {code}: " in found[1]


def test_state_that_is_lost(kit: str) -> None:
    """A device that lost its key is another device: it takes part in the next run."""

    def lose(number: int, message: Message, context: Context) -> None:
        context.state = RecordDict({})

    app = plain_app([ZkfedMod(kit)])
    found = node_two_refused(*run(kit, HereGrid([app, app, Server(app, lose)])))
    assert "not-authorised: the node has not enrolled this device" in found[1]


@pytest.mark.parametrize("state", [b"", b"garbage"])
def test_state_that_is_older(tmp_path: Path, state: bytes) -> None:
    """Having committed, a device gets back the state of its enrolment, or garbage: it seals nothing."""

    def forget(number: int, message: Message, context: Context) -> None:
        if number == 3:
            context.state["zkfed"] = ConfigRecord({"seed": context.state["zkfed"]["seed"], "state": state})

    policy = make_policy()
    write_kit(tmp_path, policy, proving_keys(), benchmark=synthetic_cohort(policy.model, NODES, ROWS)[1])
    app = plain_app([ZkfedMod(str(tmp_path))])
    strategy, result = run(str(tmp_path), HereGrid([app, app, Server(app, forget)]), exchanges=2)
    assert result.train_metrics_clientapp[1]["accepted"] == 2
    check_release(strategy.node.transcript)
    assert {name for name, _ in strategy.refused} == {"node 2"}


def test_a_server_that_asks_again(kit: str) -> None:
    """Asked twice, a device trains once and says the same commit; asked under another policy, it says an error."""
    trained = []

    def count(message: Message, context: Context, call_next: Any) -> Message:
        trained.append(context.node_id)
        return call_next(message, context)

    app = plain_app([ZkfedMod(kit), count])
    server = Server(app, lambda number, message, context: None)
    grid = HereGrid([app, app, server])
    run(kit, grid)
    assert trained.count(2) == 1
    (first,) = [r.content["zkfed"]["answer"] for r in grid.seen[NODES:] if r.metadata.src_node_id == 2]

    def ask(request: bytes) -> Message:
        record = ConfigRecord({"version": 1, "request": request})
        content = RecordDict({"arrays": ArrayRecord([np.zeros(SHAPE)]), "zkfed": record})
        return app(Message(content, 2, "train"), grid.contexts[2])

    again = ask(server.asked[1].request)
    assert Answer.decode(again.content["zkfed"]["answer"]).commit == Answer.decode(first).commit
    assert trained.count(2) == 1
    elsewhere = Ask("enrol", (), {"policy": make_policy(epsilon=50.0).encode()})
    for request in (elsewhere.request, b"", b"\x00" * 100, server.asked[1].request[:-1]):
        reply = ask(request)
        assert reply.has_error()
        assert reply.error.reason.startswith("zkfed: ")


@pytest.mark.parametrize("kind", ["get_parameters", "get_properties", "reconnect"])
def test_other_kinds_of_messages_do_not_pass(kit: str, kind: str) -> None:
    """An app of Flower's old API hands out its weights for "get_parameters", and calls mods for it: ours says no."""

    def weights(message: Message, context: Context) -> Message:
        pytest.fail("the app was asked")

    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
    reply = ZkfedMod(kit)(Message(RecordDict({}), 1, kind), context, weights)
    assert reply.has_error()


def test_whole_numbers_hold_no_model(kit: str) -> None:
    """Told before anything is paid for: a release would be rounded."""
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=1))
    with pytest.raises(DecodeError, match="floating-point"):
        strategy.start(HereGrid([plain_app([])] * NODES, as_is), ArrayRecord([np.zeros(SHAPE, int)]), num_rounds=1)


def test_a_start_after_one_that_had_too_few(kit: str) -> None:
    """An enrolment that failed binds nobody: the same strategy starts again when more nodes are there."""
    app = plain_app([ZkfedMod(kit)])
    strategy = Zkfed(
        FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1), open_node(kit, exchanges=1)
    )
    first = ArrayRecord([np.zeros(SHAPE)])
    with pytest.raises(PolicyError, match="1 devices, the policy needs 2"):
        strategy.start(HereGrid([app]), first, num_rounds=1)
    result = strategy.start(HereGrid([app] * NODES), first, num_rounds=1)
    assert result.train_metrics_clientapp[1]["accepted"] == NODES
