"""Shows that the frozen circuits are the ones in the code, and that their vectors hold.

A change of a circuit without a new version fails here. The vectors are read from the files
and run on both curves, against honest code and against a prover who computes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuits import freeze
from circuits.evaluations import statement_of
from circuits.freeze import CURVES, STATEMENTS, Frozen, contents, differences, encode, keys_of, write
from circuits.keys import key_differences, read, rejected
from circuits.vectors import VECTOR_MODEL, VECTOR_ROWS
from tests.statements.circuit_samples import Sample, bounded_run, reducing
from tests.statements.evaluation_samples import Subject
from tests.witness_runner import Run
from zkfed.algebra.backend import use
from zkfed.algebra.curve import CURVES as CURVES_BY_NAME
from zkfed.errors import ZkfedError
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark, PublicTerms
from zkfed.statements.update_bound import update_circuit

FILES = {"statement.md", "shape.json", "vectors.json", "keys.json"}
BY_NAME = {statement.name: statement for statement in STATEMENTS}
BOUND = {"update/norm-slack", "update/range"}
KINDS = {
    "improvement": BOUND | {"improvement"},
    "update-bound": BOUND,
    "noise-bound": BOUND,
    "one-hot": {"counts/boolean", "total/at-most-one", "total/at-least"},
    "few-hot": {"counts/boolean", "total/at-least", "total/at-most"},
    "own-data": BOUND | {"improvement", "base-loss/least", "base-loss/most"},
    "benchmark-loss": BOUND | {"improvement"},
    "published-model": {"improvement", "base-loss/least", "base-loss/most"},
    "registration": {"numbers", "labels", "class-rows-min", "class-rows-max"},
    "bounded-count": {"counts/range", "counts/at-most-each", "total/at-least", "total/at-most"},
}
EVERY = pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)


@EVERY
def test_circuits_are_as_frozen(statement: Frozen) -> None:
    assert differences(statement) == []


def test_every_folder_is_a_version_of_a_statement() -> None:
    folders = {path.name for path in freeze.FOLDER.iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert folders >= {statement.folder.name for statement in STATEMENTS}
    assert {name.rsplit("-v", 1)[0] for name in folders} == set(BY_NAME)
    for name in folders:
        assert {p.name for p in (freeze.FOLDER / name).iterdir()} == FILES


@EVERY
def test_a_statement_says_what_it_claims_and_what_not(statement: Frozen) -> None:
    text = (statement.folder / "statement.md").read_text("utf-8")
    assert text.startswith(f"# {statement.name}, version {statement.build(statement.shapes[-1], CURVES[0]).version} ")
    for heading in ("## Relation", "## Bit budget", "## The key in keys.json", "## Not claimed"):
        assert heading in text
    # Counts that the error bounds are computed from.
    rows = json.loads((statement.folder / "shape.json").read_text("utf-8"))["shapes"][statement.shapes[0]]["rows"]
    if "numbers/lookups" in rows:
        assert f"K = {rows['numbers/lookups'] + rows['labels/lookups']:,}" in text
    if "table/lookups" in rows:
        assert f"K = {rows['table/lookups']:,}, b = {rows['table/entries'].bit_length() - 1}" in text


# -- a change is seen ----------------------------------------------------------------------------


def another_circuit(shape: str, curve: str) -> System:
    return replace(update_circuit(int(shape.removeprefix("P=")) + 1, curve), name=f"update-bound-{shape[2:]}")


def test_a_changed_circuit_is_seen_and_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = BY_NAME["update-bound"]
    monkeypatch.setattr(freeze, "FOLDER", tmp_path)
    folder = frozen.folder
    assert sorted(differences(frozen)) == sorted(f"{folder.name}/{name}: missing" for name in FILES)
    folder.mkdir()
    (folder / "statement.md").write_text("<!-- budget -->\n\n<!-- end -->\n", "utf-8")
    write(frozen)
    assert differences(frozen) == []

    changed = replace(frozen, build=another_circuit)
    assert differences(changed) == [
        "update-bound-v1/keys.json: the bls12-381 key is for another circuit",
        "update-bound-v1/shape.json: differs from the code",
    ]
    before = (folder / "shape.json").read_text("utf-8")
    with pytest.raises(ValueError, match="is frozen and its circuit has changed: raise VERSION"):
        write(changed)
    assert (folder / "shape.json").read_text("utf-8") == before


def test_one_digit_of_a_digest_or_vector_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = BY_NAME["noise-bound"]
    files = {path.name: path.read_text("utf-8") for path in frozen.folder.iterdir()}
    monkeypatch.setattr(freeze, "FOLDER", tmp_path)
    frozen.folder.mkdir()
    for name, text in files.items():
        (frozen.folder / name).write_text(text, "utf-8")
    assert differences(frozen) == []
    for name in contents(frozen):
        text = files[name]
        at = text.index("| 66 |") + 3 if name == "statement.md" else text.rindex("1")
        (frozen.folder / name).write_text(text[:at] + "7" + text[at + 1 :], "utf-8")
        assert differences(frozen) == [f"noise-bound-v1/{name}: differs from the code"]
        (frozen.folder / name).write_text(text, "utf-8")


def test_the_command_answers_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert freeze.main(["--check"]) == 0
    assert "as frozen" in capsys.readouterr().out
    assert freeze.main([]) == 2
    assert "usage" in capsys.readouterr().err


# -- vectors -------------------------------------------------------------------------------------


def update_of(vector: dict[str, Any]) -> Any:
    flat = [int(v) for v in np.array(vector["update"], dtype=object).ravel().tolist()]
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(np.shape(vector["update"]))


def improvement_run(document: dict[str, Any], curve: str) -> Callable[..., Run]:
    labels, features = np.array(document["labels"]), np.array(document["features"])
    benchmark = Benchmark.of(VECTOR_MODEL, features, labels)
    terms = PublicTerms.of(VECTOR_MODEL, VECTOR_ROWS, np.array(document["base"]), benchmark)
    assert str(terms.loss) == document["base loss"]

    def run(vector: dict[str, Any], system: System, *, is_strict: bool = True) -> Run:
        update = update_of(vector)
        bounds = {name.replace("-", "_"): int(vector[name]) for name in ("squared-norm-max", "loss-change-max")}
        case = Sample(VECTOR_MODEL, VECTOR_ROWS, terms, update, CURVES_BY_NAME[curve])
        return case.run(update, system=system, is_strict=is_strict, **bounds)

    return run


def bound_run(vector: dict[str, Any], system: System, *, is_strict: bool = True) -> Run:
    return bounded_run(system, update_of(vector), int(vector["squared-norm-max"]), is_strict=is_strict)


def count_run(vector: dict[str, Any], system: System, *, is_strict: bool = True) -> Run:
    static = {name: int(vector[name]) for name in ("total-min", "total-max", "each-max") if name in vector}
    counts = np.array([int(v) for v in vector["counts"]], dtype=object)
    return Run(system, static, {"counts": counts}, is_strict=is_strict)


def registration_run(vector: dict[str, Any], system: System, *, is_strict: bool = True) -> Run:
    rows = np.array([[int(v) for v in row] for row in vector["rows"]], dtype=object)
    static = {name: vector[name] for name in ("class-rows-min", "class-rows-max")}
    return Run(system, static, {"rows": rows}, is_strict=is_strict)


def evaluation_run(document: dict[str, Any], kind: str, curve: str) -> Callable[..., Run]:
    def run(vector: dict[str, Any], system: System, *, is_strict: bool = True) -> Run:
        arrays = document["cases"][vector["shape"]] | ({"update": vector["update"]} if "update" in vector else {})
        numbers = {name: np.array(values, dtype=np.int64) for name, values in arrays.items()}
        case = Subject(statement_of(kind, vector["shape"]), kind, **numbers, curve=CURVES_BY_NAME[curve])
        static = {name: int(vector[name]) for name in vector if name in {i.name for i in system.inputs}}
        return replace(case.run(is_strict=is_strict, **static), system=system)

    return run


KINDS_OF = {"own-data": "S1", "benchmark-loss": "S2", "published-model": "S3"}


def run_of(statement: Frozen, document: dict[str, Any], curve: str) -> Callable[..., Run]:
    if statement.name == "improvement":
        return improvement_run(document, curve)
    if statement.name == "registration":
        return registration_run
    if statement.name in KINDS_OF:
        return evaluation_run(document, KINDS_OF[statement.name], curve)
    return count_run if "counts" in document["vectors"][0] else bound_run


def vectors() -> Iterator[Any]:
    for statement in STATEMENTS:
        document = json.loads((statement.folder / "vectors.json").read_text("utf-8"))
        for vector in document["vectors"]:
            for curve in CURVES:
                if vector.get("curve", curve) == curve:
                    name = f"{statement.name}: {vector['name']} {curve}"
                    yield pytest.param(statement, document, vector, curve, id=name)


@pytest.mark.parametrize(("statement", "document", "vector", "curve"), [*vectors()])
def test_vectors(statement: Frozen, document: dict[str, Any], vector: dict[str, Any], curve: str) -> None:
    system = statement.build(vector.get("shape", document["shape"]), curve)
    run = run_of(statement, document, curve)
    if vector["expect"] == "accept":
        run(vector, system).check()
        return
    with pytest.raises(ZkfedError) as caught:
        run(vector, system).check()
    assert caught.value.code == vector["expect"]["code"]
    if "constraint" in vector["expect"]:
        name: str = getattr(caught.value, "constraint", "")
        assert (name + "/").startswith(vector["expect"]["constraint"] + "/")
        for forging in (system, reducing(system)):
            with pytest.raises(ZkfedError):
                run(vector, forging, is_strict=False).check()


@EVERY
def test_each_statement_has_vectors_of_every_kind(statement: Frozen) -> None:
    found = json.loads((statement.folder / "vectors.json").read_text("utf-8"))["vectors"]
    kinds = {"accept" if v["expect"] == "accept" else v["expect"].get("constraint", "input") for v in found}
    assert kinds == {"accept", "input"} | KINDS[statement.name]
    assert len({v["name"] for v in found}) == len(found)


# -- keys and proofs -----------------------------------------------------------------------------


def stored_keys(statement: Frozen) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((statement.folder / "keys.json").read_text("utf-8"))
    return document


@pytest.mark.parametrize("curve", CURVES)
@EVERY
def test_the_stored_proof_is_accepted_and_changed_ones_are_not(statement: Frozen, curve: str) -> None:
    entry = stored_keys(statement)["curves"][curve]
    honest = statement.prove(statement.vectors())(use(curve))
    key, instance, proof = read(entry, honest)
    assert key.origin == "development"
    verify(key, instance, Proof.decode(key.backend, key.layout, proof))
    variants = rejected(key, instance, proof, honest.others)
    assert len(variants) >= 8
    for name, (other, data, code) in variants.items():
        with pytest.raises(ZkfedError) as caught:
            verify(key, other, Proof.decode(key.backend, key.layout, data))
        assert caught.value.code == code, name


@pytest.mark.parametrize("curve", CURVES)
@EVERY
def test_a_stored_key_says_nothing_under_the_key_of_another_statement(statement: Frozen, curve: str) -> None:
    entry = stored_keys(statement)["curves"][curve]
    _, instance, proof = read(entry, statement.prove(statement.vectors())(use(curve)))
    for other in STATEMENTS:
        if other is not statement:
            key = VerifyingKey.decode(bytes.fromhex(stored_keys(other)["curves"][curve]["verifying key"]))
            with pytest.raises(ZkfedError):
                verify(key, instance, Proof.decode(key.backend, key.layout, proof))


@EVERY
def test_key_and_proof_are_made_again_from_their_public_trapdoors(statement: Frozen) -> None:
    assert (statement.folder / "keys.json").read_text("utf-8") == encode(keys_of(statement))
    assert stored_keys(statement)["shape"] == statement.shapes[-1]


def test_a_key_for_another_circuit_or_a_refused_one_is_seen(tmp_path: Path) -> None:
    frozen, document = BY_NAME["one-hot"], stored_keys(BY_NAME["one-hot"])
    path = tmp_path / "keys.json"

    def said(change: Callable[[dict[str, Any]], Any]) -> str:
        changed = json.loads(json.dumps(document))
        change(changed["curves"]["bn254"])
        path.write_text(encode(changed), "utf-8")
        return "".join(key_differences(path, frozen.build))

    other = stored_keys(BY_NAME["bounded-count"])["curves"]["bn254"]
    assert said(lambda entry: None) == ""
    assert "bn254 key is for another circuit" in said(lambda entry: entry.update(circuit=other["circuit"]))
    assert "bn254 key is for another circuit" in said(
        lambda entry: entry.update({"verifying key": other["verifying key"]})
    )
    assert "bn254 key is refused" in said(lambda entry: entry.update({"verifying key": "00"}))
    assert "bn254 key is refused" in said(lambda entry: entry.update({"verifying key": "x"}))
