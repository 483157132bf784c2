"""`make bench-statistics`: all libraries side by side on this machine, into build/ and docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from benches.cohorts.install import LIBRARIES, Absent, Installed, install
from benches.cohorts.measure import CASES
from benches.cohorts.probes import PROBES
from benches.cohorts.table import between_markers, harms, section
from benches.peers.__main__ import measured
from benches.peers.process import last_words
from benches.peers.table import machine

ROOT = Path(__file__).resolve().parent.parent.parent
RESULT, DOCUMENT = ROOT / "build" / "statistics-peers.json", ROOT / "docs" / "benchmarks.md"
PROGRAM_S_MAX = 600


def main() -> None:
    """Runs everything and writes what it found."""
    parser = argparse.ArgumentParser(prog="python -m benches.cohorts", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="leave docs/benchmarks.md as it is")
    chosen, start = parser.parse_args(), time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {text}", flush=True)

    stamp = measured().replace("bench-peers", "bench-statistics")
    found = dict(install())
    peers = {name: x for name, x in found.items() if isinstance(x, Installed)}
    result: dict[str, Any] = {
        "versions": {name: peer.version for name, peer in peers.items()},
        "absent": {name: str(x) for name, x in found.items() if isinstance(x, Absent)},
        "measured": [],
        "probes": [],
    }
    say(f"{result['versions']}, absent: {result['absent'] or 'none'}")
    for case in CASES:
        for noise in ("laplace", "gaussian"):
            for name, peer in peers.items():
                # diffprivlib's histogram has one noise.
                if (name, noise) != ("diffprivlib", "gaussian"):
                    row = run(peer, "measure", f"library_{name}", case, noise)
                    result["measured"].append({"library": name, "case": case, "noise": noise, **row})
                    say(f"{case} {noise} {name}: {row['error_95']:.1f} people, {row['seconds']:.2f} s")
    for probe in PROBES:
        for name, peer in peers.items():
            row = run(peer, "probes", f"library_{name}", probe)
            result["probes"].append({"library": name, "probe": probe, **row})
            say(f"{probe}, {name}: {row['text']}{' (harm)' if row['is_harm'] else ''}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not chosen.dry:
        text = section(result, textwrap.fill(f"{stamp} {machine()}", 118))
        DOCUMENT.write_text(between_markers(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")
    for name in (x for x in LIBRARIES if x in peers):
        print(f"{name:12} {len(harms(result, name)):2} of {len(PROBES)} probes did harm that nobody was told of")


def run(peer: Installed, module: str, *arguments: str) -> dict[str, Any]:
    """Runs one program in a library's Python, with a folder of its own; returns what it printed last."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [peer.python, "-m", f"benches.cohorts.{module}", *arguments, folder]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            argv, cwd=ROOT, env=environment, timeout=PROGRAM_S_MAX, check=False, capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(argv[2:])}: {last_words(done.stderr)}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
