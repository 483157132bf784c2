"""Measured unit costs of every backend, from which `System.estimate` predicts.

A sum of n points costs n times the price of a term, which depends on the size class of the
scalars and, because windows widen, on n: between the measured sizes the price is
interpolated over log n.

Python's own work (witness program, rows, conversions) has a price per wire or per entry of
the matrices, and is fitted from whole setups and proofs of one circuit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CLASSES", "CLASS_BITS", "SIZES", "UNIT_COSTS", "UnitCosts", "class_of"]

CLASSES = ("0, +-1", "8 bits", "16 bits", "32 bits", "64 bits", "full")
CLASS_BITS = (1, 8, 16, 32, 64)
"""Bits of the absolute value up to which a scalar is in a class; the last class takes the rest."""
SIZES = (1 << 8, 1 << 12, 1 << 16)
"""Numbers of points at which sums are measured."""

Prices = tuple[tuple[float, ...], ...]


def class_of(magnitudes: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Returns the number of the size class of each wire."""
    return np.searchsorted(np.array(CLASS_BITS), magnitudes, side="left")


@dataclass(frozen=True)
class UnitCosts:
    """What one backend needs on one curve, single-threaded.

    Attributes:
        g1: Nanoseconds of one term of a sum in G1, for each class and each of SIZES.
        g2: The same in G2.
        transform_ns: Of the quotient, per n log2 n.
        generator_ns: Of one multiple of the generator in G1 and in G2 (setup).
        scale_ns: Of one multiple of any point of G1 (setup of links).
        witness_ns: Of one wire that the witness program fills.
        prove_ns: Of the rest of a proof, per entry of the matrices and point of the domain.
        setup_ns: Of the rest of a setup, likewise.
        pairing_ms: Of one pair in the verifier's product of pairings.
        verify_ms: Of the rest of a verification, but for the sum over the public inputs.
        point_bytes: Memory of a point of G1 and of G2.
        prove_bytes: Memory of the rest of a proof, likewise.
        setup_bytes: Memory of the rest of a setup, likewise.
        speedup_of_two: Speed of sums and transforms on two threads over that on one.
    """

    g1: Prices
    g2: Prices
    transform_ns: float
    generator_ns: tuple[float, float]
    scale_ns: float
    witness_ns: float
    prove_ns: float
    setup_ns: float
    pairing_ms: float
    verify_ms: float
    point_bytes: tuple[int, int]
    prove_bytes: float
    setup_bytes: float
    speedup_of_two: float

    def sum_seconds(self, group: str, counts: tuple[int, ...]) -> float:
        """Returns the time of one sum with so many terms of each class."""
        prices = self.g1 if group == "G1" else self.g2
        at = np.log2(SIZES[: len(prices[0])])
        price = [float(np.interp(np.log2(max(n, 1)), at, p)) for n, p in zip(counts, prices, strict=True)]
        return sum(n * p for n, p in zip(counts, price, strict=True)) * 1e-9

    def speedup(self, threads: int) -> float:
        """Returns the speed on `threads` threads over that on one, by Amdahl's law."""
        serial = 2 / self.speedup_of_two - 1
        return 1 / (serial + (1 - serial) / threads)


