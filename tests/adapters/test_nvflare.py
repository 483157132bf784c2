"""Shows that behind NVFlare's filters and aggregator no site gets round its proof."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="pip install 'zkfed[nvflare]'")

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.shareable import Shareable
from nvflare.apis.utils.task_utils import apply_filters
from nvflare.apis.workspace import Workspace
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_common.widgets.component_path_authorizer import ComponentPathAuthorizer
from nvflare.private.fed.app.fl_conf import create_privacy_manager

from tests.adapters.nvflare_cheats import forged
from tests.layers.counts import count_keys, count_policy
from tests.layers.parties import ROWS, make_policy, proving_keys
from tests.orchestrator.hosting import held
from zkfed import check_release
from zkfed.adapters.memory import MemoryTransport
from zkfed.adapters.nvflare import ANSWER, CODE, REQUEST, ZkfedAggregator, ZkfedProve, ZkfedRequest
from zkfed.errors import DecodeError, NotAuthorised, PolicyError, Replay, StoreFault
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.events import Event, Refused
from zkfed.orchestrator.holding import HolderLink, HolderMailbox
from zkfed.orchestrator.kit import open_identity, open_node, write_kit
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.once import AskedOnce
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import RoundPolicy
from zkfed.updates.signing import SigningKey

ROOT = Path(__file__).resolve().parents[2]


def policy_once() -> RoundPolicy:
    return make_policy(attempts=1, epsilon=60.0, epsilon_max=1000.0)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvflare") / "kit"
    policy = policy_once()
    write_kit(folder, policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, ROWS)[1])
    return folder


def context(site: str, root: Path) -> FLContext:
    """Returns what NVFlare hands to a filter: who we are, and where our files are."""
    (root / "startup").mkdir(parents=True, exist_ok=True)
    (root / "local").mkdir(exist_ok=True)
    (root / "job").mkdir(exist_ok=True)
    fl_ctx = FLContext()
    fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(root), site), private=True, sticky=False)
    fl_ctx.set_prop(FLContextKey.CURRENT_RUN, "job", private=False, sticky=False)
    fl_ctx.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    return fl_ctx


class Site:
    """A site's two filters and its workspace."""

    def __init__(self, name: str, kit: Path, root: Path) -> None:
        self.name, self.root = name, root / name
        self.fl_ctx = context(name, self.root)
        self.keep, self.prove = ZkfedRequest(), ZkfedProve(str(kit))

    def answer(self, request: bytes | None, result: Any) -> Any:
        """Returns what leaves the site, as the server's controller would read it."""
        task = Shareable()
        if request is not None:
            task.set_header(REQUEST, request)
        self.keep.process(task, self.fl_ctx)
        model = FLModelUtils.from_shareable(self.prove.process(result, self.fl_ctx))
        model.meta["client_name"] = self.name
        return model


def weights(array: Any, kind: str = DataKind.WEIGHTS, name: str = "numpy_key") -> Shareable:
    return DXO(kind, data={name: array}).to_shareable()


def trained(number: int) -> Any:
    model = policy_once().model
    shard = synthetic_cohort(model, 4, ROWS)[0][number]
    return proximal_least_squares(model, np.zeros(model.shape), shard, 1)


def begun(kit: Path, sites: list[Site]) -> tuple[AskedOnce, list[Event]]:
    """Returns a node in its first round, all sites enrolled."""
    events: list[Event] = []
    host = AskedOnce(open_node(kit, exchanges=1), events.append)
    host.begin()
    for site in sites:
        host.take(site.name, site.answer(host.request, weights(trained(0))).meta[ANSWER])
    host.finish()
    host.begin()
    return host, events


