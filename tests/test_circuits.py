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
from circuits.freeze import CURVES, STATEMENTS, Frozen, contents, differences, write
from circuits.vectors import VECTOR_MODEL, VECTOR_ROWS
from tests.statements.circuit_samples import Sample, bounded_run, reducing
from tests.witness_runner import Run
from zkfed.algebra.curve import CURVES as CURVES_BY_NAME
from zkfed.errors import ZkfedError
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark, PublicTerms
from zkfed.statements.update_bound import update_circuit

BY_NAME = {statement.name: statement for statement in STATEMENTS}
EVERY = pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)


@EVERY
def test_circuits_are_as_frozen(statement: Frozen) -> None:
    assert differences(statement) == []


def test_every_folder_is_a_version_of_a_statement() -> None:
    folders = {path.name for path in freeze.FOLDER.iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert folders >= {statement.folder.name for statement in STATEMENTS}
    assert {name.rsplit("-v", 1)[0] for name in folders} == set(BY_NAME)
    for name in folders:
        assert {p.name for p in (freeze.FOLDER / name).iterdir()} == {"statement.md", "shape.json", "vectors.json"}


@EVERY
def test_a_statement_says_what_it_claims_and_what_not(statement: Frozen) -> None:
    text = (statement.folder / "statement.md").read_text("utf-8")
    assert text.startswith(f"# {statement.name}, version {statement.build(statement.shapes[-1], CURVES[0]).version} ")
    for heading in ("## Relation", "## Bit budget", "## Not claimed"):
        assert heading in text
    # Counts that the error bounds are computed from.
    rows = json.loads((statement.folder / "shape.json").read_text("utf-8"))["shapes"][statement.shapes[0]]["rows"]
    assert f"K = {rows['table/lookups']:,}, b = {rows['table/entries'].bit_length() - 1}" in text


# -- a change is seen ----------------------------------------------------------------------------


def another_circuit(shape: str, curve: str) -> System:
    return replace(update_circuit(int(shape.removeprefix("P=")) + 1, curve), name=f"update-bound-{shape[2:]}")


def test_a_changed_circuit_is_seen_and_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = BY_NAME["update-bound"]
    monkeypatch.setattr(freeze, "FOLDER", tmp_path)
    folder = frozen.folder
    assert differences(frozen) == [f"{folder.name}/{name}: missing" for name in contents(frozen)]
    folder.mkdir()
    (folder / "statement.md").write_text("<!-- budget -->\n\n<!-- end -->\n", "utf-8")
    write(frozen)
    assert differences(frozen) == []

    changed = replace(frozen, build=another_circuit)
    assert differences(changed) == ["update-bound-v1/shape.json: differs from the code"]
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
    for name, text in files.items():
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
    system = statement.build(document["shape"], curve)
    run = improvement_run(document, curve) if "base" in document else bound_run
    if vector["expect"] == "accept":
        run(vector, system).check()
        return
    with pytest.raises(ZkfedError) as caught:
        run(vector, system).check()
    assert caught.value.code == vector["expect"]["code"]
    if "constraint" in vector["expect"]:
        name: str = getattr(caught.value, "constraint", "")
        assert name.startswith(vector["expect"]["constraint"] + "/")
        for forging in (system, reducing(system)):
            with pytest.raises(ZkfedError):
                run(vector, forging, is_strict=False).check()


@EVERY
def test_each_statement_has_vectors_of_every_kind(statement: Frozen) -> None:
    found = json.loads((statement.folder / "vectors.json").read_text("utf-8"))["vectors"]
    kinds = {"accept" if v["expect"] == "accept" else v["expect"].get("constraint", "input") for v in found}
    expected = {"accept", "input", "update/norm-slack", "update/range"}
    assert kinds == expected | ({"improvement"} if statement.name == "improvement" else set())
    assert len({v["name"] for v in found}) == len(found)
