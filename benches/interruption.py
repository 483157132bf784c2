"""How long Ctrl-C takes to end each long operation of the native core: `python -m benches.interruption`.

Each operation runs on 2^log terms and gets SIGINT after 0.2 to 3.2 seconds; the table shows the
longest time from a signal to KeyboardInterrupt, by the clock and by the CPU time of all threads,
which other work on the machine does not stretch. An operation that ends before its signal does not
count.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable

import numpy as np

from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import as_ints, to_limbs
from zkfed.algebra.native import NativeBackend
from zkfed.groth16.assembly import Trapdoors, assembler_of, key_scalars
from zkfed.groth16.setup import development_keys
from zkfed.r1cs.system import SparseMatrix, System

MOMENTS_S = (0.2, 0.5, 0.9, 1.7, 3.2)


def stopped_after(work: Callable[[], object], delay_s: float) -> tuple[float, float] | None:
    """Returns the seconds, by clock and of CPU, from a signal to the interruption, or None if there was none."""
    sent: list[float] = []

    def send() -> None:
        sent.extend((time.perf_counter(), time.process_time()))
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(delay_s, send)
    try:
        timer.start()
        work()
        timer.cancel()
        timer.join()  # a signal that is on its way comes here
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0], time.process_time() - sent[1]
    return None


def operations(curve: str, log: int) -> dict[str, Callable[[], object]]:
    backend, rng = NativeBackend(CURVES[curve]), np.random.default_rng(1)
    scalars = rng.integers(0, 1 << 63, (1 << log, 4), dtype=np.uint64)
    scalars[:, 3] >>= np.uint64(3)
    some = 1 << min(log, 14)
    out: dict[str, Callable[[], object]] = {"quotient": lambda: backend.quotient(scalars, scalars[::-1], scalars)}
    for group in ("G1", "G2"):
        few = backend.generator(group, scalars[:some])
        data = backend.encode(few)
        points = backend.concat(group, [few] * (len(scalars) // some))
        out |= {
            f"sum {group}": lambda g=points: backend.msm(g, scalars),
            f"comb {group}": lambda g=group: backend.generator(g, scalars),
            f"multiples {group}": lambda g=points: backend.scale(g, scalars),
            f"decode {group}": lambda g=group, d=data: backend.decode(g, d * (len(scalars) // some), len(scalars)),
            f"encode {group}": lambda g=points: backend.encode(g),
            f"add {group}": lambda g=points: backend.add(g, g),
        }  # fmt: skip
    return out


def proving(curve: str, log: int) -> dict[str, Callable[[], object]]:
    """Returns setup and proof of 2^log rows z_i z_i = z_(i + 1)."""
    r, rows = CURVES[curve].order, 1 << log
    z = [1, 5]
    while len(z) <= rows:
        z.append(z[-1] * z[-1] % r)
    indptr, ones = np.arange(rows + 1), as_ints([1] * rows)
    sides = (SparseMatrix(indptr, np.arange(rows) + shift, ones) for shift in (0, 0, 1))
    # The first row is 1 1 = z_1 in truth, so z is not checked.
    system = System("squares", 1, CURVES[curve], (), (), (), rows + 1, *sides, (), (), np.arange(rows + 1))
    backend, limbs = NativeBackend(CURVES[curve]), to_limbs(z)
    core = assembler_of(development_keys(system, backend), system)
    return {
        "prove": lambda: core.assemble(limbs, (3, 4), is_checked=False, report=None),
        "setup": lambda: key_scalars(system, backend, rows, Trapdoors(3, 4, 5, 6)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=int, default=20)
    arguments = parser.parse_args()
    print(f"2^{arguments.log} terms: seconds from Ctrl-C to its exception")
    for curve in sorted(CURVES):
        every = operations(curve, arguments.log) | proving(curve, arguments.log)
        for name, work in every.items():
            stops = [s for s in (stopped_after(work, moment) for moment in MOMENTS_S) if s is not None]
            longest = "clock {:.2f} CPU {:.2f}".format(*map(max, zip(*stops, strict=True))) if stops else "ends before"
            print(f"{curve:>10} {name:>14} {longest:>22}", flush=True)


if __name__ == "__main__":
    main()
