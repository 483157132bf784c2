"""NVFlare: a site's result is proved and sealed before it leaves, and the server's aggregator is a zkfed node.

    server   ZkfedAggregator (ModelAggregator)   the request goes along with the FedAvg task, in a header
    site     ZkfedRequest    (input filter)      takes the request out of the task
    site     ZkfedProve      (output filter)     replaces whatever training gave by proof and ciphertext

The first FedAvg round enrols the sites and trains nothing: run one round more than you want releases.
Nothing that is configured here is secret: a job holds the paths of files, each machine has its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError, PolicyError, TransportError, ZkfedError, excerpt
from zkfed.files import map_file, replace_file
from zkfed.orchestrator.events import Event, Progress, Refused, Released
from zkfed.orchestrator.holding import HolderLink
from zkfed.orchestrator.kit import open_identity, open_node, open_provers
from zkfed.orchestrator.layouts import finite_weights, whole_numbers
from zkfed.orchestrator.member import STATE_BYTES_MAX, Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.notes import fault_of
from zkfed.orchestrator.once import AskedOnce
from zkfed.policy import RoundPolicy

try:
    from nvflare.apis.dxo import DXO, DataKind, from_shareable  # type: ignore[import-untyped]
    from nvflare.apis.event_type import EventType  # type: ignore[import-untyped]
    from nvflare.apis.filter import Filter  # type: ignore[import-untyped]
    from nvflare.apis.fl_constant import FLContextKey, ReturnCode  # type: ignore[import-untyped]
    from nvflare.apis.shareable import Shareable  # type: ignore[import-untyped]
    from nvflare.apis.utils.fl_context_utils import add_job_audit_event  # type: ignore[import-untyped]
    from nvflare.app_common.abstract.fl_model import FLModel, ParamsType  # type: ignore[import-untyped]
    from nvflare.app_common.aggregators.model_aggregator import ModelAggregator  # type: ignore[import-untyped]
except ImportError:
    raise TransportError("NVFlare 2.9 or later is missing: pip install 'zkfed[nvflare]'") from None

__all__ = ["ZkfedAggregator", "ZkfedProve", "ZkfedRequest", "prove_results"]

REQUEST, ANSWER, CODE, REASON = "zkfed_request", "zkfed_answer", "zkfed_code", "zkfed_reason"
PARAMETER = "numpy_key"


def prove_results(recipe: Any, kit: str, *, prove: ZkfedProve | None = None) -> None:
    """Puts both filters around a recipe's task "train", for all sites.

    NVFlare copies the source of what a job names, and of all that it imports, into the job. Not of
    zkfed: a site proves with the package that it installed itself, not with one that a job brings.

    Args:
        recipe: `FedAvgRecipe` or `NumpyFedAvgRecipe`; call this after every other filter was added.
        kit: Folder that `write_kit` wrote, as it is called on the sites.
        prove: Output filter with other arguments than `ZkfedProve(kit)`.
    """
    recipe.add_client_input_filter(ZkfedRequest(), tasks=["train"])
    recipe.add_client_output_filter(prove or ZkfedProve(kit), tasks=["train"])
    recipe._job.set_app_packages([*recipe._job.job.app_packages, "zkfed"])


class ZkfedRequest(Filter):  # type: ignore[misc]
    """Input filter of a site: keeps the node's request for `ZkfedProve`, and trusts nothing in it."""

    def process(self, shareable: Any, fl_ctx: Any) -> Any:
        """Returns the task as it came."""
        fl_ctx.set_prop(REQUEST, shareable.get_header(REQUEST), private=True, sticky=False)
        return shareable


