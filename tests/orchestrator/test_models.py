"""Shows a whole round with a perceptron and another loss: the layers know a model by its shape alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import zkfed
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.client import Client
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.options import Options

MODEL = zkfed.MLP(4, (5,), 3)
CENTRES = np.random.default_rng(1).normal(size=(3, 4)) * 0.4


def rows(seed: int, count: int) -> tuple[Any, Any]:
    rand = np.random.default_rng(seed)
    labels = rand.integers(0, 3, count)
    return np.clip(CENTRES[labels] + rand.normal(size=(count, 4)) * 0.1, -1, 1), labels


def train(model: Any, base: Any, shard: Any, _round: int) -> Any:
    """Twenty gradient steps on the cross-entropy; a zero model has no gradient and starts at random."""
    start = base if base.any() else np.random.default_rng(5).normal(0, 0.1, base.shape)
    inner, outer = (m.copy() for m in model.split(start))
    x = np.hstack([shard.features, np.ones((len(shard.labels), 1))])
    for _ in range(20):
        z = x @ inner
        a = np.hstack([np.maximum(z, 0), np.ones((len(x), 1))])
        p = np.exp(a @ outer)
        error = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[shard.labels]) / len(x)
        outer, inner = outer - 0.5 * a.T @ error, inner - 0.5 * x.T @ ((error @ outer[:-1].T) * (z > 0))
    return np.concatenate([inner.ravel(), outer.ravel()])


def test_a_perceptron_is_federated(tmp_path: Path) -> None:
    statement = zkfed.Improvement(MODEL, rows=20, at_least="0.1%", loss="cross-entropy")
    policy = zkfed.RoundPolicy(statement=statement, clip_norm=0.5, epsilon=4.0, delta=1e-6, min_clients=3)
    federation = zkfed.LocalFederation(
        policy, [zkfed.Shard(*rows(i, 30)) for i in range(4)], benchmark=rows(9, 20),
        options=Options(make_client=lambda _i, device, shard: Client(device, shard, train)),
    )  # fmt: skip
    events = list(federation.run(rounds=1))
    assert all(e.accepted >= 3 for e in events if isinstance(e, Released))
    assert sum(isinstance(e, Released) for e in events) == 1
    assert federation.base.shape == MODEL.shape
    federation.transcript.save(tmp_path)
    zkfed.check_release(Transcript.load(tmp_path))
