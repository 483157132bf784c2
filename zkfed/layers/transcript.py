"""The public record of a federation, and what its releases do to the model.

A transcript holds everything that a stranger needs to check a federation, and nothing else:
no ciphertext, no key that decrypts, no update. It is content-addressed on disk.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.counts import Counts
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, IntegrityError, LimitExceeded, StoreFault
from zkfed.groth16.keys import VerifyingKey
from zkfed.layers.agreement import Agreement
from zkfed.layers.registry import Registry
from zkfed.policy import RoundPolicy
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import has_quadratic_form
from zkfed.updates.messages import MESSAGE_BYTES_MAX, Aggregate, Release
from zkfed.updates.signing import Signed, kind_of
from zkfed.updates.update import decode_ints, encode_ints

__all__ = ["Attempt", "RoundRecord", "Transcript", "apply_releases", "outcome_of"]

ROUNDS_MAX = 1 << 16
PARAMETERS_MAX = 1 << 16
"""Of a model whose transcript is loaded without asking: checking a key builds its circuit, 7 KB a parameter."""


def apply_releases(
    policy: RoundPolicy, base: npt.NDArray[Any], sums: list[tuple[npt.NDArray[np.int64], int]]
) -> npt.NDArray[np.int64]:
    """Returns the next base model: W0 + round(rate * sum_g S_g / sum_g n_g), clamped.

    Public and exact (half to even), so everybody gets the same integers.

    Args:
        policy: Gives the rate and the range of weights.
        base: W0.
        sums: (S, n) of each released group; none leaves the model as it is, and so do counts (S4).
    """
    w0 = np.asarray(base, dtype=np.int64)
    if not sums or isinstance(policy.statement, Counts):
        return w0
    rate = Fraction(policy.server_rate) / sum(n for _, n in sums)
    total = np.sum([s.astype(object) for s, _ in sums], axis=0)
    limit = (1 << policy.model.weight_bits) - 1
    moved = [min(max(int(w) + round(rate * int(s)), -limit), limit) for w, s in zip(w0.ravel(), total, strict=True)]
    return np.array(moved, dtype=np.int64).reshape(w0.shape)


@dataclass(frozen=True)
class Attempt:
    """One attempt's messages. `seals`, `aggregation` and `outcome` may be missing if it broke off."""

    announced: bytes
    seals: tuple[bytes, ...] = ()
    aggregation: bytes = b""
    outcome: bytes = b""

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/attempt").bytes(self.announced).list(self.seals)
        return w.bytes(self.aggregation).bytes(self.outcome).finish()

    @classmethod
    def decode(cls, data: bytes) -> Attempt:
        r = Reader(data, "zkfed/v1/attempt", MESSAGE_BYTES_MAX)
        out = cls(r.bytes(), tuple(r.list(1 << 14)), r.bytes(), r.bytes())
        r.finish()
        return out


@dataclass(frozen=True)
class RoundRecord:
    """One round: all commits, all attempts, the openings of its beacon, and the adders' signature over them.

    Attributes:
        reveals: The adders' and the key holder's opening; fewer if one of them stopped the round
            (`beacon.fault_of_beacon` says which), none where no rows are drawn.
    """

    commits: tuple[bytes, ...]
    attempts: tuple[Attempt, ...]
    closing: bytes = b""
    reveals: tuple[bytes, ...] = ()

    @property
    def digest(self) -> bytes:
        """Names the round's transcript; stands in the next announcement."""
        attempts = [digest("zkfed/v1/attempt-digest", a.encode()) for a in self.attempts]
        commits = [digest("zkfed/v1/commit-digest", c) for c in self.commits]
        body = Writer("zkfed/v1/round").list(commits).list(attempts).list(self.reveals).finish()
        return digest("zkfed/v1/round-digest", body)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/round-record").list(self.commits).list([a.encode() for a in self.attempts])
        return w.bytes(self.closing).list(self.reveals).finish()

    @classmethod
    def decode(cls, data: bytes) -> RoundRecord:
        r = Reader(data, "zkfed/v1/round-record", 1 << 30)
        commits, attempts = tuple(r.list(1 << 14)), tuple(Attempt.decode(a) for a in r.list(1 << 10))
        out = cls(commits, attempts, r.bytes(), tuple(r.list(2)))
        r.finish()
        return out


