"""A statement of one's own: `python -m examples.own_statement`."""

from __future__ import annotations

import numpy as np

from zkfed.errors import UnsatisfiedConstraint
from zkfed.statements.statement import Definition, Statement, development_setup


class SparseUpdate(Statement):
    """The update behind a commitment changes at most so many of 64 weights."""

    name, version = "sparse-update", 1

    def define(self, c: Definition) -> None:
        most = c.public("most", 0, 64)
        update = c.secret("update", (64,), -(1 << 15), (1 << 15) - 1, commit="update")
        touched = c.secret("touched", (64,), 0, 1)
        c.equal("the others stay", c.product("change of the others", update, 1 - touched), 0)
        c.at_most("few are touched", touched.sum(), most)


def main() -> None:
    """Proves it for three weights, and fails to for two."""
    keys, update, about = development_setup(SparseUpdate()), np.zeros(64, dtype=np.int64), b"round 3, device 7"
    update[[3, 17, 40]] = 1200, -450, 7
    secret = {"update": update, "touched": update != 0}
    proven = keys.prove({"most": 3}, secret, context=about)
    keys.verifier.verify(proven.proof, {"most": 3}, context=about, commitments=proven.commitments)
    print(f"proven in {len(proven.proof)} bytes: at most 3 of 64 weights change")
    try:
        keys.prove({"most": 2}, secret, context=about)
    except UnsatisfiedConstraint as refused:
        print(refused)


if __name__ == "__main__":
    main()
