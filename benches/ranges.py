"""Proves range checks of 16 bits by bits and by a table, and prints which is faster and which is chosen.

    python -m benches.ranges

CPU time on one thread, the two in turn, lower quartile of 15. Under a minute.
"""

from __future__ import annotations

import time

import numpy as np

from benches.calibrate import single_threaded, undisturbed
from zkfed.algebra.backend import backends
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import as_ints
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.strategy import best_limb_bits, choose_ranges
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import System

__all__ = ["range_circuit"]

BITS = 16
COUNTS = (1, 4, 6, 8, 12, 16, 64, 256, 1000)
RUNS = 15


def range_circuit(count: int, bits: int, kind: str = "") -> System:
    """Builds `count` committed values of `bits` bits, checked by "bits", by a "table", or by the chosen one."""
    builder = Builder("range")
    segment, ranges = builder.segment("s"), [(count, bits)]
    checks: BitRanges | RangeTable = choose_ranges(builder, ranges, segment)
    if kind == "bits":
        checks = BitRanges(builder, segment)
    elif kind == "table":
        checks = RangeTable(builder, best_limb_bits(ranges), segment)
    x = builder.witness("x", (count,), lambda values: as_ints(values.private["x"]), segment=segment)
    checks.in_range("range", x, bits)
    if isinstance(checks, RangeTable):
        checks.commit()
        (alpha,) = builder.challenge("alpha")
        checks.close(alpha)
    return builder.finish()


def main() -> None:
    """Measures and prints a table."""
    name = next(b.name for b in backends(BLS12_381) if b.is_chosen)
    backend, instance = single_threaded(name, BLS12_381), Instance(bytes(32), {})
    print("| values of 16 bits | bits: rows | ms | table: rows | ms | chosen |\n|--:|--:|--:|--:|--:|---|")
    for count in COUNTS:
        systems = {kind: range_circuit(count, BITS, kind) for kind in ("bits", "table")}
        provers = {kind: Prover(development_keys(s, backend), s) for kind, s in systems.items()}
        took: dict[str, list[float]] = {kind: [] for kind in provers}
        for _ in range(RUNS):
            values = {"x": np.random.default_rng(count).integers(0, 1 << BITS, count)}
            for kind, prover in provers.items():
                start = time.process_time()
                prover.prove(instance, values)
                took[kind].append((time.process_time() - start) * 1e3)
        chosen = range_circuit(count, BITS)
        kind = next(k for k, s in systems.items() if s.digest == chosen.digest)
        cells = [f"{systems[k].constraint_count:,} | {undisturbed(took[k]):.1f}" for k in ("bits", "table")]
        print(f"| {count:,} | {' | '.join(cells)} | {kind} |", flush=True)


if __name__ == "__main__":
    main()