class ZkfedProve(Filter):  # type: ignore[misc]
    """Output filter of a site, the last one: nothing of a result passes it but proof and ciphertext.

    It never raises, which would end the job for everybody: what cannot be proved, and what is no
    DXO, leaves as an error code, and the server refuses this site by name.

    Args:
        kit: Folder that `write_kit` wrote, as this site's own host checked it.
        identity: File of the site's signing key, made at first use with mode 0600; "{site}" in it
            stands for the site's name. A relative path is below the site's workspace.
        parameter: Name of the one array in the model, of the shape of the policy's model.
    """

    def __init__(self, kit: str, identity: str = "zkfed-identity", parameter: str = PARAMETER) -> None:
        super().__init__()
        self.kit, self.identity, self.parameter = kit, identity, parameter
        self._provers: Provers | None = None

    def process(self, shareable: Any, fl_ctx: Any) -> Any:
        """Returns a new message with the answer, or with the code of what went wrong."""
        try:
            meta: dict[str, Any] = {ANSWER: self._answer(shareable, fl_ctx)}
        except Exception as error:  # noqa: BLE001 -- whatever it was, the result must not pass
            code, reason = fault_of(error)
            meta = {CODE: code, REASON: reason}
            self.log_error(fl_ctx, f"zkfed: this site's result was withheld, {code}: {reason}", fire_event=False)
        return _without_weights(meta).to_shareable()

    def _answer(self, shareable: Any, fl_ctx: Any) -> bytes:
        request = fl_ctx.get_prop(REQUEST)
        if not isinstance(request, bytes):
            raise DecodeError("no request came with the task: is ZkfedRequest an input filter, and the server zkfed's?")
        provers = self._provers = self._provers or open_provers(self.kit)
        weights, is_difference = self._weights(shareable, provers.policy)
        root = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
        key = open_identity(root / self.identity.replace("{site}", fl_ctx.get_identity_name()))
        state = _run_folder(fl_ctx) / f"zkfed-{key.public.hex()[:16]}.state"
        shard = whole_numbers(weights) if provers.policy.statement.kind == "S4" else None
        if shard is not None and is_difference:
            raise DecodeError("a statistic is a vector of whole numbers, as weights and not as a difference")
        before = bytes(map_file(state, STATE_BYTES_MAX)) if state.exists() else b""

        def train(_model: Any, base: npt.NDArray[np.float64], _shard: Any, _round: int) -> npt.NDArray[np.float64]:
            return base + weights if is_difference else weights

        member = Member(provers, shard, key=key, train=train, state=before)
        answer = member.handle(request)
        replace_file(state, [member.state()], mode=0o600)  # before the answer leaves, or a restart repeats a nonce
        return answer

    def _weights(self, shareable: Any, policy: RoundPolicy) -> tuple[npt.NDArray[np.float64], bool]:
        """Returns the site's array, and whether it is a difference to the base."""
        code = shareable.get_return_code()
        if code != ReturnCode.OK:
            raise DecodeError(f"training ended with {excerpt(str(code))}, expected a model")
        try:
            dxo = from_shareable(shareable)
            kind, data = dxo.data_kind, dxo.data
        except Exception:  # noqa: BLE001 -- NVFlare raises several, whose texts may hold the data
            raise DecodeError("the result is no DXO") from None
        if kind not in (DataKind.WEIGHTS, DataKind.WEIGHT_DIFF) or not isinstance(data, dict):
            raise DecodeError(f"the result is of kind {excerpt(str(kind))}, expected weights or a difference of them")
        if list(data) != [self.parameter]:
            raise DecodeError(f"the result has {len(data)} arrays, expected one with the name {self.parameter!r}")
        return finite_weights(data[self.parameter], policy.model.shape), kind == DataKind.WEIGHT_DIFF


