"""What is allowed to be free or redundant, each with its reason. Everything else fails a test."""

from __future__ import annotations

__all__ = ["FREE_WIRES", "REDUNDANT"]

FREE_WIRES = {
    "input/ctx": "the verifier computes it, and its isolated row binds the proof to it (tests/attacks)",
    "mask": "hides its segment; it stands in its isolated row only, which holds for every value",
}
"""Places whose wires may take other values, whatever the rest of a statement's assignment is."""

REDUNDANT: dict[str, dict[str, str]] = {}
"""subject: {tensor of constraints: proof that the rest of the circuit implies it}."""
