"""A round's record on its way: to the key holder, who settles it, and to whoever checks.

A record of many clients and failed attempts is longer than any transport carries at once. It travels whole
where it is short, and in pieces where it is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from zkfed.errors import ZkfedError
from zkfed.layers.transcript import RoundRecord
from zkfed.orchestrator.pieces import Joiner, cut
from zkfed.ports import CHANNEL_BYTES_MAX

__all__ = ["PIECE_BYTES", "RECORD_BYTES_MAX", "read_records", "record_messages"]

PIECE_BYTES = 1 << 23
RECORD_BYTES_MAX = 1 << 28
"""Twice the record of 16,384 clients in eight attempts."""
_CUT = (b"\x01", b"\x02")  # a whole record begins with a zero


def record_messages(record: RoundRecord) -> list[bytes]:
    """Returns the messages that publish a record; `read_records` reads them."""
    encoded = record.encode()
    return [encoded] if len(encoded) <= PIECE_BYTES else cut(encoded, PIECE_BYTES)


def read_records(messages: Iterable[bytes]) -> Iterator[RoundRecord]:
    """Yields the records in a channel, in the order of their ends; what strangers wrote is passed over."""
    joiner = Joiner(RECORD_BYTES_MAX, CHANNEL_BYTES_MAX)
    for message in messages:
        with contextlib.suppress(ZkfedError):
            if message[:1] in _CUT:
                added = joiner.add(message)
                if added is None or not added[1]:
                    continue
                yield RoundRecord.decode(joiner.messages[added[0]])
            else:
                yield RoundRecord.decode(message)
