"""Fiat-Shamir: what is hashed, in which order, under which name.

    seed  = H("zkfed/v1/challenge-seed", vk digest, ctx, static inputs, commitments of stage 0)
    chi_t = hash_to_field("zkfed/v1/challenge/t", enc(seed, D of all stages < t), count)
    f     = hash_to_field("zkfed/v1/fold", enc(seed, chi of all stages, all D))

Static inputs and ctx stand in the seed; derived inputs and derived commitments follow from it and
from chi and are never hashed (protocol.md section 5, Challenges): ctx holds the digest of what they
are computed from. Each challenge is an independent output. A plain circuit
(`Layout.is_plain`) has no ctx: its item in the seed is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.hash_to_field import hash_to_field
from zkfed.encoding import Writer, digest
from zkfed.errors import DecodeError
from zkfed.groth16.proof import Instance
from zkfed.r1cs.system import CONTEXT, Layout

__all__ = ["Challenger", "context_scalar"]


def context_scalar(context: bytes, order: int) -> int:
    """Returns ctx as a field element."""
    return hash_to_field(b"zkfed/v1/ctx-scalar", context, 1, order)[0]


class Challenger:
    """The challenges of one instance, drawn as its segments are committed.

    Prover and verifier run the same object; `inputs` collects x, the public inputs in order, and
    `commitments` the external commitments in the order of the links.
    """

    def __init__(self, backend: Backend, layout: Layout, key_digest: bytes, instance: Instance) -> None:
        expected = 0 if layout.is_plain else 32
        if len(instance.context) != expected:
            raise DecodeError(f"{layout.name}: ctx of {len(instance.context)} bytes, expected {expected}")
        self._check_commitments(layout, instance.commitments, 0)
        own = {} if layout.is_plain else {CONTEXT: context_scalar(instance.context, layout.curve.order)}
        self.backend, self.layout, self._instance = backend, layout, instance
        self.inputs: list[int] = layout.check_static({**instance.static, **own})
        self.challenges: dict[str, int] = {}
        self.commitments = instance.commitments
        external = [backend.encode(c) for c in instance.commitments]
        static = [v.to_bytes(32, "big") for v in self.inputs]
        self.seed = digest(
            "zkfed/v1/challenge-seed",
            key_digest,
            instance.context,
            Writer("static").list(static).finish(),
            Writer("external").list(external).finish(),
        )

    @staticmethod
    def _check_commitments(layout: Layout, points: tuple[Points, ...], stage: int) -> None:
        expected = layout.links_at(stage)
        if len(points) != expected or any(p.group != "G1" or len(p) != 1 for p in points):
            raise DecodeError(
                f"{layout.name}: {len(points)} external commitments, expected {expected}, at stage {stage}, "
                f"each one point of G1"
            )

    def _commitments(self, d: tuple[Points, ...], stage: int) -> list[bytes]:
        # Segments stand in the order of their stages: while proving, `d` is a prefix of them.
        pairs = zip(self.layout.segments, d, strict=False)
        return [self.backend.encode(point) for segment, point in pairs if segment.stage < stage]

    def draw(self, stage: int, d: tuple[Points, ...]) -> dict[str, Any]:
        """Returns the inputs of `stage` by name; `d` holds the commitments made so far.

        Raises:
            DecodeError: The instance derives other inputs or commitments than the circuit has.
        """
        inputs = [i for i in self.layout.inputs if i.stage == stage]
        names = [i.name for i in inputs if i.is_challenge]
        message = Writer("chi").bytes(self.seed).list(self._commitments(d, stage)).finish()
        order = self.layout.curve.order
        drawn = hash_to_field(f"zkfed/v1/challenge/{stage}".encode(), message, max(len(names), 1), order)
        self.challenges.update(zip(names, drawn, strict=False))
        values: dict[str, Any] = {n: self.challenges[n] for n in names}
        values.update(self._instance.derive(stage, dict(self.challenges)))
        if set(values) != {i.name for i in inputs}:
            raise DecodeError(f"{self.layout.name}: derived {sorted(values)}, expected {[i.name for i in inputs]}")
        for i in inputs:
            flat = np.asarray(values[i.name], dtype=object).ravel().tolist()
            if len(flat) != i.size:
                raise DecodeError(f"{self.layout.name}: derived input {i.name} has {len(flat)} values, not {i.size}")
            self.inputs.extend(int(v) % order for v in flat)
        derived = self._instance.derive_commitments(stage, dict(self.challenges))
        self._check_commitments(self.layout, derived, stage)
        self.commitments += derived
        return values

    def fold(self, d: tuple[Points, ...]) -> int:
        """Returns f, drawn after the last commitment."""
        chi = [v.to_bytes(32, "big") for v in self.challenges.values()]
        every = self._commitments(d, 1 << 30)
        message = Writer("fold").bytes(self.seed).list(chi).list(every).finish()
        return hash_to_field(b"zkfed/v1/fold", message, 1, self.layout.curve.order)[0]
