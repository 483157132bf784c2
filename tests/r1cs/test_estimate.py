"""Shows that an estimate counts exactly what a key then holds, and reads well.

Counts are compared with real keys and real witnesses. Times are a model's: what is shown of
them is that they exist, add up and grow with the circuit; how good they are is measured in
docs/benchmarks.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benches.synthetic import KINDS
from tests.gadgets.gadget_circuits import CIRCUITS, default, run
from tests.groth16.samples import CASES, Case
from tests.statements.circuit_samples import bounded_run, sample
from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.groth16.proof import proof_bytes
from zkfed.policy import LinearModel
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.costs import CLASSES, UNIT_COSTS
from zkfed.r1cs.estimate import _found_magnitudes
from zkfed.r1cs.linear import constant
from zkfed.r1cs.system import System
from zkfed.r1cs.wires import FULL_SIZE
from zkfed.statements.update_bound import noise_circuit, update_circuit


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def test_every_part_of_the_key_has_the_counted_points(case: Case) -> None:
    key, e = case.key, case.system.estimate()
    counted = {part: sum(counts) for part, counts in e.weight.items()}
    unlinked, linked = [s for s in case.system.segments if not s.is_linked], case.system.links
    assert counted == {
        "A": len(key.a), "B1": len(key.b1), "B2": len(key.b2), "K": len(key.k), "H": len(key.h),
        **{f"D {s.name}": len(basis) for s, basis in zip(case.system.segments, key.bases, strict=True)},
        **{f"PoK {s.name}": len(points) for s, points in zip(unlinked, key.pok, strict=True)},
        **{f"link {spec.segment}": len(points) for spec, points in zip(linked, key.link, strict=True)},
    }  # fmt: skip
    assert (e.constraints, e.wires, e.domain) == (case.system.constraint_count, case.system.wire_count, len(key.h))


def test_bytes_are_those_of_the_key_and_the_proof(case: Case) -> None:
    e, vk = case.system.estimate(), case.vk
    assert e.proof_bytes == proof_bytes(vk.layout) == len(case.proof.encode(case.backend))
    points = (vk.alpha, vk.beta, vk.delta, vk.ic, vk.sigma, vk.kappa)
    assert e.verifying_key_bytes == sum(len(case.backend.encode(p)) for p in points)
    header = len(vk.encode()) + 63 * (len(case.key._parts()) + 1) + 200
    assert 0 < len(case.key.encode()) - e.proving_key_bytes < header


def _runs() -> dict[str, Run]:
    runs = {name: run(default(name)) for name in CIRCUITS}
    small = LinearModel(3, 3)
    runs["improvement"] = sample(small, 20).run()
    runs["update-bound"] = bounded_run(update_circuit(5), [1, -1, 2**15 - 1, -(2**15), 77])
    runs["noise-bound"] = bounded_run(noise_circuit(3), [2**28 - 1, -(2**28), 5])
    return runs


@pytest.mark.parametrize("name", _runs())
def test_no_wire_is_larger_than_its_size_class_says(name: str) -> None:
    a_run = _runs()[name]
    system, z = a_run.system, a_run.check().tolist()
    order = system.curve.order
    assert system.magnitudes is not None
    assert len(system.magnitudes) == system.wire_count
    sizes = [min(v, order - v).bit_length() for v in z]
    assert all(size <= bits for size, bits in zip(sizes, system.magnitudes.tolist(), strict=True))


def test_small_wires_are_known_to_be_small() -> None:
    """The sizes are worth something only if few wires that are small count as full-size."""
    a_run = sample(LinearModel(3, 3), 20).run()
    z, order = a_run.check().tolist(), a_run.system.curve.order
    small = np.array([min(v, order - v).bit_length() <= 64 for v in z])
    assert small.sum() > 50
    assert (a_run.system.magnitudes[small] != FULL_SIZE).all()  # type: ignore[index]


def foreign(system: System) -> System:
    """The circuit as another tool would hand it over: rows alone."""
    return replace(system, magnitudes=None)


def test_a_foreign_circuit_counts_as_full_size_but_for_its_bits() -> None:
    for counts in foreign(update_circuit(5)).estimate().weight.values():
        assert sum(counts[1:-1]) == 0
    known = default("bits").system  # b (b - 1) = 0
    assert foreign(known).estimate().weight["K"] == known.estimate().weight["K"]
    mixed = KINDS["mixed"](400, BN254).system  # b b = b
    found, given = foreign(mixed).estimate().weight["A"], mixed.estimate().weight["A"]
    assert (found[0], sum(found)) == (given[0], sum(given))
    assert found[0] > 300


@pytest.mark.parametrize("change", ["side", "sign", "other wire", "other constant", "twice"])
def test_only_bits_are_found_to_be_bits(change: str) -> None:
    """Rows that look like that of a bit: the first two are some, the others allow other values."""
    builder = Builder("look-alikes")
    b, other = (builder.witness(name, (), lambda values: 0, segment=None) for name in ("b", "other"))
    a_side, b_side, c_side = {
        "side": (b - 1, b, constant(0)),
        "sign": (b * 5, 1 - b, constant(0)),
        "other wire": (b, other - 1, constant(0)),
        "other constant": (b, b - 2, constant(0)),
        "twice": (b, b, b * 2),
    }[change]
    builder.enforce(change, a_side, b_side, c_side)
    system = builder.finish()
    bits = {int(w) for w in np.flatnonzero(_found_magnitudes(foreign(system)) == 1)}
    assert bits == ({0, int(system.final_of[b.wires[0]])} if change in ("side", "sign") else {0})


def test_sizes_do_not_enter_the_digest() -> None:
    system = update_circuit(5)
    assert replace(system, magnitudes=None).digest == system.digest


def test_bits_meet_the_class_of_bits_and_squares_a_wider_one() -> None:
    weight = default("bits").system.estimate().weight
    assert dict(zip(CLASSES, weight["K"], strict=True))["0, +-1"] == 30  # ten bits of three values
    weight = update_circuit(5).estimate().weight
    assert dict(zip(CLASSES, weight["D update"], strict=True)) == dict.fromkeys(CLASSES, 0) | {"16 bits": 5, "full": 1}


def test_the_second_proof_of_knowledge_is_full_size() -> None:
    """Its wires are scaled by the fold's challenge before they meet the key."""
    weight = sample(LinearModel(3, 3), 20).system.estimate().weight
    assert weight["PoK stage-0"] == weight["D stage-0"]
    assert weight["PoK stage-1"] == (0, 0, 0, 0, 0, sum(weight["D stage-1"]))


