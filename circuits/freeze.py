"""Writes and checks the frozen form of every statement's circuit.

    python -m circuits.freeze --check     compares the code with the files; exit 1 if they differ
    python -m circuits.freeze --write     writes files for new versions, and vectors and budgets

A key belongs to one circuit digest. A frozen digest is therefore never rewritten: whoever
changes a circuit raises VERSION in its module of zkfed/statements, and gets a new folder.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits import evaluations
from circuits.keys import Honest, bounded, counted, improved, key_differences, keys_document, registered
from circuits.vectors import (
    bound_vectors,
    bounded_count_vectors,
    few_hot_vectors,
    improvement_vectors,
    one_hot_vectors,
    registration_vectors,
)
from zkfed.algebra.backend import Backend
from zkfed.policy import FEATURE_LIMIT, NOISE_BITS, UPDATE_BITS, LinearModel
from zkfed.r1cs.system import System
from zkfed.statements.improvement import _Bounds, improvement_circuit
from zkfed.statements.one_hot import COUNT_BITS, bounded_count_circuit, few_hot_circuit, one_hot_circuit
from zkfed.statements.row_validity import registration_circuit
from zkfed.statements.update_bound import noise_circuit, squared_norm_max, update_circuit

FOLDER = Path(__file__).parent
CURVES = ("bls12-381", "bn254")
MODELS = {
    "64x10 n=200": (LinearModel(64, 10), 200),
    "30x2 n=100": (LinearModel(30, 2), 100),
    "16x10 n=200": (LinearModel(16, 10), 200),
    "3x3 n=20": (LinearModel(3, 3), 20),
}
REGISTRATIONS = {
    "64x10 M=1000": (64, 10, 1000),
    "30x2 M=400": (30, 2, 400),
    "8x1 M=100": (8, 1, 100),
    "3x3 M=8": (3, 3, 8),
}
Budget = list[tuple[str, str, int]]


@dataclass(frozen=True)
class Frozen:
    """One statement.

    Attributes:
        build: From (shape, curve) to the circuit.
        shapes: The named shapes whose digests are frozen.
        vectors: Accept and reject vectors, for a small shape.
        budget: (quantity, worst case, bits) of one shape.
        prove: From the vectors to an honest proof of their shape.
    """

    name: str
    build: Callable[[str, str], System]
    shapes: tuple[str, ...]
    vectors: Callable[[], dict[str, Any]]
    budget: Callable[[], Budget]
    prove: Callable[[dict[str, Any]], Callable[[Backend], Honest]]

    @property
    def folder(self) -> Path:
        version = self.build(self.shapes[-1], CURVES[0]).version
        return FOLDER / f"{self.name}-v{version}"


def _improvement(shape: str, curve: str) -> System:
    model, rows = MODELS[shape]
    return improvement_circuit(model, rows, curve)


def _update(shape: str, curve: str) -> System:
    return update_circuit(int(shape.removeprefix("P=")), curve)


def _noise(shape: str, curve: str) -> System:
    return noise_circuit(int(shape.removeprefix("P=")), curve)


def _improvement_budget() -> Budget:
    model, rows = MODELS["64x10 n=200"]
    half, bounds = 1 << (UPDATE_BITS - 1), _Bounds.of(model, rows)
    gram, logit = rows * FEATURE_LIMIT**2, model.inputs * FEATURE_LIMIT << model.weight_bits
    residual = logit + (FEATURE_LIMIT << model.fraction_bits)
    numbers = [
        ("D_k", "2^15", half),
        ("sum D_k^2 and B2", "P 2^30", squared_norm_max(model.parameters, UPDATE_BITS)),
        ("G_ij", "n 127^2", gram),
        ("(X W0 - T)_ij", "127 (d 2^20 + 2^15)", residual),
        ("N_ij", "2 n 127 max (X W0 - T)", 2 * rows * FEATURE_LIMIT * residual),
        ("(G D + N)_ij", "d 2^15 max G + max N", bounds.gradient),
        ("<D, G D + N>", "P 2^15 max (G D + N)", bounds.change),
        ("L0, -M", "n c max (X W0 - T)^2", bounds.loss),
        ("slack of the norm", "P 2^30", squared_norm_max(model.parameters, UPDATE_BITS)),
        ("slack of the improvement", "max <D, G D + N> - 1", bounds.change - 1),
    ]
    return [(name, formula, number.bit_length()) for name, formula, number in numbers]


def _bound_budget(bits: int) -> Callable[[], Budget]:
    def budget() -> Budget:
        norm = squared_norm_max(650, bits).bit_length()
        return [
            ("D_k", f"2^{bits - 1}", bits),
            ("D_k^2", f"2^{2 * bits - 2}", 2 * bits - 1),
            ("sum D_k^2 and B2", f"P 2^{2 * bits - 2}", norm),
            ("slack of the norm", f"P 2^{2 * bits - 2}", norm),
        ]

    return budget


def _one_hot(shape: str, curve: str) -> System:
    return one_hot_circuit(int(shape.removeprefix("n=")), curve)


def _few_hot(shape: str, curve: str) -> System:
    return few_hot_circuit(int(shape.removeprefix("n=")), curve)


def _few_hot_budget() -> Budget:
    bits = (64).bit_length()
    return [
        ("v_k", "1", 1),
        ("sum v_k", "n", bits),
        ("total-min, total-max", "n", bits),
        ("slacks of the sum", "n", bits),
    ]


def _bounded_count(shape: str, curve: str) -> System:
    return bounded_count_circuit(int(shape.removeprefix("n=")), curve)


def _count_budget(bits: int) -> Callable[[], Budget]:
    def budget() -> Budget:
        each = (1 << bits) - 1
        total = (64 * each).bit_length()
        bounds = [("each-max - v_k", f"2^{bits} - 1", bits), ("total-min, total-max", f"n (2^{bits} - 1)", total)]
        return [
            ("v_k", f"2^{bits} - 1", bits),
            ("sum v_k", f"n (2^{bits} - 1)", total),
            *(bounds if bits > 1 else [("sum (sum - 1)", "n (n - 1)", (64 * 63).bit_length())]),
        ]

    return budget


def _registration(shape: str, curve: str) -> System:
    return registration_circuit(*REGISTRATIONS[shape], curve)


def _registration_budget() -> Budget:
    rows = REGISTRATIONS["64x10 M=1000"][2]
    numbers = [
        ("x_ik", "2^7", 128),
        ("m_c", "M", rows),
        ("m_c - class-rows-min", "M", rows),
        ("class-rows-max - m_c", "M", rows),
    ]
    return [(name, formula, number.bit_length()) for name, formula, number in numbers]


def _first(prove: Callable[[dict[str, Any]], Callable[[Backend], Honest]]) -> Any:
    return lambda document: prove(document["vectors"][0])


PARAMETERS = ("P=650", "P=170", "P=31", "P=12")
STATEMENTS = (
    Frozen("improvement", _improvement, tuple(MODELS), improvement_vectors, _improvement_budget, improved),
    Frozen(
        "update-bound", _update, PARAMETERS, lambda: bound_vectors(UPDATE_BITS), _bound_budget(UPDATE_BITS),
        _first(bounded),
    ),
    Frozen(
        "noise-bound", _noise, PARAMETERS, lambda: bound_vectors(NOISE_BITS + 1), _bound_budget(NOISE_BITS + 1),
        _first(bounded),
    ),
    Frozen("one-hot", _one_hot, ("n=64", "n=16", "n=4"), one_hot_vectors, _count_budget(1), _first(counted)),
    Frozen("few-hot", _few_hot, ("n=168", "n=64", "n=6"), few_hot_vectors, _few_hot_budget, _first(counted)),
    Frozen(
        "bounded-count", _bounded_count, ("n=64", "n=16", "n=3"), bounded_count_vectors, _count_budget(COUNT_BITS),
        _first(counted),
    ),
    Frozen(
        "registration", _registration, tuple(REGISTRATIONS), registration_vectors, _registration_budget,
        _first(registered),
    ),
    *(
        Frozen(
            name, evaluations.build(kind), evaluations.SHAPES[kind],
            functools.partial(evaluations.evaluation_vectors, kind),
            functools.partial(evaluations.evaluation_budget, kind), evaluations.evaluated(kind),
        )
        for name, kind in (("own-data", "S1"), ("benchmark-loss", "S2"), ("published-model", "S3"))
    ),
)  # fmt: skip


# -- what a circuit looks like --------------------------------------------------------------------


def describe(system: System) -> dict[str, Any]:
    """Returns counts, inputs, segments, links and stages of a circuit; the same for both curves."""
    rows: Counter[str] = Counter()
    for label in system.labels:
        rows[re.sub(r"/\d+(?=/|$)", "", label.name)] += label.size
    inputs = []
    for i in system.inputs:
        kind = "challenge" if i.is_challenge else "static" if i.stage == 0 else "derived"
        bounds = None if i.bounds is None else [str(b) for b in i.bounds]
        inputs.append({"name": i.name, "size": i.size, "kind": kind, "stage": i.stage, "bounds": bounds})
    return {
        "constraints": system.constraint_count,
        "rows": dict(rows),
        "wires": system.wire_count,
        "public wires": system.public_count,
        "private wires": system.wire_count - system.private_start,
        "challenge stages": system.stage_count,
        "inputs": inputs,
        "segments": [{"name": s.name, "stage": s.stage, "wires": s.stop - s.start} for s in system.segments],
        "links": [
            {"segment": k.segment, "use": k.use, "lanes": k.lanes, "lane bits": k.lane_bits} for k in system.links
        ],
    }


def shape_of(statement: Frozen) -> dict[str, Any]:
    """Returns the content of shape.json."""
    shapes: dict[str, Any] = {}
    for shape in statement.shapes:
        systems = [statement.build(shape, curve) for curve in CURVES]
        described = [describe(system) for system in systems]
        if described[0] != described[1]:
            raise ValueError(f"{statement.name} {shape}: the curves have circuits of different form")
        digests = {curve: system.digest.hex() for curve, system in zip(CURVES, systems, strict=True)}
        shapes[shape] = {"name": systems[0].name, "digest": digests, **described[0]}
    return {"statement": statement.name, "version": systems[0].version, "shapes": shapes}


def budget_table(statement: Frozen) -> str:
    """Returns the bit budget as the table that stands in statement.md."""
    lines = ["| quantity | worst absolute value | bits |", "|---|---|---|"]
    lines += [f"| {name} | {formula} | {bits} |" for name, formula, bits in statement.budget()]
    return "\n".join(lines)


# -- files ----------------------------------------------------------------------------------------


def encode(document: dict[str, Any]) -> str:
    """Returns JSON with one line for each innermost list or object."""
    text = json.dumps(document, indent=1)
    return re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda m: re.sub(r"\s+", " ", m[0]), text) + "\n"


START, END = "<!-- budget -->\n", "\n<!-- end -->"


def contents(statement: Frozen) -> dict[str, str]:
    """Returns the files of a statement as they have to be; of statement.md, its budget."""
    return {
        "shape.json": encode(shape_of(statement)),
        "vectors.json": encode(statement.vectors()),
        "statement.md": budget_table(statement),
    }


def stored(folder: Path, name: str) -> str | None:
    """Returns the part of a file that `contents` fixes, None if it is missing."""
    path = folder / name
    if not path.exists():
        return None
    text = path.read_text("utf-8")
    if name != "statement.md":
        return text
    return text.split(START, 1)[1].split(END, 1)[0] if START in text and END in text else None


def differences(statement: Frozen) -> list[str]:
    """Names the files of a statement that are missing or say something else than the code.

    A stored key has to be one of the code's circuit; tests make it, and its proof, anew.
    """
    folder = statement.folder
    return key_differences(folder / "keys.json", statement.build) + [
        f"{folder.name}/{name}: {'missing' if stored(folder, name) is None else 'differs from the code'}"
        for name, text in contents(statement).items()
        if stored(folder, name) != text
    ]


def write(statement: Frozen) -> None:
    """Writes the files of a statement.

    Raises:
        ValueError: A frozen circuit would change.
    """
    folder, files = statement.folder, contents(statement)
    shape = stored(folder, "shape.json")
    if shape is not None and shape != files["shape.json"]:
        raise ValueError(
            f"{folder.name} is frozen and its circuit has changed: raise VERSION in the statement's module, "
            f"write a new folder, and keep this one for the keys that were made for it"
        )
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if name == "statement.md":
            if not path.exists():
                raise ValueError(f"{folder.name}/{name} is missing: what a statement claims is written by hand")
            before, rest = path.read_text("utf-8").split(START, 1)
            path.write_text(before + START + text + END + rest.split(END, 1)[1], "utf-8")
        else:
            path.write_text(text, "utf-8")
    if key_differences(folder / "keys.json", statement.build):
        (folder / "keys.json").write_text(encode(keys_of(statement)), "utf-8")


def keys_of(statement: Frozen) -> dict[str, Any]:
    """Returns the content of keys.json: of the vectors' shape, which is the smallest."""
    vectors = statement.vectors()
    return keys_document(statement.build, vectors["shape"], statement.prove(vectors))


def main(arguments: list[str]) -> int:
    """Runs the command line."""
    if arguments not in (["--check"], ["--write"]):
        sys.stderr.write("usage: python -m circuits.freeze --check | --write\n")
        return 2
    try:
        if arguments == ["--write"]:
            for statement in STATEMENTS:
                write(statement)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = [line for statement in STATEMENTS for line in differences(statement)]
    sys.stdout.write("\n".join(found or ["circuits: as frozen"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
