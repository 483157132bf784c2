"""Labels of rows, and the logit of each row's own class.

    o (n, outputs)         one-hot, or for two classes one column of -1 and 1
    own_i = sum_k o_ik z_ik       the logit of the row's class, or the margin y_i z_i

o and own are committed; the labels t of the rows are known by a sketch sum_i rho^(i+1) t_ik that the
verifier computes for a benchmark and the link provides for registered rows. With challenges rho
and tau drawn after o, z and own are committed, one product for each label does both jobs:

    q_i = sum_k o_ik (z_ik + tau^(k+1))
    sum_i rho^(i+1) (q_i - own_i) = sum_k tau^(k+1) sketch_k

Both sides are polynomials in rho and tau. The coefficient of rho^(i+1) tau^0 says that own_i is right,
that of rho^(i+1) tau^(k+1) that o_ik = t_ik: labels that a benchmark's check or a registration has
shown to be valid, so no bit is checked again. A wrong wire passes with probability at most
(n + outputs + 1)/r. A second `select` of the same labels, for another model, needs the first part
only and takes the powers of rho from n + 1 on.

Cost: for each select n outputs + n rows; 2 outputs once.
"""

from __future__ import annotations

import numpy as np

from zkfed.algebra.field import Ints, as_ints
from zkfed.gadgets.product import horner
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, concatenate, stack

__all__ = ["Labels"]


class Labels:
    """The labels of n rows as committed wires; owed until `close`.

    The hint reads the private input "targets", integers of shape (n, outputs).

    Attributes:
        wires: o, shape (n, outputs).
    """

    def __init__(self, builder: Builder, shape: tuple[int, int], segment: str) -> None:
        self.builder, self.segment = builder, segment
        low = 0 if shape[1] > 1 else -1

        def hint(values: Values) -> Ints:
            return as_ints(np.asarray(values.private["targets"], dtype=object)).reshape(shape)

        self.wires = builder.witness("labels", shape, hint, segment=segment, bounds=(low, 1))
        builder.justify(self.wires.reshape(self.wires.size), (low, 1))
        builder.owe(self, "labels (Labels.close)")
        self._selected: list[tuple[str, Linear, Linear]] = []

    def select(self, name: str, logits: Linear) -> Linear:
        """Returns own, shape (n,): the logit of each row's class, or its margin for two classes.

        Args:
            name: Of the constraints.
            logits: z, shape (n, outputs), committed integers.

        Raises:
            ValueError: The logits are not integers whose bounds are proven.
        """
        builder = self.builder
        low, high = builder.proven_bounds(logits)
        bounds = (low, high) if self.wires.shape[1] > 1 else (min(low, -high), max(high, -low))

        def hint(values: Values) -> Ints:
            return np.asarray((values(self.wires) * values(logits)).sum(axis=1), dtype=object)

        own = builder.witness(f"{name}/own", (logits.shape[0],), hint, segment=self.segment, bounds=bounds)
        builder.justify(own, bounds)
        self._selected.append((name, logits, own))
        return own

    def close(self, rho: Linear, tau: Linear, sketch: Linear) -> None:
        """Adds the identity at the challenges.

        Args:
            rho: Challenge of the rows.
            tau: Challenge of the columns.
            sketch: sum_i rho^(i+1) t_ik, shape (outputs,).

        Raises:
            ValueError: Nothing was selected, or an operand was not committed before.
        """
        builder, labels = self.builder, self.builder.operand(self.wires)
        if not self._selected:
            raise ValueError("labels from which nothing is selected prove nothing")
        powers: list[Linear] = [tau]
        for k in range(1, labels.shape[1]):
            powers.append(builder.product(f"labels/tau-{k + 1}", powers[-1], tau))
        columns = stack(powers)
        errors: list[Linear] = []
        for name, logits, own in self._selected:
            factors = builder.operand(logits)
            if not errors:
                factors = factors + columns
            errors.append(builder.product(f"{name}/labels", factors, labels).sum_rows() - builder.operand(own))
        total = horner(builder, "labels/rows", concatenate(errors), rho)
        known = builder.product("labels/sketch", columns, sketch.reshape(labels.shape[1])).sum()
        builder.enforce("labels/equal", total, rho, known)
        builder.settle(self)
