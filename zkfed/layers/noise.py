"""One party's noise of one attempt: drawn, committed, proven to be bounded."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.dp.noise import sample
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Agreement
from zkfed.policy import NOISE_BITS
from zkfed.updates.messages import Announcement, Offer

__all__ = ["NoiseVector", "prove_noise"]


@dataclass(frozen=True)
class NoiseVector:
    """eta and rho of one attempt, inside the bounds of statement N; secret."""

    values: npt.NDArray[np.int64] = field(repr=False)
    blinder: int = field(repr=False)
    point: Points = field(repr=False)

    @classmethod
    def draw(cls, agreement: Agreement) -> NoiseVector:
        """Draws both; a vector outside N's bounds (2^-40) is redrawn before it is committed."""
        count = agreement.policy.model.parameters
        while True:
            values = sample(agreement.noise_scale, count)
            exact = values.astype(object)
            if int((exact * exact).sum()) <= agreement.noise_norm_max and int(np.abs(values).max()) < 1 << NOISE_BITS:
                break
        blinder = secrets.randbits(384) % agreement.order
        return cls(values, blinder, agreement.generators.commit(values, blinder))


def prove_noise(
    agreement: Agreement, prover: Prover, body: Offer | Announcement, *, role: str, noise: NoiseVector
) -> bytes:
    """Proves statement N for one party's noise in one attempt."""
    instance = agreement.noise_instance(body, role, noise.point)
    return prover.prove(instance, {"update": noise.values}, (noise.blinder,)).encode(agreement.backend)
