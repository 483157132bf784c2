"""The loss of a model on n rows, from above for the updated model and from below for the base model.

Each function returns one committed wire, the value of `Loss.upper` or `Loss.lower` for an honest
prover. A dishonest one reaches no upper value below the real loss, and no lower one above it:

    hinge           h = max(0, one - own), the same on both sides:
                    h (h - q) = 0 and 2 h - q >= 0 for q = one - own, which is -q or q
    logistic        above: the chord of the interval in which own is; below: any tangent
    cross-entropy   above: t + sum_c chord of exp at z_c - t, any t; below: sum_c p_c z_c + entropy(p),
                    any p from the table of sum 1; both less own
    accuracy        above: rows that the prover does not claim to be right; below: those that it claims
                    to be wrong. A claim opens a range check, without one the check gets room:
                    own - z_c - 1 + o_c + (1 - claim) room >= 0 for all c: own wins by 1, o_c spares its class
                    p - own - 1 + (1 - claim) room >= 0, prod_c (p - z_c) = 0: a rival wins by 1

Chord k holds on [g_k, g_k + 2^w_k]: with W the widest w, 0 <= (v - g_k) 2^(W - w_k) < 2^W, over the
integers by the bit budget. Intercepts and entropies are not looked up: their sum is linear in
the counts of the lookup (gadgets/tuples.py).

Rows of constraints, with R(B) = ceil(B/b) lookups of a range: hinge 1 + R; logistic 5 + R above and 2
below; cross-entropy (5 + R) a class + R above and 2 a class + 1 below; accuracy R a class + 1 above
and classes + R below (for two classes 1 + R); one for the sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zkfed.algebra.field import Ints, as_ints
from zkfed.gadgets.boolean import boolean
from zkfed.gadgets.labels import Labels
from zkfed.gadgets.tuples import Tables
from zkfed.lines import SLOPE_BITS
from zkfed.losses import Loss
from zkfed.r1cs.builder import Hint, Values
from zkfed.r1cs.linear import Linear, constant

__all__ = ["lower_loss", "upper_loss"]


def upper_loss(tables: Tables, name: str, loss: Loss, logits: Linear, labels: Labels) -> Linear:
    """Returns one committed wire, not below `loss.scale` times the real loss of all rows.

    Args:
        tables: Of the circuit, before `commit`.
        name: Of the constraints; another one for each call.
        loss: What to bound; not the squared loss, which is exact (gadgets/loss.py).
        logits: z, shape (n, outputs), committed integers whose bounds are proven or owed.
        labels: Of the rows, before `close`.

    Raises:
        ValueError: There is no such gadget, or the logits are too large for the loss's tables.
    """
    return _Rows(tables, name, loss, logits, labels).bound("upper")


def lower_loss(tables: Tables, name: str, loss: Loss, logits: Linear, labels: Labels) -> Linear:
    """Returns one committed wire, not above `loss.scale` times the real loss of all rows; see `upper_loss`."""
    return _Rows(tables, name, loss, logits, labels).bound("lower")


class _Rows:
    """The rows of one model under one loss."""

    def __init__(self, tables: Tables, name: str, loss: Loss, logits: Linear, labels: Labels) -> None:
        self.tables, self.name, self.loss, self.logits = tables, name, loss, logits
        self.builder, self.segment, self.labels = tables.builder, tables.segment, labels.wires
        low, high = self.builder.proven_bounds(logits)
        if max(-low, high) > loss.logit_max:
            raise ValueError(
                f"{name}: logits of up to {max(-low, high).bit_length()} bits are beyond the loss's tables"
            )
        self.own = labels.select(name, logits)

    def bound(self, side: str) -> Linear:
        """Returns the committed sum over all rows."""
        sums = {
            ("hinge", "upper"): self._hinge, ("hinge", "lower"): self._hinge,
            ("logistic", "upper"): self._logistic_above, ("logistic", "lower"): self._logistic_below,
            ("cross-entropy", "upper"): self._entropy_above, ("cross-entropy", "lower"): self._entropy_below,
            ("accuracy", "upper"): self._not_right, ("accuracy", "lower"): self._wrong,
        }  # fmt: skip
        if (self.loss.name, side) not in sums:
            raise ValueError(f"{self.name}: there is no gadget for the {self.loss.name} loss")
        return self.builder.define(f"{self.name}/total", sums[self.loss.name, side](), segment=self.segment)

    # -- hinge ---------------------------------------------------------------------------------

    def _hinge(self) -> Linear:
        builder, q = self.builder, constant(self.loss.one) - self.own
        low, high = builder.proven_bounds(q)
        bounds = (min(low, 0), max(high, 0))

        def hint(values: Values) -> Ints:
            return np.asarray(np.maximum(values(q), 0), dtype=object)

        h = builder.witness(f"{self.name}/positive", q.shape, hint, segment=self.segment, bounds=bounds)
        builder.enforce(f"{self.name}/either", h - q, h, constant(0))
        builder.justify(h, bounds)  # 0 or q
        self.tables.ranges.integer_in_range(f"{self.name}/magnitude", h * 2 - q, max(-low, high).bit_length())
        return h.sum()

    # -- lines ---------------------------------------------------------------------------------

    def _chords(self, v: Linear) -> Linear:
        """Returns the sum of chords at v, a vector."""
        builder, name, chords = self.builder, self.name, self.loss.chords
        widest = int(chords.width_bits.max())
        factors = as_ints(1 << (widest - chords.width_bits))
        rows = np.stack([as_ints(chords.starts), factors, as_ints(chords.slopes)], axis=1)
        lookup = self.tables.look_up(f"{name}/chords", rows, v.size, lambda x: chords.choose(_machine(x(v))))
        start, factor, slope = lookup.columns[0], lookup.columns[1], lookup.columns[2]
        remainder = builder.product(f"{name}/remainders", v - start, factor, segment=self.segment)
        self.tables.ranges.integer_in_range(f"{name}/remainders", remainder, widest)
        return self._on_lines(v, slope) + lookup.total(chords.intercepts)

    def _on_lines(self, v: Linear, slope: Linear) -> Linear:
        return self.builder.product(f"{self.name}/lines", v, slope).sum()

    def _logistic_above(self) -> Linear:
        return self._chords(self.own)

    def _logistic_below(self) -> Linear:
        tangents, own = self.loss.tangents, self.own
        rows = as_ints(tangents.slopes).reshape(-1, 1)
        name, count = f"{self.name}/tangents", own.size
        lookup = self.tables.look_up(name, rows, count, lambda x: tangents.choose(_machine(x(own))))
        return self._on_lines(own, lookup.columns[0]) + lookup.total(tangents.intercepts)

    # -- cross-entropy -------------------------------------------------------------------------

    def _entropy_above(self) -> Linear:
        builder, z, count = self.builder, self.logits, self.logits.shape[0]
        bits = (2 * self.loss.logit_max + self.loss.one * self.loss.classes.bit_length()).bit_length()
        bits += -bits % self.tables.ranges.limb_bits  # any integer t will do
        low = -self.loss.logit_max
        bounds = (low, low + (1 << bits) - 1)

        def hint(values: Values) -> Ints:
            return as_ints(self.loss.pivots(_machine(values(z))))

        t = builder.witness(f"{self.name}/pivots", (count,), hint, segment=self.segment, bounds=bounds)
        self.tables.ranges.in_range(f"{self.name}/pivots", t - low, bits)
        builder.justify(t, bounds)
        exponentials = self._chords((z - t.reshape(count, 1)).reshape(z.size))
        linear = (t - self.own).sum() - count * self.loss.one
        return linear * (1 << SLOPE_BITS) + exponentials

    def _entropy_below(self) -> Linear:
        builder, z, bits = self.builder, self.logits, self.loss.share_bits
        every = as_ints(np.arange((1 << bits) + 1)).reshape(-1, 1)
        name = f"{self.name}/shares"
        lookup = self.tables.look_up(name, every, z.size, lambda x: self.loss.shares(_machine(x(z))).ravel())
        p = lookup.columns[0].reshape(*z.shape)
        builder.enforce(f"{self.name}/whole", p.sum_rows(), constant(1), constant(1 << bits))
        products = builder.product(f"{self.name}/products", z, p).sum() * (1 << (SLOPE_BITS - bits))
        return products - self.own.sum() * (1 << SLOPE_BITS) + lookup.total(self.loss.entropies)

    # -- accuracy ------------------------------------------------------------------------------

    def _claims(self, name: str, hint: Hint) -> Linear:
        bits = self.builder.witness(name, self.own.shape, hint, segment=self.segment, bounds=(0, 1))
        boolean(self.builder, f"{name}/boolean", bits)
        return bits

    def _if_claimed(self, name: str, claims: Linear, margin: Linear) -> None:
        """Enforces margin >= 0 where the claim is 1; for a vector of rows, or a matrix of rows and classes."""
        low, _ = self.builder.proven_bounds(margin)
        open_range = margin + (constant(1) - claims.reshape(-1, *[1] * (len(margin.shape) - 1))) * max(-low, 0)
        _, high = self.builder.proven_bounds(open_range)
        self.tables.ranges.integer_in_range(name, open_range, max(high, 1).bit_length())

    def _not_right(self) -> Linear:
        def hint(values: Values) -> Ints:
            right = self.loss.is_correct(_machine(values(self.logits)), _machine(values(self.labels)))
            return as_ints(right.astype(np.int64))

        claims = self._claims(f"{self.name}/right", hint)
        against = self.own.reshape(-1, 1) - self.logits + self.labels
        self._if_claimed(f"{self.name}/wins", claims, (self.own if self.loss.classes == 2 else against) - 1)
        return constant(claims.size) - claims.sum()

    def _wrong(self) -> Linear:
        def hint(values: Values) -> Ints:
            wrong = self.loss.is_wrong(_machine(values(self.logits)), _machine(values(self.labels)))
            return as_ints(wrong.astype(np.int64))

        claims = self._claims(f"{self.name}/wrong", hint)
        margin = -self.own if self.loss.classes == 2 else self._some_logit() - self.own
        self._if_claimed(f"{self.name}/loses", claims, margin - 1)
        return claims.sum()

    def _some_logit(self) -> Linear:
        """Returns p with prod_c (p - z_c) = 0 for each row: a logit, the largest one if honest."""
        builder, z = self.builder, self.logits
        bounds = builder.proven_bounds(z)

        def hint(values: Values) -> Ints:
            return np.asarray(values(z).max(axis=1), dtype=object)

        p = builder.witness(f"{self.name}/rival", (z.shape[0],), hint, segment=self.segment, bounds=bounds)
        product, last = p - z[:, 0], z.shape[1] - 1
        for c in range(1, last):
            product = self._unbounded_product(f"{self.name}/rival-{c}", product, p - z[:, c])
        builder.enforce(f"{self.name}/rival-is-a-logit", product, p - z[:, last], constant(0))
        builder.justify(p, bounds)
        return p

    def _unbounded_product(self, name: str, left: Linear, right: Linear) -> Linear:
        """Returns left * right modulo r: a zero is a zero whether or not the integers wrap."""
        order = self.builder.curve.order

        def hint(values: Values) -> Ints:
            return np.asarray(values(left) * values(right) % order, dtype=object)

        out = self.builder.witness(name, left.shape, hint)
        self.builder.enforce(name, left, right, out)
        return out


def _machine(values: Any) -> Any:
    """Returns machine integers of a tensor whose bounds fit them (`Loss` refuses others)."""
    return values.astype(np.int64)
