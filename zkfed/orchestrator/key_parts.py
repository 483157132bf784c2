"""Proving keys over a transport: cut into parts, which the adders list under their signature.

    NAME/keys      for each key the SHA-256 of its parts in order, signed by the adders
    NAME/keys/I    the parts of the I-th key

So nobody else's list is taken, whoever wrote first, and nobody else's parts are in an honest list.

A device that takes its proving key from the node trusts the node's setup as much as with development
keys anyway: whoever made them can forge proofs. What a device itself risks is little, since every
point is checked and every proof is verified before it leaves. Keys of a ceremony come by other ways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from zkfed.encoding import Reader, Writer
from zkfed.errors import TransportError, ZkfedError
from zkfed.groth16.keys import ProvingKey
from zkfed.orchestrator.exchange import federation_name
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport
from zkfed.updates.signing import Signed

__all__ = ["KEYS", "fetch_keys", "publish_keys"]

KEYS = "keys"
"""The kind under which the adders sign the list."""
PART_BYTES = 1 << 22
KEY_BYTES_MAX = 1 << 30
_TAG = "zkfed/v1/proving-keys"


def publish_keys(
    transport: Transport, policy: RoundPolicy, keys: Sequence[ProvingKey], sign: Callable[[str, bytes], Signed]
) -> None:
    """Publishes the proving keys of the statement and of N for a federation's devices.

    Args:
        transport: Where the devices are.
        policy: With pinned keys.
        keys: The first two are published.
        sign: Signs as the adders (`Node.sign`).

    Raises:
        TransportError, LimitExceeded: See `Transport.publish`.
    """
    name, w = federation_name(policy), Writer(_TAG)
    for number, key in enumerate(keys[:2]):
        data = key.encode()
        parts = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
        w.list([bytes.fromhex(transport.publish(f"{name}/keys/{number}", part)) for part in parts])
    transport.publish(f"{name}/keys", sign(KEYS, w.finish()).encode())


def fetch_keys(transport: Transport, policy: RoundPolicy) -> list[ProvingKey]:
    """Returns what `publish_keys` published.

    Args:
        transport: Where the node is.
        policy: The pinned policy: whose list is taken.

    Raises:
        TransportError: Nothing is there, or parts are missing.
        LimitExceeded, KeyRefused, DecodeError: The adders' own keys are not fit; see `ProvingKey.decode`.
    """
    name = federation_name(policy)
    for message in transport.fetch(f"{name}/keys"):
        try:
            signed = Signed.decode(message, KEYS, limit=1 << 16)
            if signed.signer != policy.adder_key:
                continue
            r = Reader(signed.body, _TAG)
            lists = [r.list(KEY_BYTES_MAX // PART_BYTES, exact=32) for _ in range(2)]
            r.finish()
        except ZkfedError:
            continue
        return [_joined(transport, f"{name}/keys/{number}", listed) for number, listed in enumerate(lists)]
    raise TransportError("the node has published no proving keys: is it a node of this version?")


def _joined(transport: Transport, channel: str, listed: list[bytes]) -> ProvingKey:
    """Returns the key whose parts have the listed SHA-256; whatever else is in the channel is passed over."""
    wanted, parts = set(listed), dict[bytes, bytes]()
    for message in transport.fetch(channel):
        address = hashlib.sha256(message).digest() if len(message) <= PART_BYTES else b""
        if address in wanted:
            parts[address] = message
    if len(parts) != len(wanted):
        raise TransportError(f"{len(parts)} of {len(wanted)} parts of the proving key are there: try again later")
    return ProvingKey.decode(b"".join(parts[address] for address in listed))
