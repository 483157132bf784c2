"""What both sides under Flower say to each other, and how the server reads what nobody vouches for.

    request   ConfigRecord "zkfed": version, request, and own if there is one
    answer    ConfigRecord "zkfed": version, and answer if there is one

Empty bytes are left out: Flower's `message_size_mod` raises for them.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zkfed.errors import DecodeError, LimitExceeded, TransportError, excerpt
from zkfed.ports import MESSAGE_BYTES_MAX

__all__ = ["RECORD", "VERSION", "OneByOne", "alike", "answer_in", "read_record", "record_of"]

RECORD, VERSION = "zkfed", 1
MOD_FAILED = 6
"""flwr's ErrorCode.MOD_FAILED_PRECONDITION, which is in no public module; both sides use it."""
POLL_S, POLLS_A_SECOND = 1.0, 50


def record_of(**values: bytes) -> dict[str, int | bytes]:
    """Returns what a request or an answer holds."""
    return {"version": VERSION, **{name: value for name, value in values.items() if value}}


def read_record(record: Mapping[str, Any] | None, *names: str) -> tuple[bytes, ...]:
    """Returns the bytes under each name, b"" for one that is not there.

    Args:
        record: As it came, None if none did.
        names: All that it may hold, besides its version.

    Raises:
        DecodeError: There is none, it is of another version, or it holds something else.
    """
    if record is None:
        raise DecodeError(f"no record {RECORD!r} came along")
    version = record.get("version")
    if type(version) is not int or version != VERSION:
        found = excerpt(str(version)) if isinstance(version, int) else type(version).__name__
        raise DecodeError(f"version {found}, expected {VERSION}: both sides need zkfed versions that fit")
    if other := set(record) - {"version", *names}:
        raise DecodeError(f"the record {RECORD!r} also holds {excerpt(min(other))}, expected {', '.join(names)}")
    values = tuple(record.get(name, b"") for name in names)
    if not all(isinstance(value, bytes) for value in values):
        raise DecodeError(f"{', '.join(names)} should be bytes")
    return values


def answer_in(reply: Any, *, may_be_empty: bool) -> bytes:
    """Returns the answer in a reply.

    Raises:
        TransportError: The reply is an error, of the node or of Flower itself.
        DecodeError: It is no answer, or one with something beside it.
        LimitExceeded: It is too long.
    """
    if reply.has_error():
        reason = str(reply.error.reason)
        is_foreign = reply.error.code == MOD_FAILED and not reason.startswith("zkfed: ")
        hint = "; another mod ended the message before ZkfedMod saw it: put ZkfedMod first" if is_foreign else ""
        raise TransportError(f"an error reply, code {reply.error.code}: {excerpt(reason)}{hint}")
    content = reply.content
    if len(content) != 1 or RECORD not in content.config_records:
        found = excerpt(", ".join(itertools.islice(map(str, content), 8)))
        raise DecodeError(f"records {found}, expected one ConfigRecord {RECORD!r} from ZkfedMod")
    (answer,) = read_record(content.config_records[RECORD], "answer")
    if not answer and not may_be_empty:
        raise DecodeError("the reply holds no answer")
    if len(answer) > MESSAGE_BYTES_MAX:
        raise LimitExceeded(f"an answer of {len(answer)} bytes, at most {MESSAGE_BYTES_MAX} are accepted")
    return answer


def alike(replies: Iterable[Any]) -> tuple[list[Any], list[tuple[int, str]]]:
    """Returns replies to an evaluation that an average can be made of, and (node, reason) of the others.

    Flower's strategies end the run of everybody when one reply has other records than the rest.
    """
    good, odd = list[tuple[Any, Any]](), list[tuple[int, str]]()
    for reply in replies:
        node = reply.metadata.src_node_id
        if reply.has_error():
            odd.append((node, f"an error reply, code {reply.error.code}: {excerpt(str(reply.error.reason))}"))
        elif not all(
            _is_finite(value) for record in reply.content.metric_records.values() for value in record.values()
        ):
            odd.append((node, "a metric that is not finite"))
        else:
            good.append((_form(reply.content), reply))
    most = Counter(form for form, _ in good).most_common(1)
    kept = [reply for form, reply in good if form == most[0][0]]
    odd.extend((r.metadata.src_node_id, "other records than most nodes sent") for f, r in good if f != most[0][0])
    return kept, odd


def _form(content: Any) -> Any:
    return frozenset(
        (name, type(record).__name__, frozenset((key, isinstance(value, list)) for key, value in record.items()))
        for name, record in content.items()
    )


def _is_finite(value: Any) -> bool:
    return all(math.isfinite(v) for v in (value if isinstance(value, list) else [value]))


class OneByOne:
    """A Grid that fetches each reply alone, so that no node's reply stands in the way of another's.

    Flower's own fetches all that are there at once. One that it cannot read ends the run, and one that a node
    announces without uploading it holds up all others, for minutes: SuperLink looks at the frame of what comes.

    Args:
        grid: Flower's.
        unreadable: What Flower raises while it reads malformed bytes.
        failed: Makes the error reply of a node that has none of its own, from the message to it and a reason.
    """

    def __init__(self, grid: Any, unreadable: tuple[type[Exception], ...], failed: Callable[[Any, str], Any]) -> None:
        self._grid, self._unreadable, self._failed = grid, unreadable, failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """Returns the replies that came within `timeout` seconds, None for no limit.

        Raises:
            Exception: Whatever Flower raises when SuperLink cannot be reached.
        """
        sent = list(messages)
        waiting = {number: m for number, m in zip(self._grid.push_messages(sent), sent, strict=False) if number}
        give_up = math.inf if timeout is None else time.monotonic() + timeout
        done: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        asking, replies = set[str](), list[Any]()
        while waiting and (left := give_up - time.monotonic()) > 0:
            for number in waiting.keys() - asking:
                asking.add(number)
                # A thread that hangs is left behind: what it waits for is refused as "no-answer".
                threading.Thread(target=self._pull, args=(number, waiting[number], done), daemon=True).start()
            begun = time.monotonic()
            pause = float(getattr(self._grid, "pull_interval", max(POLL_S, len(waiting) / POLLS_A_SECOND)))
            while (rest := begun + min(pause, left) - time.monotonic()) > 0 or not done.empty():
                try:
                    number, found = done.get(timeout=max(rest, 0))
                except queue.Empty:
                    break
                asking.discard(number)
                if isinstance(found, Exception):
                    raise found
                if found is not None:
                    replies.append(found)
                    del waiting[number]
                if not waiting:
                    break
        return replies

    def _pull(self, number: str, sent: Any, done: queue.SimpleQueue[tuple[str, Any]]) -> None:
        try:
            found = next(iter(self._grid.pull_messages([number])), None)
        except self._unreadable as error:
            found = self._failed(sent, f"zkfed: decode: Flower cannot read the reply ({type(error).__name__})")
        except Exception as error:  # noqa: BLE001 -- raised again by who waits
            found = error
        else:
            if found is not None and found.metadata.src_node_id != sent.metadata.dst_node_id:
                # SuperLink itself says that the node is gone, or that it never uploaded its reply.
                found = self._failed(sent, str(found.error.reason) if found.has_error() else "another node's reply")
        done.put((number, found))
