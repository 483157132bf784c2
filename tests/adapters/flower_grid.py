"""A Grid of Flower's interface that calls ClientApps in this process, one context a node; replies keep the order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

try:  # 1.42: what a process of a ServerApp knows about itself; nothing public sets it
    from flwr.supercore.task_identity import TaskIdentity
except ImportError:
    TaskIdentity = None

Change = Callable[[int, Message], Message]


def as_is(node: int, reply: Message) -> Message:
    return reply


class HereGrid(Grid):
    """Carries messages to ClientApps; `change` stands for whoever sits on the way back."""

    def __init__(self, apps: Sequence[ClientApp], change: Change = as_is, workers: int = 1) -> None:
        self.apps, self.change, self.workers = apps, change, workers
        if TaskIdentity is not None:
            TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
        self.contexts = [
            Context(run_id=1, node_id=n, node_config={"partition-id": n}, state=RecordDict(), run_config={})
            for n in range(len(apps))
        ]
        self.seen: list[Message] = []

    def set_run(self, run: Any) -> None:
        """A run has no meaning here."""

    @property
    def run(self) -> Any:
        return None

    def create_message(self, content: Any, message_type: str, dst_node_id: int, group_id: str, ttl: Any = None) -> Any:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        return range(len(self.apps))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        with ThreadPoolExecutor(self.workers) as pool:
            replies = list(pool.map(self._reply, messages))
        self.seen.extend(replies)
        return replies

    def _reply(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        try:
            reply = self.apps[node](message, self.contexts[node])
        except Exception as error:  # noqa: BLE001 -- as Flower does with what a ClientApp raises
            reply = Message(Error(1, str(error)), reply_to=message)
        return self.change(node, reply)
