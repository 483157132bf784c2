"""What is allowed to be free or redundant, each with its reason. Everything else fails a test."""

from __future__ import annotations

__all__ = ["FREE_INPUTS", "FREE_WIRES", "NOT_SEARCHED", "NOT_SHOWN", "OPERANDS", "REDUNDANT"]

FREE_WIRES = {
    "input/ctx": "the verifier computes it, and its isolated row binds the proof to it (tests/attacks)",
    "mask": "hides its segment; it stands in its isolated row only, which holds for every value",
}
"""Places whose wires may take other values, whatever the rest of a statement's assignment is."""

FREE_INPUTS = {
    "one-hot": ("input/total-min", "where a bit is set, both of its values are right; the verifier checks 0 or 1"),
}
"""statement: (a public input that its small instance leaves free, why)."""

REDUNDANT: dict[str, dict[str, str]] = {
    "registration": {
        "powers": "one alone of the first M: w_e = theta^e + d makes all later ones theta^(e+n) + d theta^n, and the "
        "label lookup says that the weights of each class add up to a sketch that is tied and a count that was "
        "committed before theta; for the class of row e that is d (1 + ..) = 0 with a polynomial in theta, so d = 0. "
        "Without labels each is needed (tests/statements/test_row_validity.py)",
    },
    "custom/one-hot": dict.fromkeys(("x/low/boolean", "x/low/sum"), "the entries are bits by the relation"),
    "custom/one-of": dict.fromkeys(("x/low/boolean", "x/low/sum"), "all that is looked up is in the secret's range"),
    "custom/lookup": dict.fromkeys(
        (f"points/image/{end}/{part}" for end in ("low", "high") for part in ("boolean", "sum")),
        "not redundant: the image is public in this instance, and so in its range. Without these rows an image that "
        "wraps to another entry is accepted (tests/statements/test_definition.py)",
    ),
    "custom/shift": {
        **dict.fromkeys(("x/low/boolean", "x/low/sum"), "x = 2 p + remainder is in the secret's range"),
        **dict.fromkeys(
            ("half/quotient/boolean", "half/quotient/sum"),
            "not redundant: the quotient is public in this instance, and so an integer. Each is needed in the gadget's "
            "own circuit, rescale/bits",
        ),
    },
}
"""subject: {tensor of constraints: proof that the rest of the circuit implies it}."""

_NO_BIT = (
    "b = 1 - s/L modulo r for a small s >= 0 obeys the range margin + (1 - b) L, and counts as a part of "
    "one. The hints of limbs compute on integers and do not follow there"
)
NOT_SHOWN: dict[str, dict[str, str]] = {
    "accuracy above": {
        "model/right/boolean": _NO_BIT,
        "labels/tau-3": "with 0 for tau^3 nothing compares the third column of labels; found for `accuracy below`",
    },
    "accuracy below": {"model/wrong/boolean": _NO_BIT},
    "cross-entropy below": {
        "model/whole": "shares that add up to more than one weigh logits as a whole: the bound is no tangent. It takes "
        "another row of the table, its entropy and both counts at once"
    },
}
"""subject: {tensor of constraints: why it is needed, though the search found no false claim without some row}."""

_TOO_LONG = (
    "the search takes many minutes, and nobody has run it to the end. The same gadgets are subjects of their own, and "
    "so are own-data/linear, published-model/linear and benchmark-loss/mlp"
)
NOT_SEARCHED = {
    "logistic above": "a chord of another interval takes four wires, two counts and two remainders at once: the search "
    "finds no start for a third of the rows; tests/gadgets/test_losses.py has these cheats by hand",
    "cross-entropy above": "the same chords, more of them",
    **dict.fromkeys(("own-data/mlp", "published-model/mlp"), _TOO_LONG),
}
"""subject: why its constraints are not deleted in turn."""

OPERANDS = {
    "dense": (6, "the activations A, 3 x 2 without the bias: any are right, and fix Z"),
    "dense, updated": (12, "the activations A and the update D: any are right, and fix Z and the norms"),
    "horner": (8, "the coefficients of two polynomials: any are right, and fix the values"),
    "public-product": (8, "the factor D, 4 x 2: any is right, and fixes G D + N"),
    "quadratic-forms": (6, "the update D, 3 x 2: any is right, and fixes both forms"),
}
"""gadget: (committed wires that the constraints leave open, why): its free operands."""
