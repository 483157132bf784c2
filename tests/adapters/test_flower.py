"""Shows that Zkfed around FedAvg releases what `LocalFederation` does, and no reply of a node ends its run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod, message_size_mod
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg

from tests.adapters.flower_grid import HereGrid, as_is
from tests.layers.parties import ROWS, make_policy, proving_keys
from tests.orchestrator.hosting import held
from zkfed import LocalFederation, check_release
from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import DecodeError, PolicyError
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.holding import HolderLink, HolderMailbox
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.layouts import CoefIntercept
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import RoundPolicy
from zkfed.updates.signing import SigningKey

ROOT = Path(__file__).resolve().parents[2]
JOB_S_MAX = 240


def policy_once() -> RoundPolicy:
    return make_policy(attempts=1, epsilon=60.0, epsilon_max=1000.0)


SHAPE = policy_once().model.shape


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("flower") / "kit"
    policy = policy_once()
    write_kit(folder, policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, ROWS)[1])
    return str(folder)


def plain_app(mods: list[Any], spoil: Any = None) -> ClientApp:
    """A ClientApp as anybody's; `spoil` changes the weights that it trained."""
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        arrays = message.content["arrays"].to_numpy_ndarrays()
        model = policy_once().model
        shard = synthetic_cohort(model, 4, ROWS)[0][int(context.node_config["partition-id"])]
        trained = proximal_least_squares(model, np.asarray(arrays[0], dtype=np.float64), shard, 1)
        records = {
            "arrays": ArrayRecord([trained if spoil is None else spoil(trained)]),
            "metrics": MetricRecord({"num-examples": ROWS}),
        }
        return Message(RecordDict(records), reply_to=message)

    return app


def start(
    kit: str, apps: list[ClientApp], change: Any = as_is, *, exchanges: int = 1, rounds: int = 1, config: Any = None
) -> tuple[Zkfed, HereGrid, Any]:
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=exchanges))
    grid = HereGrid(apps, change)
    first = ArrayRecord([np.zeros(SHAPE, dtype=np.float32)])
    return strategy, grid, strategy.start(grid, first, num_rounds=rounds, train_config=config)


@pytest.mark.parametrize("exchanges", [1, 2])
def test_two_rounds(kit: str, exchanges: int) -> None:
    """Every device is in both sums, the record holds, and the result is the model in the arrays' own shape and type."""
    strategy, grid, result = start(kit, [plain_app([ZkfedMod(kit)])] * 3, exchanges=exchanges, rounds=2)
    assert [dict(m)["accepted"] for m in result.train_metrics_clientapp.values()] == [3, 3]
    (array,) = result.arrays.to_numpy_ndarrays()
    assert array.dtype == np.float32
    assert np.allclose(array, strategy.node.model)
    assert array.any()
    check_release(strategy.node.transcript)
    assert all(list(reply.content) == ["zkfed"] for reply in grid.seen)
    secret = [bytes(c.state["zkfed"]["seed"]) for c in grid.contexts]
    assert not any(s in bytes(r.content["zkfed"]["answer"]) for s in secret for r in grid.seen)


def test_the_key_holder_may_be_elsewhere(kit: str) -> None:
    """The ServerApp's process decrypts nothing; both sides arrive at one model, and the record holds."""
    between, key = MemoryTransport(), SigningKey.generate()
    node = open_node(kit, exchanges=1, holder=HolderLink(key.public, between, poll_s=0.001))
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), node)
    mailbox = HolderMailbox(node.policy, key, proving_keys(), between)
    with held(mailbox, node.end) as failures:
        result = strategy.start(
            HereGrid([plain_app([ZkfedMod(kit)])] * 3), ArrayRecord([np.zeros(SHAPE)]), num_rounds=2
        )
    assert not failures
    assert [dict(m)["accepted"] for m in result.train_metrics_clientapp.values()] == [3, 3]
    assert mailbox._holder is not None
    assert np.array_equal(mailbox._holder.base, node.base)
    check_release(node.transcript)


