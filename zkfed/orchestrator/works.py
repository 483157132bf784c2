"""What a worker of an executor does: bytes in, bytes out, known by name.

For "check" and "add" a worker sees what the adders see, proofs and ciphertexts, and no secret of anybody.
For "prove" and "register" it sees a device's update or rows in the clear: these are for processes of the
device, or of a simulation. A worker decodes and checks all that it is sent, and keeps only the last
keys and the last agreement that it has read.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zkfed.algebra.backend import Points
from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, KeyRefused, PolicyError, ProofInvalid, ZkfedError
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify_batch
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.keys import PublicKey
from zkfed.he.params import EncryptionParams
from zkfed.layers.agreement import Agreement
from zkfed.layers.registry import registration_terms
from zkfed.layers.round_state import decode_rows, decode_task, prove_round
from zkfed.layers.transcript import Transcript
from zkfed.policy import RoundPolicy
from zkfed.statements.registration import register
from zkfed.statements.terms import circuit_of

__all__ = ["ADD", "ANSWER", "CHECK", "CLAIM", "PROVE", "REGISTER", "STAGE", "perform"]

CHECK, ADD, ANSWER = "zkfed/v1/work-check", "zkfed/v1/work-add", "zkfed/v1/work-answer"
PROVE, REGISTER = "zkfed/v1/work-prove", "zkfed/v1/work-register"
CLAIM, STAGE = "zkfed/v1/work-claim", "zkfed/v1/work-stage"
_ITEMS_MAX = 1 << 20
_TASK_BYTES_MAX = 1 << 30


def perform(work: str, payload: bytes) -> bytes:
    """Does one work and returns its answer, which names the payload that it is for.

    An error of zkfed is an answer too; it travels as its code and text. Of any other only its type is told: its
    text, or what a cluster writes into its log about a call that raised, may hold rows or updates.

    Args:
        work: "check", "add", "prove" or "register".
        payload: What `zkfed.orchestrator.fan_out` or `zkfed.orchestrator.proving` has written.

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
    except Exception as error:  # noqa: BLE001 - an exception that left here would be logged with the payload
        code, reason = "worker-failed", f"the worker raised {type(error).__name__} in {work!r}"
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


def _prove(payload: bytes) -> bytes:
    """Returns the proof of one device's round."""
    r = Reader(payload, PROVE, _TASK_BYTES_MAX)
    path, digest, head, task = r.text(), r.bytes(exact=32), r.bytes(), r.bytes()
    r.finish()
    agreement = _agreement(head)
    client, state = decode_task(task, agreement)
    return prove_round(_prover(path, digest, head), agreement, client, state)


@functools.lru_cache(maxsize=1)
def _agreement(head: bytes) -> Agreement:
    return Transcript.of_head(head).agreement


@functools.lru_cache(maxsize=1)
def _prover(path: str, digest: bytes, head: bytes) -> Prover:
    key, policy = ProvingKey.load(Path(path)), _agreement(head).policy
    if key.verifying.digest != digest:
        raise KeyRefused(f"{Path(path).name} holds another key here than where the work comes from")
    return Prover(key, circuit_of(policy.statement, policy.curve))


def _register(payload: bytes) -> bytes:
    """Returns the record of one client's rows."""
    r = Reader(payload, REGISTER, _TASK_BYTES_MAX)
    path, policy, client = r.text(), RoundPolicy.decode(r.bytes(limit=1 << 16)), r.bytes(exact=32)
    rows = decode_rows(r.list(3))
    r.finish()
    if rows is None:
        raise DecodeError("no rows to register")
    return register(_registrar(path, policy), registration_terms(policy), rows=rows, signer=client).encode()


@functools.lru_cache(maxsize=1)
def _registrar(path: str, policy: RoundPolicy) -> Prover:
    return Prover(ProvingKey.load(Path(path)), registration_terms(policy).circuit(policy.curve))


_WORKS = {"check": _check, "add": _add, "prove": _prove, "register": _register}
