"""`zkfed demo`: a small federation on scikit-learn's digits, in one process, with a public check at its end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zkfed.cli.arguments import make_folder, whole
from zkfed.cli.output import HOLDS, Missing, Output

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("demo", help="a small federation on real data, in one process")
    added.add_argument("--devices", type=whole(2, 1300), default=80)
    added.add_argument("--rounds", type=whole(1, 1000), default=2)
    added.add_argument("--out", type=Path, help="where to put the transcript")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Runs it, checks its record, and says how well the model does on rows that nobody trained on."""
    import numpy as np

    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise Missing("the demo's data come with scikit-learn: pip install 'zkfed[demo]'") from None
    from zkfed.layers.bridge import check_release
    from zkfed.local import LocalFederation
    from zkfed.orchestrator.client import Shard
    from zkfed.policy import Improvement, LinearModel, RoundPolicy
    from zkfed.renderers.following import follow, renderer

    make_folder(options.out)
    digits = load_digits()
    # Means of 2 x 2 pixels: 170 parameters, so that the noise of so few devices leaves something to see.
    x, y = digits.images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) / 8.0 - 1.0, digits.target
    statement = Improvement(model=LinearModel(features=16, classes=10), rows=200, at_least="1%")
    policy = RoundPolicy(
        statement=statement, clip_norm=1.0, epsilon=4.0, delta=1e-6, min_clients=2,
        max_clients=max(64, options.devices), epsilon_max=100.0,
    )  # fmt: skip
    shards = [Shard(x[400 + i :: options.devices], y[400 + i :: options.devices]) for i in range(options.devices)]
    federation = LocalFederation(policy, shards, benchmark=(x[:200], y[:200]))
    try:
        for _ in follow(federation.run(options.rounds), renderer("auto", stream=output.err)):
            pass
    finally:
        if options.out is not None and federation.transcript.rounds:
            federation.transcript.save(options.out)
    check_release(federation.transcript)
    test = np.hstack([x[200:400], np.ones((200, 1))])
    accuracy = float((np.argmax(test @ federation.model, axis=1) == y[200:400]).mean())
    text = f"accuracy on 200 rows that nobody trained on: {accuracy:.1%}\n{federation.guarantee()}"
    output.result(text, {"accuracy": accuracy, "rounds": len(federation.transcript.rounds)})
    return HOLDS
