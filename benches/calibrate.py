"""Measures the unit costs of every backend that is here and prints them as zkfed/r1cs/costs.py holds them.

    python -m benches.calibrate [backend ...]

Times are CPU seconds of one thread, the lower quartile of several runs, so that neighbours
disturb little; the speed of two threads follows from their CPU time. What a proof and a setup need beside sums and
transforms is the rest of whole ones of improvement circuits, divided by the entries of their
matrices. About two minutes for each backend and curve.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benches import memory
from benches.proving import Statement, improvement
from benches.scaling import measured as measured_in_fresh
from benches.synthetic import dense
from zkfed.algebra.arkworks import ArkworksBackend
from zkfed.algebra.backend import Backend, Group, backends
from zkfed.algebra.curve import CURVES, Curve
from zkfed.algebra.field import Limbs, to_limbs
from zkfed.algebra.native import NativeBackend
from zkfed.algebra.reference import ReferenceBackend
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.policy import LinearModel
from zkfed.r1cs.costs import CLASS_BITS, CLASSES, SIZES, UNIT_COSTS, Prices, UnitCosts
from zkfed.r1cs.estimate import estimate
from zkfed.r1cs.system import System
from zkfed.r1cs.witness import Assignment
from zkfed.statements.improvement import improvement_circuit

GROUPS: tuple[Group, Group] = ("G1", "G2")
RUNS = {"native": 9, "arkworks": 5, "reference": 1}
SIZES_OF = {"native": SIZES, "arkworks": SIZES[:2], "reference": (1 << 4,)}
MODEL_OF = {
    "native": (LinearModel(200, 10), 200),
    "arkworks": (LinearModel(64, 10), 200),
    "reference": (LinearModel(3, 3), 20),
}
FRESH_OF = {
    "native": ((64, 10, 200), (640, 10, 200)),
    "arkworks": ((16, 10, 200), (64, 10, 200)),
    "reference": ((3, 3, 20), (10, 3, 20)),
}


def cpu_seconds(work: Callable[[], object], runs: int) -> float:
    """Returns the CPU time of the typical undisturbed run."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return undisturbed(times)


