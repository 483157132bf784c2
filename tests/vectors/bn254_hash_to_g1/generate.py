"""Makes zkfed.json: `python -m tests.vectors.bn254_hash_to_g1.generate`, from the root.

The points come from the second implementation (tests/algebra/rfc9380.py), not from zkfed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.algebra import rfc9380

DOMAIN = "zkfed/v1/generator/update"
MESSAGES = ["", "\0" * 8, "\0" * 7 + "\1", "a", "x" * 1000]


def vectors() -> dict[str, Any]:
    """Returns the contents of zkfed.json."""
    return {"domain": DOMAIN, "cases": [_case(m) for m in MESSAGES]}


def _case(message: str) -> dict[str, Any]:
    u = rfc9380.hash_to_field(message.encode(), DOMAIN.encode(), 2)
    q0, q1 = map(rfc9380.map_to_curve, u)
    x, y = rfc9380.add(q0, q1)
    return {
        "message": message,
        "u": _words(u),
        "q0": _words(q0),
        "q1": _words(q1),
        "x": _words([x])[0],
        "y": _words([y])[0],
    }


def _words(values: Any) -> list[str]:
    return [f"{v:064x}" for v in values]


if __name__ == "__main__":
    Path(__file__).with_name("zkfed.json").write_text(json.dumps(vectors(), indent=1) + "\n")
