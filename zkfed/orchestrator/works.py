"""What a worker of an executor does: bytes in, bytes out, known by name.

A worker sees what the adders see, proofs and ciphertexts, and no secret of anybody. It decodes and
checks all that it is sent, and keeps nothing but the last verifying key that it has read.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from zkfed.algebra.backend import Points
from zkfed.encoding import Reader, Writer
from zkfed.errors import PolicyError, ProofInvalid, ZkfedError
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify_batch
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.keys import PublicKey
from zkfed.he.params import EncryptionParams

__all__ = ["ADD", "ANSWER", "CHECK", "CLAIM", "STAGE", "perform"]

CHECK, ADD, ANSWER = "zkfed/v1/work-check", "zkfed/v1/work-add", "zkfed/v1/work-answer"
CLAIM, STAGE = "zkfed/v1/work-claim", "zkfed/v1/work-stage"
_ITEMS_MAX = 1 << 20


def perform(work: str, payload: bytes) -> bytes:
    """Does one work and returns its answer, which names the payload that it is for.

    An error of zkfed is an answer too; it travels as its code and text.

    Args:
        work: "check" or "add".
        payload: What `zkfed.orchestrator.fan_out` has written.

    Raises:
        PolicyError: There is no such work.
    """
    if work not in _WORKS:
        raise PolicyError(f"there is no work {work[:40]!r}; expected one of {', '.join(_WORKS)}")
    code, reason, result = "", "", b""
    try:
        result = _WORKS[work](payload)
    except ZkfedError as error:
        code, reason = error.code, str(error)[:1000]
    name = hashlib.sha256(payload).digest()
    return Writer(ANSWER).bytes(name).text(code).text(reason).bytes(result).finish()


@functools.lru_cache(maxsize=1)
def _key(data: bytes) -> VerifyingKey:
    return VerifyingKey.decode(data)


@dataclass(frozen=True)
class _Stages:
    """The derived inputs and commitments of one instance, computed by the adders."""

    inputs: dict[int, dict[str, list[int]]]
    points: dict[int, tuple[Points, ...]]

    def derive(self, stage: int, challenges: dict[str, int]) -> dict[str, Any]:
        return dict(self.inputs[stage])

    def derive_commitments(self, stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
        return self.points[stage]


def _check(payload: bytes) -> bytes:
    """Returns the positions of the proofs that do not hold, 8 bytes each."""
    r = Reader(payload, CHECK)
    key, claims = _key(r.bytes()), r.list(_ITEMS_MAX)
    r.finish()
    read = [_claim(key, data) for data in claims]
    try:
        verify_batch(key, [instance for instance, _ in read], [proof for _, proof in read])
    except ProofInvalid as error:
        # Whoever is not named is not acquitted: without names, all are refused.
        return b"".join(p.to_bytes(8, "big") for p in error.culprits or range(len(read)))
    return b""


def _claim(key: VerifyingKey, data: bytes) -> tuple[Instance, Proof]:
    r, layout = Reader(data, CLAIM), key.layout
    context = r.bytes(limit=32)
    static = _values(r)
    commitments = _points(r, key)
    stages = _Stages({}, {})
    for stage in range(1, layout.stage_count + 1):
        inner = Reader(r.bytes(), STAGE)
        stages.inputs[stage] = _values(inner)
        stages.points[stage] = _points(inner, key)
        inner.finish()
    proof = Proof.decode(key.backend, layout, r.bytes())
    r.finish()
    return Instance(context, static, commitments, stages.derive, stages.derive_commitments), proof


def _values(r: Reader) -> dict[str, list[int]]:
    names = r.list(_ITEMS_MAX, limit=200)
    return {name.decode("utf-8", "replace"): _integers(r) for name in names}


def _integers(r: Reader) -> list[int]:
    return [int.from_bytes(v, "big", signed=True) for v in r.list(_ITEMS_MAX, limit=64)]


def _points(r: Reader, key: VerifyingKey) -> tuple[Points, ...]:
    return tuple(key.backend.decode("G1", data, 1) for data in r.list(_ITEMS_MAX, limit=200))


def _add(payload: bytes) -> bytes:
    """Returns how many ciphertexts were added, 8 bytes, and their sum."""
    r = Reader(payload, ADD)
    params, count = EncryptionParams.decode(r.bytes(limit=4096)), r.u64()
    key = PublicKey.from_bytes(r.bytes(), params)
    ciphertexts = [Ciphertext.from_bytes(data, params, count) for data in r.list(_ITEMS_MAX)]
    r.finish()
    return len(ciphertexts).to_bytes(8, "big") + add(key, ciphertexts, count).to_bytes()


_WORKS = {"check": _check, "add": _add}