def test_a_round_without_a_job(kit: Path, tmp_path: Path) -> None:
    """Filters and aggregator alone: refusals are typed and named, and the others' sum is released."""
    names = ["honest-1", "honest-2", "plain", "nan", "forger", "crashed", "several", "huge"]
    sites = [Site(name, kit, tmp_path) for name in names]
    aggregator = ZkfedAggregator(str(kit))
    aggregator.reset_stats()
    for site in sites:
        aggregator.accept_model(site.answer(aggregator._opened().request, weights(trained(0))))
    assert list(aggregator.aggregate_model().params) == ["numpy_key"]
    aggregator.reset_stats()
    request = aggregator._opened().request
    by_name = dict(zip(names, sites, strict=True))

    difference = weights(trained(1), DataKind.WEIGHT_DIFF)  # the base is zero: weights and difference are the same
    for name, result in (("honest-1", weights(trained(0))), ("honest-2", difference)):
        model = by_name[name].answer(request, result)
        assert list(model.params) == ["zkfed"]  # nothing of the weights leaves
        aggregator.accept_model(model)
        with pytest.raises(Replay):
            aggregator.accept_model(model)

    plain = FLModelUtils.from_shareable(weights(trained(2)))
    plain.meta["client_name"] = "plain"
    with pytest.raises(DecodeError, match="without a proof"):
        aggregator.accept_model(plain)
    shape = policy_once().model.shape
    failed = Shareable()
    failed.set_return_code(ReturnCode.EXECUTION_EXCEPTION)
    two = DXO(DataKind.WEIGHTS, data={"numpy_key": np.zeros(shape), "other": np.zeros(1)}).to_shareable()
    for name, result in (("nan", weights(np.full(shape, np.nan))), ("crashed", failed), ("several", two)):
        with pytest.raises(PolicyError, match="withheld by its own filter, decode"):
            aggregator.accept_model(by_name[name].answer(request, result))
    # Clipped to the policy's norm like any other; against targets of 0 and 1 a little of everything does improve.
    aggregator.accept_model(by_name["huge"].answer(request, weights(np.full(shape, 1e300))))
    forger = by_name["forger"].answer(request, weights(trained(3)))
    forger.meta[ANSWER] = forged(forger.meta[ANSWER], open_identity(tmp_path / "forger" / "zkfed-identity"))
    aggregator.accept_model(forger)

    released = aggregator.aggregate_model()
    assert released.meta["zkfed_accepted"] == 3  # both honest ones and the clipped one
    check_release(aggregator._opened().node.transcript)


def test_the_key_holder_may_be_elsewhere(kit: Path, tmp_path: Path) -> None:
    """A subclass says where: the server decrypts nothing, the record holds, and the end of the run is told."""
    between, key = MemoryTransport(), SigningKey.generate()

    class Apart(ZkfedAggregator):
        def make_node(self, holder: HolderLink | None = None) -> Node:
            return super().make_node(holder or HolderLink(key.public, between, poll_s=0.001))

    aggregator = Apart(str(kit))
    aggregator.reset_stats()
    node = aggregator._opened().node
    mailbox = HolderMailbox(node.policy, key, proving_keys(), between)
    server = context("server", tmp_path / "server")
    sites = [Site(name, kit, tmp_path) for name in ("a", "b")]
    with held(mailbox, lambda: aggregator.handle_event(EventType.END_RUN, server)) as failures:
        for _ in ("enrol", "release"):
            aggregator.reset_stats()
            request = aggregator._opened().request
            for number, site in enumerate(sites):
                aggregator.accept_model(site.answer(request, weights(trained(number))))
            released = aggregator.aggregate_model()
    assert not failures
    assert released.meta["zkfed_accepted"] == 2
    assert mailbox._holder is not None
    assert np.array_equal(mailbox._holder.base, node.base)
    check_release(node.transcript)


def test_a_statistic_is_counted_so_too(tmp_path: Path) -> None:
    """S4: the array is a vector of counts; what is no whole number is refused, not rounded."""
    policy = count_policy(attempts=1)
    write_kit(tmp_path / "kit", policy, count_keys())
    aggregator = ZkfedAggregator(str(tmp_path / "kit"))
    sites = [Site(name, tmp_path / "kit", tmp_path) for name in ("a", "b", "half")]
    vector = np.zeros(policy.model.shape)
    vector.flat[0] = 1
    for _ in ("enrol", "count"):
        aggregator.reset_stats()
        request = aggregator._opened().request
        for site in sites[:2]:
            aggregator.accept_model(site.answer(request, weights(vector)))
        for wrong in (weights(vector / 2), weights(vector, DataKind.WEIGHT_DIFF)):
            assert "whole numbers" in sites[2].answer(request, wrong).meta["zkfed_reason"]
        released = aggregator.aggregate_model()
    assert released.meta["zkfed_accepted"] == 2
    check_release(aggregator._opened().node.transcript)


