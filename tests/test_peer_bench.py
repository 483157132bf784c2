"""Shows that the peer bench races honest circuits, and that its table says what was measured.

The provers themselves are not run here; `make bench-peers` does that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benches.peers import table
from benches.peers.circuits import Data, dense, digits, drawn, improvement, mixed
from benches.peers.process import Command, Failed, Server
from benches.peers.run import summary
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import to_limbs
from zkfed.errors import UnsatisfiedConstraint
from zkfed.interop import read_r1cs, read_wtns, write_r1cs, write_wtns


@pytest.mark.parametrize("curve", [BN254, BLS12_381], ids=lambda c: c.name)
@pytest.mark.parametrize("kind", [dense, mixed])
def test_generated_witnesses_satisfy_their_circuits_and_no_other(kind: Any, curve: Curve, tmp_path: Path) -> None:
    system, z = kind(200, curve)
    assert system.constraint_count == 200
    system.check(*system.evaluate(z))
    for wire in (1, 2, len(z) - 1):
        wrong = z.copy()
        wrong[wire] += 2
        with pytest.raises(UnsatisfiedConstraint):
            system.check(*system.evaluate(wrong))

    write_r1cs(system, tmp_path / "c.r1cs")
    write_wtns(to_limbs(z.tolist()), system, tmp_path / "c.wtns")
    again = read_r1cs(tmp_path / "c.r1cs")
    assert (again.wire_count, again.public_count) == (202, 2)
    assert (read_wtns(tmp_path / "c.wtns", again) == to_limbs(z.tolist())).all()


def test_dense_wires_are_full_size_and_most_mixed_wires_are_bits() -> None:
    assert sum(int(v).bit_length() < 200 for v in dense(1000, BN254)[1]) < 10
    assert sum(int(v) < 2 for v in mixed(1000, BN254)[1]) == 901  # nine hundred, and the wire 1


@pytest.mark.parametrize(("data", "size"), [(digits, 3_599), (drawn, 40_322)])
def test_our_own_circuits_come_with_a_true_statement(data: Callable[[], Data], size: int) -> None:
    system, z = improvement(BN254, data())
    system.check(*system.evaluate(z))
    assert system.constraint_count <= size


def row(peer: str, **values: Any) -> dict[str, Any]:
    out: dict[str, Any] = {
        "circuit": "dense-65528", "constraints": 65528, "curve": "bn254", "peer": peer, "version": "1.2",
        "prove_s": 2.0, "prove_runs_s": [2.0] * 5, "prove_cpu_s": 3.9, "setup_s": 4.0, "verify_ms": 1.5,
        "rest_mb": 50.0, "peak_mb": 151.0, "key_bytes": 25_000_000, "vk_bytes": 500, "proof_bytes": 128,
        "ratio_to_zkfed": 2.0,
    }  # fmt: skip
    return out | values


OURS = row("zkfed", version="", prove_s=1.0, setup_s=0.5, ratio_to_zkfed=1.0, verify_batch_100_ms=45.0)


def test_targets_are_compared_with_what_was_measured() -> None:
    found = {g.what.partition(":")[0]: g for g in table.goals([OURS, row("gnark"), row("groth16py")])}
    assert found["prove / gnark"].measured == 0.5
    assert found["setup / groth16py"].measured == 0.125
    assert found["batch of 100 / 100 singles"].measured == pytest.approx(0.3)
    assert found["memory over the interpreter, MB"].measured == 101
    assert not found["memory over the interpreter, MB"].is_met
    assert found["verify / gnark"].is_met


def test_a_prover_that_failed_or_is_absent_has_no_number_but_a_reason() -> None:
    failed = {k: v for k, v in row("snarkjs").items() if k in {"circuit", "constraints", "curve", "peer", "version"}}
    text = table.section(
        [OURS, row("gnark"), failed | {"failed": "not accepted"}], {"bellperson": "no cargo"}, "About."
    )
    assert "| **zkfed** | 1.000 | 1.00 | 3.90 | 0.50 | 1.50 | 151 (101) | 25.0 | 128 |" in text
    assert "| gnark 1.2 | 2.000 | 2.00 |" in text
    assert "- bellperson: absent, no cargo" in text
    assert "- snarkjs on dense-65528, bn254: not accepted" in text
    assert "| snarkjs" not in text
    assert "Medians of 5 rounds" in text


def test_only_what_stands_between_the_markers_is_rewritten() -> None:
    first = table.between_markers("# Title\n\nAbove.\n", "one\n")
    assert first.startswith("# Title\n\nAbove.\n")
    assert table.between_markers(first + "\nBelow.\n", "two\n") == first.replace("one", "two") + "\nBelow.\n"


def test_medians_are_of_the_single_runs() -> None:
    proofs = [{"prove_s": s, "cpu_s": 2 * s, "peak_mb": 100 + s} for s in (3.0, 1.0, 2.0)]
    expected = {"prove_s": 2.0, "prove_runs_s": [3.0, 1.0, 2.0], "prove_cpu_s": 4.0, "peak_mb": 103.0}
    assert summary(proofs) == expected


# -- drivers --------------------------------------------------------------------------------------

SERVER = """
import json, sys, time
print("{}", flush=True)
for line in sys.stdin:
    if line.strip() == "hang": time.sleep(60)
    if line.strip() == "fail": sys.exit("not accepted")
    print(json.dumps({"prove_s": 0.5}), flush=True)
"""


def server(limit_s: float = 20) -> Server:
    return Server(Command((sys.executable, "-c", SERVER)), limit_s=limit_s)


def test_a_driver_answers_and_is_measured_from_outside() -> None:
    with server() as driver:
        answer = driver.ask("prove")
    assert answer["prove_s"] == 0.5
    if sys.platform == "linux":
        assert driver.rest_mb is not None
        assert 1 < driver.rest_mb <= answer["peak_mb"] < 200
        assert 0 <= answer["cpu_s"] < 1


def test_a_driver_that_refuses_or_hangs_is_a_failure_with_its_last_words() -> None:
    with server() as driver, pytest.raises(Failed, match="not accepted"):
        driver.ask("fail")
    with server(limit_s=1) as driver, pytest.raises(Failed, match="no answer within 1 s"):
        driver.ask("hang")
    with pytest.raises(Failed, match="ended badly"):
        Command((sys.executable, "-c", "import sys; sys.exit('ended badly')")).ask(limit_s=20)
    assert Command((sys.executable, "-c", f"print('{json.dumps({'setup_s': 1})}')")).ask(limit_s=20) == {"setup_s": 1}
