"""What keys and proofs of a circuit will cost, before any key is made.

    prove  = witness + rows + quotient + sums over A, B1, B2, K, H, segments, pok, link
    setup  = columns + one multiple of the generator for each point of the key
    verify = 4 + sigmas + kappas pairings + one sum over the public inputs

Counts of constraints, wires, points and bytes are exact. Times come from the unit costs of
costs.py; a statement's own preparation (its sketches of public data) is not in them.
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import backends
from zkfed.r1cs.costs import CLASSES, UNIT_COSTS, UnitCosts, class_of
from zkfed.r1cs.wires import FULL_SIZE

if TYPE_CHECKING:
    from zkfed.r1cs.system import System

__all__ = ["Estimate", "estimate"]

LINK_SCALES = 3
"""Multiples of single points that a setup makes for each wire of a link."""

Counts = tuple[int, ...]
"""How many scalars there are of each of CLASSES."""


@dataclass(frozen=True)
class Estimate:
    """The predicted cost of one circuit on one backend.

    Attributes:
        entries: Non-zero entries of A, B and C.
        domain: Size of the domain, a power of two.
        weight: For each part of a proof, how many of its points meet scalars of each of CLASSES.
        setup_s: Seconds of a development setup.
        phases: Seconds of each phase of a proof.
        verify_ms: Milliseconds to check one proof.
        setup_mb: Peak memory of a setup above the interpreter's, in MB.
        prove_mb: Peak memory of a proof above the interpreter's, in MB; the key is in it.
        proving_key_bytes: Points (both coordinates) and wire numbers; the file's header and padding are not in it.
        verifying_key_bytes: Points of the verifying key.
    """

    circuit: str
    curve: str
    backend: str
    threads: int
    constraints: int
    wires: int
    entries: int
    domain: int
    weight: dict[str, Counts]
    setup_s: float
    phases: dict[str, float]
    verify_ms: float
    setup_mb: float
    prove_mb: float
    proving_key_bytes: int
    verifying_key_bytes: int
    proof_bytes: int

    @property
    def prove_s(self) -> float:
        """Seconds of one proof, the prover's own check of it included."""
        return sum(self.phases.values())

    def _facts(self) -> list[tuple[str, str]]:
        phases = ", ".join(f"{name} {share(s, self.prove_s)}" for name, s in self.phases.items())
        return [
            ("constraints", f"{self.constraints:,} in a domain of {self.domain:,}"),
            ("wires, entries", f"{self.wires:,}, {self.entries:,}"),
            ("setup", f"{seconds(self.setup_s)}, {size(self.setup_mb * 1e6)} of memory"),
            ("prove", f"{seconds(self.prove_s)}, {size(self.prove_mb * 1e6)} of memory"),
            ("  of which", phases),
            ("verify", seconds(self.verify_ms / 1e3)),
            ("keys", f"proving {size(self.proving_key_bytes)}, verifying {size(self.verifying_key_bytes)}"),
            ("proof", f"{self.proof_bytes} bytes"),
        ]

    @property
    def _title(self) -> str:
        on = f"{self.threads} thread" + "s" * (self.threads > 1)
        return f"{self.circuit} on {self.curve}, {self.backend} backend, {on}"

    def __str__(self) -> str:
        lines = [self._title] + [f"  {name:16} {text}" for name, text in self._facts()]
        lines.append(f"  {'points by scalar':16}" + "".join(f"{name:>11}" for name in CLASSES))
        for part, counts in self.weight.items():
            lines.append(f"    {part:14}" + "".join(f"{n:>11,}" for n in counts))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def row(cells: list[str], tag: str = "td") -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        facts = "".join(row([name.strip(), text]) for name, text in self._facts())
        weight = row(["points by scalar", *CLASSES], "th")
        weight += "".join(row([part, *[f"{n:,}" for n in counts]]) for part, counts in self.weight.items())
        return f"<p>{html.escape(self._title)}</p><table>{facts}</table><table>{weight}</table>"


def seconds(value: float) -> str:
    """Returns a time with its unit, two digits."""
    return f"{value:.2g} s" if value >= 1 else f"{value * 1e3:.2g} ms" if value < 0.0995 else f"{value:.2f} s"


