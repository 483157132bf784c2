"""Flower, on the server: a strategy around any strategy, that checks, adds under encryption and releases.

Whoever runs the ServerApp reads every update, unless the node's key holder is elsewhere (`open_node(..., holder=...)`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import BudgetExceeded, NotAuthorised, PolicyError, TransportError
from zkfed.orchestrator.calls import Ask, Fault, Replies, Steps
from zkfed.orchestrator.events import Event, Refused, Released
from zkfed.orchestrator.flower_wire import MOD_FAILED, RECORD, OneByOne, alike, answer_in, record_of
from zkfed.orchestrator.layouts import Concatenated, Layout, read_weights, written_like
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.notes import fault_of
from zkfed.orchestrator.once import answer_signer
from zkfed.updates.update import Verdict

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import Result, Strategy
    from google.protobuf.message import DecodeError as UnreadableProto  # type: ignore[import-untyped]
except ImportError:
    raise TransportError("Flower 1.41 or 1.42 is missing: pip install 'zkfed[flower]'") from None

__all__ = ["Zkfed"]

LOG = logging.getLogger("zkfed")
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, UnreadableProto)
"""What Flower raises for bytes of a node that it cannot read; what a network raises is none of them."""


class Zkfed(Strategy):
    """A strategy around any other.

    The inner strategy decides who is sampled, the configuration and all of the evaluation. It does not see
    a training reply: its `aggregate_train`, its weights by num-examples and a DP wrapper's noise are not used.

    Args:
        inner: Any strategy of the Message API.
        node: Before its enrolment.
        layout: As on the clients.
        tell: Called with every event.
        timeout: Of asks other than the first of a round, in seconds.

    Attributes:
        refused: (node, verdict) of everything that was turned down, in order.
    """

    def __init__(
        self,
        inner: Strategy,
        node: Node,
        *,
        layout: Layout | None = None,
        tell: Callable[[Event], None] = lambda event: None,
        timeout: float = 3600,
    ) -> None:
        self.inner, self.node = inner, node
        self._layout, self._tell, self._timeout = layout or Concatenated(), tell, timeout
        self._keys: dict[int, str] = {}
        self._like, self._type = ArrayRecord(), "train"
        self._grid: Grid | None = None
        self._steps: Steps = iter(())  # type: ignore[assignment]
        self._ask: Ask | None = None
        self._asked: set[int] = set()
        self._metrics: dict[str, int | float] = {}
        self.refused: list[tuple[str, Verdict]] = []

    def start(self, grid: Grid, *args: Any, **options: Any) -> Result:
        """Runs the rounds as every strategy does; bytes that Flower cannot read refuse their node alone."""

        def failed(sent: Message, reason: str) -> Message:
            return Message(Error(MOD_FAILED, reason), reply_to=sent)

        return super().start(OneByOne(grid, UNREADABLE, failed), *args, **options)  # type: ignore[arg-type]

    def summary(self) -> None:
        """Logs the inner strategy's configuration."""
        self.inner.summary()

    def name(self, key: str) -> str:
        """Returns "node N" of the node that enrolled a key (hex); the key itself if none did."""
        return next((f"node {node}" for node, known in self._keys.items() if known == key), key)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Returns the inner strategy's messages with the node's request in each; none when the budget is spent.

        Raises:
            PolicyError: Too few nodes have enrolled, or the arrays are not the node's model.
            DecodeError: The arrays do not fit the policy's model.
        """
        unit = 1.0 / (1 << self.node.policy.model.fraction_bits)
        if (
            np.abs(read_weights(self._layout, arrays.values(), self.node.policy.model.shape) - self.node.model).max()
            > unit
        ):
            raise PolicyError("the arrays are not the node's model: start from zeros, or from Options(base=...)")
        _written(self._layout, self.node.model, arrays)  # what cannot hold a release is told before one is paid for
        self._like, self._grid = arrays, grid
        messages = list(self.inner.configure_train(server_round, arrays, config, grid))
        self._type = messages[0].metadata.message_type if messages else self._type
        self._metrics = {"accepted": 0, "refused": 0}
        if not self._keys:
            self._enrol()
        try:
            self._ask = self._advance(self.node.run(1), None) if messages else None
        except BudgetExceeded as error:
            self._ask, self._metrics["budget-exceeded"] = None, 1
            LOG.warning("zkfed: round %d asks nobody: %s", server_round, error)
        ask = self._ask
        if ask is None:
            return []
        kept = [m for m in messages if self._keys.get(m.metadata.dst_node_id) in ask.clients]
        self._asked = {m.metadata.dst_node_id for m in kept}
        for message in kept:  # FedAvg puts one and the same RecordDict into all
            own = ask.own.get(self._keys[message.metadata.dst_node_id], b"")
            message.content = RecordDict({**dict(message.content), RECORD: _request(ask, own)})
        return kept

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Returns the latest release, and what became of the round; no reply makes it raise."""
        if self._ask is not None:
            self._finish(self._steps, self._opened(self._ask, self._asked, replies))
            self._ask = None
        return _written(self._layout, self.node.model, self._like), MetricRecord(dict(self._metrics))

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Returns the inner strategy's messages."""
        return self.inner.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Returns the inner strategy's metrics: self-reported, in the clear, and unproven; no reply makes it raise."""
        kept, odd = alike(replies)
        for node, reason in odd:
            LOG.warning("zkfed: node %d is left out of an evaluation: %s", node, reason)
        try:
            return self.inner.aggregate_evaluate(server_round, kept)
        except Exception as error:  # noqa: BLE001 -- weights of zero, numbers of another kind: a strategy's own affair
            LOG.warning("zkfed: no result of the evaluation in round %d: %s", server_round, type(error).__name__)
            return None

    def _enrol(self) -> None:
        try:
            self._finish(self.node.enrol())
        except PolicyError as error:
            self._keys.clear()  # a later start enrols anew
            why = [f"; {name} was refused, {verdict.code}: {verdict.reason}" for name, verdict in self.refused[-1:]]
            raise PolicyError(f"{error}{''.join(why)}") from None

    def _advance(self, steps: Steps, replies: Replies | None) -> Ask | None:
        """Runs a generator up to its next ask; None at its end."""
        self._steps = steps
        while True:
            try:
                step = steps.send(replies)
            except StopIteration:
                return None
            replies = None
            if isinstance(step, Ask):
                return step
            self._note(step)

    def _finish(self, steps: Steps, replies: Replies | None = None) -> None:
        """Runs a generator to its end; its asks go to whom they are for."""
        ask = self._advance(steps, replies)
        while ask is not None:
            ask = self._advance(steps, self._carry(ask))

    def _carry(self, ask: Ask) -> Replies:
        if self._grid is None:
            raise PolicyError("no round is open: Flower calls configure_train first")
        nodes = list(self._grid.get_node_ids()) if ask.kind == "enrol" else list(self._keys)
        asked = [n for n in nodes if ask.kind == "enrol" or self._keys[n] in ask.clients]
        messages = []
        for node in asked:  # with the arrays: a mod outside ours may expect one ArrayRecord
            request = _request(ask, ask.own.get(self._keys.get(node, ""), b""))
            content = RecordDict({"arrays": self._like, RECORD: request})
            messages.append(Message(content, node, self._type))
        return self._opened(ask, set(asked), self._grid.send_and_receive(messages, timeout=self._timeout))

    def _opened(self, ask: Ask, asked: set[int], replies: Iterable[Message]) -> Replies:
        """Takes one reply from each node that was asked; what is none becomes this node's fault."""
        messages, faults, waiting = [], [], set(asked)
        for reply in replies:
            node = reply.metadata.src_node_id
            if node not in waiting:
                continue
            waiting.discard(node)
            try:
                answer = self._checked(node, reply, ask.kind)
            except Exception as error:  # noqa: BLE001 -- whatever a reply is, the run goes on
                faults.append(Fault(self._keys.get(node, f"node {node}"), *fault_of(error)))
            else:
                messages.append(answer)
        late = [Fault(self._keys.get(n, f"node {n}"), "no-answer", "no reply came in time") for n in sorted(waiting)]
        return Replies(tuple(m for m in messages if m), (*faults, *late))

    def _checked(self, node: int, reply: Message, kind: str) -> bytes:
        """Returns a reply's answer, signed by its node; its proof is the node's business."""
        answer = answer_in(reply, may_be_empty=kind == "look")
        if kind not in ("enrol", "round", "join", "seal"):
            return answer
        signer = answer_signer(answer, kind)
        if kind == "enrol" and signer not in self._keys.values():
            self._keys[node] = signer
        elif kind == "enrol" or self._keys.get(node) != signer:
            raise NotAuthorised("the answer is signed with another node's key, or not with the one it enrolled")
        return answer

    def _note(self, event: Event) -> None:
        if isinstance(event, Refused):
            self._metrics["refused"] = self._metrics.get("refused", 0) + 1
            verdict, name = event.verdict, self.name(event.verdict.client)
            self.refused.append((name, verdict))
            LOG.warning("zkfed: %s refused, %s: %s", name, verdict.code, verdict.reason)
        if isinstance(event, Released):
            self._metrics.update(accepted=event.accepted, epsilon=event.epsilon, delta=event.delta)
        self._tell(event)


def _request(ask: Ask, own: bytes) -> ConfigRecord:
    return ConfigRecord(dict(record_of(request=ask.request, own=own)))


def _written(layout: Layout, weights: npt.NDArray[np.float64], like: ArrayRecord) -> ArrayRecord:
    parts = written_like(layout, weights, like.values())
    return ArrayRecord({key: Array(part) for key, part in zip(like, parts, strict=True)})
