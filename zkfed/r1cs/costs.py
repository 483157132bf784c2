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
        pairing_ms: Of one pair in the verifier's product of pairings, with what is summed for it.
        verify_ms: Of the rest of a verification, but for the sum over the public inputs.
        point_bytes: Memory of a point of G1 and of G2.
        prove_bytes: Memory of the rest of a proof, likewise.
        setup_bytes: Memory of the rest of a setup, likewise.
        first_ms: Of the first setup of a process: tables of the generators.
        fixed_bytes: Memory of any setup and of any proof.
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
    first_ms: float
    fixed_bytes: tuple[float, float]
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


# Two threads of an AMD EPYC; CPython 3.11; 2026-11-25. "native" with AVX-512 IFMA: without it, sums and
# multiples of the generator take about twice as long (docs/decisions/0004).
UNIT_COSTS: dict[tuple[str, str], UnitCosts] = {
    ("arkworks", "bls12-381"): UnitCosts(
        g1=(
            (2100, 830),  # 0, +-1
            (3230, 1530),  # 8 bits
            (3900, 2140),  # 16 bits
            (5520, 3100),  # 32 bits
            (8580, 4770),  # 64 bits
            (21900, 12900),  # full
        ),
        g2=(
            (2730, 1780),  # 0, +-1
            (6800, 3660),  # 8 bits
            (8820, 5260),  # 16 bits
            (14700, 8450),  # 32 bits
            (24900, 14200),  # 64 bits
            (69800, 41700),  # full
        ),
        transform_ns=1230,
        generator_ns=(25100, 67100),
        scale_ns=135000,
        witness_ns=879,
        prove_ns=0,
        setup_ns=0,
        pairing_ms=0.675,
        verify_ms=0.298,
        point_bytes=(184, 327),
        prove_bytes=551,
        setup_bytes=237,
        first_ms=8.53,
        fixed_bytes=(13700000, 9440000),
        speedup_of_two=1,
    ),
    ("reference", "bls12-381"): UnitCosts(
        g1=(
            (30100,),  # 0, +-1
            (44100,),  # 8 bits
            (64000,),  # 16 bits
            (138000,),  # 32 bits
            (235000,),  # 64 bits
            (933000,),  # full
        ),
        g2=(
            (21500,),  # 0, +-1
            (54200,),  # 8 bits
            (92500,),  # 16 bits
            (176000,),  # 32 bits
            (346000,),  # 64 bits
            (1510000,),  # full
        ),
        transform_ns=8830,
        generator_ns=(153000, 298000),
        scale_ns=1950000,
        witness_ns=4410,
        prove_ns=23100,
        setup_ns=0,
        pairing_ms=31.5,
        verify_ms=90.1,
        point_bytes=(300, 487),
        prove_bytes=4770,
        setup_bytes=420,
        first_ms=75.3,
        fixed_bytes=(28500000, 24400000),
        speedup_of_two=1,
    ),
    ("native", "bls12-381"): UnitCosts(
        g1=(
            (232, 77, 21.4),  # 0, +-1
            (380, 142, 103),  # 8 bits
            (567, 258, 247),  # 16 bits
            (1030, 480, 360),  # 32 bits
            (1820, 888, 653),  # 64 bits
            (7360, 3220, 2480),  # full
        ),
        g2=(
            (320, 138, 119),  # 0, +-1
            (734, 270, 258),  # 8 bits
            (1290, 527, 519),  # 16 bits
            (2490, 1010, 789),  # 32 bits
            (4620, 1920, 1350),  # 64 bits
            (18400, 6900, 5240),  # full
        ),
        transform_ns=79.9,
        generator_ns=(1990, 4520),
        scale_ns=71400,
        witness_ns=617,
        prove_ns=0,
        setup_ns=0,
        pairing_ms=0.295,
        verify_ms=0,
        point_bytes=(97, 193),
        prove_bytes=357,
        setup_bytes=304,
        first_ms=74.4,
        fixed_bytes=(16700000, 13800000),
        speedup_of_two=1.96,
    ),
    ("native", "bn254"): UnitCosts(
        g1=(
            (129, 49.1, 21.8),  # 0, +-1
            (215, 95.6, 86.6),  # 8 bits
            (334, 164, 148),  # 16 bits
            (612, 305, 223),  # 32 bits
            (1100, 564, 379),  # 64 bits
            (4590, 2080, 1400),  # full
        ),
        g2=(
            (165, 78.1, 31.3),  # 0, +-1
            (412, 160, 121),  # 8 bits
            (743, 299, 290),  # 16 bits
            (1430, 578, 409),  # 32 bits
            (2710, 1080, 708),  # 64 bits
            (11300, 3910, 2780),  # full
        ),
        transform_ns=77.6,
        generator_ns=(1230, 2330),
        scale_ns=42600,
        witness_ns=604,
        prove_ns=0,
        setup_ns=0,
        pairing_ms=0.327,
        verify_ms=0,
        point_bytes=(64, 129),
        prove_bytes=371,
        setup_bytes=276,
        first_ms=79.5,
        fixed_bytes=(13800000, 8780000),
        speedup_of_two=1.98,
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
        point_bytes=(293, 427),
        prove_bytes=3800,
        setup_bytes=5120,
        first_ms=0,
        fixed_bytes=(0, 0),
        speedup_of_two=1,
    ),
}
"""By name of backend and curve; printed by `python -m benches.calibrate`."""
