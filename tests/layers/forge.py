"""Makes false records: a true one, everybody's signing keys, and a way to change one thing at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.layers.parties import Cohort, OtherPlaintext, signed
from zkfed.encoding import digest
from zkfed.errors import (
    ZkfedError,
)
from zkfed.layers.agreement import Announced, draw_groups
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Attempt, Transcript
from zkfed.updates.messages import Aggregate, Failure, Release, Seal
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import decode_ints, encode_ints

HONEST, REPEATED = 0, 1


@functools.cache
def federation() -> Cohort:
    """Returns a cohort after an honest round and one in which a device encrypts something else."""
    cohort = Cohort(devices=6, kinds=[OtherPlaintext])
    cohort.devices[0].is_honest = True
    cohort.honest_round()
    cohort.devices[0].is_honest = False
    first = cohort.ready()
    failure = Failure.decode(signed(cohort.open(first)).body)
    groups = draw_groups(failure.nonce, first.members, smallest=2, groups=3)
    opened = [first]
    for group, members in enumerate(groups):
        attempt = cohort.announce(2, group, members)
        cohort.seal_all(attempt)
        cohort.add(attempt)
        cohort.open(attempt)
        opened.append(attempt)
    cohort.close(opened)
    return cohort


@dataclass
class Forge:
    """A copy of the transcript, and all keys to sign what is changed in it."""

    cohort: Cohort
    transcript: Transcript

    def sign(self, key: SigningKey, kind: str, body: Any) -> bytes:
        return key.sign(kind, body.encode()).encode()

    def by_client(self, public: bytes) -> SigningKey:
        return next(k for k in self.cohort.device_keys if k.public == public)

    def attempt(self, number: int, index: int = 0) -> Attempt:
        return self.transcript.rounds[number].attempts[index]

    def put(self, number: int, index: int, **changes: Any) -> None:
        record = self.transcript.rounds[number]
        attempts = list(record.attempts)
        attempts[index] = replace(attempts[index], **changes)
        self.put_record(number, attempts=tuple(attempts))

    def put_record(self, number: int, **changes: Any) -> None:
        """Changes a record and has the adders sign it again."""
        record = replace(self.transcript.rounds[number], **changes)
        closing = self.cohort.adder_key.sign("transcript", record.digest).encode()
        self.transcript.rounds[number] = replace(record, closing=closing)

    def release(self, number: int, index: int = 0, **changes: Any) -> None:
        body = Release.decode(signed(self.attempt(number, index).outcome).body)
        self.put(number, index, outcome=self.sign(self.cohort.holder_key, "release", replace(body, **changes)))

    def failure(self, **changes: Any) -> None:
        body = Failure.decode(signed(self.attempt(REPEATED).outcome).body)
        self.put(REPEATED, 0, outcome=self.sign(self.cohort.holder_key, "failure", replace(body, **changes)))

    def sums(self, change: Callable[[Any], Any]) -> None:
        body = Release.decode(signed(self.attempt(HONEST).outcome).body)
        self.release(HONEST, sums=encode_ints(change(decode_ints(body.sums))))

    def aggregation(self, number: int, index: int = 0, **changes: Any) -> None:
        """Changes a list; the release names the new one."""
        body = replace(Aggregate.decode(signed(self.attempt(number, index).aggregation).body), **changes)
        self.put(number, index, aggregation=self.sign(self.cohort.adder_key, "aggregation", body))
        if signed(self.attempt(number, index).outcome).kind == "release":
            self.release(number, index, aggregation=digest("zkfed/v1/aggregation-digest", body.encode()))

    def members(self, number: int, index: int = 0) -> tuple[bytes, ...]:
        return Aggregate.decode(signed(self.attempt(number, index).aggregation).body).members

    def seal(self, number: int, position: int, **changes: Any) -> None:
        seals = list(self.attempt(number).seals)
        old = signed(seals[position])
        body = replace(Seal.decode(old.body), **changes)
        seals[position] = self.sign(self.by_client(old.signer), "seal", body)
        self.put(number, 0, seals=tuple(seals))

    def seal_of(self, number: int, position: int) -> Seal:
        return Seal.decode(signed(self.attempt(number).seals[position]).body)

    def announcement(self, number: int, index: int = 0, **changes: Any) -> None:
        body = replace(Announced.decode(self.attempt(number, index).announced).body, **changes)
        g = self.cohort.adder_key.sign("announcement", body.encode())
        k = self.cohort.holder_key.sign("announcement-holder", body.encode())
        self.put(number, index, announced=Announced(body, g, k).encode())

    def agreement(self, **changes: Any) -> None:
        self.transcript.agreement = replace(self.transcript.agreement, **changes)


def new_forge() -> Forge:
    """Returns a fresh copy of the true record."""
    cohort = federation()
    transcript = cohort.transcript
    return Forge(cohort, Transcript(transcript.agreement, transcript.base.copy(), list(transcript.rounds)))


def refused(forge: Forge, error: type[ZkfedError], text: str | None = None) -> None:
    with pytest.raises(error, match=text) as caught:
        check_release(forge.transcript)
    assert type(caught.value) is error
    check_release(federation().transcript)


def released(forge: Forge) -> list[int]:
    attempts = forge.transcript.rounds[REPEATED].attempts
    return [i for i, a in enumerate(attempts) if signed(a.outcome).kind == "release"]
