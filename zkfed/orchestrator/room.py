"""How many bytes answers take: those of one device, which makes a node hold no more, and those of all in a channel."""

from __future__ import annotations

from zkfed.algebra.curve import CURVES
from zkfed.errors import LimitExceeded
from zkfed.he.framing import ciphertext_size
from zkfed.he.params import EncryptionParams, Scheme
from zkfed.layers.plaintext import PlaintextLayout
from zkfed.policy import RoundPolicy
from zkfed.ports import CHANNEL_BYTES_MAX, Transport

__all__ = ["answer_bytes_max", "channel_bytes_needed", "check_channel_room"]

_SMALL_BYTES = 1 << 16
"""Everything in an answer but a ciphertext and commitments of rows: signatures, proofs, a reason; a tenth is usual."""
_POINT_BYTES_MAX = 192
_ANSWERS = 2
"""A device that restarts without its state may answer an ask again, with other bytes."""


def answer_bytes_max(policy: RoundPolicy, kind: str) -> int:
    """Returns how many bytes one key may answer to an ask of a kind: what an honest device needs, twice."""
    return _ANSWERS * (_SMALL_BYTES + _large_bytes(policy, kind))


def channel_bytes_needed(policy: RoundPolicy, devices: int) -> int:
    """Returns how many bytes a channel must take for so many devices to answer, some of them twice as much."""
    return devices * max(answer_bytes_max(policy, kind) for kind in ("seal", "register"))


def check_channel_room(policy: RoundPolicy, devices: int, transport: Transport) -> None:
    """Raises LimitExceeded unless the honest answers of so many devices to one ask fit into a transport's channel."""
    limit = getattr(transport, "channel_bytes_max", CHANNEL_BYTES_MAX)
    needed = devices * max(_large_bytes(policy, kind) for kind in ("seal", "register"))
    if needed > limit:
        raise LimitExceeded(
            f"{devices} devices answer with {needed} bytes in all, and the transport keeps {limit} bytes in a channel: "
            f"fewer devices, a smaller model, or channel_bytes_max={channel_bytes_needed(policy, devices)}"
        )


def _large_bytes(policy: RoundPolicy, kind: str) -> int:
    """Returns the bytes of an honest answer without what is small in it."""
    if kind in ("seal", "round"):
        encryption = EncryptionParams.of(Scheme(policy.scheme))
        layout = PlaintextLayout(policy.model.parameters, encryption.slots, CURVES[policy.curve].order)
        return ciphertext_size(encryption, layout.count)
    if kind == "register" and policy.statement.kind == "S1" and policy.improvement.registration is not None:
        return policy.improvement.registration.rows * _POINT_BYTES_MAX
    return 0
