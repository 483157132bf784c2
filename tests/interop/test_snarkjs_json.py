"""Shows that snarkjs' JSON is read strictly, where snarkjs itself is lenient, and only what it can mean is written.

Each bad file is a vector of snarkjs with one thing changed.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.algebra import oracle
from tests.groth16.samples import s0
from zkfed.algebra.backend import use
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import to_limbs
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded, ProofInvalid, StoreFault
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.interop import (
    read_proof,
    read_public,
    read_verification_key,
    snarkjs,
    write_proof,
    write_public,
    write_verification_key,
)
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import System

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "circom"
Q, R = BN254.base_modulus, BN254.order
KEY, PROOF, PUBLIC = ("verification_key.json", "proof.json", "public.json")
Edit = Callable[[Any], Any]


@functools.cache
def key() -> VerifyingKey:
    return read_verification_key(VECTORS / KEY)


def read(tmp_path: Path, name: str, text: str) -> Any:
    (tmp_path / name).write_text(text)
    if name == KEY:
        return read_verification_key(tmp_path / name)
    return (read_proof if name == PROOF else read_public)(tmp_path / name, key())


def change(*path: str | int, to: Any) -> Edit:
    """Returns the edit that puts `to`, or what it makes of the old value, at a path."""

    def edit(value: Any) -> Any:
        target = value
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to(target[path[-1]]) if callable(to) else to
        return value

    return edit


def drop(name: str) -> Edit:
    return lambda value: {k: v for k, v in value.items() if k != name}


def plus(amount: int) -> Callable[[str], str]:
    return lambda number: str(int(number) + amount)


@functools.cache
def outside_the_subgroup() -> list[list[str]]:
    """A point of the twist of BN254 that is not in the r-torsion; snarkjs takes it."""
    for x in range(1, 100):
        point = oracle.lift(BN254, "G2", (x, 1))
        if point is not None and oracle.multiply(BN254, "G2", point, R) is not None:
            return [[str(c) for c in coordinate] for coordinate in point] + [["1", "0"]]
    raise AssertionError("no such point")


BAD_G1: dict[str, Edit] = {
    "not-below-q": change(0, to=plus(Q)),
    "negative": change(0, to=lambda n: "-" + n),
    "leading-zero": change(1, to=lambda n: "0" + n),
    "hexadecimal": change(1, to="0x12"),
    "other-digits": change(1, to="\u0661"),
    "number": change(1, to=int),
    "float": change(1, to=1.0),
    "null": change(0, to=None),
    "off-the-curve": change(1, to=lambda n: str(Q - int(n) - 1)),
    "other-y": change(1, to="7"),
    "identity": lambda _: ["0", "1", "0"],
    "all-zero": lambda _: ["0", "0", "0"],
    "origin": lambda _: ["0", "0", "1"],
    "not-affine": change(2, to="2"),
    "two-coordinates": lambda p: p[:2],
    "four-coordinates": lambda p: [*p, "1"],
    "text": lambda p: p[0],
    "of-G2": lambda p: [[p[0], p[1]]] * 3,
    "dictionary": lambda p: dict(enumerate(p)),
}
BAD_G2: dict[str, Edit] = {
    "not-below-q": change(0, 1, to=plus(Q)),
    "number": change(1, 0, to=int),
    "off-the-curve": change(1, 1, to=lambda n: str(Q - int(n) - 1)),
    "outside-the-subgroup": lambda _: outside_the_subgroup(),
    "swapped": lambda p: [p[0][::-1], p[1][::-1], p[2]],
    "identity": lambda _: [["0", "0"], ["1", "0"], ["0", "0"]],
    "not-affine": change(2, to=["1", "1"]),
    "one-part": change(0, to=lambda c: c[:1]),
    "of-G1": lambda p: [p[0][0], p[0][1], "1"],
}
HEADS: dict[str, Edit] = {
    "plonk": change("protocol", to="plonk"),
    "no-protocol": drop("protocol"),
    "other-curve": change("curve", to="bls12377"),
    "curve-is-no-text": change("curve", to=["bn128"]),
    "no-curve": drop("curve"),
}
BAD: list[tuple[str, str, Edit]] = [
    *[(PROOF, f"pi_a-{k}", change("pi_a", to=f)) for k, f in BAD_G1.items()],
    *[(PROOF, f"pi_b-{k}", change("pi_b", to=f)) for k, f in BAD_G2.items()],
    *[(PROOF, k, f) for k, f in HEADS.items()],
    (PROOF, "on-bls12-381", change("curve", to="bls12381")),
    (PROOF, "no-pi_c", drop("pi_c")),
    (PROOF, "list", lambda p: [p]),
    *[(KEY, f"IC-{k}", change("IC", 2, to=f)) for k, f in BAD_G1.items()],
    *[(KEY, f"beta-{k}", change("vk_beta_2", to=f)) for k, f in BAD_G2.items()],
    *[(KEY, k, f) for k, f in HEADS.items()],
    (KEY, "on-bls12-381", change("curve", to="bls12381")),
    (KEY, "one-input-fewer", change("nPublic", to=4)),
    (KEY, "inputs-as-text", change("nPublic", to="5")),
    (KEY, "inputs-true", change("nPublic", to=True)),
    (KEY, "one-point-fewer", change("IC", to=lambda ic: ic[:-1])),
    (KEY, "no-point", lambda k: k | {"IC": [], "nPublic": -1}),
    *[(KEY, f"no-{n}", drop(n)) for n in ("vk_alpha_1", "vk_gamma_2", "vk_delta_2", "IC", "nPublic")],
    (PUBLIC, "one-fewer", lambda x: x[:-1]),
    (PUBLIC, "one-more", lambda x: [*x, "0"]),
    (PUBLIC, "r", change(0, to=str(R))),
    (PUBLIC, "value-plus-r", change(0, to=plus(R))),
    (PUBLIC, "number", change(0, to=int)),
    (PUBLIC, "nested", change(0, to=lambda v: [v])),
    (PUBLIC, "dictionary", lambda x: {"x": x}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "edit"), [(n, e) for n, _, e in BAD], ids=[f"{n[:-5]}-{k}" for n, k, _ in BAD])
def test_malformed_files_are_refused(tmp_path: Path, name: str, edit: Edit) -> None:
    good = json.loads((VECTORS / name).read_text())
    with pytest.raises(DecodeError, match=rf"^{name}: "):
        read(tmp_path, name, json.dumps(edit(copy.deepcopy(good))))
    read(tmp_path, name, json.dumps(good))


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"curve": 1} x', "[" * 10_000, '{"IC": %s}' % ("1" * 5000), '{"a": 1, "a": 2}', "NaN", "\ufeff{}"],
    ids=["empty", "open", "tail", "deep", "long-number", "name-twice", "not-a-number", "byte-order-mark"],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    for name in (KEY, PROOF, PUBLIC):
        with pytest.raises(DecodeError, match=rf"^{name}: "):
            read(tmp_path, name, text)


@given(data=st.data(), name=st.sampled_from([PROOF, PUBLIC]))
def test_changed_characters_are_refused_or_mean_another_value(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    text = (VECTORS / name).read_text()
    at, new = data.draw(st.integers(0, len(text) - 1)), data.draw(st.text(max_size=3))
    changed = text[:at] + new + text[at + 1 :]
    try:
        value = read(tmp_path_factory.getbasetemp(), name, changed)
    except DecodeError:
        return
    if name == PUBLIC:
        assert [str(v) for v in value.static["public"]] == json.loads(changed)
    else:
        # One changed character of a point never gives a point: what is left is space between the numbers.
        assert value.encode(key().backend) == read_proof(VECTORS / PROOF, key()).encode(key().backend)


@pytest.mark.parametrize("name", [KEY, PROOF, PUBLIC])
def test_large_files_are_refused_unread(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 23)
    with pytest.raises(LimitExceeded):
        read_verification_key(tmp_path / name) if name == KEY else read(tmp_path, name, " " * (1 << 17))
    with pytest.raises(StoreFault, match="cannot be read"):
        read_verification_key(tmp_path / "absent.json")


G2 = [[str(c) for c in xy] for xy in oracle.generator(BN254, "G2") or ()] + [["1", "0"]]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        pytest.param(change("vk_delta_2", to=G2), "delta equals the generator", id="delta-is-gamma"),
        pytest.param(lambda k: k | {"vk_gamma_2": k["vk_delta_2"]}, "gamma is not", id="gamma-is-delta"),
        pytest.param(lambda k: k | {"vk_gamma_2": k["vk_beta_2"]}, "gamma is not", id="other-gamma"),
        pytest.param(
            change("vk_delta_2", to=[G2[0], [str(Q - int(c)) for c in G2[1]], G2[2]]),
            "delta equals", id="delta-is-minus-gamma",
        ),
    ],
)  # fmt: skip
def test_keys_that_prove_anything_are_refused(tmp_path: Path, edit: Edit, match: str) -> None:
    with pytest.raises(KeyRefused, match=match):
        read(tmp_path, KEY, json.dumps(edit(json.loads((VECTORS / KEY).read_text()))))


def test_alphabeta_is_never_believed(tmp_path: Path) -> None:
    """e(alpha, beta) is recomputed: a wrong one changes nothing, and none is needed."""
    entry = json.loads((VECTORS / KEY).read_text())
    for edit in (drop("vk_alphabeta_12"), change("vk_alphabeta_12", to=[["1"]])):
        assert read(tmp_path, KEY, json.dumps(edit(copy.deepcopy(entry)))).encode() == key().encode()


def test_a_layout_must_fit_the_key() -> None:
    layout = square(BN254).layout
    with pytest.raises(DecodeError, match="not those of square"):
        read_verification_key(VECTORS / KEY, layout)
    with pytest.raises(ValueError, match="segments or challenges"):
        read_verification_key(VECTORS / KEY, s0().system.layout)


# -- our own circuits -----------------------------------------------------------------------------


def square(curve: Curve) -> System:
    """x^2 + x = y, without a segment: plain Groth16 with a ctx."""
    builder = Builder("square", curve=curve)
    y = builder.input("y", (2,))
    x = builder.witness("x", (2,), lambda values: values.private["x"])
    builder.enforce("square", x, x + 1, y + 0)
    builder.enforce("one", builder.input("z") + 1, x[0], x[0])
    return builder.finish()


@pytest.mark.parametrize("curve", [BN254, BLS12_381], ids=lambda curve: curve.name)
def test_a_circuit_of_ours_without_segments_survives_with_its_ctx(tmp_path: Path, curve: Curve) -> None:
    system = square(curve)
    prover = Prover(development_keys(system), system)
    vk, instance = prover.key.verifying, Instance(bytes(range(32)), {"y": [6, 12], "z": 0})
    proof = prover.prove(instance, {"x": [2, 3]})
    write_verification_key(vk, tmp_path / KEY)
    write_proof(proof, prover.backend, tmp_path / PROOF)
    write_public(vk, instance, tmp_path / PUBLIC)
    again = read_verification_key(tmp_path / KEY, system.layout)
    assert again.encode() == vk.encode()
    verify(again, instance, read_proof(tmp_path / PROOF, again))
    with pytest.raises(ProofInvalid):
        verify(again, Instance(bytes(32), instance.static), read_proof(tmp_path / PROOF, again))
    with pytest.raises(ValueError, match="has a ctx"):
        read_public(tmp_path / PUBLIC, again)
    # ctx is a public input like any other: the plain reading of the same three files holds too.
    plain = read_verification_key(tmp_path / KEY)
    verify(plain, read_public(tmp_path / PUBLIC, plain), read_proof(tmp_path / PROOF, plain))


def test_what_snarkjs_cannot_verify_is_not_written(tmp_path: Path) -> None:
    case = s0()
    with pytest.raises(ValueError, match="segments or challenges"):
        write_verification_key(case.vk, tmp_path / KEY)
    with pytest.raises(ValueError, match="committed segments"):
        write_proof(case.proof, case.backend, tmp_path / PROOF)
    with pytest.raises(ValueError, match="segments or challenges"):
        write_public(case.vk, case.instance, tmp_path / PUBLIC)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("curve", [BN254, BLS12_381], ids=lambda curve: curve.name)
@pytest.mark.parametrize("group", ["G1", "G2"])
def test_coordinates_are_those_of_the_oracle(curve: Curve, group: Any) -> None:
    backend = use(curve)
    found = snarkjs._as_json(backend, backend.generator(group, to_limbs([1, 5])))
    for entry, factor in zip(found, (1, 5), strict=True):
        point = oracle.multiply(curve, group, oracle.generator(curve, group), factor)
        assert point is not None
        plain = [c if group == "G2" else [c] for c in entry[:2]]
        assert [[int(v) for v in c] for c in plain] == [list(c) for c in point]
