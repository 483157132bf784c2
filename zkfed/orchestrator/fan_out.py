"""The adders' work on many processes or machines: proofs in batches, ciphertexts as a tree.

The adders decide and only they change state. Workers answer with positions and partial sums; every
answer names the payload that it is for, so none is lost, taken twice or taken for another. A worker
that lies can refuse, accept or add as the adders themselves could: run workers where you would run
an adder. A wrong sum is stopped by the key holder's opening equation in any case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zkfed.algebra.backend import Points
from zkfed.encoding import Reader, Writer
from zkfed.errors import (
    CiphertextRefused,
    DecodeError,
    IntegrityError,
    KeyRefused,
    ProofInvalid,
    SandboxUnavailable,
    SandboxViolation,
    StoreFault,
    TransportError,
    UnsatisfiedConstraint,
    ZkfedError,
    excerpt,
)
from zkfed.groth16.challenge import Challenger
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.keys import PublicKey
from zkfed.layers.intake import Work
from zkfed.orchestrator.works import ADD, ANSWER, CHECK, CLAIM, STAGE
from zkfed.ports import Executor

__all__ = ["FanOut", "answers"]

_PAYLOAD_BYTES_MAX = 8 << 20
_KNOWN = {
    c.code: c
    for c in (CiphertextRefused, KeyRefused, SandboxUnavailable, SandboxViolation, StoreFault, UnsatisfiedConstraint)
}


class FanOut:
    """Checks and adds through an executor, to the same verdicts and bytes as in one process.

    Args:
        executor: Where the work is done.
        batch: Proofs in one payload.
        fan_in: Ciphertexts that one payload adds, at least 2; fewer where they are large. Each payload starts a
            sandbox, which takes about 0.1 s.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, executor: Executor, *, batch: int = 128, fan_in: int = 127) -> None:
        if batch < 1 or fan_in < 2:
            raise ValueError(f"batch {batch} and fan_in {fan_in}, expected at least 1 and 2")
        self._executor, self._batch, self._fan_in = executor, batch, fan_in

    @property
    def work(self) -> Work:
        """What an `Adder` takes."""
        return Work(self.verify, self.add)

    def verify(self, key: VerifyingKey, instances: Sequence[Instance], proofs: Sequence[Proof]) -> None:
        """Checks many proofs, as `verify_batch`.

        Raises:
            ProofInvalid: Some do not hold; `culprits` lists their positions.
            KeyRefused: The key is on the list of refused keys.
            TransportError: The executor gave up, or a worker answered with something else.
            ValueError: There are not as many instances as proofs.
        """
        key = key.checked
        claims, bad = dict[int, bytes](), list[int]()
        for position, (instance, proof) in enumerate(zip(instances, proofs, strict=True)):
            try:
                claims[position] = _claim(key, instance, proof)
            except (DecodeError, ProofInvalid):
                bad.append(position)
        positions = list(claims)
        groups = [positions[i : i + self._batch] for i in range(0, len(positions), self._batch)]
        encoded = key.encode()
        payloads = (Writer(CHECK).bytes(encoded).list(claims[p] for p in group).finish() for group in groups)
        for group, answer in zip(groups, answers(self._executor, "check", payloads, len(groups)), strict=True):
            if len(answer) % 8 or len(answer) > 8 * len(group):
                raise TransportError(f"a worker answered {len(answer)} bytes about {len(group)} proofs")
            named = [int.from_bytes(answer[i : i + 8], "big") for i in range(0, len(answer), 8)]
            if any(n >= len(group) for n in named):
                raise TransportError(f"a worker named a proof beyond the {len(group)} of its batch")
            bad += [group[n] for n in named]
        if bad:
            raise ProofInvalid(f"{key.layout.name}: {len(bad)} of {len(proofs)} proofs does not hold", sorted(bad))

    def add(self, public_key: PublicKey, ciphertexts: Sequence[Ciphertext], count: int) -> Ciphertext:
        """Adds ciphertexts as a tree, to the same bytes as `zkfed.he.aggregate.add`.

        Raises:
            CiphertextRefused, SandboxViolation, SandboxUnavailable, ValueError: As `add`.
            IntegrityError: A worker added another number of ciphertexts than it was sent.
            TransportError: The executor gave up, or a worker answered with something else.
        """
        if any(c.params != public_key.params or c.count != count for c in ciphertexts) or (
            len({c.digest for c in ciphertexts}) != len(ciphertexts) or not ciphertexts
        ):
            return add(public_key, ciphertexts, count)  # it refuses, and says why
        fan_in = max(2, min(self._fan_in, _PAYLOAD_BYTES_MAX // len(ciphertexts[0].data)))
        level = list(ciphertexts)
        try:
            while True:
                level = self._add_level(public_key, level, fan_in, count)
                if len(level) == 1:
                    return level[0]
        except CiphertextRefused:
            # A part of the tree may be transparent where the whole is not: the whole decides.
            return add(public_key, ciphertexts, count)

    def _add_level(self, key: PublicKey, level: list[Ciphertext], fan_in: int, count: int) -> list[Ciphertext]:
        groups = [level[i : i + fan_in] for i in range(0, len(level), fan_in)]
        head = key.params.encode(), key.to_bytes()
        payloads = (
            Writer(ADD).bytes(head[0]).u64(count).bytes(head[1]).list(c.data for c in group).finish()
            for group in groups
        )
        sums = []
        for group, answer in zip(groups, answers(self._executor, "add", payloads, len(groups)), strict=True):
            if int.from_bytes(answer[:8], "big") != len(group):
                raise IntegrityError(f"a worker added another number of ciphertexts than the {len(group)} it was sent")
            sums.append(Ciphertext.from_bytes(answer[8:], key.params, count))
        return sums


def answers(executor: Executor, work: str, payloads: Iterable[bytes], count: int) -> list[bytes]:
    """Returns what the workers found, each checked to be about its own payload.

    Raises:
        TransportError: The executor gave up, or a worker answered with something else.
        ZkfedError: What a worker has found wrong, of the classes that a caller tells apart.
    """
    names = list[bytes]()

    def sent() -> Iterator[bytes]:
        for payload in payloads:
            names.append(hashlib.sha256(payload).digest())
            yield payload

    results = list[bytes]()
    for answer in executor.map(work, sent()):
        if len(results) >= len(names):
            raise TransportError(f"the executor answered more than the {len(names)} batches that it has taken")
        results.append(_open(answer, names[len(results)]))
    if len(results) != count:
        raise TransportError(f"the executor answered {len(results)} of {count} batches; each is answered once")
    return results


def _open(answer: bytes, name: bytes) -> bytes:
    try:
        r = Reader(answer, ANSWER)
        about, code, reason, result = r.bytes(exact=32), r.text(), r.text(), r.bytes()
        r.finish()
    except ZkfedError as error:
        raise TransportError(f"a worker's answer cannot be read: {error}") from None
    if about != name:
        raise TransportError("a worker's answer is about another batch than the one it stands for")
    if code:
        raise _KNOWN.get(code, TransportError)(f"a worker failed: {excerpt(reason)}")
    return result


def _claim(key: VerifyingKey, instance: Instance, proof: Proof) -> bytes:
    """Returns an instance and its proof as bytes, with what derives from the challenges computed.

    Raises:
        DecodeError, ProofInvalid: The instance does not fit the circuit.
    """
    stages = dict[int, list[Any]]()

    def derive(stage: int, challenges: dict[str, int]) -> dict[str, Any]:
        values = instance.derive(stage, challenges)
        stages[stage] = [values, ()]
        return values

    def derive_commitments(stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
        points = instance.derive_commitments(stage, challenges)
        stages[stage][1] = points
        return points

    watched = replace(instance, derive=derive, derive_commitments=derive_commitments)
    challenger = Challenger(key.backend, key.layout, key.digest, watched)
    w = Writer(CLAIM).bytes(instance.context)
    _write(w, key, instance.static, instance.commitments)
    for stage in range(1, key.layout.stage_count + 1):
        challenger.draw(stage, proof.d)
        inner = Writer(STAGE)
        _write(inner, key, *stages[stage])
        w.bytes(inner.finish())
    return w.bytes(proof.encode(key.backend)).finish()


def _write(w: Writer, key: VerifyingKey, values: dict[str, Any], points: tuple[Points, ...]) -> None:
    order = key.layout.curve.order
    w.list(name.encode("utf-8") for name in values)
    for value in values.values():
        flat = np.asarray(value, dtype=object).ravel().tolist()
        small = (int(v) if abs(int(v)) < order else int(v) % order for v in flat)  # a static one may be negative
        w.list(v.to_bytes(33, "big", signed=True) for v in small)
    w.list(key.backend.encode(p) for p in points)
