"""Shows a statement of a host's own, from its definition to a verified proof.

A proof holds for its public values, context, commitments, statement and key alone; wrong values
are refused by name before proving, and the example and its size are as the documents say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import own_statement
from zkfed.commitments.pedersen import generators
from zkfed.errors import DecodeError, KeyRefused, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.setup import development_keys
from zkfed.statements.definition import Definition
from zkfed.statements.statement import Keys, Proven, Statement, Verifier, development_setup

ABOUT = b"task 7, round 3, device 5"
PUBLIC = {"limit": 100, "weights": [1, 2, 3]}
SECRET = {"x": [10, 20, 5], "kind": [False, True], "score": -2}


class Sample(Statement):
    name, version = "sample", 1

    def __init__(self, most: int = 50) -> None:
        self.most = most

    def define(self, c: Definition) -> None:
        limit, weights = c.public("limit", 0, 1000), c.public("weights", 0, 9, (3,))
        x = c.secret("x", (3,), 0, self.most, commit="update")
        kind, score = c.secret("kind", (2,), 0, 1), c.secret("score", (), -5, 5, commit="score")
        c.at_most("within the limit", c.product("weighted", x, weights).sum(), limit)
        c.one_hot("one kind", kind)
        c.one_of("a known score", score, [-2, 0, 4])


class Wide(Statement):
    """Values that no machine integer holds."""

    name = "wide"

    def define(self, c: Definition) -> None:
        c.at_most("in all", c.secret("x", (2,), -1, 1 << 64).sum(), c.public("most", 0, 1 << 66) * np.int64(1 << 60))


_made: dict[str, tuple[Keys, Proven]] = {}


def _of(curve: str) -> tuple[Keys, Proven]:
    if curve not in _made:
        keys = development_setup(Sample(), curve=curve)
        _made[curve] = keys, keys.prove(PUBLIC, SECRET, context=ABOUT)
    return _made[curve]


def keys_of(curve: str = "bls12-381") -> Keys:
    """The same keys in every test: a refusal is never for want of the right key."""
    return _of(curve)[0]


def honest(curve: str = "bls12-381") -> Proven:
    return _of(curve)[1]


def verify(curve: str = "bls12-381", **changes: Any) -> None:
    proven = honest(curve)
    arguments = {"proof": proven.proof, "public": PUBLIC, "context": ABOUT, "commitments": proven.commitments} | changes
    keys_of(curve).verifier.verify(arguments.pop("proof"), arguments.pop("public"), **arguments)


# -- proofs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", ["bls12-381", "bn254"])
def test_an_honest_proof_is_accepted_and_opens_its_commitments(curve: str) -> None:
    verify(curve)
    proven, backend = honest(curve), keys_of(curve).verifier.key.backend
    for name, use, values in (("x", "update", [10, 20, 5]), ("score", "score", [-2])):
        point = backend.decode("G1", proven.commitments[name], 1)
        generators(backend, use, len(values)).open(point, values, proven.blinders[name])
    assert "blinders" not in repr(proven)


def test_a_proof_holds_for_what_it_is_about_alone() -> None:
    proven = honest()
    again = keys_of().prove(PUBLIC, SECRET, context=ABOUT)
    swapped = {"x": proven.commitments["score"], "score": proven.commitments["x"]}
    for changes in (
        {"public": PUBLIC | {"limit": 99}}, {"public": PUBLIC | {"weights": [1, 2, 4]}}, {"context": ABOUT + b"0"},
        {"commitments": again.commitments}, {"commitments": proven.commitments | {"x": again.commitments["x"]}},
        {"commitments": swapped}, {"proof": again.proof},
    ):  # fmt: skip
        with pytest.raises(ProofInvalid):
            verify(**changes)


def test_a_commitment_that_was_made_before_is_the_one_that_is_proven() -> None:
    backend = keys_of().verifier.key.backend
    before = backend.encode(generators(backend, "update", 3).commit([10, 20, 5], 12345))
    proven = keys_of().prove(PUBLIC, SECRET, context=ABOUT, blinders={"x": 12345})
    assert proven.commitments["x"] == before
    keys_of().verifier.verify(proven.proof, PUBLIC, context=ABOUT, commitments=proven.commitments)
    with pytest.raises(DecodeError, match="blinders for"):
        keys_of().prove(PUBLIC, SECRET, context=ABOUT, blinders={"kind": 1})


@pytest.mark.parametrize("x", [[-1, 1 << 63], [1 << 64, -1], [np.uint64((1 << 64) - 1), np.int8(-1)], [True, 0]])
def test_large_integers_stay_what_they_are(x: list[Any]) -> None:
    keys = development_setup(Wide())
    for most in (1 << 6, 1 << 66):
        proven = keys.prove({"most": most}, {"x": x}, context=ABOUT)
        keys.verifier.verify(proven.proof, {"most": most}, context=ABOUT)
    with pytest.raises(UnsatisfiedConstraint) as caught:
        keys.prove({"most": 0}, {"x": [1, 0]}, context=ABOUT)
    assert caught.value.constraint == "in all"


@pytest.mark.parametrize(
    "changes",
    [
        {"public": {"limit": 100}}, {"public": PUBLIC | {"more": 1}}, {"public": PUBLIC | {"weights": [1, 2]}},
        {"public": PUBLIC | {"limit": 100.0}}, {"public": PUBLIC | {"limit": None}}, {"public": PUBLIC | {"limit": ""}},
        {"public": PUBLIC | {"weights": [1, [2], 3]}}, {"context": b""}, {"context": "text"}, {"commitments": None},
        {"commitments": {}}, {"proof": b""}, {"proof": bytes(384)},
    ],
)  # fmt: skip
def test_what_a_verifier_cannot_read_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        verify(**changes)


def test_a_public_value_outside_its_bounds_is_refused() -> None:
    for limit in (-1, 1001):
        with pytest.raises(ProofInvalid, match="limit is outside its range"):
            verify(public=PUBLIC | {"limit": limit})
        with pytest.raises(ProofInvalid, match="limit is outside its range"):
            keys_of().prove(PUBLIC | {"limit": limit}, SECRET, context=ABOUT)


def test_a_commitment_is_decoded_strictly() -> None:
    point = honest().commitments["x"]
    for bad in (point[:-1], bytes(48), b"\xff" * 48, b"\xc0" + bytes(47)):
        with pytest.raises(DecodeError):
            verify(commitments=honest().commitments | {"x": bad})


# -- before proving --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"x": [1, 2]}, {"x": [[1, 2, 3]]}, {"x": 1}, {"x": [1, 2, 3.0]}, {"x": [1, np.nan, 3]}, {"x": [1, None, 3]},
     {"x": "abc"}, {"score": [1]},
     {"x": [np.zeros((2, 2)), np.zeros((2, 3))]}, {"x": np.array([1.0, 2.0, 3.0])}, {"unknown": 1}, {"x": [1, [2], 3]}],
)  # fmt: skip
def test_secrets_of_another_shape_or_type_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        keys_of().prove(PUBLIC, SECRET | change, context=ABOUT)


def test_a_missing_secret_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match=r"missing \['kind', 'score'\]"):
        keys_of().prove(PUBLIC, {"x": [1, 2, 3]}, context=ABOUT)


@pytest.mark.parametrize(
    ("change", "name", "position"),
    [
        ({"x": [10, 51, 5]}, "x", (1,)), ({"x": [10, 5, -1]}, "x", (2,)), ({"score": 6}, "score", (0,)),
        ({"x": [10, 1 << 200, 5]}, "x", (1,)), ({"kind": [2, -1]}, "kind", (0,)),
        ({"x": [50, 20, 5]}, "within the limit", ()), ({"kind": [1, 1]}, "one kind", ()),
        ({"kind": [0, 0]}, "one kind", ()), ({"score": 1}, "a known score", ()),
    ],
)  # fmt: skip
def test_what_is_not_true_is_refused_by_name_and_without_a_value(change: Any, name: str, position: Any) -> None:
    with pytest.raises(UnsatisfiedConstraint) as caught:
        keys_of().prove(PUBLIC, SECRET | change, context=ABOUT)
    assert caught.value.constraint == name
    assert caught.value.position[: len(position)] == position
    assert name in str(caught.value)
    assert "51" not in str(caught.value)
    assert str(1 << 200) not in str(caught.value)


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_of_another_definition_is_refused() -> None:
    class Renamed(Sample):
        name = "renamed"

    class Newer(Sample):
        version = 2

    for other in (Sample(most=51), Renamed(), Newer()):
        with pytest.raises(KeyRefused, match="another circuit"):
            Verifier(other, keys_of().verifier.key)
        with pytest.raises(KeyRefused, match="another circuit"):
            Keys(other, keys_of().proving)
    with pytest.raises(ProofInvalid):
        Verifier(Sample(), development_keys(Sample().circuit()[0]).verifying).verify(
            honest().proof, PUBLIC, context=ABOUT, commitments=honest().commitments
        )


@pytest.mark.parametrize(
    ("name", "version"), [("", 1), ("Sample", 1), ("a b", 1), (None, 1), ("sample", 0), ("sample", "1"), ("a" * 41, 1)]
)
def test_a_statement_needs_a_name_and_a_version(name: Any, version: Any) -> None:
    wrong = type("Wrong", (Sample,), {"name": name, "version": version})
    with pytest.raises(ValueError, match="needs a name"):
        development_setup(wrong())


def test_a_definition_is_the_same_each_time() -> None:
    """A verifier builds its own circuit: a definition that changes has no key that fits."""

    class Drifting(Sample):
        calls = 0

        def define(self, c: Definition) -> None:
            # Another one for each circuit; within one circuit `define` refuses it itself.
            self.most += self.calls % 2 == 0
            self.calls += 1
            super().define(c)

    with pytest.raises(KeyRefused, match="another circuit"):
        development_setup(Drifting())


# -- the example -----------------------------------------------------------------------------------


def test_the_example_runs_and_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    own_statement.main()
    proven, refused = capsys.readouterr().out.splitlines()
    assert proven.endswith("at most 3 of 64 weights change")
    assert refused == "custom:sparse-update: 'few are touched' does not hold"
    assert len(Path(own_statement.__file__).read_text("utf-8").splitlines()) < 40


@pytest.mark.parametrize(
    ("cheat", "relation"),
    [
        (lambda u, t: (u, np.where(np.arange(64) == 17, 0, t)), "the others stay"),
        (lambda u, t: (u, t + (np.arange(64) == 5)), "few are touched"),
        (lambda u, t: (u, t * 2), "touched"),
    ],
    ids=["a change that is not named", "one more", "no bits"],
)
def test_the_example_refuses_an_update_that_changes_more(cheat: Callable[[Any, Any], Any], relation: str) -> None:
    update = np.zeros(64, dtype=np.int64)
    update[[3, 17, 40]] = 1200, -450, 7
    changed, touched = cheat(update, (update != 0).astype(np.int64))
    with pytest.raises(UnsatisfiedConstraint) as caught:
        development_setup(own_statement.SparseUpdate()).prove(
            {"most": 3}, {"update": changed, "touched": touched}, context=ABOUT
        )
    assert caught.value.constraint == relation
