"""Writes the result: build/bench-peers.json, and the part of docs/benchmarks.md between the markers."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Goal", "between_markers", "goals", "machine", "section"]

BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"

Row = dict[str, Any]

METHOD = """\
Every prover gets the same `.r1cs` and `.wtns` and runs in a process of its own, bound to the same two cores, with two
threads. Proofs are made in turn, one prover at a time; times are medians of the rounds.

- **prove**: wall time from the whole witness in memory and the key loaded to the finished proof. zkfed's includes the
  check that the witness satisfies every row, as gnark's does, and the verification of the proof before it is returned;
  ark-groth16, groth16py, snarkjs and bellperson check neither. groth16py reads the witness file each time, and
  bellperson walks over the circuit again, because their interfaces want it. Nobody's time has witness generation.
- **ratio**: the prover's median over zkfed's; above 1, zkfed is faster.
- **CPU**: processor time of the process for one proof and its verification.
- **setup**: single-party key generation, without reading the circuit and writing the key; not in turn, and once if it
  takes long. The key of snarkjs is written by the bench from known trapdoors instead of a ceremony: it has no time.
- **verify**: median of 21, proof and inputs in memory, the key prepared if the prover can do that.
- **memory**: highest resident memory while proving; in brackets, above the runtime with its libraries loaded.
- **key**: the proving key's file as the prover writes it (uncompressed where it offers that); **proof**: compressed,
  but JSON for snarkjs and uncompressed for groth16py, which have no other form.

Each proof was accepted by its own prover's verifier, or there is no row."""


@dataclass(frozen=True)
class Goal:
    """A target of issue "The prover at the limit" beside what this run measured; lower is better."""

    what: str
    limit: float
    measured: float

    @property
    def is_met(self) -> bool:
        return self.measured <= self.limit


def goals(rows: list[Row]) -> Iterator[Goal]:
    """Yields the targets for which the run has both sides."""
    by = {(r["circuit"], r["curve"], r["peer"]): r for r in rows if "prove_s" in r}
    for (circuit, curve, peer), ours in by.items():
        if peer != "zkfed":
            continue
        where = f"{circuit}, {curve}"
        gnark, other = by.get((circuit, curve, "gnark")), by.get((circuit, curve, "groth16py"))
        if gnark:
            limit = 0.6 if circuit.startswith("improvement") else 0.9
            yield Goal(f"prove / gnark: {where}", limit, ours["prove_s"] / gnark["prove_s"])
            yield Goal(f"verify / gnark: {where}", 1.2, ours["verify_ms"] / gnark["verify_ms"])
        if other:
            yield Goal(f"setup / groth16py: {where}", 0.25, ours["setup_s"] / other["setup_s"])
        batch = ours["verify_batch_100_ms"] / (100 * ours["verify_ms"])
        yield Goal(f"batch of 100 / 100 singles: {where}", 0.35, batch)
        if ours["peak_mb"] is not None and 60_000 < ours["constraints"] <= 1 << 16:
            yield Goal(f"memory over the interpreter, MB: {where}", 100, ours["peak_mb"] - ours["rest_mb"])


def machine() -> str:
    """Describes the processor, its instruction sets, and the toolchains; names no host."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if os.path.exists("/proc/cpuinfo") else ""
    model = re.search(r"model name\s*: (.*)", info)
    flags = re.search(r"flags\s*: (.*)", info)
    known = ("avx2", "bmi2", "adx", "avx512f", "avx512ifma")
    present = [name for name in known if flags and name in flags[1].split()]
    family = re.search(r"cpu family\s*: (.*)", info)
    cpu = f"{model[1]} (family {family[1]})" if model and family else platform.machine()
    tools = [f"Python {platform.python_version()}"]
    for argv in (["rustc", "--version"], ["go", "version"], ["node", "--version"]):
        if shutil.which(argv[0]):
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            version = re.search(r"\d+\.\d+\.\d+", said)
            tools.append(f"{argv[0]} {version[0] if version else 'of unknown version'}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {cpu}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{', '.join(present) or 'no known vector extensions'}; {', '.join(tools)}."
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _line(row: Row) -> str:
    above = None if row["peak_mb"] is None else row["peak_mb"] - row["rest_mb"]
    name = f"{row['peer']} {row['version']}".strip()
    cells = [
        f"**{name}**" if row["peer"] == "zkfed" else name,
        _number(row["prove_s"], ".3f"),
        _number(row["ratio_to_zkfed"], ".2f"),
        _number(row["prove_cpu_s"], ".2f"),
        _number(row["setup_s"], ".2f"),
        _number(row["verify_ms"], ".2f"),
        "-" if above is None else f"{row['peak_mb']:.0f} ({above:.0f})",
        _number(row["key_bytes"] / 1e6, ".1f"),
        str(row["proof_bytes"]),
    ]
    return "| " + " | ".join(cells) + " |"


def section(rows: list[Row], absent: dict[str, str], about: str) -> str:
    """Returns the text between the markers.

    Args:
        rows: As `race` yields them; those with `failed` are named below the table.
        absent: The provers that this machine could not have, and why.
        about: The machine, the date and what was measured.
    """
    good = [r for r in rows if "prove_s" in r]
    rounds = min((len(r["prove_runs_s"]) for r in good), default=0)
    lines = [about, "", METHOD, "", f"Medians of {rounds} rounds:", ""]
    head = ["", "prove s", "ratio", "CPU s", "setup s", "verify ms", "memory MB", "key MB", "proof B"]
    lines += ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    for key in dict.fromkeys((r["circuit"], r["curve"], r["constraints"]) for r in good):
        group = [r for r in good if (r["circuit"], r["curve"], r["constraints"]) == key]
        lines.append(f"| *{key[0]}, {key[1]}, {key[2]:,} constraints* |" + " |" * (len(head) - 1))
        lines += [_line(r) for r in sorted(group, key=lambda r: r["prove_s"])]
    lines += ["", "Targets, measured in this run (zkfed's figure over the peer's; lower is better):", ""]
    lines += ["| | target | measured | |", "|---|--:|--:|---|"]
    lines += [f"| {g.what} | {g.limit:g} | {g.measured:.2f} | {'met' if g.is_met else 'missed'} |" for g in goals(rows)]
    missing = [f"- {name}: absent, {why}" for name, why in absent.items()]
    missing += [f"- {r['peer']} on {r['circuit']}, {r['curve']}: {r['failed']}" for r in rows if "failed" in r]
    return "\n".join([*lines, "", *missing]).rstrip() + "\n"


def between_markers(document: str, text: str) -> str:
    """Returns the document with the text between the markers; adds them at the end if they are missing."""
    if BEGIN not in document:
        document = document.rstrip() + f"\n\n## Beside other Groth16 provers\n\n{BEGIN}\n{END}\n"
    head, _, rest = document.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n{text}{END}{tail}"
