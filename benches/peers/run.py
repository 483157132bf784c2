"""Runs every prover over every circuit and takes medians.

For each circuit: keys, one process for each prover, a warm-up; then proofs in turn, one prover
at a time, round after round, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benches.peers.circuits import Spec
from benches.peers.install import BUILD, Peer
from benches.peers.process import Failed, Server
from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import to_limbs
from zkfed.interop import write_r1cs, write_wtns

__all__ = ["Say", "race"]

Say = Callable[[str], None]
SETUP_LIMIT_S = 900.0
SETUP_REPEATS_S = 4.0
PROVE_LIMIT_S = 300.0


@dataclass
class _Entry:
    """A prover in one race."""

    peer: Peer
    server: Server
    row: dict[str, Any]
    proofs: list[dict[str, Any]] = field(default_factory=list)


def write_circuit(spec: Spec, folder: Path) -> tuple[Path, Path, int]:
    """Builds a circuit and its witness; returns the two files and the number of constraints."""
    system, z = spec.build(CURVES[spec.curve])
    system.check(*system.evaluate(z))
    folder.mkdir(parents=True, exist_ok=True)
    r1cs, wtns = folder / f"{spec.key}.r1cs", folder / f"{spec.key}.wtns"
    write_r1cs(system, r1cs)
    write_wtns(to_limbs(z.tolist()), system, wtns)
    return r1cs, wtns, system.constraint_count


def race(spec: Spec, peers: list[Peer], rounds: int, say: Say) -> Iterator[dict[str, Any]]:
    """Yields the row of each prover on one circuit; one that fails has no row but a `failed`."""
    r1cs, wtns, constraints = write_circuit(spec, BUILD / "circuits")
    say(f"{spec.name} on {spec.curve}: {constraints} constraints")
    entries: list[_Entry] = []
    with contextlib.ExitStack() as stack:
        for peer in peers:
            if spec.curve not in peer.curves or constraints > peer.largest:
                continue
            row = {"circuit": spec.name, "constraints": constraints, "curve": spec.curve, "peer": peer.name}
            row["version"] = peer.version
            try:
                server = _start(peer, (r1cs, wtns), row, say)
                entries.append(_Entry(peer, stack.enter_context(server), row))
            except Failed as failed:
                say(f"  {peer.name}: {failed}")
                yield row | {"failed": str(failed)}
        yield from _rounds(entries, rounds, say)


def _start(peer: Peer, files: tuple[Path, Path], row: dict[str, Any], say: Say) -> Server:
    """Makes the keys and loads everything; one proof is made and accepted."""
    keys = BUILD / "keys" / peer.name
    shutil.rmtree(keys, ignore_errors=True)
    keys.mkdir(parents=True)
    if peer.key_writer:
        peer.key_writer.ask(files[0], keys / "zkey", limit_s=SETUP_LIMIT_S)
        row["setup_s"] = None
    else:
        row["setup_s"] = _setup(peer, files[0], keys)
    server = Server(peer.driver, "serve", *files, keys, limit_s=PROVE_LIMIT_S)
    try:
        row |= server.ask("load")
    except Failed:
        server.__exit__()
        raise
    row["rest_mb"] = server.rest_mb
    setup = "key written by the bench" if row["setup_s"] is None else f"setup {row['setup_s']:.2f} s"
    say(f"  {peer.name}: {setup}, warm")
    shutil.rmtree(keys)
    return server


def _setup(peer: Peer, r1cs: Path, keys: Path) -> float:
    """Returns the median time of three setups, or the time of one that takes long."""
    times: list[float] = []
    while not times or (len(times) < 3 and sum(times) < SETUP_REPEATS_S):
        times.append(peer.driver.ask("setup", r1cs, keys, limit_s=SETUP_LIMIT_S)["setup_s"])
    return statistics.median(times)


def _rounds(entries: list[_Entry], rounds: int, say: Say) -> Iterator[dict[str, Any]]:
    for number in range(1, rounds + 1):
        for entry in [*entries]:
            try:
                entry.proofs.append(entry.server.ask("prove"))
                if number == rounds:
                    entry.row |= entry.server.ask("verify")
            except Failed as failed:
                say(f"  {entry.peer.name}: {failed}")
                entries.remove(entry)
                yield entry.row | {"failed": str(failed)}
        times = ", ".join(f"{e.peer.name} {e.proofs[-1]['prove_s']:.3f}" for e in entries)
        say(f"  round {number} of {rounds}: {times}")
    for entry in entries:
        entry.row |= summary(entry.proofs)
    ours = next((e.row["prove_s"] for e in entries if e.peer.name == "zkfed"), None)
    for entry in entries:
        yield entry.row | {"ratio_to_zkfed": None if ours is None else entry.row["prove_s"] / ours}


def summary(proofs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the medians of several proofs, the single times, and the highest memory."""
    times = [p["prove_s"] for p in proofs]
    cpu = [p["cpu_s"] for p in proofs if p["cpu_s"] is not None]
    peaks = [p["peak_mb"] for p in proofs if p["peak_mb"] is not None]
    return {
        "prove_s": statistics.median(times),
        "prove_runs_s": times,
        "prove_cpu_s": statistics.median(cpu) if cpu else None,
        "peak_mb": max(peaks, default=None),
    }