# Two threads of an AMD EPYC with AVX2 and ADX, shared with others; CPython 3.11; 2026-11-25.
UNIT_COSTS: dict[tuple[str, str], UnitCosts] = {
    ("native", "bls12-381"): UnitCosts(
        g1=(
            (250, 137, 100),  # 0, +-1
            (557, 266, 259),  # 8 bits
            (839, 497, 485),  # 16 bits
            (1620, 969, 739),  # 32 bits
            (2980, 1790, 1260),  # 64 bits
            (11900, 6910, 5030),  # full
        ),
        g2=(
            (452, 318, 311),  # 0, +-1
            (1330, 665, 658),  # 8 bits
            (2210, 1290, 1290),  # 16 bits
            (4380, 2520, 2020),  # 32 bits
            (8170, 4670, 3590),  # 64 bits
            (32700, 18300, 14300),  # full
        ),
        transform_ns=83.5,
        generator_ns=(5000, 13300),
        scale_ns=76400,
        witness_ns=1810,
        prove_ns=18.5,
        setup_ns=1100,
        pairing_ms=0.124,
        verify_ms=1.59,
        point_bytes=(96, 192),
        prove_bytes=196,
        setup_bytes=396,
        speedup_of_two=1.98,
    ),
    ("arkworks", "bls12-381"): UnitCosts(
        g1=(
            (1530, 701),  # 0, +-1
            (2950, 1340),  # 8 bits
            (3390, 1750),  # 16 bits
            (4790, 2730),  # 32 bits
            (7970, 4470),  # 64 bits
            (21400, 12600),  # full
        ),
        g2=(
            (2980, 1510),  # 0, +-1
            (6130, 3130),  # 8 bits
            (8480, 4610),  # 16 bits
            (13500, 7780),  # 32 bits
            (23700, 13400),  # 64 bits
            (68000, 40400),  # full
        ),
        transform_ns=1110,
        generator_ns=(21200, 60800),
        scale_ns=131000,
        witness_ns=1030,
        prove_ns=0,
        setup_ns=0,
        pairing_ms=0.269,
        verify_ms=3.05,
        point_bytes=(158, 301),
        prove_bytes=295,
        setup_bytes=411,
        speedup_of_two=1,
    ),
    ("reference", "bls12-381"): UnitCosts(
        g1=(
            (21100,),  # 0, +-1
            (45400,),  # 8 bits
            (70300,),  # 16 bits
            (118000,),  # 32 bits
            (239000,),  # 64 bits
            (812000,),  # full
        ),
        g2=(
            (12200,),  # 0, +-1
            (55200,),  # 8 bits
            (96200,),  # 16 bits
            (166000,),  # 32 bits
            (331000,),  # 64 bits
            (1250000,),  # full
        ),
        transform_ns=8050,
        generator_ns=(153000, 274000),
        scale_ns=1960000,
        witness_ns=3240,
        prove_ns=0,
        setup_ns=0,
        pairing_ms=27.4,
        verify_ms=111,
        point_bytes=(3, 61),
        prove_bytes=4480,
        setup_bytes=4990,
        speedup_of_two=1,
    ),
    ("native", "bn254"): UnitCosts(
        g1=(
            (134, 94.8, 83.1),  # 0, +-1
            (316, 189, 176),  # 8 bits
            (490, 340, 330),  # 16 bits
            (948, 638, 492),  # 32 bits
            (1820, 1180, 824),  # 64 bits
            (7660, 4540, 3360),  # full
        ),
        g2=(
            (236, 204, 203),  # 0, +-1
            (766, 436, 443),  # 8 bits
            (1290, 849, 851),  # 16 bits
            (2760, 1640, 1270),  # 32 bits
            (5330, 3060, 2210),  # 64 bits
            (21300, 11700, 8890),  # full
        ),
        transform_ns=81.2,
        generator_ns=(3130, 8500),
        scale_ns=45400,
        witness_ns=1890,
        prove_ns=103,
        setup_ns=1310,
        pairing_ms=0.19,
        verify_ms=0.983,
        point_bytes=(58, 128),
        prove_bytes=177,
        setup_bytes=330,
        speedup_of_two=1.93,
    ),
    ("reference", "bn254"): UnitCosts(
        g1=(
            (10600,),  # 0, +-1
            (28400,),  # 8 bits
            (46300,),  # 16 bits
            (76000,),  # 32 bits
            (149000,),  # 64 bits
            (567000,),  # full
        ),
        g2=(
            (10800,),  # 0, +-1
            (36200,),  # 8 bits
            (69400,),  # 16 bits
            (122000,),  # 32 bits
            (231000,),  # 64 bits
            (895000,),  # full
        ),
        transform_ns=9000,
        generator_ns=(117000, 207000),
        scale_ns=1310000,
        witness_ns=3080,
        prove_ns=50100,
        setup_ns=0,
        pairing_ms=73.8,
        verify_ms=125,
        point_bytes=(10, 29),
        prove_bytes=3800,
        setup_bytes=5120,
        speedup_of_two=1,
    ),
}
"""By name of backend and curve; printed by `python -m benches.calibrate`."""
