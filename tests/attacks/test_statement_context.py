"""A proof for one ctx is a proof for no other: every field of it is bound, bit by bit.

Source: review H1; protocol.md section 6. Replay over rounds, tasks, clients and statement kinds and
somebody else's proof all change one field of `Context`, the verifying key or the circuit.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.groth16.samples import Case, Forger, improvement, noise, s0
from zkfed.errors import DecodeError, ProofInvalid
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.statements.context import Context


def context_of(case: Case, kind: str) -> Context:
    commitment = case.backend.encode(case.instance.commitments[0])
    return Context(kind, b"p" * 32, b"a" * 32, b"s" * 32, commitment, b"d" * 32, b"b" * 32)


CASES = {"S2": improvement, "S0": s0, "N": noise}


@pytest.fixture(params=CASES, scope="module")
def proven(request: pytest.FixtureRequest) -> tuple[Case, Context, Proof]:
    case = CASES[request.param]()
    context = context_of(case, request.param)
    proof = case.prove(5, in_context(case, context))
    verify(case.vk, in_context(case, context), proof)
    return case, context, proof


def in_context(case: Case, context: Context, key: VerifyingKey | None = None) -> Instance:
    return replace(case.instance, context=context.digest(key or case.vk))


def flipped(value: Any, bit: int) -> Any:
    """Returns the value with one bit changed."""
    raw = bytearray(value.encode() if isinstance(value, str) else value)
    raw[bit // 8 % len(raw)] ^= 1 << bit % (7 if isinstance(value, str) else 8)
    return raw.decode() if isinstance(value, str) else bytes(raw)


FIELDS = [f.name for f in fields(Context)]


def test_the_fields_are_those_of_the_protocol() -> None:
    """A new field needs a look at this file: the tests below take the names from the class."""
    assert FIELDS == ["kind", "policy", "announcement", "signer", "commitment", "data", "beacon"]


def test_ctx_is_the_digest_of_the_protocol() -> None:
    """Restated from protocol.md section 6, item by item."""
    key, context = s0().vk, context_of(s0(), "S0")
    items = [b"zkfed/v1/ctx", (1).to_bytes(8, "big"), b"bls12-381", b"S0", b"p" * 32, key.layout.circuit_digest]
    items += [key.digest, b"a" * 32, b"s" * 32, context.commitment, b"d" * 32, b"b" * 32]
    joined = b"".join(len(item).to_bytes(4, "big") + item for item in items)
    assert context.digest(key) == hashlib.sha256(joined).digest()


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("bit", [0, 13, -1])
def test_one_changed_bit_is_refused(proven: tuple[Case, Context, Proof], name: str, bit: int) -> None:
    case, context, proof = proven
    value = getattr(context, name)
    other = replace(context, **{name: flipped(value, bit % (8 * len(value)))})
    assert other != context
    with pytest.raises(ProofInvalid):
        verify(case.vk, in_context(case, other), proof)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_empty_or_longer_is_refused(proven: tuple[Case, Context, Proof], name: str) -> None:
    case, context, proof = proven
    value = getattr(context, name)
    for other in (value[:0], value + value[:1]):
        with pytest.raises(ProofInvalid):
            verify(case.vk, in_context(case, replace(context, **{name: other})), proof)


@given(st.binary(max_size=8), st.binary(max_size=8), st.integers(0, 8), st.sampled_from(range(1, 6)))
def test_bytes_do_not_move_between_neighbouring_fields(left: bytes, right: bytes, at: int, where: int) -> None:
    """Items are length-prefixed: (ab, c) is not (a, bc)."""
    joined, first, second = left + right, FIELDS[where], FIELDS[where + 1]
    context = Context("S2", b"p", b"a", b"s", b"c", b"d", b"b")
    one = replace(context, **{first: left, second: right})
    two = replace(context, **{first: joined[:at], second: joined[at:]})
    assert (one == two) == (one.digest(s0().vk) == two.digest(s0().vk))


@pytest.mark.parametrize(("true", "claimed"), [("S2", "S0"), ("S2", "N"), ("S0", "S2"), ("S0", "N"), ("N", "S0")])
def test_a_proof_of_one_kind_presented_as_another_is_refused(true: str, claimed: str) -> None:
    case = CASES[true]()
    context = context_of(case, true)
    proof = case.prove(5, in_context(case, context))
    with pytest.raises(ProofInvalid):
        verify(case.vk, in_context(case, replace(context, kind=claimed)), proof)
    # Nor under the other kind's own key.
    other = CASES[claimed]()
    theirs, data = replace(other.instance, context=context.digest(other.vk)), proof.encode(case.backend)
    with pytest.raises((ProofInvalid, DecodeError)):
        verify(other.vk, theirs, Proof.decode(other.backend, other.vk.layout, data))


def test_an_s2_proof_with_its_own_s0_part_is_no_s0_proof() -> None:
    """Same D, same C_D: only segments, inputs and keys differ."""
    s2 = improvement()
    assert len(s2.proof.encode(s2.backend)) != len(s0().proof.encode(s2.backend))
    cut = replace(s2.proof, d=s2.proof.d[:2])
    with pytest.raises(ProofInvalid):
        verify(s0().vk, replace(s0().instance, commitments=s2.instance.commitments), cut)


def test_a_proof_under_one_key_is_refused_under_another_of_the_same_circuit() -> None:
    case = s0()
    context = context_of(case, "S0")
    proof = case.prove(5, in_context(case, context))
    for other in (development_keys(case.system).verifying, replace(case.vk, origin="a ceremony")):
        with pytest.raises(ProofInvalid):
            verify(other, in_context(case, context, other), proof)
        # Even if ctx were the same: the key's digest also stands before the challenges.
        with pytest.raises(ProofInvalid):
            verify(other, in_context(case, context), proof)


@pytest.mark.parametrize("change", ["digest", "version", "name"])
def test_the_circuit_is_bound_by_its_digest_name_and_version(change: str) -> None:
    case = s0()
    layout = case.vk.layout
    other = {
        "digest": replace(layout, circuit_digest=flipped(layout.circuit_digest, 3)),
        "version": replace(layout, version=layout.version + 1),
        "name": replace(layout, name=layout.name + "-"),
    }[change]
    key = replace(case.vk, layout=other)
    context = context_of(case, "S0")
    assert context.digest(key) != context.digest(case.vk)
    proof = case.prove(5, in_context(case, context))
    for ctx in (case.vk, key):
        with pytest.raises(ProofInvalid):
            verify(key, in_context(case, context, ctx), proof)


def test_a_proof_for_somebody_elses_commitment_is_refused() -> None:
    """A replay of the proof next to another C_D: both the instance and ctx change."""
    case = s0()
    mine = case.generators.commit(case.private["update"], case.blinder + 1)
    context = context_of(case, "S0")
    theirs = case.prove(5, in_context(case, context))
    stolen = replace(context, commitment=case.backend.encode(mine))
    for ctx in (context, stolen):
        with pytest.raises(ProofInvalid):
            verify(case.vk, replace(in_context(case, ctx), commitments=(mine,)), theirs)
    # Who knows the opening proves it himself, under his own name.
    verify(case.vk, in_context(case, stolen), Forger(case, in_context(case, stolen), case.private).proof())
