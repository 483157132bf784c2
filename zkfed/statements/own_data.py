"""S1 and S3: the claim about n registered rows that nobody else has seen.

    S1   (S - X) L0_low - S L1_high >= 0,  L_min <= L0_low,  L0_high <= L_cap   for W1 = W0 + D
    S3   the same for a published W1

on the rows that the beacon drew out of a client's registration (statements/draw.py). The circuit
is `evaluation_circuit`; the rows enter by the linked sketch of their commitments alone.

S1 does not prevent: choosing what to register, the same row registered under fresh blinders, labels
that are wrong but within the histogram bound, training on the registered rows. It earns nothing
without S2. Acceptance is an un-noised bit about private rows: count it (protocol.md section 6).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Backend, Points
from zkfed.commitments.rows import row_weights, sketch
from zkfed.encoding import digest
from zkfed.errors import DecodeError, UnsatisfiedConstraint
from zkfed.groth16.proof import Instance
from zkfed.inference import Forward, forward
from zkfed.policy import FEATURE_LIMIT, SHARE_SCALE, Improvement
from zkfed.statements.context import Context
from zkfed.statements.improvement import check_norm
from zkfed.statements.terms import checked_base, layer_sketches, loss_bound
from zkfed.updates.update import encode_ints, model_digest

__all__ = ["DrawnRows", "OwnTerms"]


@dataclass(frozen=True)
class DrawnRows:
    """What everybody knows of the rows that were drawn.

    Attributes:
        registration: Digest of the record that they come from.
        indices: Their n distinct numbers in the record, in the order of the draw.
        beacon: The output that drew them.
        points: Their commitments, in that order.
    """

    registration: bytes
    indices: tuple[int, ...]
    beacon: bytes
    points: Points = field(repr=False)


@dataclass(frozen=True)
class OwnTerms:
    """What verifier and prover know of one S1 or S3 claim.

    Attributes:
        base: W0, integers at scale 2^f, of the model's shape.
        drawn: The rows.
        published: W1 of S3; None for S1.
    """

    statement: Improvement
    base: npt.NDArray[np.int64] = field(repr=False)
    drawn: DrawnRows
    published: npt.NDArray[np.int64] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, statement: Improvement, base: npt.NDArray[Any], drawn: DrawnRows,
        published: npt.NDArray[Any] | None = None,
    ) -> OwnTerms:  # fmt: skip
        """Checks base model and draw.

        Raises:
            DecodeError: A model is outside the circuit's bounds, or not n distinct rows were drawn.
        """
        n = statement.rows
        if len(drawn.indices) != n or len(set(drawn.indices)) != n or len(drawn.points) != n:
            raise DecodeError(f"{len(set(drawn.indices))} distinct rows were drawn, the statement says {n}")
        model = statement.model
        after = None if published is None else checked_base(model, published)
        return cls(statement, checked_base(model, base), drawn, after)

    @property
    def kind(self) -> str:
        return "S1" if self.published is None else "S3"

    @functools.cached_property
    def digest(self) -> bytes:
        """Names registration, drawn rows and models: all that the sketches are computed from."""
        after = b"" if self.published is None else model_digest(self.published)
        indices = encode_ints(np.array(self.drawn.indices, dtype=np.int64))
        return digest("zkfed/v1/own-terms", self.drawn.registration, indices, model_digest(self.base), after)

    def context(self, *, policy: bytes, announcement: bytes, signer: bytes, commitment: bytes) -> Context:
        """Returns the items of ctx; `commitment` is empty for S3."""
        return Context(self.kind, policy, announcement, signer, commitment, self.digest, self.drawn.beacon)

    def instance(
        self, context: bytes, commitment: Points | None, *, squared_norm_max: int, millionths: int, backend: Backend
    ) -> Instance:
        """Returns the statement of one client.

        Args:
            context: ctx, 32 bytes.
            commitment: C_D; None for S3.
            squared_norm_max: B2; not read for S3.
            millionths: X for S = 10^6.
            backend: Of the points.
        """
        order, model = backend.curve.order, self.statement.model

        def derive(stage: int, challenges: dict[str, int]) -> dict[str, Any]:
            s, tau = row_weights(challenges["rho"], self.statement.rows, order), challenges["tau"]
            out: dict[str, Any] = {"rows/bias": FEATURE_LIMIT * int(s.sum()) % order}
            owners = {"base": self.base} if self.published is None else {"old": self.base, "new": self.published}
            for owner, weights in owners.items():
                sketches = layer_sketches(model, weights, tau, order)
                out |= {f"{owner}/layer-{i}": v for i, v in enumerate(sketches, 1)}
            return out

        def commitments(stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
            s = row_weights(challenges["rho"], self.statement.rows, order)
            return (sketch(backend, self.drawn.points, s),)

        static = {"share": millionths, "base-loss-min": self.statement.base_loss_min}
        if self.statement.base_loss_max is not None:
            static["base-loss-max"] = self.statement.base_loss_max
        if commitment is None:
            return Instance(context, static, (), derive, commitments)
        return Instance(context, static | {"squared-norm-max": squared_norm_max}, (commitment,), derive, commitments)

    # -- the prover's side -------------------------------------------------------------------

    def _pass(self, weights: npt.NDArray[np.int64], features: npt.NDArray[np.int64]) -> Forward:
        bias = np.full((len(features), 1), FEATURE_LIMIT, dtype=np.int64)
        try:
            return forward(self.statement.model, weights, np.concatenate([features, bias], axis=1))
        except ValueError as error:
            raise UnsatisfiedConstraint(str(error), "layer-1/magnitude", (0,)) from None

    def private(
        self, update: npt.NDArray[Any] | None, features: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
    ) -> dict[str, Any]:
        """Returns what the circuit's hints read: secret, for it holds rows and update.

        Args:
            update: D; None for S3.
            features: Of the drawn rows, shape (n, d), without the bias.
            targets: Of the drawn rows, shape (n, outputs).

        Raises:
            UnsatisfiedConstraint: An activation leaves its range.
        """
        after = self.published if update is None else self.base + np.asarray(update).reshape(self.base.shape)
        if after is None:
            raise ValueError("S1 needs an update")
        private = {"old": self._pass(self.base, features), "new": self._pass(after, features), "targets": targets,
                   "rows": np.concatenate([features, targets], axis=1)}  # fmt: skip
        return private if update is None else private | {"update": np.asarray(update).ravel()}

    def check(self, private: dict[str, Any], *, squared_norm_max: int, millionths: int) -> None:
        """Says before proving whether the claim is true of the drawn rows.

        Raises:
            UnsatisfiedConstraint: Norm, improvement, L_min or L_cap is not kept.
        """
        statement, targets = self.statement, private["targets"]
        if "update" in private:
            check_norm(private["update"], squared_norm_max)
        low = loss_bound(statement, self.kind, "low", private["old"].logits, targets)
        high = loss_bound(statement, self.kind, "high", private["new"].logits, targets)
        if low < statement.base_loss_min:
            raise UnsatisfiedConstraint("the base loss is below the smallest accepted one", "base-loss/least/top", (0,))
        cap, old = statement.base_loss_max, private["old"].logits
        if cap is not None and loss_bound(statement, self.kind, "high", old, targets) > cap:
            raise UnsatisfiedConstraint("the base loss is above the largest accepted one", "base-loss/most/top", (0,))
        if SHARE_SCALE * high > (SHARE_SCALE - millionths) * low:
            raise UnsatisfiedConstraint(
                "the update does not improve the drawn rows by the claimed share", "improvement/top", (0,)
            )
