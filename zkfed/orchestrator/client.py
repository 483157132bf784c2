"""A device with its data: trains, decides whether it has something to prove, takes part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from zkfed.device.respondent import Respondent
from zkfed.dp.query import CohortQuery, Report
from zkfed.errors import BudgetExceeded, NotAuthorised, PolicyError, UnsatisfiedConstraint
from zkfed.layers.heart import Device
from zkfed.policy import Model
from zkfed.statements.improvement import Benchmark
from zkfed.updates.update import ModelUpdate, model_digest

__all__ = ["Client", "CountClient", "RespondingClient", "Shard", "Train", "proximal_least_squares"]

Train = Callable[[Model, npt.NDArray[np.float64], "Shard", int], npt.NDArray[np.float64]]
"""(model, base weights, shard, round) -> trained weights."""


@dataclass(frozen=True)
class Shard:
    """One device's own rows; they never leave it.

    Attributes:
        features: Floats in [-1, 1], shape (rows, d).
        labels: Class numbers, or floats in [-1, 1] for regression.
        registered: For S1, the rows that are registered and not trained on; None registers the
            rows above.
    """

    features: npt.NDArray[Any] = field(repr=False)
    labels: npt.NDArray[Any] = field(repr=False)
    registered: Shard | None = field(default=None, repr=False)


def proximal_least_squares(
    model: Model,
    base: npt.NDArray[np.float64],
    shard: Shard,
    round_number: int,
    *,
    strength: float = 1.0,
) -> npt.NDArray[np.float64]:
    """Returns argmin_W |X W - T|^2 / n + strength |W - W0|^2 over the device's own rows.

    The proximal term keeps a device with few or skewed rows near the shared model.

    Raises:
        ValueError: The model has hidden layers: bring a `Train` of your own.

    Source: Li et al., "Federated optimization in heterogeneous networks" (FedProx),
    arXiv 1812.06127.
    """
    if model.hidden:
        raise ValueError("least squares trains linear models; pass a `train` of your own for an MLP")
    rows = Benchmark.of(model, shard.features, shard.labels)
    x = rows.features / 127.0
    t = rows.targets / (127.0 * (1 << model.fraction_bits))
    gram = x.T @ x / len(x) + strength * np.identity(x.shape[1])
    return np.asarray(np.linalg.solve(gram, x.T @ t / len(x) + strength * base), dtype=np.float64)


class Client:
    """One honest participant of a round.

    A subclass that overrides `join` or `seal` is a participant that does something else:
    the parties see only bytes.
    """

    def __init__(self, device: Device, shard: Shard, train: Train = proximal_least_squares) -> None:
        self.device, self.shard, self.train = device, shard, train

    def join(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        """Trains and commits; returns b"" if the update does not reach the round's share."""
        model = self.device.agreement.policy.improvement.model
        weights = self.train(model, base / float(1 << model.fraction_bits), self.shard, round_number)
        update = self.device.quantise(base, weights)
        try:
            return self.device.commit(announcement, update, base=base, previous=previous)
        except UnsatisfiedConstraint:
            return b""

    def accept_receipt(self, receipt: bytes) -> None:
        """Checks the adders' receipt: evidence if this update is missing from the sum later."""
        self.device.accept_receipt(receipt)

    def accept_beacon(self, reveals: tuple[bytes, ...]) -> None:
        """Takes the opened beacon (S1); raises UnsatisfiedConstraint to sit out."""
        self.device.accept_beacon(reveals)

    def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
        """Proves and encrypts for one attempt."""
        return self.device.seal(announcement, encryption_key)


class CountClient(Client):
    """One person's device in a statistic (S4): it answers with a vector of counts.

    Args:
        device: The device.
        vector: v, K whole numbers; they never leave it in the clear.
    """

    def __init__(self, device: Device, vector: npt.NDArray[np.int64]) -> None:
        self.device, self._vector = device, vector

    def join(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        """Commits to the vector; returns b"" if it does not satisfy the bounds."""
        update = ModelUpdate(np.asarray(self._vector), model_digest(base))
        try:
            return self.device.commit(announcement, update, base=base, previous=previous)
        except UnsatisfiedConstraint:
            return b""


class RespondingClient(CountClient):
    """One person's device in a statistic (S4): it answers if the person allows it and its own ledger pays.

    Args:
        device: The device.
        respondent: Consent, store and ledger of the person.
        query: What the device takes the policy's question for.
        clock: Returns seconds since the epoch.

    Raises:
        PolicyError: The policy is about another question, allows fewer than k people or more than one attempt,
            or its delta is larger than the one that this device's ledger counts with: its noise would be too small.
    """

    def __init__(
        self, device: Device, respondent: Respondent, query: CohortQuery, *, clock: Callable[[], float] = time.time
    ) -> None:
        policy = device.agreement.policy
        if policy.statement != query.counts or policy.min_clients < query.k:
            raise PolicyError(f"the policy asks something else than {query}, or fewer than {query.k} people")
        if policy.attempts != 1 or policy.delta > respondent.ledger.delta:
            raise PolicyError("the policy would cost this device more than its ledger is charged")
        self.device, self.respondent, self.query, self.clock = device, respondent, query, clock
        self._answered = b""

    def join(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        """Commits to the person's vector, charged and on record before; b"" without consent or budget."""
        agreement = self.device.agreement
        announced = agreement.open_announcement(announcement, base=base, previous=previous)
        if announced.digest != self._answered:  # a lost message is sent again as it was, and costs nothing
            try:
                report = self.respondent.answer(
                    self.query, mode="encrypted", epsilon=agreement.policy.epsilon, now_s=self.clock()
                )
            except (BudgetExceeded, NotAuthorised):
                return b""
            _, (self._vector,) = self.query.vectors(self.query.reports([cast(Report, report)]))
            self._answered = announced.digest
        return super().join(announcement, base=base, previous=previous, round_number=round_number)
