"""A neural network improved on rows that nobody else sees: MLP 784-128-10, 100 of 400 private rows.

    python -m examples.private_mlp              about a minute, most of it setup
    python -m examples.private_mlp --hidden 8 --rows 20

The digits of scikit-learn, enlarged to 28 x 28. A weak public model, a client that registers 400 of
its rows, trains on its other rows, commits to the update, and proves on 100 rows that are drawn
afterwards that the cross-entropy falls by at least 10 %.
"""

from __future__ import annotations

import argparse
import secrets
import sys
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
console = Console()


def digits() -> tuple[Floats, npt.NDArray[np.int64]]:
    """Returns 1,797 digits as 784 pixels in [0, 1], shuffled, and their labels."""
    data = load_digits()
    large = np.kron(data.images / 16.0, np.ones((1, 4, 4)))[:, 2:-2, 2:-2]  # 32 x 32, cut to 28 x 28
    order = np.random.default_rng(1).permutation(len(large))
    return large.reshape(len(large), -1)[order], data.target[order]


def train(model: zkfed.MLP, weights: Floats, rows: tuple[Floats, npt.NDArray[np.int64]], *, steps: int) -> Floats:
    """Returns weights after gradient steps on the mean cross-entropy."""
    (x, y), rate = rows, 0.3
    inner, outer = (m.copy() for m in model.split(weights))
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


def statement_of(hidden: int, rows: int) -> zkfed.Improvement:
    """Returns the claim: cross-entropy of a 784-hidden-10 perceptron on own rows, four times as many registered."""
    model = zkfed.MLP(features=784, hidden=(hidden,), classes=10)
    record = zkfed.Registration(rows=4 * rows)
    return zkfed.Improvement(model=model, rows=rows, at_least="10%", loss="cross-entropy", registration=record)


def run(hidden: int, rows: int) -> None:
    """Registers, trains, commits, proves and verifies."""
    statement, (x, y) = statement_of(hidden, rows), digits()
    model, registered = statement.model, slice(100, 100 + 4 * rows)
    others = x[registered.stop :], y[registered.stop :]
    generator = np.random.default_rng(2)
    start = np.concatenate([generator.normal(0, 0.05, m * c).ravel() for m, c in model.layers])
    before = train(model, start, (x[:100], y[:100]), steps=20)

    keys = timed(f"keys of {model.parameters:,} parameters (development)", lambda: own_data_setup(statement))
    signer = secrets.token_bytes(32)
    record, own = timed(
        f"registering {4 * rows} rows", lambda: keys.register(x[registered], y[registered], signer=signer)
    )
    after = timed("training on other rows", lambda: train(model, before, others, steps=60))
    update = keys.commit(before=before, after=after)
    # In a federation, adders and key holder committed to their nonces before; here they are drawn now.
    beacon = beacon_output(
        bytes(32), [bytes(32)], nonce_adders=secrets.token_bytes(32), nonce_holder=secrets.token_bytes(32)
    )
    constraints, began = keys.prover.system.constraint_count, time.perf_counter()
    claim, proof = prove(keys, update, own, record, beacon=beacon)
    console.print(f"{f'proving, {constraints:,} constraints':58} {time.perf_counter() - began:6.2f} s", highlight=False)
    timed("checking the registration", lambda: keys.verifier.accept(record))
    timed("verifying", lambda: keys.verifier.verify(claim, proof, record))
    console.print(f"{len(proof)} bytes say: {claim}", highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs the example and returns an exit code."""
    parser = argparse.ArgumentParser(description="A perceptron improved on private rows.")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--rows", type=int, default=100)
    options = parser.parse_args(arguments)
    run(options.hidden, options.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
