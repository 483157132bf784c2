"""What is allowed to be free or redundant, each with its reason. Everything else fails a test."""

from __future__ import annotations

__all__ = ["FREE_WIRES", "REDUNDANT"]

FREE_WIRES = {
    "input/ctx": "the verifier computes it, and its isolated row binds the proof to it (tests/attacks)",
    "mask": "hides its segment; it stands in its isolated row only, which holds for every value",
}
"""Places whose wires may take other values, whatever the rest of a statement's assignment is."""

_CLASS_ROWS = (
    "not redundant: the committed rows are fixed in this instance and stay within the bounds. Each of these rows is "
    "deleted in tests/statements/test_row_validity.py, under other rows"
)
REDUNDANT: dict[str, dict[str, str]] = {
    "registration": {
        "powers": "one alone of the first M: w_e = theta^e + d makes all later ones theta^(e+n) + d theta^n, and the "
        "label lookup says that the weights of each class add up to a sketch that is tied and a count that was "
        "committed before theta; for the class of row e that is d (1 + ..) = 0 with a polynomial in theta, so d = 0. "
        "Without labels each is needed (tests/statements/test_row_validity.py)",
        **dict.fromkeys(
            (f"class-rows-{end}/{part}" for end in ("min", "max") for part in ("boolean", "sum")), _CLASS_ROWS
        ),
    },
}
"""subject: {tensor of constraints: proof that the rest of the circuit implies it}."""