def undisturbed(times: list[float]) -> float:
    """Returns the lower quartile: neighbours make runs slower, and a clock may err once."""
    return sorted(times)[len(times) // 4]


def scalars(of_class: int, count: int, order: int) -> Limbs:
    """Draws scalars of one size class: bits, signed integers, or any."""
    if of_class == 0:
        return to_limbs([secrets.randbelow(2) for _ in range(count)])
    if of_class == len(CLASS_BITS):
        return to_limbs([secrets.randbelow(order) for _ in range(count)])
    top = 1 << CLASS_BITS[of_class]
    return to_limbs([(secrets.randbelow(2 * top - 1) - top + 1) % order for _ in range(count)])


def prices(backend: Backend, group: Group) -> Prices:
    """Measures the price of a term for each class and size, in ns; all of them in turn, several times."""
    sizes, order = SIZES_OF[backend.name], backend.curve.order
    points = backend.generator(group, scalars(len(CLASS_BITS), sizes[-1], order))
    found: dict[tuple[int, int], list[float]] = {}
    for _ in range(RUNS[backend.name]):
        for of_class in range(len(CLASS_BITS) + 1):
            for n in sizes:
                some, values = backend.take(points, np.arange(n)), scalars(of_class, n, order)
                # Short sums take less than the clock resolves.
                repeat = max(1, 4096 // n) if backend.name == "native" else 1
                start = time.process_time()
                for _ in range(repeat):
                    backend.msm(some, values)
                price = (time.process_time() - start) / (n * repeat) * 1e9
                found.setdefault((of_class, n), []).append(price)
    return tuple(tuple(undisturbed(found[of_class, n]) for n in sizes) for of_class in range(len(CLASS_BITS) + 1))


def measured(name: str, curve: Curve) -> UnitCosts:
    """Measures all unit costs of one backend on one curve."""
    backend = single_threaded(name, curve)
    runs, n, order = RUNS[name], SIZES_OF[name][-1], curve.order
    full = scalars(len(CLASS_BITS), n, order)
    points = {group: backend.generator(group, full) for group in GROUPS}
    transform = cpu_seconds(lambda: backend.quotient(full, full, full), runs) / (n * math.log2(n))
    generator = [cpu_seconds(lambda g=g: backend.generator(g, full), runs) / n for g in GROUPS]
    scale = cpu_seconds(lambda: backend.scale(points["G1"], full), 1) / n

    def pairing(pairs: int) -> float:
        left, right = (backend.take(points[g], np.arange(pairs)) for g in GROUPS)
        return cpu_seconds(lambda: backend.is_pairing_product_one(left, right), 3 * runs)

    sizes = [in_a_fresh_process(point_bytes, name, curve, group) for group in GROUPS]
    costs = UnitCosts(
        g1=prices(backend, "G1"), g2=prices(backend, "G2"),
        transform_ns=transform * 1e9, generator_ns=(generator[0] * 1e9, generator[1] * 1e9), scale_ns=scale * 1e9,
        witness_ns=0, prove_ns=0, setup_ns=0, pairing_ms=(pairing(12) - pairing(4)) / 8 * 1e3, verify_ms=0,
        point_bytes=(sizes[0], sizes[1]), prove_bytes=0, setup_bytes=0,
        first_ms=0, fixed_bytes=(0, 0),
        speedup_of_two=speedup_of_two(backend),
    )  # fmt: skip
    UNIT_COSTS[name, curve.name] = costs
    costs = replace(costs, **rest_of_time(backend))
    UNIT_COSTS[name, curve.name] = costs
    return replace(costs, **rest_of_fresh(name, curve))


def in_a_fresh_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Returns work(...) of a new interpreter, whose memory holds nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def point_bytes(name: str, curve: Curve, group: Group) -> int:
    """Measures the memory of a point, with vectors too large for the allocator to keep."""
    backend, n = single_threaded(name, curve), 1 << (20 if name == "native" else 14)
    some = backend.generator(group, scalars(len(CLASS_BITS), 16, curve.order))
    points = backend.take(some, np.arange(n) % len(some))
    held = memory.now()
    kept = [backend.add(points, points) for _ in range(3)]
    return round((memory.now() - held) / (len(kept) * n))


def rest_of_time(backend: Backend) -> dict[str, float]:
    """Fits what a setup, a proof and a verification need beside the parts that are measured one by one.

    Those parts are timed again, in turn with the whole, so that a change of the machine's speed
    meets both.
    """
    statement = improvement(*MODEL_OF[backend.name], backend)
    system, known = statement.system, estimate(statement.system, backend.name, 1)
    key = development_keys(system, backend)
    prover = Prover(key, system)
    z = prover.assignment(statement.instance, statement.private)
    proof = prover.prove(statement.instance, statement.private, statement.blinders)
    full = scalars(len(CLASS_BITS), sum(map(sum, known.weight.values())), backend.curve.order)
    parts: dict[str, Callable[[], object]] = {
        "prove": lambda: prover.prove(statement.instance, statement.private, statement.blinders),
        "sums": lambda: sums(key, system, z, full),
        "witness": lambda: witness(statement),
        "sketches": lambda: sketches(statement),
        "verify": lambda: verify(key.verifying, statement.instance, proof),
        "plain": plain_verification(backend),
    }
    found: dict[str, list[float]] = {part: [] for part in parts}
    for _ in range(RUNS[backend.name]):
        for part, work in parts.items():
            found[part].append(cpu_seconds(work, 1))
    took = {part: undisturbed(times) for part, times in found.items()}
    verify_s, witness_s = took["verify"] - took["sketches"], took["witness"] - took["sketches"]
    # A statement's own sketches of public data, computed by prover and verifier, are no part of the model.
    prove_s = took["prove"] - took["sums"] - witness_s - verify_s - 2 * took["sketches"]
    rows = known.entries + known.domain
    # What is hashed and summed for a segment and a link comes with their pairs.
    pairs, fixed_ms = 4 + len(key.verifying.sigma) + len(key.verifying.kappa), took["plain"] * 1e3
    public_ms = known.verify_ms - pairs * UNIT_COSTS[backend.name, backend.curve.name].pairing_ms
    pairing_ms = (verify_s * 1e3 - public_ms - fixed_ms) / (pairs - 4)
    return {
        "witness_ns": witness_s / sum(len(wires) for _, wires, _ in system.steps) * 1e9,
        "prove_ns": max(prove_s, 0) / rows * 1e9,
        "pairing_ms": pairing_ms,
        "verify_ms": max(fixed_ms - 4 * pairing_ms, 0),
    }


def plain_verification(backend: Backend) -> Callable[[], None]:
    """Returns the verification of a circuit without segments and links."""
    plain = dense(40, backend.curve)
    key = development_keys(plain.system, backend)
    proof = Prover(key, plain.system).prove_assignment(plain.instance, plain.assignment)
    return lambda: verify(key.verifying, plain.instance, proof)


def sums(key: ProvingKey, system: System, z: Limbs, full: Limbs) -> None:
    """Does the quotient and the sums of one proof, with the witness's own scalars."""
    backend, side = key.verifying.backend, full[: len(key.h)]
    h = backend.quotient(side, side, side)
    backend.msm(key.a, z[key.a_wires])
    backend.msm(key.b2, z[key.b_wires])
    backend.msm(key.b1, z[key.b_wires])
    backend.msm(key.k, z[system.private_start :])
    backend.msm(key.h, h)
    pok, link, one = iter(key.pok), iter(key.link), to_limbs([1])
    for i, (segment, basis) in enumerate(zip(system.segments, key.bases, strict=True)):
        values = z[segment.start : segment.stop]
        backend.msm(basis, values)
        if segment.is_linked:
            backend.msm(next(link), np.concatenate([values, one]))
        else:
            backend.msm(next(pok), full[: len(values)] if i > 1 else values)


def rest_of_fresh(name: str, curve: Curve) -> dict[str, float | tuple[float, float]]:
    """Fits what the first setup and proof of a process need beside the points: fixed, and for each entry.

    From two circuits, each set up in a new process and proven in another one.
    """
    sizes, setup_s, setup_bytes, prove_bytes = [], [], [], []
    for model in FRESH_OF[name]:
        known = improvement_circuit(LinearModel(*model[:2]), model[2], curve.name).estimate(name, 1)
        row = measured_in_fresh("improvement", "x".join(map(str, model)), curve.name, name)
        sizes.append(known.entries + known.domain)
        setup_s.append(row["setup_cpu_s"] - known.setup_s)
        setup_bytes.append((row["setup_mb"] - known.setup_mb) * 1e6)
        prove_bytes.append((row["prove_mb"] - known.prove_mb) * 1e6)

    def line(values: list[float]) -> tuple[float, float]:
        slope = max((values[1] - values[0]) / (sizes[1] - sizes[0]), 0)
        return max(values[0] - slope * sizes[0], 0), slope

    (first_s, each_s), setup, prove = line(setup_s), line(setup_bytes), line(prove_bytes)
    return {
        "first_ms": first_s * 1e3,
        "setup_ns": each_s * 1e9,
        "fixed_bytes": (setup[0], prove[0]),
        "setup_bytes": setup[1],
        "prove_bytes": prove[1],
    }


def witness(statement: Statement) -> None:
    """Fills the wires of a statement at fixed challenges."""
    system, instance = statement.system, statement.instance
    assignment = Assignment(system, system.layout.check_static(instance.static | {"ctx": 1}), statement.private)
    known: dict[str, int] = {}
    for stage in range(system.stage_count + 1):
        if stage:
            known |= (drawn := challenges(statement, stage))
            assignment.set_inputs(stage, drawn | instance.derive(stage, known))
        assignment.run(stage)
    assignment.final()


def sketches(statement: Statement) -> None:
    """Computes the derived inputs of a statement, as prover and verifier both do."""
    system, known = statement.system, {}
    for stage in range(1, system.stage_count + 1):
        known |= challenges(statement, stage)
        statement.instance.derive(stage, known)


def challenges(statement: Statement, stage: int) -> dict[str, int]:
    """Returns fixed values of one stage's challenges."""
    return {i.name: 1 << 200 | i.start for i in statement.system.inputs if i.stage == stage and i.is_challenge}


def speedup_of_two(backend: Backend) -> float:
    """Returns 2, less what a sum of 2^14 full-size terms needs in CPU time on two threads more than on one."""
    if not isinstance(backend, NativeBackend):
        return 1.0
    two, values = NativeBackend(backend.curve, threads=2), scalars(len(CLASS_BITS), 1 << 14, backend.curve.order)
    points = two.generator("G1", values)
    alone, together = (cpu_seconds(lambda b=b: b.msm(points, values), 15) for b in (backend, two))
    return min(2.0, 2 * alone / together)


def single_threaded(name: str, curve: Curve) -> Backend:
    """Returns a backend that computes on one thread."""
    if name == "native":
        return NativeBackend(curve, threads=1)
    return ArkworksBackend() if name == "arkworks" else ReferenceBackend(curve)


def literal(name: str, curve: str, costs: UnitCosts) -> str:
    """Returns one entry of UNIT_COSTS as it stands in the module."""

    def digits(value: float) -> str:
        return f"{float(f'{value:.3g}'):.12g}"

    def tuple_of(values: tuple[float, ...]) -> str:
        return f"({', '.join(digits(v) for v in values)}{',' * (len(values) == 1)})"

    lines = [f'    ("{name}", "{curve}"): UnitCosts(']
    for field in UnitCosts.__dataclass_fields__:
        value = getattr(costs, field)
        if field in ("g1", "g2"):
            rows = [f"            {tuple_of(row)},  # {of}" for row, of in zip(value, CLASSES, strict=True)]
            lines += [f"        {field}=(", *rows, "        ),"]
        else:
            lines.append(f"        {field}={tuple_of(value) if isinstance(value, tuple) else digits(value)},")
    return "\n".join([*lines, "    ),"])


def cpu_model() -> str:
    """Returns the processor's name and how many threads of it this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} threads"


def main(wanted: list[str]) -> None:
    """Measures and prints."""
    print(f"# {cpu_model()}, CPython {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}.")
    for curve in CURVES.values():
        for status in backends(curve):
            is_here = status.is_available and curve.name in status.curves
            if is_here and (not wanted or status.name in wanted):
                print(literal(status.name, curve.name, measured(status.name, curve)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
