"""Participants that cheat about their registered rows, for the private demo.

They speak the same bytes as everybody else; the other parties do not know who they are.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.cheats import forced_proof, forging
from zkfed.commitments.rows import PrivateRows, row_weights
from zkfed.errors import UnsatisfiedConstraint
from zkfed.inference import forward
from zkfed.layers.beacon import open_beacon
from zkfed.layers.registry import registration_terms
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.parties import Registrant
from zkfed.policy import FEATURE_LIMIT
from zkfed.ports import Transport
from zkfed.statements.draw import draw_rows
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.registration import RegistrationRecord
from zkfed.updates.messages import Commit

__all__ = ["REGISTRATION_CHEATS", "ROUND_CHEATS", "RegistrationCheat", "RowCheat"]


class RowCheat(Client):
    """Commits honestly and cheats once the rows are drawn.

    Attributes:
        name: For the account of the demo.
    """

    name = "none"

    def __init__(self, honest: Client, transport: Transport) -> None:
        super().__init__(honest.device, honest.shard, honest.train)
        self.transport = transport
        forging(self.device)

    def accept_beacon(self, reveals: tuple[bytes, ...]) -> None:
        with contextlib.suppress(UnsatisfiedConstraint):  # an honest client would sit out
            self.device.accept_beacon(reveals)
        current = self.device._current()
        beacon = open_beacon(self.device.agreement.policy, current.first, reveals).value
        self.prove_about(self.choose(beacon))

    def choose(self, beacon: bytes) -> tuple[int, ...]:
        """Returns the registered rows to prove something about."""
        raise NotImplementedError

    def prove_about(self, indices: tuple[int, ...]) -> None:
        """Has the device prove S1 about rows that the beacon did not draw."""
        device, agreement = self.device, self.device.agreement
        current, rows, registry = device._current(), device._rows, agreement.registry
        if rows is None or registry is None:
            raise ValueError("this cheat is about registered rows")
        drawn = registry.drawn(device.public_key, indices, current.terms.drawn.beacon)
        # Not OwnTerms.of, which would refuse a row that occurs twice.
        current.terms = OwnTerms(agreement.policy.statement, current.base, drawn)
        current.rows = rows.take(indices)

    def gains(self) -> npt.NDArray[np.float64]:
        """Returns by how much the update improves the squared loss on each registered row."""
        device = self.device
        model, current, rows = device.agreement.policy.model, device._current(), device._rows
        if rows is None:
            raise ValueError("this cheat is about registered rows")
        x = np.concatenate([rows.features, np.full((len(rows), 1), FEATURE_LIMIT)], axis=1)
        one = float(FEATURE_LIMIT << model.fraction_bits)
        after = current.base + current.update.integers.reshape(current.base.shape)
        old, new = (
            ((forward(model, w, x).logits / one - rows.targets) ** 2).sum(axis=1) for w in (current.base, after)
        )
        return np.asarray(old - new)


class ChosenRows(RowCheat):
    """Proves about the registered rows on which its update looks best."""

    name = "proves about rows of its own choice"

    def choose(self, beacon: bytes) -> tuple[int, ...]:
        drawn = self.device._current().terms.drawn.indices
        # Leaving one drawn row out: by chance the best ones could be those that were drawn.
        best = [i for i in np.argsort(-self.gains()).tolist() if i != drawn[0]]
        return tuple(sorted(best[: len(drawn)]))


class RepeatedRow(RowCheat):
    """Proves about its best row, as often as rows are asked for."""

    name = "proves about one row, counted many times"

    def choose(self, beacon: bytes) -> tuple[int, ...]:
        return (int(np.argmax(self.gains())),) * self.device.agreement.policy.statement.rows


class OtherDraw(RowCheat):
    """Proves about the rows that the beacon would have drawn for another client."""

    name = "proves about the rows of another draw"

    def choose(self, beacon: bytes) -> tuple[int, ...]:
        agreement, statement = self.device.agreement, self.device.agreement.policy.statement
        commitment, registered = agreement.backend.encode(self.device._current().point), statement.registration.rows
        draws = (
            draw_rows(beacon, other, commitment=commitment, count=statement.rows, registered=registered)
            for other in agreement.enrolled
        )
        return next(rows for rows in draws if rows != self.device._current().terms.drawn.indices)


class TrainsOnDrawnRows(RowCheat):
    """Trains on the rows once it knows them, and commits to the result: too late."""

    name = "trains on the drawn rows after the beacon"

    def accept_beacon(self, reveals: tuple[bytes, ...]) -> None:
        device, agreement = self.device, self.device.agreement
        with contextlib.suppress(UnsatisfiedConstraint):
            device.accept_beacon(reveals)
        current, policy = device._current(), agreement.policy
        rows, model = current.rows, policy.model
        labels = rows.targets.argmax(axis=1) if model.classes > 2 else (rows.targets[:, 0] > 0).astype(np.int64)
        fitted = self.train(
            model, current.base / float(1 << model.fraction_bits), Shard(rows.features / FEATURE_LIMIT, labels), 1
        )
        current.update = device.quantise(current.base, fitted)
        current.point = agreement.generators.commit(current.update.integers, current.blinder)
        body = Commit(current.first.digest, agreement.backend.encode(current.point), "S1")
        current.commit = device._key.sign("commit", body.encode())
        channel = f"{policy.digest.hex()[:16]}/round-{current.first.body.round}/commits"
        self.transport.publish(channel, current.commit.encode())


ROUND_CHEATS = (ChosenRows, RepeatedRow, OtherDraw, TrainsOnDrawnRows)


class RegistrationCheat(Registrant):
    """Registers what the policy does not allow, with a proof that it made without any check."""

    name = "none"

    def __init__(self, honest: Registrant) -> None:
        super().__init__(honest.policy, honest.key, honest.prover, honest.shard)

    def own(self) -> Shard:
        return self.shard.registered or self.shard

    def forge(self, rows: PrivateRows) -> bytes:
        """Returns a signed record of rows, with a proof of whatever they are."""
        self.rows = rows
        backend, order = self.prover.backend, self.prover.backend.curve.order
        terms, points = registration_terms(self.policy), rows.commit(backend)
        record = RegistrationRecord(terms.policy, terms.epoch, self.key.public, backend.encode(points), b"")
        instance = terms.instance(self.prover.key.verifying, record, points)

        def blinder(challenges: dict[str, int]) -> int:
            return rows.blinder(row_weights(challenges["theta"], len(rows), order), order)

        proof = forced_proof(self.prover, instance, {"rows": rows.table}, (blinder,)).encode(backend)
        signed = RegistrationRecord(record.policy, record.epoch, record.signer, record.commitments, proof)
        return self.key.sign("registration", signed.encode()).encode()


class OneRowOften(RegistrationCheat):
    """Registers one row with one commitment, as often as rows are asked for."""

    name = "registers one row many times"

    def register(self) -> bytes:
        rows = self.quantise(self.own().features, self.own().labels)
        return self.forge(rows.take([0] * len(rows)))


class WrongLabels(RegistrationCheat):
    """Labels all its rows as one class, so that any update towards it looks good."""

    name = "labels its rows outside the histogram bound"

    def register(self) -> bytes:
        labels: npt.NDArray[Any] = np.zeros(len(self.own().labels), dtype=np.int64)
        return self.forge(self.quantise(self.own().features, labels))


REGISTRATION_CHEATS = (OneRowOften, WrongLabels)
