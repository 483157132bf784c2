"""A key without ctx cannot stand in for a statement's key, nor a plain proof for a bound one.

A plain circuit (from a .r1cs file) hashes no context. If a verifier that expects a context took a
plain key, every proof could be shown again in any round. What stops it: the verifier's context of
32 bytes does not fit a plain layout, and a layout without ctx has neither segments nor challenges.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.groth16.samples import CONTEXT, s0
from zkfed.algebra.curve import BN254
from zkfed.algebra.field import from_limbs
from zkfed.errors import DecodeError
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.interop import read_r1cs, write_r1cs
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import CONTEXT as NAME
from zkfed.r1cs.system import Layout


def test_a_statement_without_its_ctx_is_no_layout() -> None:
    layout = s0().vk.layout
    stripped = replace(layout, inputs=tuple(i for i in layout.inputs if i.name != NAME))
    with pytest.raises(DecodeError):
        Layout.decode(stripped.encode())
    with pytest.raises(DecodeError):
        VerifyingKey.decode(replace(s0().vk, layout=stripped).encode(), s0().backend)


def test_our_circuit_read_as_a_plain_one_proves_nothing_to_our_verifier(tmp_path: Path) -> None:
    """The detour through a file strips the ctx of its meaning: it is a scalar that anybody can copy."""
    builder = Builder("square", curve=BN254)
    y = builder.input("y")
    x = builder.witness("x", (), lambda values: values.private["x"])
    builder.enforce("square", x, x, y + 1)
    ours = builder.finish()
    prover = Prover(development_keys(ours), ours)
    instance = Instance(CONTEXT, {"y": 8})
    proof = prover.prove(instance, {"x": 3})
    verify(prover.key.verifying, instance, proof)

    write_r1cs(ours, tmp_path / "ours.r1cs")
    plain = read_r1cs(tmp_path / "ours.r1cs", name="square")
    forger = Prover(development_keys(plain), plain)
    z = prover.assignment(instance, {"x": 3})
    forged = forger.prove_assignment(Instance(b"", {"public": from_limbs(z[1 : ours.public_count]).tolist()}), z)
    with pytest.raises(DecodeError):
        verify(forger.key.verifying, instance, forged)
    assert plain.digest != ours.digest
    assert forger.key.verifying.digest != prover.key.verifying.digest