@pytest.mark.parametrize(("backend", "curve"), UNIT_COSTS)
def test_costs_grow_with_the_circuit(backend: str, curve: str) -> None:
    small, large = (update_circuit(n, curve).estimate(backend, 1) for n in (40, 400))
    for what in ("setup_s", "prove_s", "setup_mb", "prove_mb", "proving_key_bytes"):
        assert 0 < getattr(small, what) < getattr(large, what)
    assert small.proof_bytes == large.proof_bytes
    assert large.prove_s == sum(large.phases.values())
    assert all(s >= 0 for s in large.phases.values())


def test_threads_never_make_it_slower() -> None:
    times = [update_circuit(400).estimate("native", threads).prove_s for threads in (1, 2, 4, 8)]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[1]


def test_the_backend_is_the_one_that_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKFED_BACKEND", "reference")
    assert update_circuit(5).estimate().backend == "reference"
    assert update_circuit(5).estimate("native").backend == "native"


@pytest.mark.parametrize(("backend", "threads"), [("gpu", 1), ("arkworks", 1), ("native", 0), ("native", -1)])
def test_what_is_not_known_is_refused(backend: str, threads: int) -> None:
    with pytest.raises(ValueError, match=r"no measured costs|expected at least 1"):
        update_circuit(5, "bn254").estimate(backend, threads)


def test_it_reads_well() -> None:
    e = update_circuit(650).estimate("native", 2)
    lines = str(e).splitlines()
    assert lines[0] == "update-bound-650 on bls12-381, native backend, 2 threads"
    assert any(
        line.split() == ["constraints", f"{e.constraints:,}", "in", "a", "domain", "of", "4,096"] for line in lines
    )
    assert max(map(len, lines)) <= 100
    hostile = replace(e, circuit="<script>", weight={"<b>": (0,) * 6})
    assert "<script>" not in hostile._repr_html_()
    assert "<b>" not in hostile._repr_html_()
    assert hostile._repr_html_().count("<table>") == 2


def test_both_curves_weigh_the_same() -> None:
    first, second = (update_circuit(40, curve.name).estimate("native", 1) for curve in (BLS12_381, BN254))
    assert first.weight == second.weight
    assert first.proving_key_bytes > second.proving_key_bytes
