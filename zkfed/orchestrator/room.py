"""How many bytes one device may make a node hold: what an honest one answers to each ask, twice."""

from __future__ import annotations

from zkfed.he.framing import ciphertext_size
from zkfed.orchestrator.node import Node

__all__ = ["answer_bytes_max"]

_SMALL_BYTES = 1 << 17
"""Everything in an answer but a ciphertext and commitments of rows: signatures, proofs, a reason."""
_POINT_BYTES_MAX = 192
_ANSWERS = 2
"""A device that restarts without its state may answer an ask again, with other bytes."""


def answer_bytes_max(node: Node, kind: str) -> int:
    """Returns how many bytes one key may answer to an ask of a kind; raises PolicyError for "seal" before enrolment."""
    size = _SMALL_BYTES
    if kind in ("seal", "round"):
        size += ciphertext_size(node.agreement.encryption, node.agreement.slots)
    elif kind == "register":
        record = node.policy.improvement.registration
        size += 0 if record is None else record.rows * _POINT_BYTES_MAX
    return _ANSWERS * size