def nan(weights: Any) -> Any:
    return np.full_like(weights, np.nan)


BAD_TRAINING = {"nan": nan, "zero": np.zeros_like, "other-shape": lambda w: w[1:], "text": lambda w: w.astype("U8")}


@pytest.mark.parametrize("name", BAD_TRAINING)
def test_what_cannot_be_proved_is_refused(kit: str, name: str) -> None:
    """NaN, an unchanged model, another shape: this node is refused by name, the others are released."""
    apps = [plain_app([ZkfedMod(kit)])] * 2 + [plain_app([ZkfedMod(kit)], BAD_TRAINING[name])]
    _check_one_refused(*start(kit, apps)[::2])


def _check_one_refused(strategy: Zkfed, result: Any) -> None:
    (metrics,) = result.train_metrics_clientapp.values()
    assert (metrics["accepted"], metrics["refused"]) == (2, 1)
    assert [name for name, _ in strategy.refused] == ["node 2"]


def _training(change: Any) -> Any:
    """Changes the replies of node 2 to training, not the one to its enrolment."""
    count = []

    def on_the_way(node: int, reply: Message) -> Message:
        if node == 2:
            count.append(node)
        return change(reply) if node == 2 and len(count) > 1 else reply

    return on_the_way


def _with(reply: Message, **values: Any) -> Message:
    record = {**dict(reply.content["zkfed"]), **values}
    reply.content = RecordDict({"zkfed": ConfigRecord(record)})
    return reply


def _extra(reply: Message) -> Message:
    reply.content = RecordDict({**dict(reply.content), "arrays": ArrayRecord([np.ones(3)])})
    return reply


def _missing(reply: Message) -> Message:
    reply.content = RecordDict({"metrics": MetricRecord({"num-examples": 1})})
    return reply


def _unproven(reply: Message) -> Message:
    answer = bytearray(reply.content["zkfed"]["answer"])
    answer[len(answer) // 2] ^= 1
    return _with(reply, answer=bytes(answer))


def _error(reply: Message) -> Message:
    reply.__dict__.update(_content=None, _error=Error(1, "x" * 10000))
    return reply


BAD_REPLY = {
    "extra-record": _extra,
    "missing-record": _missing,
    "unproven": _unproven,
    "error": _error,
    "other-version": lambda r: _with(r, version=2),
    "no-bytes": lambda r: _with(r, answer=[1, 2]),
    "truncated": lambda r: _with(r, answer=bytes(r.content["zkfed"]["answer"])[:-1]),
    "empty": lambda r: _with(r, answer=b""),
}


@pytest.mark.parametrize("name", BAD_REPLY)
def test_a_bad_reply_is_refused(kit: str, name: str) -> None:
    """Whatever node 2 sends instead of its answer, it is refused by name, and the others are released."""
    _check_one_refused(*start(kit, [plain_app([ZkfedMod(kit)])] * 3, _training(BAD_REPLY[name]))[::2])


def test_plain_fedavg_dies_of_an_extra_record() -> None:
    """The control: without Zkfed, one node with a second ArrayRecord ends the run for everybody."""

    def extra(node: int, reply: Message) -> Message:
        if node == 2:
            reply.content = RecordDict({**dict(reply.content), "more": ArrayRecord([np.ones(3)])})
        return reply

    grid = HereGrid([plain_app([])] * 3, extra)
    with pytest.raises(InconsistentMessageReplies):
        FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(SHAPE)]), num_rounds=1)


CLIP = {"clipping_norm": 0.5}


@pytest.mark.parametrize("mod", [fixedclipping_mod, message_size_mod])
def test_a_mod_after_ours_is_proved(kit: str, mod: Any) -> None:
    """Clipping and logging mods between ours and the app see what they expect, and what they make is proved."""
    apps = [plain_app([ZkfedMod(kit), mod])] * 3
    _, _, result = start(kit, apps, config=ConfigRecord(CLIP))
    assert result.train_metrics_clientapp[1]["accepted"] == 3


