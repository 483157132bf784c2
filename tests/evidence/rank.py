"""Which wires could move a little: the kernel of the constraints' Jacobian, with challenges drawn late.

With everything public fixed, a direction in which a witness can be moved lies in the kernel of
the Jacobian J of the rows. A committed wire has to move the same way for all challenges that are
drawn after it. So J is taken at many draws and eliminated from the inside out:

    private wires, for each draw of all challenges
    wires committed at the last stage, for each draw of the challenges before it, over many draws
    of those after it
    ...
    wires committed at stage 0, over many draws of everything

A looked-up value counts as fixed: LogUp makes it one of 2^b numbers (tests/gadgets/
test_exhaustive.py). Its own derivative says less: where two looked-up values are equal the
identity is ramified, and the kernel has a direction along which no other solution lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.evidence.deletions import label_of
from tests.evidence.elimination import Echelon, Row
from tests.evidence.forger import Forger, Seed
from zkfed.algebra.field import Ints

__all__ = ["Kernel", "kernel"]

STEADY = 2
"""Draws without a new equation after which no more are taken."""


@dataclass
class Kernel:
    """The wires that are left open, by where they stand.

    Attributes:
        without: The row that is left out.
        private: Private wires that the committed ones do not determine.
        committed: For each stage, committed wires that the earlier ones do not determine.
        draws: Jacobians that were computed.
    """

    without: int
    private: set[int] = field(default_factory=set)
    committed: dict[int, set[int]] = field(default_factory=dict)
    draws: int = 0

    @property
    def wires(self) -> set[int]:
        return self.private.union(*self.committed.values())


def kernel(forger: Forger, *, without: int = -1) -> Kernel:
    """Returns what the Jacobian of a subject's honest run leaves open; of all rows but one, if it is given."""
    out = Kernel(without)
    _equations(forger, (0,), out)
    return out


def _equations(forger: Forger, seeds: tuple[int, ...], out: Kernel) -> list[Row]:
    """Returns what holds of the wires committed before stage len(seeds) - 1, everything later eliminated."""
    stage, last = len(seeds) - 1, forger.system.stage_count
    mine = {w for w, t in forger.committed.items() if t == stage and w not in forger.tied}
    echelon = Echelon(forger.order, lambda column: column in mine)
    if stage == last:
        echelon.extend(_leaf(forger, seeds, out))
    else:
        steady, draw = 0, 0
        while steady < STEADY:
            draw += 1
            before = len(echelon.pivots), len(echelon.rest)
            echelon.extend(_equations(forger, (*seeds, draw), out))
            steady = steady + 1 if (len(echelon.pivots), len(echelon.rest)) == before else 0
    out.committed.setdefault(stage, set()).update(mine - set(echelon.pivots))
    return [*echelon.rest.values()]


def _leaf(forger: Forger, seed: Seed, out: Kernel) -> list[Row]:
    """Returns the equations of one draw, private wires eliminated."""
    z = forger.assign(seed)
    if z is None or forger.failing(z):
        raise ValueError(f"{forger.subject.name}: the honest run does not satisfy its circuit")
    out.draws += 1
    own = range(forger.system.private_start, forger.system.wire_count)
    echelon = Echelon(forger.order, lambda column: column in own)
    echelon.extend(_jacobian(forger, z, out.without))
    out.private |= {w for w in own if w not in echelon.pivots}
    return [*echelon.rest.values()]


def _jacobian(forger: Forger, z: Ints, without: int) -> list[Row]:
    public, order = forger.system.public_count, forger.order
    still = forger.masks | forger.tied
    out = []
    for number, (a, b, c) in enumerate(forger.rows):
        if number == without:
            continue
        az, bz = (sum(v * int(z[w]) for w, v in side.items()) % order for side in (a, b))
        wires = [w for w in forger.wires_of[number] if w >= public and w not in still]
        out.append({w: (a.get(w, 0) * bz + az * b.get(w, 0) - c.get(w, 0)) % order for w in wires})
        if label_of(forger, number).endswith("/lookups"):
            out.append({w: v for w, v in b.items() if w >= public and w not in still})
    return out
