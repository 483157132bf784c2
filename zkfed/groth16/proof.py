"""A proof and the instance that it speaks about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zkfed.algebra.backend import Backend, Points
from zkfed.errors import DecodeError
from zkfed.r1cs.system import Layout

__all__ = ["Blinder", "Derive", "DeriveCommitments", "Instance", "Proof", "proof_bytes"]

Derive = Callable[[int, dict[str, int]], dict[str, Any]]
"""(stage, challenges so far) -> the derived inputs of that stage, by name."""

DeriveCommitments = Callable[[int, dict[str, int]], tuple[Points, ...]]
"""(stage, challenges so far) -> the commitments of the links whose segments stand at that stage, in order."""

Blinder = int | Callable[[dict[str, int]], int]
"""rho of an external commitment; of a derived one, computed from the challenges as it is."""


def no_derived_inputs(stage: int, challenges: dict[str, int]) -> dict[str, Any]:
    """The `derive` of a circuit whose only derived inputs are the challenges."""
    return {}


def no_derived_commitments(stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
    """The `derive_commitments` of a circuit all of whose links stand at stage 0."""
    return ()


@dataclass(frozen=True)
class Instance:
    """One statement: everything that the verifier knows, and nothing from the prover's mouth.

    Attributes:
        context: ctx, 32 bytes; what the proof is bound to (protocol.md section 6). Empty for a
            plain circuit (`Layout.is_plain`): its proof is bound to the public inputs only, so
            whoever sees it can show it again, in another round and under another name.
        static: The static inputs by name, without ctx.
        commitments: The external commitment of each link of stage 0, in order (points of G1).
        derive: Computes the derived inputs from the challenges.
        derive_commitments: Computes the external commitments of later links, such as
            sum_i rho^(i+1) C_i. What it computes them from is fixed before the challenges only
            if ctx names it: hash the C_i into ctx.
    """

    context: bytes
    static: dict[str, Any]
    commitments: tuple[Points, ...] = ()
    derive: Derive = no_derived_inputs
    derive_commitments: DeriveCommitments = no_derived_commitments


@dataclass(frozen=True)
class Proof:
    """(A, B, C, D_k, PoK, pi): points of G1, but B of G2.

    Attributes:
        d: One commitment for each segment, in order.
        pok: The folded proof of knowledge, None without unlinked segments.
        link: pi, None without links.
    """

    a: Points
    b: Points
    c: Points
    d: tuple[Points, ...]
    pok: Points | None
    link: Points | None

    def encode(self, backend: Backend) -> bytes:
        """Returns A | B | C | D_1 .. D_n | PoK | pi, compressed; the size is the circuit's."""
        tail = [p for p in (self.pok, self.link) if p is not None]
        return b"".join(backend.encode(p) for p in (self.a, self.b, self.c, *self.d, *tail))

    @classmethod
    def decode(cls, backend: Backend, layout: Layout, data: bytes) -> Proof:
        """Reads a proof of the circuit `layout`.

        Raises:
            DecodeError: Wrong size, or a point is not canonical, off the curve, outside
                the subgroup or the identity.
        """
        expected = proof_bytes(layout)
        if type(data) is not bytes:
            raise DecodeError(f"proof of {layout.name}: got {type(data).__name__}, expected bytes")
        if len(data) != expected:
            raise DecodeError(f"proof of {layout.name}: got {len(data)} bytes, expected {expected}")
        g1, g2 = layout.curve.point_bytes("G1"), layout.curve.point_bytes("G2")
        head, middle, tail = data[:g1], data[g1 : g1 + g2], data[g1 + g2 :]
        b = backend.decode("G2", middle, 1)
        flat = [backend.decode("G1", head, 1)]
        flat += [backend.decode("G1", tail[i : i + g1], 1) for i in range(0, len(tail), g1)]
        a, c, rest = flat[0], flat[1], flat[2:]
        count = len(layout.segments)
        extra = rest[count:]
        pok = extra.pop(0) if layout.unlinked else None
        return cls(a, b, c, tuple(rest[:count]), pok, extra.pop(0) if layout.links else None)


def proof_bytes(layout: Layout) -> int:
    """Returns the size of every proof of a circuit."""
    count = 2 + len(layout.segments) + bool(layout.unlinked) + bool(layout.links)
    return count * layout.curve.point_bytes("G1") + layout.curve.point_bytes("G2")
