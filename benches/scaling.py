"""How setup, proof, verification, memory and keys grow with a circuit, beside what `estimate` predicts.

    python -m benches.scaling [--largest 20] [--curve bls12-381]

Each circuit is set up in one process and proven in another one, which opens the key's file;
memory is the process' peak above its size after the imports. Times are wall time, medians of
several runs, with CPU time beside them. Writes build/scaling.json, docs/scaling.png and the
section of docs/benchmarks.md between its markers. About 15 minutes up to 2^20.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benches import memory

__all__ = ["Row", "cases", "main"]

ROOT = Path(__file__).parent.parent
Row = dict[str, Any]
"""One circuit: its case, counts, and what was measured and predicted."""

MODELS = [(16, 10, 200), (64, 10, 200), (64, 10, 2000), (256, 10, 200), (640, 10, 200), (1024, 10, 200)]
"""(features, classes, rows) of the improvement circuits; 640 features are 10 times 64."""


def cases(largest: int) -> Iterator[tuple[str, str]]:
    """Returns (kind, size) of every circuit, from 2^12 to 2^largest constraints and our own."""
    for model in MODELS:
        yield "improvement", "x".join(map(str, model))
    for log in range(12, largest + 1, 2):
        for kind in ("dense", "mixed"):
            yield kind, str((1 << log) - 8)


# -- one circuit, in a process of its own ------------------------------------------------------------


class Case:
    """One circuit with a true statement, whatever its kind."""

    def __init__(self, kind: str, size: str, curve: str) -> None:
        from benches.proving import improvement
        from benches.synthetic import KINDS
        from zkfed.algebra.backend import use
        from zkfed.policy import LinearModel

        backend = use(curve)
        if kind in KINDS:
            plain = KINDS[kind](int(size), backend.curve)
            self.system, self.instance = plain.system, plain.instance
            self._prove = lambda prover: prover.prove_assignment(plain.instance, plain.assignment)
        else:
            features, classes, rows = map(int, size.split("x"))
            s = improvement(LinearModel(features, classes), rows, backend)
            self.system, self.instance = s.system, s.instance
            self._prove = lambda prover: prover.prove(s.instance, s.private, s.blinders)

    def prove(self, prover: Any) -> Any:
        return self._prove(prover)


def timed(work: Callable[[], Any], runs: int) -> tuple[Any, float, float]:
    """Returns the last result, the median wall time and the least CPU time."""
    wall, cpu, result = [], [], None
    for _ in range(runs):
        start = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return result, statistics.median(wall), min(cpu)


def set_up(kind: str, size: str, curve: str, path: Path) -> Row:
    """Makes and saves the keys of one circuit."""
    from zkfed.groth16.setup import development_keys

    rest = memory.now()
    case, build_s, _ = timed(lambda: Case(kind, size, curve), 1)
    predicted, alone = case.system.estimate(), case.system.estimate(threads=1)
    memory.reset_peak()
    key, wall, cpu = timed(lambda: development_keys(case.system), 1)
    peak = memory.peak()
    key.save(path)
    return {
        "name": case.system.name, "constraints": predicted.constraints, "wires": predicted.wires,
        "entries": predicted.entries, "threads": predicted.threads, "backend": predicted.backend,
        "build_s": build_s, "setup_s": wall, "setup_cpu_s": cpu, "setup_mb": (peak - rest) / 1e6,
        "key_bytes": path.stat().st_size, "proof_bytes": predicted.proof_bytes,
        "predicted": {
            "setup_s": predicted.setup_s, "setup_cpu_s": alone.setup_s, "setup_mb": predicted.setup_mb,
            "prove_s": predicted.prove_s, "prove_cpu_s": alone.prove_s, "prove_mb": predicted.prove_mb,
            "verify_ms": predicted.verify_ms, "key_bytes": predicted.proving_key_bytes,
        },
    }  # fmt: skip


def prove(kind: str, size: str, curve: str, path: Path) -> Row:
    """Opens the key of one circuit, proves and verifies."""
    from zkfed.groth16.keys import ProvingKey
    from zkfed.groth16.prove import Prover
    from zkfed.groth16.verify import verify

    rest = memory.now()
    case = Case(kind, size, curve)
    # From 2^17 constraints on, a first proof is no slower than the next ones.
    is_small = case.system.constraint_count < 1 << 17
    prover, open_s, _ = timed(lambda: Prover(ProvingKey.load(path), case.system), 1)
    memory.reset_peak()
    if is_small:
        case.prove(prover)
    proof, wall, cpu = timed(lambda: case.prove(prover), 5 if is_small else 2)
    peak = memory.peak()
    _, verify_s, _ = timed(lambda: verify(prover.key.verifying, case.instance, proof), 21)
    return {
        "open_s": open_s, "prove_s": wall, "prove_cpu_s": cpu, "prove_mb": (peak - rest) / 1e6,
        "verify_ms": verify_s * 1e3,
    }  # fmt: skip


def measured(kind: str, size: str, curve: str, backend: str = "") -> Row:
    """Measures one circuit in two processes, on the named backend or on the one that `use` chooses."""
    row: Row = {"kind": kind, "size": size, "curve": curve}
    environment = os.environ | ({"ZKFED_BACKEND": backend} if backend else {})
    with tempfile.TemporaryDirectory() as folder:
        for step in ("set_up", "prove"):
            argv = [sys.executable, "-m", "benches.scaling", "--step", step, kind, size, curve, f"{folder}/key"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
            if done.returncode:
                raise SystemExit(f"{kind} {size}: {step} failed\n{done.stderr[-2000:]}")
            row |= json.loads(done.stdout)
    return row


# -- all of them -------------------------------------------------------------------------------------


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m benches.scaling", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--largest", type=int, default=20, help="log2 of the most constraints")
    parser.add_argument("--curve", default="bls12-381")
    parser.add_argument("--report", action="store_true", help="only write the page anew, from build/scaling.json")
    parser.add_argument("--step", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step, kind, size, curve, path = options.step
        work = {"set_up": set_up, "prove": prove}[step]
        print(json.dumps(work(kind, size, curve, Path(path))))
        return
    from benches.scaling_report import load, save, write

    if options.report:
        write(load(ROOT), ROOT)
        return
    rows = []
    for kind, size in cases(options.largest):
        rows.append(measured(kind, size, options.curve))
        save(rows, ROOT)
        r = rows[-1]
        print(
            f"{r['name']:32} setup {r['setup_s']:7.2f} s, prove {r['prove_s']:7.3f} s (predicted "
            f"{r['predicted']['prove_s']:.3f}), verify {r['verify_ms']:5.1f} ms, {r['prove_mb']:6.0f} MB",
            flush=True,
        )
    write(rows, ROOT)


if __name__ == "__main__":
    main()