def test_a_mod_before_ours(kit: str) -> None:
    """A logging mod works there too; a clipping mod has no model to clip, and no device enrols behind it."""
    _, _, result = start(kit, [plain_app([message_size_mod, ZkfedMod(kit)])] * 3)
    assert result.train_metrics_clientapp[1]["accepted"] == 3
    with pytest.raises(PolicyError, match=r"0 devices, the policy needs 2; node \d was refused.*put ZkfedMod first"):
        start(kit, [plain_app([fixedclipping_mod, ZkfedMod(kit)])] * 3, config=ConfigRecord(CLIP))


def test_evaluation_passes(kit: str) -> None:
    """It is as it was without us: in the clear, unproven, about the model that was released."""
    app, seen = plain_app([ZkfedMod(kit)]), list[Any]()

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        seen.append(message.content["arrays"].to_numpy_ndarrays()[0])
        metrics = MetricRecord({"num-examples": ROWS, "loss": 0.5})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    strategy = Zkfed(FedAvg(), open_node(kit, exchanges=1))
    result = strategy.start(HereGrid([app] * 3), ArrayRecord([np.zeros(SHAPE, dtype=np.float32)]), num_rounds=1)
    assert result.evaluate_metrics_clientapp[1]["loss"] == 0.5
    assert len(seen) == 3
    assert all(np.allclose(array, strategy.node.model) for array in seen)


def test_without_a_request_nothing_leaves(kit: str) -> None:
    """A server that runs plain FedAvg gets errors from our devices, and no model."""
    grid = HereGrid([plain_app([ZkfedMod(kit)])] * 3)
    FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord([np.zeros(SHAPE)]), num_rounds=1)
    assert all(reply.has_error() and "is the strategy wrapped in Zkfed?" in reply.error.reason for reply in grid.seen)


def test_other_initial_arrays_are_refused(kit: str) -> None:
    """Training from another model than the node's would prove nothing about it."""
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=1))
    with pytest.raises(PolicyError, match="not the node's model"):
        strategy.start(HereGrid([plain_app([])] * 3), ArrayRecord([np.ones(SHAPE)]), num_rounds=1)
    for bad in (np.full(SHAPE, np.nan), np.full(SHAPE, np.inf), np.zeros(SHAPE, dtype="U3"), np.zeros(5)):
        with pytest.raises(DecodeError, match="the arrays"):
            strategy.start(HereGrid([plain_app([])] * 3), ArrayRecord([bad]), num_rounds=1)


def test_coef_and_intercept() -> None:
    """scikit-learn's two arrays and the weights of a linear model become each other."""
    coef, intercept = np.arange(9.0).reshape(3, 3), np.array([10.0, 11.0, 12.0])
    weights = CoefIntercept().weights([coef, intercept], (4, 3))
    assert (weights[-1] == intercept).all()
    back = CoefIntercept().arrays(weights, [coef, intercept])
    assert all((a == b).all() for a, b in zip(back, [coef, intercept], strict=True))
    with pytest.raises(DecodeError, match="3 arrays"):
        CoefIntercept().weights([coef, intercept, intercept], (4, 3))


def test_the_same_as_a_local_federation(kit: str) -> None:
    """Both accept the same devices and charge the same privacy loss."""
    policy = policy_once()
    shards, _ = synthetic_cohort(policy.model, 4, ROWS)
    benchmark = synthetic_cohort(policy.model, 1, ROWS)[1]
    local = LocalFederation(policy, shards[:3], benchmark=benchmark, options=Options(keys=proving_keys(), exchanges=1))
    list(local.run(1))
    strategy, _, _ = start(kit, [plain_app([ZkfedMod(kit)])] * 3)
    assert strategy.node.guarantee() == local.guarantee()


def test_a_simulation(kit: str) -> None:
    """Flower's own simulation, in processes of Ray's: two rounds, one node that sends NaN."""
    command = [sys.executable, "-m", "tests.adapters.flower_job", kit]
    done = subprocess.run(command, cwd=ROOT, timeout=JOB_S_MAX, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "accepted [2, 2] refused [1, 1]" in done.stdout
