"""Flower, on a device: a mod after which of a training's result only proof and ciphertext leave.

Every ask travels as a training message: Flower looks a query's function up before any mod sees it. The
mod answers asks other than training by itself. `context.state` keeps key and state of the device, for one run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError, TransportError
from zkfed.orchestrator.calls import asked_kind
from zkfed.orchestrator.kit import open_provers
from zkfed.orchestrator.layouts import FLOWER_RECORD, FLOWER_VERSION, Concatenated, Layout, read_weights
from zkfed.orchestrator.member import Member
from zkfed.orchestrator.notes import fault_of
from zkfed.updates.signing import SigningKey

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
except ImportError:
    raise TransportError("Flower 1.41 or 1.42 is missing: pip install 'zkfed[flower]'") from None

__all__ = ["ZkfedMod"]

MOD_FAILED = 6  # flwr's ErrorCode.MOD_FAILED_PRECONDITION, which is in no public module
CallNext = Callable[[Message, Context], Message]
Floats = npt.NDArray[np.float64]

_provers = functools.lru_cache(maxsize=4)(open_provers)


class ZkfedMod:
    """Mod of a ClientApp, the first of its list: a clipping mod after it is proved, one before it sees no model.

    It never raises: what cannot be proved leaves as an error reply, and the server refuses this node by name.

    Args:
        kit: Folder that `write_kit` wrote. A SuperNode's own `--node-config 'zkfed-kit="..."'` goes first.
        layout: From the app's arrays to the policy's model.
        rows: For S1, returns the rows to register, a `Shard`.
    """

    def __init__(
        self, kit: str = "", *, layout: Layout | None = None, rows: Callable[[Context], Any] | None = None
    ) -> None:
        self._kit, self._layout, self._rows = kit, layout or Concatenated(), rows

    def __call__(self, message: Message, context: Context, call_next: CallNext) -> Message:
        """Answers a training message; evaluation and queries pass."""
        if message.metadata.message_type.split(".")[0] != "train":
            return call_next(message, context)
        try:
            answer = self._answer(message, context, call_next)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the result must not pass
            code, reason = fault_of(error)
            return Message(Error(MOD_FAILED, f"zkfed: {code}: {reason}"), reply_to=message)
        record = ConfigRecord({"version": FLOWER_VERSION})
        if answer:  # Flower's message_size_mod raises for empty bytes
            record["answer"] = answer
        return Message(RecordDict({FLOWER_RECORD: record}), reply_to=message)

    def _answer(self, message: Message, context: Context, call_next: CallNext) -> bytes:
        record = message.content.config_records.get(FLOWER_RECORD, ConfigRecord())
        request, own = record.get("request"), record.get("own", b"")
        if record.get("version") != FLOWER_VERSION or not isinstance(request, bytes) or not isinstance(own, bytes):
            raise DecodeError(f"no request of version {FLOWER_VERSION} came along: is the strategy wrapped in Zkfed?")
        provers = _provers(str(context.node_config.get("zkfed-kit", self._kit)))
        secrets = context.state.config_records.get(FLOWER_RECORD, ConfigRecord({"seed": os.urandom(32), "state": b""}))
        key, before = SigningKey(bytes(secrets["seed"])), bytes(secrets["state"])  # type: ignore[arg-type]

        def train(model: Any, base: Floats, _shard: Any, _round: int) -> Floats:
            return self._trained(message, base, lambda inner: call_next(inner, context), model.shape)

        shard = None if self._rows is None else self._rows(context)
        if provers.policy.statement.kind == "S4" and asked_kind(request) in ("join", "round"):
            model = provers.policy.model
            shard = np.rint(train(model, np.zeros(model.shape), None, 0)).astype(np.int64)
        member = Member(provers, shard, key=key, train=train, state=before)
        answer = member.handle(request, own)
        context.state[FLOWER_RECORD] = ConfigRecord({"seed": bytes(secrets["seed"]), "state": member.state()})  # type: ignore[arg-type]
        return answer

    def _trained(
        self, message: Message, base: Floats, call: Callable[[Message], Message], shape: tuple[int, ...]
    ) -> Floats:
        """Trains from the base model that both parties signed, whatever arrays came with the message."""
        content = dict(message.content)
        del content[FLOWER_RECORD]  # Flower's own mods expect one ConfigRecord
        name, arrays = _only_arrays(message.content)
        content[name] = _written(self._layout, base, arrays)
        message.content = RecordDict(content)
        out = call(message)
        if out.has_error():
            raise DecodeError(f"training ended with an error, code {out.error.code}")
        return read_weights(self._layout, _only_arrays(out.content)[1].values(), shape)


def _only_arrays(content: RecordDict) -> tuple[str, ArrayRecord]:
    if len(content.array_records) != 1:
        raise DecodeError(f"{len(content.array_records)} ArrayRecords, expected one")
    return next(iter(content.array_records.items()))


def _written(layout: Layout, weights: Floats, like: ArrayRecord) -> ArrayRecord:
    old = [array.numpy() for array in like.values()]
    parts = zip(like, layout.arrays(weights, old), old, strict=True)
    return ArrayRecord({key: Array(np.ascontiguousarray(part, dtype=o.dtype)) for key, part, o in parts})
