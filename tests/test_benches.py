"""Shows that the circuits and texts of the benches are what they say, without measuring anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benches.cluster_cost import core_hours, table, unit_costs
from benches.scaling import cases
from benches.scaling_report import BEGIN, END, between_markers, pippenger, plot, section, slope
from benches.synthetic import KINDS
from zkfed.algebra.backend import use
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import from_limbs
from zkfed.errors import UnsatisfiedConstraint
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
@pytest.mark.parametrize("kind", KINDS)
def test_the_synthetic_circuits_hold_and_are_of_the_stated_size(kind: str, curve: Curve) -> None:
    plain = KINDS[kind](1000, curve)
    system, z = plain.system, from_limbs(plain.assignment)
    system.check(*system.evaluate(z))
    assert 980 < system.constraint_count <= 1000
    assert system.magnitudes is not None
    sizes = np.array([min(v, curve.order - v).bit_length() for v in z.tolist()])
    assert (sizes <= system.magnitudes).all()
    share_of_bits = float((system.magnitudes[2:] == 1).mean())
    assert share_of_bits == (0.0 if kind == "dense" else pytest.approx(0.9, abs=0.01))


@pytest.mark.parametrize("kind", KINDS)
def test_every_wire_of_a_synthetic_circuit_matters(kind: str) -> None:
    plain = KINDS[kind](41, BLS12_381)
    system, z = plain.system, from_limbs(plain.assignment)
    for wire in range(1, system.wire_count):
        changed = z.copy()
        changed[wire] = (changed[wire] + 5) % system.curve.order
        with pytest.raises(UnsatisfiedConstraint):
            system.check(*system.evaluate(changed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_synthetic_circuit_proves(kind: str) -> None:
    plain = KINDS[kind](41, BLS12_381)
    prover = Prover(development_keys(plain.system, use()), plain.system)
    verify(prover.key.verifying, plain.instance, prover.prove_assignment(plain.instance, plain.assignment))
    wrong = replace(plain.instance, static={"result": 1})
    with pytest.raises(UnsatisfiedConstraint):
        prover.prove_assignment(wrong, plain.assignment)


# -- the scaling study --------------------------------------------------------------------------------


def rows() -> list[dict[str, Any]]:
    """Makes up a study in which everything but the verification grows like the constraints."""
    out = []
    for kind, size in cases(16):
        n = int(size) if kind != "improvement" else 50 * int(size.split("x")[0])
        figures = {"setup_s": n / 1e4, "setup_cpu_s": n / 5e3, "prove_s": n / 2e4, "prove_cpu_s": n / 1e4}
        figures |= {"setup_mb": n / 100, "prove_mb": n / 50, "verify_ms": 2.0, "key_bytes": 300 * n}
        predicted = {name: 1.5 * value for name, value in figures.items()}
        out.append({
            "kind": kind, "size": size, "name": f"{kind}-{size}", "constraints": n, "curve": "bls12-381",
            "backend": "native", "threads": 2, "proof_bytes": 192, "open_s": 0.1, **figures, "predicted": predicted,
        })  # fmt: skip
    return out


def test_the_fitted_exponent_is_that_of_the_power() -> None:
    sizes = [2.0**k for k in range(12, 21)]
    assert slope(sizes, [3 * n**1.5 for n in sizes]) == pytest.approx(1.5)
    assert slope([pippenger(n) for n in sizes], [7 * pippenger(n) for n in sizes]) == pytest.approx(1.0)


def test_the_section_states_growth_and_a_ten_times_larger_model() -> None:
    text = section(rows())
    assert text.count("| dense-") == text.count("| mixed-") == 3
    assert "| dense, 4,088 to 65,528 | 1.00 (" in text
    assert "| parameters | 650 | 6,410 | 9.9 |" in text
    assert "| prove, s | 0.16 | 1.60 | 10.0 |" in text
    assert "| prove, CPU s | 0.32 | 3.20 | 10.0 |" in text
    assert "proofs had 100% of 2 threads" in text
    assert "| prove, wall | 1.50 | 1.50 | 1.50 |" in text


def test_only_the_text_between_the_markers_changes() -> None:
    first = between_markers("# Page\n\nOther text.\n", "one\n")
    assert first.startswith("# Page\n\nOther text.\n")
    assert between_markers(first, "two\n") == first.replace(f"{BEGIN}\none\n{END}", f"{BEGIN}\ntwo\n{END}")


def test_the_plot_is_small(tmp_path: Path) -> None:
    plot(rows(), tmp_path / "scaling.png")
    assert 10_000 < (tmp_path / "scaling.png").stat().st_size <= 200_000


# -- what a cluster would cost ------------------------------------------------------------------------


def test_the_cost_of_many_devices_is_the_unit_cost_times_their_number() -> None:
    assert core_hours(3600.0, 1_000_000) == 1.0
    names = {"test_read": 600.0, "test_check[here]": 400.0, "test_add[here]": 800.0}
    rows = [{"name": n, "extra_info": {"us_per_update": c}} for n, c in names.items()]
    costs = unit_costs({"benchmarks": [*rows, {"name": "test_other", "extra_info": {}}]})
    assert costs == names
    assert "| all | 1800 | 0.50 | 3.0 |" in table(costs, 1_000_000, 10)
