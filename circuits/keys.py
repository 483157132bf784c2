"""The verifying key of a development setup for the smallest shape of each statement, and a proof for it.

Trapdoors, masks and blinders follow from SHA-256, so that any implementation can make the same
key and the same proof, and anyone can forge. The keys say "development"; a production policy
refuses them. They are vectors, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from circuits.vectors import VECTOR_MODEL, VECTOR_ROWS
from zkfed.algebra.backend import Backend, Points, use
from zkfed.commitments.pedersen import generators
from zkfed.commitments.rows import PrivateRows, row_weights, sketch
from zkfed.errors import ZkfedError
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import _setup
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark, PublicTerms
from zkfed.statements.update_bound import USE

__all__ = [
    "Honest",
    "bounded",
    "counted",
    "improved",
    "key_differences",
    "keys_document",
    "read",
    "registered",
    "rejected",
]

WARNING = "development keys whose trapdoors are public: anyone can forge; vectors, never for use"
CONTEXT = sha256(b"zkfed vector context").digest()


@dataclass(frozen=True)
class Honest:
    """One honest proof of a statement: the instance, and what the prover knows.

    Attributes:
        more: What the instance derives from beside vectors.json, as JSON.
        others: Instances that derive something else, by name.
    """

    instance: Instance
    private: dict[str, Any]
    blinders: tuple[Any, ...]
    more: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Instance] = field(default_factory=dict)


def source(name: str, order: int) -> Callable[[], int]:
    """Returns a source of scalars in [2, r): SHA-256("<name>/<i>/0" and "/1"), 64 bytes, modulo r - 2, plus 2."""
    counter = iter(range(1 << 30))

    def rand() -> int:
        i = next(counter)
        data = b"".join(sha256(f"{name}/{i}/{half}".encode()).digest() for half in (0, 1))
        return int.from_bytes(data, "big") % (order - 2) + 2

    return rand


# -- honest proofs -----------------------------------------------------------------------------------


def _linked(backend: Backend, values: list[int], static: dict[str, int], secret: str) -> Honest:
    point = generators(backend, USE, len(values)).commit(values, 7)
    return Honest(Instance(CONTEXT, static, (point,)), {secret: np.array(values, dtype=object)}, (7,))


def bounded(vector: dict[str, Any]) -> Callable[[Backend], Honest]:
    """Returns the honest proof of S0 or N for an accepted vector."""
    update, norm = [int(v) for v in vector["update"]], int(vector["squared-norm-max"])
    return lambda backend: _linked(backend, update, {"squared-norm-max": norm}, "update")


def counted(vector: dict[str, Any]) -> Callable[[Backend], Honest]:
    """Returns the honest proof of S4 for an accepted vector."""
    static = {name: int(vector[name]) for name in ("total-min", "total-max", "each-max") if name in vector}
    return lambda backend: _linked(backend, [int(v) for v in vector["counts"]], static, "counts")


def registered(vector: dict[str, Any]) -> Callable[[Backend], Honest]:
    """Returns the honest proof of R for an accepted vector; the row commitments stand beside it."""
    table = np.array([[int(v) for v in row] for row in vector["rows"]])
    outputs = VECTOR_MODEL.classes
    rows = PrivateRows(table[:, :-outputs], table[:, -outputs:], tuple(range(7, 7 + len(table))))
    static = {name: int(vector[name]) for name in ("class-rows-min", "class-rows-max")}

    def honest(backend: Backend) -> Honest:
        points, order = rows.commit(backend), backend.curve.order

        def weights(challenges: dict[str, int]) -> Any:
            return row_weights(challenges["theta"], len(rows), order)

        def instance(of: Points) -> Instance:
            def derive(stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
                return (sketch(backend, of, weights(challenges)),) if stage == 1 else ()

            return Instance(CONTEXT, static, derive_commitments=derive)

        index = np.arange(len(rows))
        others = {
            "rows in another order": instance(backend.take(points, index[::-1])),
            "a row twice": instance(backend.take(points, np.array([0, *index[:-1]]))),
            "negated rows": instance(backend.negate(points)),
        }
        more = {"rows": [backend.encode(backend.take(points, np.array([i]))).hex() for i in index]}
        blinders = (lambda chi: rows.blinder(weights(chi), order),)
        return Honest(instance(points), {"rows": table}, blinders, more, others)

    return honest


def improved(document: dict[str, Any]) -> Callable[[Backend], Honest]:
    """Returns the honest proof of S2 for the first vector of a document."""
    features, labels, base = (np.array(document[name]) for name in ("features", "labels", "base"))
    vector = document["vectors"][0]
    update = [int(v) for row in vector["update"] for v in row]

    def terms(x: Any, y: Any, w0: Any) -> PublicTerms:
        return PublicTerms.of(VECTOR_MODEL, VECTOR_ROWS, w0, Benchmark.of(VECTOR_MODEL, x, y))

    def honest(backend: Backend) -> Honest:
        point = generators(backend, USE, len(update)).commit(update, 7)

        def instance(of: PublicTerms) -> Instance:
            return of.instance(
                CONTEXT, point, squared_norm_max=int(vector["squared-norm-max"]),
                loss_change_max=int(vector["loss-change-max"]), curve=backend.curve,
            )  # fmt: skip

        true = terms(features, labels, base)
        others = {
            "another feature": instance(terms(_changed(features), labels, base)),
            "another label": instance(terms(features, np.append(labels[:-1], (labels[-1] + 1) % 3), base)),
            "another base model": instance(terms(features, labels, _changed(base))),
        }
        return Honest(instance(true), true.private(np.array(update, dtype=object)), (7,), others=others)

    return honest


def _changed(values: Any) -> Any:
    out = values.copy()
    out[0, 0] -= np.sign(out[0, 0]) or -1
    return out


# -- the document ------------------------------------------------------------------------------------


def key_of(system: System, backend: Backend) -> Prover:
    """Returns the prover of the setup with public trapdoors."""
    rand = source(f"zkfed vector key/{system.name}/{system.curve.name}", system.curve.order)
    return Prover(_setup(system, backend, rand), system)


def keys_document(
    build: Callable[[str, str], System], shape: str, honest: Callable[[Backend], Honest]
) -> dict[str, Any]:
    """Returns the content of keys.json."""
    curves = {}
    for curve in ("bls12-381", "bn254"):
        backend, system = use(curve), build(shape, curve)
        case, prover = honest(backend), key_of(system, backend)
        rand = source(f"zkfed vector proof/{system.name}/{curve}", system.curve.order)
        proof = prover._prove(case.instance, case.private, case.blinders, rand)
        curves[curve] = {
            "circuit": system.digest.hex(),
            "verifying key": prover.key.verifying.encode().hex(),
            "instance": {
                "context": case.instance.context.hex(),
                "static": {name: str(value) for name, value in case.instance.static.items()},
                "commitments": [backend.encode(point).hex() for point in case.instance.commitments],
                **case.more,
            },
            "proof": proof.encode(backend).hex(),
        }
    return {"warning": WARNING, "shape": shape, "curves": curves}


def read(entry: dict[str, Any], honest: Honest) -> tuple[VerifyingKey, Instance, bytes]:
    """Returns key, instance and proof of one curve as they are stored; only what is derived comes from the code."""
    key = VerifyingKey.decode(bytes.fromhex(entry["verifying key"]))
    stored = entry["instance"]
    points = tuple(key.backend.decode("G1", bytes.fromhex(c), 1) for c in stored["commitments"])
    static = {name: int(value) for name, value in stored["static"].items()}
    instance = replace(honest.instance, context=bytes.fromhex(stored["context"]), static=static, commitments=points)
    return key, instance, bytes.fromhex(entry["proof"])


def rejected(
    key: VerifyingKey, instance: Instance, proof: bytes, others: dict[str, Instance]
) -> dict[str, tuple[Instance, bytes, str]]:
    """Returns variants of an accepted proof by name, each with the code of its error.

    Args:
        key: Of the proof.
        instance: That the proof is for.
        proof: Encoded.
        others: Instances with the same inputs that derive something else (`Honest.others`).
    """
    backend, layout = key.backend, key.layout
    parts, invalid = Proof.decode(backend, layout, proof), "proof-invalid"
    negated = backend.negate(parts.a)
    out = {
        "a bit of ctx": (replace(instance, context=bytes([instance.context[0] ^ 1]) + instance.context[1:]), proof),
        "A and C exchanged": (instance, replace(parts, a=parts.c, c=parts.a).encode(backend)),
        "A negated": (instance, replace(parts, a=negated).encode(backend)),
        "the first commitment negated": (
            instance, replace(parts, d=(backend.negate(parts.d[0]), *parts.d[1:])).encode(backend),
        ),
    }  # fmt: skip
    for name, value in instance.static.items():
        for step in (1, -1):
            out[f"{name} {step:+d}"] = replace(instance, static={**instance.static, name: value + step}), proof
    for i, point in enumerate(instance.commitments):
        other = (*instance.commitments[:i], backend.negate(point), *instance.commitments[i + 1 :])
        out[f"external commitment {i} negated"] = replace(instance, commitments=other), proof
    out |= {name: (other, proof) for name, other in others.items()}
    variants = {name: (*variant, invalid) for name, variant in out.items()}
    identity = backend.encode(backend.add(parts.a, negated))
    variants["a byte short"] = instance, proof[:-1], "decode"
    variants["a byte more"] = instance, proof + b"\0", "decode"
    variants["A at infinity"] = instance, identity + proof[len(identity) :], "decode"
    return variants


def key_differences(path: Path, build: Callable[[str, str], System]) -> list[str]:
    """Says whether a stored key is missing, malformed, or for another circuit than the code's."""
    name = f"{path.parent.name}/{path.name}"
    if not path.exists():
        return [f"{name}: missing"]
    document = json.loads(path.read_text("utf-8"))
    for curve, entry in document["curves"].items():
        system = build(document["shape"], curve)
        try:
            layout = VerifyingKey.decode(bytes.fromhex(entry["verifying key"])).layout
        except (ZkfedError, ValueError) as error:
            return [f"{name}: the {curve} key is refused: {error}"]
        if entry["circuit"] != system.digest.hex() or layout.encode() != system.layout.encode():
            return [f"{name}: the {curve} key is for another circuit"]
    return []