class ZkfedAggregator(ModelAggregator):  # type: ignore[misc]
    """Aggregator of a FedAvg job: enrols in its first round, and releases a noised sum in each later one.

    Args:
        kit: Folder that `write_kit` wrote, on the server.
        record: Folder for the public transcript, written after each round; a relative path is below the job's run.
        parameter: Name of the one array in the model.
        allowed: Public keys (hex) that may enrol; None takes one key from each site that NVFlare lets in.
    """

    def __init__(
        self, kit: str, record: str = "zkfed", parameter: str = PARAMETER, allowed: list[str] | None = None
    ) -> None:
        super().__init__()
        self.kit, self.record, self.parameter, self.allowed = kit, record, parameter, allowed
        self._node: AskedOnce | None = None
        self._released: dict[str, float] = {}

    def make_node(self, holder: HolderLink | None = None) -> Node:
        """Opens the node at the first round; a subclass calls it with a key holder elsewhere. Raises as `open_node`."""
        allowed = None if self.allowed is None else [bytes.fromhex(key) for key in self.allowed]
        return open_node(self.kit, exchanges=1, allowed=allowed, holder=holder)

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Puts the request into each task on its way to a site, and makes a refusal of a site's failure."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.END_RUN and self._node is not None:
            self._node.end()
        if event_type == EventType.AFTER_TASK_DATA_FILTER and self._node is not None and self._node.request:
            task = fl_ctx.get_prop(FLContextKey.TASK_DATA)
            if isinstance(task, Shareable):
                task.set_header(REQUEST, self._node.request)
        if event_type == EventType.AFTER_TASK_RESULT_FILTER and fl_ctx.get_prop(FLContextKey.TASK_NAME) == "train":
            result = fl_ctx.get_prop(FLContextKey.TASK_RESULT)
            if isinstance(result, Shareable) and (code := result.get_return_code()) != ReturnCode.OK:
                # FedAvg would end the job for everybody; so `accept_model` refuses this one site.
                _without_weights({CODE: "host-failed", REASON: f"its task ended with {code}"}).update_shareable(result)
                result.set_return_code(ReturnCode.OK)

    def reset_stats(self) -> None:
        """Begins a round.

        Raises:
            PolicyError, StoreFault, DecodeError, KeyRefused: The kit does not fit. The job ends.
            BudgetExceeded: Nothing more may be released. The job ends.
        """
        if self._node is None:
            self._node = AskedOnce(self.make_node(), self._tell)
        self._node.begin()

    def accept_model(self, model: FLModel) -> None:
        """Takes one site's answer; whatever it raises refuses this site, and FedAvg goes on with the others.

        Raises:
            DecodeError, LimitExceeded, SignatureInvalid: Plain weights, or no answer to the request.
            NotAuthorised: Signed with another key than this site enrolled.
            PolicyError: The site could not prove its result, or no round was begun.
            Replay: The site has answered already.
        """
        meta = model.meta or {}
        site = str(meta.get("client_name"))  # NVFlare's controller writes it, not the site
        try:
            if isinstance(meta.get(CODE), str):
                self._opened().fault(site, meta[CODE], str(meta.get(REASON)))
                raise PolicyError(f"withheld by its own filter, {excerpt(meta[CODE])}")
            self._opened().take(site, meta.get(ANSWER))
        except ZkfedError as error:
            self._say(f"{excerpt(site)} refused, {error.code}: {error}")
            raise

    def aggregate_model(self) -> FLModel:
        """Returns the released model; where nothing was released, the last one.

        Raises:
            PolicyError: Fewer sites have enrolled than the policy needs, or no round was begun. The job ends.
            StoreFault: The transcript cannot be written.
        """
        host = self._opened()
        host.finish()
        if self.fl_ctx is not None:
            host.node.transcript.save(_run_folder(self.fl_ctx) / self.record)
        return FLModel(ParamsType.FULL, {self.parameter: host.node.model}, meta=dict(self._released))

    def _opened(self) -> AskedOnce:
        if self._node is None:
            raise PolicyError("no round was begun: FedAvg calls reset_stats first, other workflows are not supported")
        return self._node

    def _tell(self, event: Event) -> None:
        if isinstance(event, Released):
            self._released = {"zkfed_accepted": event.accepted, "zkfed_epsilon": event.epsilon}
        if isinstance(event, Refused) and self._node is not None:
            self._say(f"{self._node.site(event.verdict.client)}: {event}")
        elif not isinstance(event, Progress):
            self._say(str(event))

    def _say(self, text: str) -> None:
        if self.fl_ctx is not None:
            self.info(f"zkfed: {text}")
            add_job_audit_event(fl_ctx=self.fl_ctx, msg=f"zkfed: {text}")


def _without_weights(meta: dict[str, Any]) -> Any:
    """Returns what stands for a result: FedAvg skips an empty one before any aggregator sees it, so one number."""
    return DXO(DataKind.WEIGHTS, data={"zkfed": np.zeros(1)}, meta=meta)


def _run_folder(fl_ctx: Any) -> Path:
    return Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_run_dir(fl_ctx.get_job_id()))
