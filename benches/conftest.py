"""The softmax model of the digits that all benchmarks share: 64 x 10, 200 benchmark rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import zkfed
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.heart import Device
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.statements.improvement import Benchmark, improvement_circuit
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.signing import SigningKey

MODEL = zkfed.LinearModel(features=64, classes=10)
STATEMENT = zkfed.Improvement(model=MODEL, rows=200, at_least="5%")


@dataclass
class Digits:
    """Real rows and a trained model.

    Attributes:
        before: W0, zeros.
        after: Least squares on the rows that are not in the benchmark, cut to the provable range.
    """

    benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]]
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]


@pytest.fixture(scope="session")
def digits() -> Digits:
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = data.data / 16.0, data.target
    rows = np.hstack([x[200:], np.ones((len(x) - 200, 1))])
    gram = rows.T @ rows + 10.0 * np.identity(65)
    after = np.clip(np.linalg.solve(gram, rows.T @ np.eye(10)[y[200:]]), -0.9, 0.9)
    return Digits((x[:200], y[:200]), np.zeros((65, 10)), after)


@pytest.fixture(scope="session")
def keys() -> zkfed.Keys:
    return zkfed.development_setup(STATEMENT)


class Parties:
    """One device, the adders and the key holder with an open first attempt."""

    def __init__(self, digits: Digits, keys: zkfed.Keys) -> None:
        policy = zkfed.RoundPolicy(statement=STATEMENT, clip_norm=1.0, epsilon=2.0, delta=1e-6, min_clients=2)
        clients = [SigningKey.generate() for _ in range(8)]
        adder_key, holder_key = SigningKey.generate(), SigningKey.generate()
        noise = development_keys(noise_circuit(MODEL.parameters))
        noise_prover = Prover(noise, noise_circuit(MODEL.parameters))
        prover = Prover(keys.proving, improvement_circuit(MODEL, 200))
        self.agreement = Agreement(
            policy.pinned(adder_key=adder_key.public, holder_key=holder_key.public),
            Benchmark.of(MODEL, *digits.benchmark),
            tuple(sorted(k.public for k in clients)),
            keys.proving.verifying,
            noise.verifying,
        )
        self.base = np.zeros((65, 10), dtype=np.int64)
        self.adder = Adder(self.agreement, adder_key, noise_prover, base=self.base)
        self.holder = KeyHolder(self.agreement, holder_key, noise_prover, base=self.base)
        self.devices = [Device(self.agreement, k, prover) for k in clients]
        offer, self.encryption_key = self.holder.offer(1, 1)
        self.announcement = self.holder.countersign(
            self.adder.announce(offer, self.encryption_key, deadline_s=2_000_000_000)
        )
        self.adder.open_attempt(self.announcement)
        self.announced = Announced.decode(self.announcement)
        self.update = self.devices[0].quantise(self.base, digits.after)

    def commit(self, device: Device) -> bytes:
        message = device.commit(self.announcement, self.update, base=self.base, previous=bytes(32))
        self.adder.receive_commit(message, now_s=0)
        return message


@pytest.fixture(scope="session")
def parties(digits: Digits, keys: zkfed.Keys) -> Parties:
    return Parties(digits, keys)