@dataclass
class Transcript:
    """The public record of a federation, from the first base model on.

    Attributes:
        agreement: Policy, benchmark, enrolled keys and verifying keys.
        base: W0 of round 1.
        rounds: In order.
    """

    agreement: Agreement
    base: npt.NDArray[np.int64]
    rounds: list[RoundRecord] = field(default_factory=list)

    def _head(self) -> dict[str, bytes]:
        a, model = self.agreement, self.agreement.policy.model
        shape = Writer("zkfed/v1/benchmark").u64(len(a.benchmark.features))
        shape.bytes(encode_ints(a.benchmark.features.ravel())).bytes(encode_ints(a.benchmark.targets.ravel()))
        return {
            "policy": a.policy.encode(),
            "benchmark": shape.finish(),
            "enrolled": Writer("zkfed/v1/enrolled").list(a.enrolled).finish(),
            "improvement-key": a.improvement.encode(),
            "noise-key": a.noise.encode(),
            "base": Writer("zkfed/v1/base").bytes(encode_ints(self.base.reshape(model.parameters))).finish(),
        } | ({} if a.registry is None else {
            "registration-key": a.registry.key.encode(),
            "registrations": Writer("zkfed/v1/registrations").list(a.registry.records).finish(),
        })  # fmt: skip

    @property
    def head(self) -> bytes:
        """What is agreed on before round 1, as one message; `of_head` reads it."""
        return Writer("zkfed/v1/head").list(self._head().values()).finish()

    @classmethod
    def of_head(cls, data: bytes, *, parameters_max: int = PARAMETERS_MAX) -> Transcript:
        """Reads what `head` wrote, with all checks of `load`, as a transcript without rounds.

        Raises:
            LimitExceeded: The model is larger than that.
            DecodeError, PolicyError, KeyRefused, SignatureInvalid, NotAuthorised, Replay, ProofInvalid: See `load`.
        """
        r = Reader(data, "zkfed/v1/head", MESSAGE_BYTES_MAX)
        objects = r.list(8)
        r.finish()
        out, rest = cls._of_objects(objects, parameters_max)
        if rest:
            raise DecodeError(f"head: {len(rest)} objects too many")
        return out

    @staticmethod
    def policy_of_head(data: bytes) -> RoundPolicy:
        """Reads the policy of a head alone: reading the rest builds its circuits, whatever their size.

        Raises:
            LimitExceeded, DecodeError, PolicyError: Not a head, or its policy is none.
        """
        objects = Reader(data, "zkfed/v1/head", MESSAGE_BYTES_MAX).list(8)
        if not objects:
            raise DecodeError("head: no policy in it")
        return RoundPolicy.decode(objects[0])

    @classmethod
    def _of_objects(cls, objects: list[bytes], parameters_max: int) -> tuple[Transcript, list[bytes]]:
        """Returns what the first objects say, and the objects that are left: the rounds."""
        if len(objects) < 6:
            raise DecodeError(f"transcript: {len(objects)} objects, at least 6 are expected")
        policy = RoundPolicy.decode(objects[0])
        _check_size(policy, parameters_max)
        head = 8 if policy.statement.kind == "S1" else 6
        if len(objects) < head:
            raise DecodeError(f"transcript: {len(objects)} objects, at least {head} are expected")
        enrolled = _decode_enrolled(objects[2])
        registry = None if head == 6 else _decode_registry(policy, enrolled, objects[6], objects[7])
        agreement = Agreement(
            policy, _decode_benchmark(policy, objects[1]), enrolled,
            VerifyingKey.decode(objects[3]), VerifyingKey.decode(objects[4]), registry,
        )  # fmt: skip
        model = policy.model
        base = Reader(objects[5], "zkfed/v1/base")
        weights = decode_ints(base.bytes(exact=8 * model.parameters)).reshape(model.shape)
        base.finish()
        return cls(agreement, weights), objects[head:]

    def save(self, folder: Path) -> None:
        """Writes the transcript: objects named by their SHA-256, and an index.

        Raises:
            StoreFault: The folder cannot be written.
        """
        objects = [*self._head().values(), *(r.encode() for r in self.rounds)]
        names = [digest("zkfed/v1/object", data) for data in objects]
        try:
            (folder / "objects").mkdir(parents=True, exist_ok=True)
            for name, data in zip(names, objects, strict=True):
                _write(folder / "objects" / name.hex(), data)
            _write(folder / "index", Writer("zkfed/v1/transcript").list(names).finish())
        except OSError as error:
            raise StoreFault(f"the transcript cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, folder: Path, *, parameters_max: int = PARAMETERS_MAX) -> Transcript:
        """Reads a transcript that `save` wrote; `check_release` checks what it says.

        Args:
            folder: From anybody.
            parameters_max: The largest model that you are ready to check; its rows of weights
                squared may be up to 64 times that.

        Raises:
            LimitExceeded: The model is larger than that.
            StoreFault: A file is missing or unreadable.
            IntegrityError: A file's content does not match its name.
            DecodeError: Something is not canonical.
            PolicyError, KeyRefused: The parts do not fit together.
            SignatureInvalid, NotAuthorised, Replay, ProofInvalid: A registration does not hold.
        """
        r = Reader(_read(folder / "index", 1 << 26), "zkfed/v1/transcript")
        names = r.list(ROUNDS_MAX, exact=32)
        r.finish()
        objects = []
        for name in names:
            data = _read(folder / "objects" / name.hex(), 1 << 30)
            if digest("zkfed/v1/object", data) != name:
                raise IntegrityError(f"transcript: the object {name.hex()[:16]}... has another content")
            objects.append(data)
        out, rounds = cls._of_objects(objects, parameters_max)
        out.rounds.extend(RoundRecord.decode(data) for data in rounds)
        return out

    def models(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yields the base model of round 1 and the model after each round, unchecked."""
        base = self.base
        yield base
        for record in self.rounds:
            base = apply_releases(self.agreement.policy, base, list(released_sums(record)))
            yield base


def released_sums(record: RoundRecord) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
    """Yields (S, n) of each released attempt of a round, unchecked."""
    for attempt in record.attempts:
        kind, signed = outcome_of(attempt)
        if kind == "release" and signed is not None:
            aggregation = Signed.decode(attempt.aggregation, "aggregation", limit=MESSAGE_BYTES_MAX)
            members = Aggregate.decode(aggregation.body).members
            yield decode_ints(Release.decode(signed.body).sums), len(members)


def outcome_of(attempt: Attempt) -> tuple[str, Signed | None]:
    """Returns ("release" or "failure", message), or ("", None) if the attempt broke off.

    Raises:
        DecodeError, SignatureInvalid: The outcome is no signed message of either kind.
    """
    if not attempt.outcome:
        return "", None
    kind = kind_of(attempt.outcome)
    if kind not in ("release", "failure"):
        raise DecodeError("an attempt ends with a release or a failure")
    return kind, Signed.decode(attempt.outcome, kind, limit=MESSAGE_BYTES_MAX)


def _decode_benchmark(policy: RoundPolicy, data: bytes) -> Benchmark:
    model = policy.model
    r = Reader(data, "zkfed/v1/benchmark")
    rows = r.u64(1 << 20)
    features = decode_ints(r.bytes(exact=8 * rows * model.inputs)).reshape(rows, model.inputs)
    targets = decode_ints(r.bytes(exact=8 * rows * model.outputs)).reshape(rows, model.outputs)
    r.finish()
    return Benchmark(features, targets)


def _check_size(policy: RoundPolicy, parameters_max: int) -> None:
    """Refuses a policy whose circuits, which checking a key builds, would not fit into memory."""
    if isinstance(policy.statement, Counts):
        if policy.model.parameters > parameters_max:
            raise LimitExceeded(f"transcript: counts of {policy.model.parameters} coordinates; raise parameters_max")
        return
    statement = policy.statement
    model, registration = statement.model, statement.registration
    is_large = model.parameters > parameters_max or model.inputs**2 > 64 * parameters_max
    if registration is not None:
        is_large |= registration.rows * (model.features + model.outputs) > 8 * parameters_max
    if not has_quadratic_form(statement):
        is_large |= statement.rows * sum(columns for _, columns in model.layers) > parameters_max
    if is_large:
        raise LimitExceeded(
            f"transcript: a model of {model.parameters} weights on {statement.rows} rows; raise parameters_max "
            f"({parameters_max}) if you know the policy and have about 7 KB of memory for each weight"
        )


def _decode_registry(policy: RoundPolicy, enrolled: tuple[bytes, ...], key: bytes, records: bytes) -> Registry:
    r = Reader(records, "zkfed/v1/registrations")
    signed = r.list(1 << 20)
    r.finish()
    registry = Registry.of(policy, enrolled, VerifyingKey.decode(key), signed)
    if list(registry.records) != signed:
        raise DecodeError("transcript: registrations are not in order or not distinct")
    return registry


def _decode_enrolled(data: bytes) -> tuple[bytes, ...]:
    r = Reader(data, "zkfed/v1/enrolled")
    keys = tuple(r.list(1 << 20, exact=32))
    r.finish()
    return keys


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(data)
    temporary.replace(path)


def _read(path: Path, limit: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a named pipe would never end
            raise StoreFault(f"transcript: {path.name} cannot be read: it is no file")
        if status.st_size > limit:
            raise DecodeError(f"transcript: a file of {status.st_size} bytes, at most {limit} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise StoreFault(f"transcript: {path.name} cannot be read: {error.strerror}") from None
