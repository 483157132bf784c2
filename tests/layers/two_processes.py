"""One half of a federation that runs in two processes, which share a drop folder and nothing else.

    python -m tests.layers.two_processes centre|devices SETUP DROP ROUNDS

SETUP holds what everybody knows (an empty transcript, the proving keys) and one file of signing seeds for
each half; DROP is the folder of the transport. The last line of the output is the model's and the
record's digest.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.counts import Counts
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Announced
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript
from zkfed.orchestrator.client import Client, CountClient
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.statements.terms import circuit_of
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.messages import Aggregate
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import model_digest

WAIT_S = 60.0


class Half:
    """What both halves have: the public facts, a transport, their own record."""

    def __init__(self, role: str, setup: Path, drop: Path) -> None:
        self.transport, self.setup = FilesystemTransport(drop), setup
        self.transcript = Transcript.load(setup / "public")
        self.agreement = self.transcript.agreement
        seeds = (setup / role).read_bytes()
        self.keys = [SigningKey(seeds[i : i + 32]) for i in range(0, len(seeds), 32)]
        self.base, self.previous = self.transcript.base, bytes(32)

    def prover(self, name: str) -> Prover:
        policy = self.agreement.policy
        circuit = circuit_of(policy.statement) if name == "improvement" else noise_circuit(policy.model.parameters)
        return Prover(ProvingKey.load(self.setup / name), circuit)

    def wait(self, channel: str, count: int = 1) -> tuple[bytes, ...]:
        """Returns a channel's messages once there are `count` of them."""
        give_up_s = time.monotonic() + WAIT_S
        while len(messages := self.transport.fetch(channel)) < count:
            if time.monotonic() > give_up_s:
                raise SystemExit(f"{channel}: {len(messages)} of {count} messages after {WAIT_S} s")
            time.sleep(0.02)
        return messages

    def append(self, record: RoundRecord) -> None:
        """Takes a round into the own record, after checking all of it."""
        self.transcript.rounds.append(record)
        check_release(self.transcript)
        *_, self.base = self.transcript.models()
        self.previous = record.digest


def centre(half: Half, rounds: int) -> None:
    """Runs the adders and the key holder."""
    prover = half.prover("noise")
    adder = Adder(half.agreement, half.keys[0], prover, base=half.base)
    holder = KeyHolder(half.agreement, half.keys[1], prover, base=half.base, journal=half.setup / "journal")
    count = len(half.agreement.enrolled)
    for number in range(1, rounds + 1):
        offer, key = holder.offer(number, 1)
        draft = adder.announce(offer, key, deadline_s=int(time.time()) + 600)
        announcement = holder.countersign(draft)
        adder.open_attempt(announcement)
        half.transport.publish(f"round-{number}/key", key)
        half.transport.publish(f"round-{number}/announcement", announcement)
        commits = {}
        for message in half.wait(f"round-{number}/commits", count):
            half.transport.publish(f"round-{number}/receipts", adder.receive_commit(message, now_s=int(time.time())))
            commits[Signed.decode(message, "commit", limit=4096).digest] = message
        for message in half.wait(f"round-{number}/sealed", count):
            verdict = adder.receive_sealed(message)
            if not verdict.is_accepted:
                raise SystemExit(str(verdict))
        first = Announced.decode(announcement).digest
        aggregation, ciphertext, seals = adder.aggregate(first)
        members = Aggregate.decode(Signed.decode(aggregation, "aggregation", limit=1 << 20).body).members
        outcome = holder.open(aggregation, ciphertext, tuple(commits[m] for m in members), first=first)
        record = RoundRecord(adder.commits, (Attempt(announcement, seals, aggregation, outcome),))
        base = next_base(half, record)
        record = replace(record, closing=adder.close_round(record.digest, base))
        holder.close_round(record.digest, base)
        half.append(record)
        half.transport.publish(f"round-{number}/record", record.encode())


def next_base(half: Half, record: RoundRecord) -> Any:
    *_, base = Transcript(half.agreement, half.base, [record]).models()
    return base


def devices(half: Half, rounds: int) -> None:
    """Runs all devices."""
    policy, prover = half.agreement.policy, half.prover("improvement")
    own = [Device(half.agreement, key, prover) for key in half.keys]
    if isinstance(policy.statement, Counts):
        answers = np.identity(policy.model.parameters, dtype=np.int64)
        clients: list[Client] = [CountClient(d, answers[i % 2]) for i, d in enumerate(own)]
    else:
        shards, _ = synthetic_cohort(policy.statement.model, len(own), policy.statement.rows)
        clients = [Client(d, s) for d, s in zip(own, shards, strict=True)]
    for number in range(1, rounds + 1):
        (announcement,) = half.wait(f"round-{number}/announcement")
        (key,) = half.wait(f"round-{number}/key")
        for client in clients:
            commit = client.join(announcement, base=half.base, previous=half.previous, round_number=number)
            half.transport.publish(f"round-{number}/commits", commit)
        receipts = half.wait(f"round-{number}/receipts", len(clients))
        for client, receipt in zip(clients, receipts, strict=True):
            client.device.accept_receipt(receipt)
            half.transport.publish(f"round-{number}/sealed", client.seal(announcement, key))
        half.append(RoundRecord.decode(half.wait(f"round-{number}/record")[0]))


def main(role: str, setup: str, drop: str, rounds: str) -> None:
    half = Half(role, Path(setup), Path(drop))
    run: Callable[[Half, int], None] = {"centre": centre, "devices": devices}[role]
    run(half, int(rounds))
    sys.stdout.write(f"{model_digest(half.base).hex()} {half.previous.hex()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
