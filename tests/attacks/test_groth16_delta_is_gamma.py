"""With delta = gamma anyone proves anything: C takes back what the public inputs put in.

Source: the incidents of Groth16 verifiers whose delta was never set by a ceremony; protocol.md
section 5, refused keys. A = alpha, B = beta, C = -(K_0 + sum x_j K_j + sum D_k), and D_k, PoK and
pi from the masks. What stops it: such a key is refused on load, on export and on use.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.groth16.samples import CASES, Case, challenger_of, equations, holds, times, total
from zkfed.algebra.field import to_limbs
from zkfed.errors import KeyRefused
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify


def forged(case: Case, key: VerifyingKey, instance: Instance, sign: int) -> Proof:
    b = case.backend
    last = [b.take(basis, np.array([len(basis) - 1])) for basis in (*case.key.bases, *case.key.pok)]
    d, pok = tuple(last[: len(case.key.bases)]), last[len(case.key.bases) :]
    columns = case.key.link[0]
    link = b.msm(b.take(columns, np.array([len(columns) - 2, len(columns) - 1])), to_limbs([1, 1]))
    draft = Proof(key.alpha, key.beta, key.alpha, d, pok[0], link)
    challenger = challenger_of(key, instance, draft)
    f = challenger.fold(d)
    parts = [times(b, p, pow(f, i, case.order)) for i, p in enumerate(pok)]
    public = total(b, b.msm(key.ic, to_limbs([1, *challenger.inputs])), *d)
    return replace(draft, c=times(b, public, -sign), pok=total(b, *parts))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sign", [1, -1], ids=["delta=gamma", "delta=-gamma"])
def test_the_forgery_satisfies_every_equation_and_its_key_is_refused(name: str, sign: int, tmp_path: Path) -> None:
    case = CASES[name]()
    b = case.backend
    key = replace(case.vk, delta=b.generator("G2", to_limbs([sign % case.order])))
    instance = replace(case.instance, commitments=(case.generators.blinder,))
    proof = forged(case, key, instance, sign)
    # Control: all three equations hold, each on its own, with no witness.
    for equation in equations(key, challenger_of(key, instance, proof), proof):
        assert holds(b, equation)
    with pytest.raises(KeyRefused, match="delta equals"):
        verify(key, instance, proof)
    with pytest.raises(KeyRefused):
        VerifyingKey.decode(key.encode())
    with pytest.raises(KeyRefused):
        key.save(tmp_path / "key")
    proving = replace(case.key, verifying=key)
    for refused in (lambda: ProvingKey.decode(proving.encode()), lambda: Prover(proving, case.system),
                    lambda: proving.save(tmp_path / "key")):  # fmt: skip
        with pytest.raises(KeyRefused):
            refused()
    assert not list(tmp_path.iterdir())
