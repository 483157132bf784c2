"""`make bench-peers`: all provers side by side on this machine, into build/ and docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import time
from pathlib import Path

from benches.peers.circuits import CIRCUITS
from benches.peers.install import INSTALLERS, Absent, Peer, install
from benches.peers.process import bind
from benches.peers.run import race
from benches.peers.table import between_markers, goals, machine, section

ROOT = Path(__file__).resolve().parent.parent.parent
RESULT, DOCUMENT = ROOT / "build" / "bench-peers.json", ROOT / "docs" / "benchmarks.md"
TITLE = "# Benchmarks\n\nWritten by the tools that measured; no number here was typed.\n"


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benches.peers", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="no circuits of 2^18 constraints (10 instead of 25 minutes)"
    )
    parser.add_argument(
        "--circuits", default="", help="only those whose name and curve contain one of these words, a,b"
    )
    parser.add_argument("--peers", default=",".join(INSTALLERS), help="only these, of %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="proofs of each prover (%(default)s)")
    parser.add_argument("--dry", action="store_true", help="leave docs/benchmarks.md as it is")
    return parser.parse_args()


def measured() -> str:
    """Returns the date, the commit, and how busy the machine was before the bench began."""
    argv = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    load = os.getloadavg()[0]
    busy = f", while other programs kept {load:.0f} threads running: the times are too long" if load > 1 else ""
    return f"Measured on {dt.datetime.now(dt.UTC):%Y-%m-%d} at commit {commit} by `make bench-peers`{busy}."


def main() -> None:
    """Runs the bench and writes what it found."""
    chosen, start = options(), time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {text}", flush=True)

    cores, stamp = bind(), measured()
    say(f"bound to the cores {cores}" if cores else "this system cannot bind a process to cores")
    peers: list[Peer] = []
    absent: dict[str, str] = {}
    for name, peer in install([*chosen.peers.split(",")]):
        if isinstance(peer, Absent):
            absent[name] = str(peer)
        else:
            peers.append(peer)
        say(f"{name}: " + (f"absent, {peer}" if isinstance(peer, Absent) else f"ready {peer.version}".strip()))
    words = [w for w in chosen.circuits.split(",") if w]
    rows = []
    for spec in CIRCUITS:
        if (chosen.quick and spec.is_large) or (words and not any(w in spec.key for w in words)):
            continue
        rows += race(spec, peers, chosen.rounds, say)
        RESULT.write_text(json.dumps(rows + [{"peer": p, "absent": why} for p, why in absent.items()], indent=1) + "\n")
    if not chosen.dry:
        document = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else TITLE
        text = section(rows, absent, f"{stamp} {machine()}")
        DOCUMENT.write_text(between_markers(document, text), encoding="utf-8")
    for goal in goals(rows):
        print(f"{goal.what:60} {goal.measured:8.2f}   target {goal.limit:g}   {'met' if goal.is_met else 'MISSED'}")
    say(f"written: {RESULT.relative_to(ROOT)}" + ("" if chosen.dry else f", {DOCUMENT.relative_to(ROOT)}"))


if __name__ == "__main__":
    main()
