"""Flower, on a device: a mod after which of a training's result only proof and ciphertext leave.

Every ask travels as a training message: Flower looks a query's function up before any mod sees it. The
mod answers asks other than training by itself. `context.state` keeps key and state of the device, for one run.
Evaluation and queries pass; whatever else a server may send is answered with an error.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError, PolicyError, TransportError, excerpt
from zkfed.orchestrator.calls import asked_kind
from zkfed.orchestrator.flower_wire import MOD_FAILED, RECORD, read_record, record_of
from zkfed.orchestrator.kit import open_provers
from zkfed.orchestrator.layouts import Concatenated, Layout, read_weights, whole_numbers, written_like
from zkfed.orchestrator.member import Member
from zkfed.orchestrator.notes import fault_of
from zkfed.updates.signing import SigningKey

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
except ImportError:
    raise TransportError("Flower 1.41 or 1.42 is missing: pip install 'zkfed[flower]'") from None

__all__ = ["ZkfedMod"]

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
        kind = message.metadata.message_type.split(".")[0]
        if kind in ("evaluate", "query"):
            return call_next(message, context)
        try:
            if kind != "train":  # an app of the old API would hand out its weights for "get_parameters"
                raise PolicyError(f"messages of type {excerpt(kind)} are not answered behind ZkfedMod")
            answer = self._answer(message, context, call_next)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the result must not pass
            code, reason = fault_of(error)
            return Message(Error(MOD_FAILED, f"zkfed: {code}: {reason}"), reply_to=message)
        return Message(RecordDict({RECORD: ConfigRecord(dict(record_of(answer=answer)))}), reply_to=message)

    def _answer(self, message: Message, context: Context, call_next: CallNext) -> bytes:
        record = message.content.config_records.get(RECORD)
        if record is None:
            raise DecodeError("no request came along: is the strategy wrapped in Zkfed?")
        request, own = read_record(record, "request", "own")
        provers = _provers(str(context.node_config.get("zkfed-kit", self._kit)))
        secrets = context.state.config_records.get(RECORD, ConfigRecord({"seed": os.urandom(32), "state": b""}))
        key, before = SigningKey(bytes(secrets["seed"])), bytes(secrets["state"])  # type: ignore[arg-type]

        def train(model: Any, base: Floats, _shard: Any, _round: int) -> Floats:
            return self._trained(message, base, lambda inner: call_next(inner, context), model.shape)

        shard = None if self._rows is None else self._rows(context)
        if provers.policy.statement.kind == "S4" and asked_kind(request) in ("join", "round"):
            model = provers.policy.model
            shard = whole_numbers(train(model, np.zeros(model.shape), None, 0))
        member = Member(provers, shard, key=key, train=train, state=before)
        answer = member.handle(request, own)
        context.state[RECORD] = ConfigRecord({"seed": bytes(secrets["seed"]), "state": member.state()})  # type: ignore[arg-type]
        return answer

    def _trained(
        self, message: Message, base: Floats, call: Callable[[Message], Message], shape: tuple[int, ...]
    ) -> Floats:
        """Trains from the base model that both parties signed, whatever arrays came with the message."""
        content = dict(message.content)
        del content[RECORD]  # Flower's own mods expect one ConfigRecord
        name, arrays = _only_arrays(message.content)
        written = written_like(self._layout, base, arrays.values())
        content[name] = ArrayRecord({key: Array(part) for key, part in zip(arrays, written, strict=True)})
        message.content = RecordDict(content)
        out = call(message)
        if out.has_error():
            raise DecodeError(f"training ended with an error, code {out.error.code}")
        return read_weights(self._layout, _only_arrays(out.content)[1].values(), shape)


def _only_arrays(content: RecordDict) -> tuple[str, ArrayRecord]:
    if len(content.array_records) != 1:
        raise DecodeError(f"{len(content.array_records)} ArrayRecords, expected one")
    return next(iter(content.array_records.items()))
