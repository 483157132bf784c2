"""Who takes part in the demo: real rows, cut into skewed shards, and how a device trains.

The rows are data sets that scikit-learn ships. They are cut into a public benchmark, a test
set that no party uses, and one shard for each device. Features are the first principal
components of the *benchmark's* rows (labels unused), so the projection is public and says
nothing about a device.

`benches/learning.py` sweeps the numbers of the presets; docs/decisions/0002-demo-cohort.md
says why they are what they are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.fixedpoint import quantise_features, quantise_targets
from zkfed.orchestrator.client import Shard, Train, proximal_least_squares

__all__ = ["PRESETS", "Cohort", "Preset", "accuracy", "centralised", "dirichlet_shards", "load_cohort"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FEATURE_SCALE = 0.5
"""Standard deviation of a whitened feature; the bias is the constant 1.0. Smaller features
would let the bias carry most of the noise, larger ones would be cut at 1.0."""
RIDGE = 1e-3


@dataclass(frozen=True)
class Preset:
    """Every number of a demo run.

    Attributes:
        name: For the command line.
        title: For people.
        data: "digits" (10 classes) or "breast-cancer" (2).
        devices: How many, the cheats included; the last ones cheat.
        features: Principal components; the model has features + 1 rows.
        benchmark_rows: n of statement S2.
        test_rows: Rows that only judge the result.
        skew: Concentration of the Dirichlet label preferences; smaller is more skewed.
        strength: Of the proximal term of local training.
        schedule: The share X of round 1, 2, ...
        cheat_rounds: For each cheat the rounds in which it cheats; () is all.
        seed: Of the cut into benchmark, test and shards; noise and keys are never seeded.
    """

    name: str
    title: str
    data: str
    devices: int
    features: int
    rounds: int
    clip_norm: float
    server_rate: float
    schedule: tuple[str, ...]
    cheat_rounds: tuple[tuple[int, ...], ...]
    strength: float = 0.2
    skew: float = 1.0
    epsilon: float = 2.0
    delta: float = 1e-6
    min_clients: int = 16
    groups: int = 3
    benchmark_rows: int = 200
    test_rows: int = 397
    seed: int = 0


PRESETS = {
    "standard": Preset(
        name="standard",
        title="handwritten digits, 80 devices, 12 features",
        data="digits",
        devices=80,
        features=12,
        rounds=5,
        clip_norm=0.2,
        server_rate=2.0,
        schedule=("5%", "3%", "2%", "1%", "0.5%"),
        cheat_rounds=((), (), (1, 3, 5), (2,)),
        epsilon=1.5,
    ),
    "small": Preset(
        name="small",
        title="breast cancer, 14 devices, 4 features",
        data="breast-cancer",
        devices=14,
        features=4,
        rounds=3,
        clip_norm=0.3,
        server_rate=1.5,
        schedule=("2%", "1%", "1%"),
        cheat_rounds=((1,), (1,), (1,), (2,)),
        strength=0.1,
        skew=3.0,
        min_clients=4,
        groups=2,
        benchmark_rows=100,
        test_rows=169,
    ),
}


@dataclass(frozen=True)
class Cohort:
    """The rows of one run.

    Attributes:
        features: d, without the bias.
        classes: As in `zkfed.LinearModel`.
        benchmark: (X, y), public.
        test: (X, y), used by nobody but the account.
        shards: One a device.
        train: How a device trains.
        raw: All features of the training rows and of the test rows, for comparison.
    """

    features: int
    classes: int
    benchmark: tuple[Floats, Integers]
    test: tuple[Floats, Integers]
    shards: list[Shard]
    train: Train
    raw: tuple[Floats, Floats]


def load_cohort(preset: Preset) -> Cohort:
    """Returns the rows of a preset, equal on every call.

    Raises:
        ImportError: scikit-learn is missing; it comes with `pip install zkfed[demo]`.
    """
    pixels, labels = _rows(preset.data)
    # Simulation data only: keys, masks and noise never come from this generator.
    generator = np.random.default_rng(preset.seed)
    order = generator.permutation(len(pixels))
    public, test, rest = np.split(order, [preset.benchmark_rows, preset.benchmark_rows + preset.test_rows])
    x = whitened(pixels, pixels[public], preset.features)
    parts = dirichlet_shards(labels[rest], devices=preset.devices, skew=preset.skew, generator=generator)
    return Cohort(
        preset.features,
        int(labels.max()) + 1,
        (x[public], labels[public]),
        (x[test], labels[test]),
        [Shard(x[rest[part]], labels[rest[part]]) for part in parts],
        functools.partial(proximal_least_squares, strength=preset.strength),
        (pixels[rest[np.concatenate(parts)]], pixels[test]),
    )


def _rows(data: str) -> tuple[Floats, Integers]:
    from sklearn import datasets

    loaded = datasets.load_digits() if data == "digits" else datasets.load_breast_cancer()
    x = np.asarray(loaded.data, dtype=np.float64)
    spread = x.std(axis=0)
    return x / (16.0 if data == "digits" else spread), np.asarray(loaded.target, dtype=np.int64)


def whitened(rows: Floats, public: Floats, count: int) -> Floats:
    """Returns the first principal components of `public` for all rows, whitened, in [-1, 1]."""
    mean = public.mean(axis=0)
    _, _, axes = np.linalg.svd(public - mean, full_matrices=False)
    axes = axes[:count]
    # The sign of an axis is the library's choice; fix it, so that every platform gets the same.
    axes = axes * np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])[:, None]
    spread = ((public - mean) @ axes.T).std(axis=0)
    return np.clip((rows - mean) @ axes.T / spread * FEATURE_SCALE, -1.0, 1.0)


def dirichlet_shards(
    labels: Integers, *, devices: int, skew: float, generator: np.random.Generator
) -> list[npt.NDArray[np.intp]]:
    """Returns equal shards of row numbers with Dirichlet label preferences.

    Each device draws class preferences p ~ Dirichlet(skew) and then its rows one by one,
    without replacement, while its classes last.

    Source: Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution",
    arXiv 1909.06335, with equal sizes.
    """
    classes = int(labels.max()) + 1
    left = [generator.permutation(np.flatnonzero(labels == c)).tolist() for c in range(classes)]
    shards = []
    for _ in range(devices):
        preference = generator.dirichlet([skew] * classes)
        shard: list[int] = []
        while len(shard) < len(labels) // devices:
            stocked = np.array([bool(rows) for rows in left])
            weights = preference * stocked
            weights = weights if weights.sum() > 1e-9 else stocked.astype(float)
            shard.append(left[generator.choice(classes, p=weights / weights.sum())].pop())
        shards.append(np.array(shard))
    return shards


def resampled_shards(cohort: Cohort, *, devices: int, rows: int, skew: float, seed: int) -> list[Shard]:
    """Returns shards drawn *with* replacement from all devices' rows: a larger cohort, simulated.

    Raises:
        ValueError: The cohort has no rows of some class.
    """
    generator = np.random.default_rng(seed)
    x = np.concatenate([s.features for s in cohort.shards])
    y = np.concatenate([s.labels for s in cohort.shards])
    by_class = [np.flatnonzero(y == c) for c in range(cohort.classes)]
    if not all(len(rows_of) for rows_of in by_class):
        raise ValueError("a class has no rows to draw from")
    shards = []
    for _ in range(devices):
        drawn = generator.choice(cohort.classes, size=rows, p=generator.dirichlet([skew] * cohort.classes))
        picked = np.array([generator.choice(by_class[c]) for c in drawn])
        shards.append(Shard(x[picked], y[picked]))
    return shards


# -- judging -------------------------------------------------------------------------------------


def accuracy(weights: npt.NDArray[Any], cohort: Cohort) -> float:
    """Returns the share of test rows that a model of shape (d + 1, outputs) labels rightly."""
    x, y = cohort.test
    return _right(quantise_features(x) @ np.asarray(weights), y)


def centralised(cohort: Cohort) -> float:
    """Returns the test accuracy of the same model, fitted to all devices' rows in one place."""
    return _fitted(
        np.concatenate([s.features for s in cohort.shards]), np.concatenate([s.labels for s in cohort.shards]), cohort
    )


def benchmark_only(cohort: Cohort) -> float:
    """Returns the test accuracy of the same model, fitted to the public benchmark alone."""
    return _fitted(*cohort.benchmark, cohort)


def all_features(cohort: Cohort) -> float:
    """Returns the test accuracy of a linear model of *all* features, fitted in one place."""
    train, test = (np.hstack([rows, np.ones((len(rows), 1))]) for rows in cohort.raw)
    y = np.concatenate([s.labels for s in cohort.shards])
    return _right(test @ _ridge(train, y, cohort.classes), cohort.test[1])


def _fitted(x: Floats, y: Integers, cohort: Cohort) -> float:
    return accuracy(_ridge(quantise_features(x) / 127.0, y, cohort.classes), cohort)


def _ridge(rows: Floats, y: Integers, classes: int) -> Floats:
    targets = quantise_targets(y, classes=classes) / (127.0 * 2**15)
    gram = rows.T @ rows / len(rows) + RIDGE * np.identity(rows.shape[1])
    return np.asarray(np.linalg.solve(gram, rows.T @ targets / len(rows)), dtype=np.float64)


def _right(logits: npt.NDArray[Any], labels: Integers) -> float:
    guess = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(np.int64)
    return float((guess == labels).mean())