@pytest.mark.parametrize(
    "result", [None, {}, Shareable(), Shareable({"weights": [1.0]})], ids=["none", "dict", "empty", "bare"]
)
def test_what_is_no_dxo_does_not_pass(kit: Path, tmp_path: Path, result: Any) -> None:
    site = Site("site", kit, tmp_path)
    host, _ = begun(kit, [site, Site("other", kit, tmp_path)])
    left = site.answer(host.request, result)
    assert sorted(left.meta) == ["client_name", CODE, "zkfed_reason"]
    assert left.params.keys() == {"zkfed"}


BAD_RESULTS = {
    "nan": lambda: weights(np.full(policy_once().model.shape, np.nan)),
    "other-size": lambda: weights(np.zeros(5)),
    "other-name": lambda: weights(trained(0), name="weights"),
    "several": lambda: DXO(DataKind.WEIGHTS, data={"numpy_key": trained(0), "rows": np.zeros(4)}).to_shareable(),
    "metrics": lambda: weights(trained(0), DataKind.METRICS),
    "text": lambda: weights(np.array(["a"] * 12)),
}


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_a_result_that_is_not_the_policys_model_is_withheld(kit: Path, tmp_path: Path, name: str) -> None:
    host = AskedOnce(open_node(kit, exchanges=1), lambda event: None)
    host.begin()
    left = Site("site", kit, tmp_path).answer(host.request, BAD_RESULTS[name]())
    assert left.meta.get(CODE) == "decode"
    assert ANSWER not in left.meta


def test_a_site_that_restarts_gives_no_second_update_of_a_round(kit: Path, tmp_path: Path) -> None:
    sites = [Site(name, kit, tmp_path) for name in ("a", "b")]
    host, _ = begun(kit, sites)
    first = sites[0].answer(host.request, weights(trained(0))).meta[ANSWER]
    restarted = Site("a", kit, tmp_path)
    second = restarted.answer(host.request, weights(trained(1))).meta[ANSWER]
    assert hashlib.sha256(second).digest() == hashlib.sha256(first).digest()  # of long bytes a diff takes minutes


@pytest.mark.parametrize("kind", ["U8", np.complex128, object, bool])
def test_an_array_without_numbers_is_refused(kit: Path, tmp_path: Path, kind: Any) -> None:
    """Text, complex numbers, objects, truth values: none is silently made weights of."""
    site = Site("site", kit, tmp_path)
    host, _ = begun(kit, [site, Site("other", kit, tmp_path)])
    left = site.answer(host.request, weights(trained(0).astype(kind)))
    assert (left.meta[CODE], left.meta["zkfed_reason"]) == ("decode", "the result's array holds no numbers")


def test_without_a_request_nothing_leaves(kit: Path, tmp_path: Path) -> None:
    for request in (None, b"", b"\x00" * 100):
        left = Site("site", kit, tmp_path).answer(request, weights(trained(0)))
        assert left.meta[CODE] == "decode"


def test_an_own_account_of_a_site_is_short(kit: Path, tmp_path: Path) -> None:
    """A site's words for why it has no proof are a stranger's: cut, escaped, under its own name."""
    sites = [Site(name, kit, tmp_path) for name in ("a", "b")]
    host, events = begun(kit, sites)
    host.fault("a", "x" * 10_000, "\x1b[31m" * 10_000)
    with pytest.raises(Replay):
        host.take("a", b"")
    host.finish()
    said = next(e for e in events if isinstance(e, Refused) and e.verdict.reason.startswith("the site says"))
    assert host.site(said.verdict.client) == "a"
    assert len(said.verdict.reason) < 400
    assert "\x1b" not in str(said)


def test_a_site_is_one_device(kit: Path, tmp_path: Path) -> None:
    """A site enrols one key, and answers under that one."""
    a, b = (Site(name, kit, tmp_path) for name in ("a", "b"))
    host = AskedOnce(open_node(kit, exchanges=1), lambda event: None)
    with pytest.raises(PolicyError):
        host.take("a", b"")
    with pytest.raises(PolicyError):
        host.finish()
    host.begin()
    first = a.answer(host.request, weights(trained(0))).meta[ANSWER]
    host.take("a", first)
    with pytest.raises(NotAuthorised):
        host.take("stranger", first)
    host.take("b", b.answer(host.request, weights(trained(0))).meta[ANSWER])
    host.finish()
    host.begin()
    of_a = a.answer(host.request, weights(trained(0))).meta[ANSWER]
    with pytest.raises(NotAuthorised):
        host.take("b", of_a)


