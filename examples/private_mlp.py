"""A neural network improved on rows that nobody else sees: MLP 784-128-10, 100 of 400 private rows.

    python -m examples.private_mlp

The digits of scikit-learn, enlarged to 28 x 28. A weak public model, a client that registers 400 of
its rows, trains on its other rows, commits to the update, and proves on 100 rows that are drawn
afterwards that the cross-entropy falls by at least 10 %.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits

import zkfed
from zkfed.statements.draw import beacon_output
from zkfed.statements.own_keys import OwnKeys, own_data_setup

Floats = npt.NDArray[np.float64]
MODEL = zkfed.MLP(features=784, hidden=(128,), classes=10)
STATEMENT = zkfed.Improvement(
    model=MODEL, rows=100, at_least="10%", loss="cross-entropy", registration=zkfed.Registration(rows=400)
)
console = Console()


def digits() -> tuple[Floats, npt.NDArray[np.int64]]:
    """Returns 1,797 digits as 784 pixels in [0, 1], shuffled, and their labels."""
    data = load_digits()
    large = np.kron(data.images / 16.0, np.ones((1, 4, 4)))[:, 2:-2, 2:-2]  # 32 x 32, cut to 28 x 28
    order = np.random.default_rng(1).permutation(len(large))
    return large.reshape(len(large), -1)[order], data.target[order]


def train(weights: Floats, x: Floats, y: npt.NDArray[np.int64], *, steps: int, rate: float = 0.3) -> Floats:
    """Returns weights after gradient steps on the mean cross-entropy."""
    inner, outer = (m.copy() for m in MODEL.split(weights))
    x = np.hstack([x, np.ones((len(x), 1))])
    for _ in range(steps):
        z = x @ inner
        a = np.hstack([np.maximum(z, 0), np.ones((len(x), 1))])
        logits = a @ outer
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error = (p - np.eye(10)[y]) / len(x)
        outer, inner = outer - rate * a.T @ error, inner - rate * x.T @ ((error @ outer[:-1].T) * (z > 0))
    return np.concatenate([inner.ravel(), outer.ravel()])


def timed(what: str, call: Callable[[], Any]) -> Any:
    """Runs a step under a spinner and says how long it took."""
    start = time.perf_counter()
    with console.status(what):
        out = call()
    console.print(f"{what:58} {time.perf_counter() - start:6.2f} s", highlight=False)
    return out


def prove(keys: OwnKeys, *arguments: Any, beacon: bytes) -> Any:
    """Proves under a bar."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("proving", total=1.0)
        return keys.prove(*arguments, beacon=beacon, report=lambda part: bar.update(task, completed=part))


def main() -> None:
    """Registers, trains, commits, proves and verifies."""
    x, y = digits()
    generator = np.random.default_rng(2)
    start = np.concatenate([generator.normal(0, 0.05, m * c).ravel() for m, c in MODEL.layers])
    before = train(start, x[:100], y[:100], steps=20)
    own, others = slice(100, 500), slice(500, None)

    keys = timed(f"keys of {MODEL.parameters:,} parameters (development)", lambda: own_data_setup(STATEMENT))
    signer = secrets.token_bytes(32)
    record, rows = timed("registering 400 rows", lambda: keys.register(x[own], y[own], signer=signer))
    after = timed("training on other rows", lambda: train(before, x[others], y[others], steps=60))
    update = keys.commit(before=before, after=after)
    # In a federation, adders and key holder committed to their nonces before; here they are drawn now.
    beacon = beacon_output(
        bytes(32), [bytes(32)], nonce_adders=secrets.token_bytes(32), nonce_holder=secrets.token_bytes(32)
    )
    began = time.perf_counter()
    claim, proof = prove(keys, update, rows, record, beacon=beacon)
    count = keys.prover.system.constraint_count
    console.print(f"{f'proving, {count:,} constraints':58} {time.perf_counter() - began:6.2f} s", highlight=False)
    timed("checking the registration", lambda: keys.verifier.accept(record))
    timed("verifying", lambda: keys.verifier.verify(claim, proof, record))
    console.print(f"{len(proof)} bytes say: {claim}", highlight=False)


if __name__ == "__main__":
    main()
