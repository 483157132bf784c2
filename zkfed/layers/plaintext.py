"""What one party encrypts: its integers, and in every chunk a share of rho.

    chunk_j = S - 16 integers | 16 limbs of rho_j,   sum_j rho_j = rho (mod r)

S is the slot count of one ciphertext. With all of rho in the last chunk, an adder could
replace another chunk of one client's ciphertext by its own guess and learn from K's answer
whether the guess was right. Every chunk carries a fresh uniform share instead, so a replaced
chunk takes an unknown rho_j with it and the sum does not open (tests/attacks).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkfed.errors import CommitmentMismatch
from zkfed.fixedpoint import LIMBS, blinder_from_limbs, blinder_limbs

__all__ = ["PlaintextLayout"]


@dataclass(frozen=True, slots=True)
class PlaintextLayout:
    """Where integers and limbs stand.

    Attributes:
        parameters: P.
        slots: S, of one ciphertext.
        order: r.
    """

    parameters: int
    slots: int
    order: int

    @property
    def chunks(self) -> int:
        """The number of ciphertexts."""
        return -(-self.parameters // (self.slots - LIMBS))

    @property
    def count(self) -> int:
        """All integers of one plaintext, limbs included."""
        return self.parameters + LIMBS * self.chunks

    def pack(self, values: npt.NDArray[np.int64], blinder: int) -> npt.NDArray[np.int64]:
        """Returns the plaintext of (values; rho), with fresh shares of rho.

        Args:
            values: P integers.
            blinder: rho in [0, r).
        """
        payload = self.slots - LIMBS
        parts = [values[i : i + payload] for i in range(0, len(values), payload)]
        shares = [secrets.randbits(384) % self.order for _ in parts[1:]]
        shares.insert(0, (blinder - sum(shares)) % self.order)
        return np.concatenate(
            [x for part, rho in zip(parts, shares, strict=True) for x in (part, np.array(blinder_limbs(rho), np.int64))]
        )

    def unpack(self, sums: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
        """Returns (S, R) of a summed plaintext; limb sums are carried.

        Raises:
            CommitmentMismatch: Not `count` integers.
        """
        if len(sums) != self.count:
            raise CommitmentMismatch("failed")
        parts = [sums[i : i + self.slots] for i in range(0, len(sums), self.slots)]
        blinder = sum(blinder_from_limbs(part[-LIMBS:].tolist(), self.order) for part in parts)
        return np.concatenate([part[:-LIMBS] for part in parts]), blinder % self.order