def test_too_few_sites_end_the_job(kit: Path, tmp_path: Path) -> None:
    aggregator = ZkfedAggregator(str(kit))
    aggregator.reset_stats()
    with pytest.raises(PolicyError, match="the policy needs 2"):
        aggregator.aggregate_model()


def test_a_workflow_that_begins_no_round_is_refused(kit: Path, tmp_path: Path) -> None:
    left = Site("site", kit, tmp_path).answer(None, weights(trained(0)))
    for call in (lambda: ZkfedAggregator(str(kit)).accept_model(left), ZkfedAggregator(str(kit)).aggregate_model):
        with pytest.raises(PolicyError, match="no round was begun"):
            call()


def test_a_policy_of_several_exchanges_is_refused(tmp_path: Path) -> None:
    policy = make_policy()  # two attempts a round
    write_kit(tmp_path / "kit", policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, ROWS)[1])
    with pytest.raises(PolicyError, match="attempts=1"):
        ZkfedAggregator(str(tmp_path / "kit")).reset_stats()
    with pytest.raises(StoreFault):
        ZkfedAggregator(str(tmp_path / "none")).reset_stats()


def test_a_key_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    key = open_identity(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_identity(path).public == key.public
    path.chmod(0o644)
    with pytest.raises(StoreFault, match="others"):
        open_identity(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(DecodeError):
        open_identity(path)


def test_classes_are_allowed_by_prefix(tmp_path: Path) -> None:
    """A locked-down site lists `zkfed.` and nothing else of ours."""
    authorizer = ComponentPathAuthorizer()
    (tmp_path / "local").mkdir()
    (tmp_path / "startup").mkdir()
    resources = tmp_path / "local" / "resources.json"
    workspace = Workspace(str(tmp_path), "site")
    for prefix, is_allowed in (("zkfed.", True), ("nvflare.", False)):
        resources.write_text(json.dumps({"format_version": 2, "class_allow_list": [prefix]}))
        for part in (ZkfedAggregator("kit"), ZkfedProve("kit"), ZkfedRequest()):
            config = {"path": f"{type(part).__module__}.{type(part).__name__}", "args": {}}
            if is_allowed:
                authorizer.authorize_component_config(config, workspace=workspace)
            else:
                with pytest.raises(UnsafeComponentError):
                    authorizer.authorize_component_config(config, workspace=workspace)


def test_a_site_enforces_the_filters_itself(kit: Path, tmp_path: Path) -> None:
    """Filters in a site's own privacy.json run for every task, whatever the job says, and before its filters."""
    fl_ctx = context("site", tmp_path)
    filters = {
        "task_data_filters": [{"path": "zkfed.adapters.nvflare.ZkfedRequest"}],
        "task_result_filters": [{"path": "zkfed.adapters.nvflare.ZkfedProve", "args": {"kit": str(kit)}}],
    }
    policy = {"scopes": [{"name": "proved", **filters}], "default_scope": "proved"}
    (tmp_path / "local" / "privacy.json").write_text(json.dumps(policy))
    scope = create_privacy_manager(Workspace(str(tmp_path), "site"), names_only=False).get_scope("proved")
    fl_ctx.set_prop(FLContextKey.SCOPE_OBJECT, scope, private=True, sticky=False)

    host = AskedOnce(open_node(kit, exchanges=1), lambda event: None)
    host.begin()
    task = Shareable()
    task.set_header(REQUEST, host.request)
    apply_filters("task_data_filters", task, fl_ctx, {}, "train", FilterKey.IN)
    left = apply_filters("task_result_filters", weights(trained(0)), fl_ctx, {}, "train", FilterKey.OUT)
    host.take("site", FLModelUtils.from_shareable(left).meta[ANSWER])
    # A task that would hand out the local model gets no further.
    apply_filters("task_data_filters", Shareable(), fl_ctx, {}, "submit_model", FilterKey.IN)
    left = apply_filters("task_result_filters", weights(trained(0)), fl_ctx, {}, "submit_model", FilterKey.OUT)
    model = FLModelUtils.from_shareable(left)
    assert (model.meta[CODE], list(model.params)) == ("decode", ["zkfed"])


def test_a_missing_framework_is_named() -> None:
    code = (
        "import sys; sys.modules['nvflare'] = None\n"
        "from zkfed.errors import TransportError\n"
        "try:\n    import zkfed.adapters.nvflare\n"
        "except TransportError as error:\n    sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert "pip install 'zkfed[nvflare]'" in done.stderr
