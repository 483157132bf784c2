"""A federation of five processes over HTTP on loopback: `zkfed serve`, `zkfed hold`, and three times `zkfed join`.

    python -m examples.serve_and_join --out build/serve-and-join

What you would type into five terminals. The node has the sealed updates and no key that decrypts; the key
holder has the key and sees noised sums only. Afterwards `zkfed check build/serve-and-join/transcript` re-checks
the record, as each of the three devices has done before it went.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

ZKFED = [sys.executable, "-m", "zkfed"]
DEVICES = 3


def write_rows(folder: Path) -> None:
    """Writes the public benchmark and three devices' rows as CSV, and one device's scikit-learn model."""
    digits = load_digits()
    x = digits.images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) / 8.0 - 1.0
    parts = {"benchmark": slice(0, 100)} | {f"rows-{i}": slice(100 + 400 * i, 500 + 400 * i) for i in range(DEVICES)}
    for name, rows in parts.items():
        table = np.hstack([x[rows], digits.target[rows, None]])
        np.savetxt(folder / f"{name}.csv", table, delimiter=",", fmt="%.9g")
    model = RidgeClassifier().fit(x[100:500], digits.target[100:500])
    # It fits -1 and 1 for each class, squared loss in zkfed 0 and 1: as it is, it would not lower the loss and sit out.
    np.savez(folder / "model-0.npz", coef=model.coef_ / 2, intercept=(model.intercept_ + 1) / 2)


def run(out: Path, *, rounds: int = 1) -> list[dict[str, Any]]:
    """Runs node, key holder and devices; returns what each of the five printed as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out)
    node_log, key = out / "node.log", out / "holder.key"
    for made_before in (key, *(out / f"state-{i}" for i in range(DEVICES))):  # of another federation
        made_before.unlink(missing_ok=True)
    made = subprocess.run(
        [*ZKFED, "keys", "sign", "--out", key, "--format", "json"], check=True, capture_output=True, text=True
    )
    holder = json.loads(made.stdout)["data"]["public_key"]
    serve = [
        *ZKFED, "serve", "--benchmark", out / "benchmark.csv", "--classes", "10", "--devices", str(DEVICES),
        "--rounds", str(rounds), "--port", "0", "--holder", holder, "--out", out / "transcript", "--format", "json",
    ]  # fmt: skip
    with node_log.open("w") as log:
        processes = [subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=log, text=True)]
        url, federation = _address(node_log, processes[0])
        hold = [*ZKFED, "hold", url, "--federation", federation, "--key", key, "--format", "json"]
        processes.append(subprocess.Popen(hold, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        for i in range(DEVICES):
            join = [
                *ZKFED, "join", url, "--federation", federation, "--data", out / f"rows-{i}.csv",
                "--key", out / f"device-{i}.key", "--state", out / f"state-{i}", "--format", "json",
            ]  # fmt: skip
            join += ["--model", out / "model-0.npz"] if i == 0 else []
            processes.append(subprocess.Popen(join, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        done = [process.communicate(timeout=120) for process in processes]
    for process, (_, err) in zip(processes, done, strict=True):
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {err or node_log.read_text()}")
    return [json.loads(text) for text, _ in done]


def _address(log: Path, node: subprocess.Popen[str]) -> tuple[str, str]:
    """Waits until the node has said where it is; returns (url, federation)."""
    for _ in range(600):
        found = re.search(r"zkfed join (\S+) --federation ([0-9a-f]{64})", log.read_text())
        if found:
            return found[1], found[2]
        if node.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"the node did not come up: {log.read_text()}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the example and returns an exit code."""
    parser = argparse.ArgumentParser(description="A federation of five processes over HTTP.")
    parser.add_argument("--out", type=Path, default=Path("build/serve-and-join"))
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    said = run(options.out)
    rounds, counted = [s["data"]["rounds"] for s in said], [s["data"]["counted"] for s in said[2:]]
    print(f"node: {rounds[0]} round(s); key holder: {rounds[1]} settled; devices: {rounds[2:]} checked,")
    print(f"and their updates counted in {counted} of them")
    print(f"{time.perf_counter() - start:.1f} s; now: zkfed check {options.out / 'transcript'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