def size(value: float) -> str:
    """Returns a number of bytes with its unit, three digits."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} bytes"


def share(part: float, whole: float) -> str:
    """Returns a share in per cent."""
    return f"{part / whole:.0%}" if whole else "0%"


def estimate(system: System, backend: str | None, threads: int | None) -> Estimate:
    """See `System.estimate`."""
    name = backend or next(b.name for b in backends(system.curve) if b.is_chosen)
    costs = UNIT_COSTS.get((name, system.curve.name))
    if costs is None:
        raise ValueError(f"no measured costs of a backend {name!r} on {system.curve.name}")
    threads = _usable_cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"{threads} threads: expected at least 1")
    entries = _entries(system)
    rows = entries + system.domain_size
    weight, trapdoors = _weight(system), _unlinked(system) + 2 * len(system.links)
    verify_s = (costs.verify_ms + (4 + trapdoors) * costs.pairing_ms) * 1e-3
    verify_s += costs.sum_seconds("G1", (0, 0, 0, 0, 0, system.public_count))
    second = sum(weight["B2"])
    first = sum(sum(counts) for counts in weight.values()) - second + 2  # beta and delta
    curve, memory = system.curve, first * costs.point_bytes[0] + second * costs.point_bytes[1]
    g1, g2 = curve.point_bytes("G1"), curve.point_bytes("G2")
    return Estimate(
        circuit=system.name, curve=curve.name, backend=name, threads=threads,
        constraints=system.constraint_count, wires=system.wire_count, entries=entries, domain=system.domain_size,
        weight=weight,
        setup_s=_setup_seconds(system, costs, (first, second), threads),
        phases=_phases(system, costs, weight, threads) | {"check": verify_s},
        verify_ms=verify_s * 1e3,
        setup_mb=(memory + costs.fixed_bytes[0] + costs.setup_bytes * rows) / 1e6,
        prove_mb=(memory + costs.fixed_bytes[1] + costs.prove_bytes * rows) / 1e6,
        proving_key_bytes=2 * (first * g1 + second * g2) + 4 * (sum(weight["A"]) + second),
        verifying_key_bytes=(1 + system.public_count) * g1 + (2 + trapdoors) * g2,
        proof_bytes=_proof_points(system) * g1 + g2,
    )  # fmt: skip


def _usable_cores() -> int:
    # Not os.cpu_count(): a container or taskset may allow fewer.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _entries(system: System) -> int:
    return sum(len(m.columns) for m in system.matrices)


def _unlinked(system: System) -> int:
    return sum(not s.is_linked for s in system.segments)


def _proof_points(system: System) -> int:
    """Returns how many points of G1 a proof has: A, C, D_k, PoK, pi."""
    return 2 + len(system.segments) + bool(_unlinked(system)) + bool(system.links)


def _weight(system: System) -> dict[str, Counts]:
    """Counts the points of each part of a proof by the size class of their scalars."""
    classes = class_of(_found_magnitudes(system) if system.magnitudes is None else system.magnitudes)

    def count(wires: npt.NDArray[np.intp] | slice, *, full: int = 0) -> Counts:
        found = np.bincount(classes[wires], minlength=len(CLASSES))
        found[-1] += full
        return tuple(found.tolist())

    a, b = np.unique(system.a.columns), np.unique(system.b.columns)
    weight = {"A": count(a), "B1": count(b), "B2": count(b), "K": count(slice(system.private_start, None))}
    weight["H"] = count(slice(0), full=system.domain_size)
    is_first = True
    for s in system.segments:
        wires = slice(s.start, s.stop)
        weight[f"D {s.name}"] = count(wires)
        if s.is_linked:
            weight[f"link {s.name}"] = count(wires, full=1)  # the blinder
        else:
            # Scaled by powers of the fold's challenge, of which the first is 1.
            weight[f"PoK {s.name}"] = count(wires) if is_first else count(slice(0), full=s.stop - s.start)
            is_first = False
    return weight


def _found_magnitudes(system: System) -> npt.NDArray[np.uint8]:
    """Returns the sizes of wires of a circuit that no `Builder` made: bits are known by their own rows.

    The rows are a b (b - 1) = 0, whichever side holds b, and b b = b.
    """
    out = np.full(system.wire_count, FULL_SIZE, np.uint8)
    out[0] = 1
    (a, b, c), r = system.matrices, system.curve.order
    counts = [np.diff(m.indptr) for m in (a, b, c)]
    for one, two, sides in ((a, b, (1, 2, 0)), (b, a, (2, 1, 0))):
        rows = np.flatnonzero(np.logical_and.reduce([n == side for n, side in zip(counts, sides, strict=True)]))
        wire, at = one.columns[one.indptr[rows]], two.indptr[rows]
        pair, cancels = two.columns[[at, at + 1]], (two.coefficients[at] + two.coefficients[at + 1]) % r == 0
        is_bit = (pair.sum(axis=0) == wire) & (pair.min(axis=0) == 0) & cancels.astype(bool)
        out[wire[is_bit]] = 1
    rows = np.flatnonzero((counts[0] == 1) & (counts[1] == 1) & (counts[2] == 1))
    wires, values = zip(*[(m.columns[m.indptr[rows]], m.coefficients[m.indptr[rows]]) for m in (a, b, c)], strict=True)
    is_bit = (wires[0] == wires[1]) & (wires[1] == wires[2])
    out[wires[0][is_bit & ((values[0] * values[1] - values[2]) % r == 0).astype(bool)]] = 1
    return out


def _phases(system: System, costs: UnitCosts, weight: dict[str, Counts], threads: int) -> dict[str, float]:
    filled = sum(len(wires) for _, wires, _ in system.steps)
    n, speedup = system.domain_size, costs.speedup(threads)
    sums = {p: costs.sum_seconds("G2" if p == "B2" else "G1", counts) for p, counts in weight.items()}
    second = sums.pop("B2")
    return {
        "witness": costs.witness_ns * filled * 1e-9,
        "rows": costs.prove_ns * (_entries(system) + n) * 1e-9,
        "quotient": costs.transform_ns * n * np.log2(n).item() * 1e-9 / speedup,
        "G1 sums": sum(sums.values()) / speedup,
        "G2 sum": second / speedup,
    }


def _setup_seconds(system: System, costs: UnitCosts, points: tuple[int, int], threads: int) -> float:
    linked = sum(s.stop - s.start for s in system.segments if s.is_linked)
    first, second = points[0] + system.public_count, points[1] + 2
    made = first * costs.generator_ns[0] + second * costs.generator_ns[1] + LINK_SCALES * linked * costs.scale_ns
    rest = costs.setup_ns * (_entries(system) + system.domain_size) + costs.first_ms * 1e6
    return (made / costs.speedup(threads) + rest) * 1e-9
