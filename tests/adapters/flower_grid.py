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

Change = Callable[[int, Message], Any]


def as_is(node: int, reply: Message) -> Message:
    return reply


class HereGrid(Grid):
    """Carries messages to ClientApps; `change` stands for whoever sits on the way back.

    It returns the reply, None for one that never comes, or what is called when the reply is fetched.
    """

    def __init__(self, apps: Sequence[ClientApp], change: Change = as_is, workers: int = 1) -> None:
        self.apps, self.change, self.workers = apps, change, workers
        if TaskIdentity is not None:
            TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
        self.contexts = [
            Context(run_id=1, node_id=n, node_config={"partition-id": n}, state=RecordDict(), run_config={})
            for n in range(len(apps))
        ]
        self.seen: list[Message] = []
        self.kept: dict[str, Any] = {}
        self.pull_interval = 0.02

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
        """Has them answered, as many at once as there are workers."""
        sent = list(messages)
        with ThreadPoolExecutor(self.workers) as pool:
            replies = list(pool.map(self._reply, sent))
        numbers = [str(len(self.seen) + n) for n in range(len(sent))]
        self.seen.extend(r for r in replies if r is not None)
        self.kept.update(zip(numbers, replies, strict=True))
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found = [self.kept.pop(number) for number in message_ids if self.kept.get(number) is not None]
        return [reply() if callable(reply) else reply for reply in found]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return [reply for number in self.push_messages(messages) for reply in self.pull_messages([number])]

    def _reply(self, message: Message) -> Any:
        node = message.metadata.dst_node_id
        try:
            reply = self.apps[node](message, self.contexts[node])
        except Exception as error:  # noqa: BLE001 -- as Flower does with what a ClientApp raises
            reply = Message(Error(1, str(error)), reply_to=message)
        return self.change(node, reply)
