"""Proving keys over a transport: cut into numbered parts, joined and checked on the other side.

A device that takes its proving key from the node trusts the node's setup as much as with development
keys anyway: whoever made them can forge proofs. What a device itself risks is little, since every
point is checked and every proof is verified before it leaves. Keys of a ceremony come by other ways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, IntegrityError, LimitExceeded, TransportError, ZkfedError
from zkfed.groth16.keys import ProvingKey
from zkfed.ports import Transport

__all__ = ["fetch_key", "fetch_keys", "publish_key", "publish_keys"]

PART_BYTES = 1 << 22
KEY_BYTES_MAX = 1 << 30
_TAG = "zkfed/v1/key-part"


def publish_key(transport: Transport, channel: str, key: ProvingKey) -> bytes:
    """Publishes a proving key and returns its SHA-256; raises as `Transport.publish`."""
    data = key.encode()
    name, total = hashlib.sha256(data).digest(), -(-len(data) // PART_BYTES)
    for number in range(total):
        part = data[number * PART_BYTES : (number + 1) * PART_BYTES]
        transport.publish(channel, Writer(_TAG).bytes(name).u64(number).u64(total).bytes(part).finish())
    return name


def publish_keys(transport: Transport, federation: str, keys: Sequence[ProvingKey]) -> None:
    """Publishes the proving keys of the statement and of N under a federation's name; raises as `Transport.publish`."""
    names = [publish_key(transport, f"{federation}/keys/{i}", key).hex() for i, key in enumerate(keys[:2])]
    transport.publish(f"{federation}/keys", "\n".join(names).encode())


def fetch_keys(transport: Transport, federation: str) -> list[ProvingKey]:
    """Returns what `publish_keys` published.

    Raises:
        TransportError: Nothing is there, or parts are missing.
        IntegrityError, LimitExceeded, KeyRefused: See `fetch_key`.
    """
    for message in transport.fetch(f"{federation}/keys"):
        try:
            names = [bytes.fromhex(line) for line in message[:200].decode("ascii", errors="replace").split()]
        except ValueError:
            continue
        if len(names) == 2 and all(len(n) == 32 for n in names):
            return [fetch_key(transport, f"{federation}/keys/{i}", n) for i, n in enumerate(names)]
    raise TransportError("the node has published no proving keys: is it a node of this version?")


def fetch_key(transport: Transport, channel: str, name: bytes) -> ProvingKey:
    """Returns the proving key with a SHA-256.

    Raises:
        TransportError: Parts are missing.
        IntegrityError: The parts are not the key with that name.
        LimitExceeded, KeyRefused: See `ProvingKey.decode`.
    """
    parts, total, size = dict[int, bytes](), 1, 0
    for message in transport.fetch(channel):
        try:
            r = Reader(message, _TAG, PART_BYTES + 1024)
            of, number, count = r.bytes(exact=32), r.u64(), r.u64(KEY_BYTES_MAX // PART_BYTES)
            part = r.bytes(limit=PART_BYTES)
            r.finish()
            if of != name or number >= count:
                raise DecodeError("a part of another key")
        except ZkfedError:
            continue  # a stranger's, or of another key
        total = max(total, count)
        size += len(part) if number not in parts else 0
        if size > KEY_BYTES_MAX:
            raise LimitExceeded(f"a key of more than {KEY_BYTES_MAX} bytes")
        parts.setdefault(number, part)
    if len(parts) != total:
        raise TransportError(f"{len(parts)} of {total} parts of the proving key are there: try again later")
    data = b"".join(parts[number] for number in sorted(parts))
    if hashlib.sha256(data).digest() != name:
        raise IntegrityError("the parts are not the proving key that the node named")
    return ProvingKey.decode(data)
