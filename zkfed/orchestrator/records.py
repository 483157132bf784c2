"""A round's record on its way: to the key holder, who settles it, and to whoever checks.

A record of many clients and failed attempts is longer than any transport carries at once. It travels whole
where it is short, and in pieces where it is not. All records together are more than one channel holds: they
go on in NAME/records/1, 2, ...
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from zkfed.errors import ZkfedError
from zkfed.layers.transcript import RoundRecord
from zkfed.orchestrator.pieces import Joiner, cut
from zkfed.ports import CHANNEL_BYTES_MAX, Transport

__all__ = ["PIECE_BYTES", "RECORD_BYTES_MAX", "Publisher", "fetch_records", "read_records", "record_messages"]

PIECE_BYTES = 1 << 23
RECORD_BYTES_MAX = 1 << 28
"""Twice the record of 16,384 clients in eight attempts."""
CHANNEL_RECORDS_BYTES = 1 << 29
_CUT = (b"\x01", b"\x02")  # a whole record begins with a zero


class Publisher:
    """Publishes the records of one federation, in order.

    Args:
        transport: Where they are read.
        name: The federation's, the first segment of its channels.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport, self._name, self._channel, self._size = transport, name, 0, 0

    def publish(self, record: RoundRecord) -> None:
        """Publishes one record, all of it in one channel; raises as `Transport.publish`."""
        messages = record_messages(record)
        size = sum(map(len, messages))
        if self._size and self._size + size > CHANNEL_RECORDS_BYTES:
            self._channel, self._size = self._channel + 1, 0
        self._size += size
        for message in messages:
            self._transport.publish(_channel(self._name, self._channel), message)


def fetch_records(transport: Transport, name: str) -> Iterator[RoundRecord]:
    """Yields all records of a federation in order, as `read_records`; raises as `Transport.fetch`."""
    number = 0
    while messages := transport.fetch(_channel(name, number)):
        yield from read_records(messages)
        number += 1


def _channel(name: str, number: int) -> str:
    return f"{name}/records/{number}" if number else f"{name}/records"


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
