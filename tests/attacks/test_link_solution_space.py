"""The link's equation has no solutions but openings with one witness, whatever the trapdoors are.

Source: review section 6 (method and numbers) and H3, C4. An algebraic attacker hands in R_1 .. R_2l
and pi as combinations of published elements of G1. The equation must hold for all trapdoors, so its
solutions are the kernel of a matrix: a column for each element in each place, a row for each random
key. Its dimension, less what follows from relations between the elements alone, must be that of the
honest witnesses: every wire, mask and blinder. In our layout a lane's generators 2^(32 l) G_j are
multiples of each other; that adds nothing, because the wires also stand in row 1.

What stops the variants: their keys are refused, and k stands in G1 only inside P.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.groth16.logarithms import TOY, Draw, draw_key, rank, shrunk
from zkfed.errors import KeyRefused
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.groth16.setup import development_keys
from zkfed.policy import LinearModel
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import LinkSpec, System
from zkfed.statements.improvement import improvement_circuit
from zkfed.statements.update_bound import noise_circuit, update_circuit

Drawer = Callable[[int], tuple[list[int], list[int]]]
"""seed -> (published elements, k of each row)."""


def dimensions(draw: Drawer) -> tuple[int, int]:
    """Returns (solutions of the link's equation without trivial ones, rank of the elements)."""
    count, rows = len(draw(0)[0]), len(draw(0)[1])
    samples = np.array([draw(seed)[0] for seed in range(count + 20)], dtype=np.int64)
    independent = rank(samples)
    places = rows + 1
    equations = np.zeros((places * independent + 40, places * count), dtype=np.int64)
    for seed in range(len(equations)):
        published, k = draw(seed)
        values = np.array(published, dtype=np.int64)
        parts = [values * factor % TOY.order for factor in k]
        equations[seed] = np.concatenate([*parts, -values % TOY.order])
    kernel = places * count - rank(equations)
    return kernel - places * (count - independent), independent


def of(system: System, k_of: Any = None, more: Callable[[Draw], list[int]] = lambda draw: []) -> Drawer:
    toy = shrunk(system)

    def draw(seed: int) -> tuple[list[int], list[int]]:
        one = draw_key(toy, seed, k_of)
        return one.published + more(one), one.k

    return draw


def honest(system: System) -> int:
    """Returns the wires and the mask of each linked segment and a blinder for each."""
    return sum(s.stop - s.start + 1 for s in system.segments if s.is_linked)


STATEMENTS = {
    "S0, 2 coordinates of one lane scalar": lambda: update_circuit(2),
    "S0, 8 coordinates of two": lambda: update_circuit(8),
    "N, 2 coordinates": lambda: noise_circuit(2),
    "N, 3 coordinates": lambda: noise_circuit(3),
    "S2, regression": lambda: improvement_circuit(LinearModel(1, 1), 1),
    "S2, binary": lambda: improvement_circuit(LinearModel(2, 2), 3),
    "S2, three classes": lambda: improvement_circuit(LinearModel(1, 3), 3),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_link_of_every_statement_has_honest_solutions_only(name: str) -> None:
    system = STATEMENTS[name]()
    found, independent = dimensions(of(system))
    assert found == honest(system)
    assert independent > 3 * found


def test_the_curve_of_logarithms_runs_the_setup_of_the_real_one() -> None:
    """The tool's own control: same number of elements, and honest relations hold in it."""
    system = update_circuit(8)
    real, draw = development_keys(system), draw_key(shrunk(system), 1)
    assert [len(p) for p in real._parts()] == [len(p) for p in draw.key._parts()]
    (columns,), basis, k = draw.key.link, draw.key.bases[0].raw, draw.k
    w = np.array([*range(3, 11)], dtype=object)
    d_u = int((w * basis[:-1]).sum() + 5 * basis[-1])
    lanes = draw.published[-3:]
    c_d = sum(int(v) * 2 ** (LANE_BITS * (i % LANES)) * lanes[i // LANES] for i, v in enumerate(w)) + 9 * lanes[2]
    pi = int((np.array([*w, 5, 9], dtype=object) * columns.raw).sum())
    assert (k[0] * d_u + k[1] * c_d - pi) % TOY.order == 0
    assert (k[0] * (d_u + 1) + k[1] * c_d - pi) % TOY.order != 0


# -- layouts that are wrong ------------------------------------------------------------------------


def two_links(first: str, second: str) -> System:
    """Returns a circuit with two linked segments of two wires each."""
    builder = Builder("two-links")
    for name, use in (("u", first), ("v", second)):
        builder.segment(name, LinkSpec(name, use, LANES, LANE_BITS))
        w = builder.witness(name, (2,), lambda v: v.private["w"], segment=name)
        builder.product(f"{name}/squares", w, w + 1)
    return builder.finish()


def update_and_rows() -> System:
    """Returns a circuit with an update of two coordinates and the sketch of rows of two columns."""
    builder = Builder("update-and-rows")
    builder.segment("update", LinkSpec("update", "update", LANES, LANE_BITS))
    d = builder.witness("d", (2,), lambda v: v.private["d"], segment="update")
    builder.challenge("rho")
    builder.segment("rows", LinkSpec("rows", "row", 1, LANE_BITS))
    sketch = builder.witness("v", (2,), lambda v: v.private["v"], segment="rows")
    builder.product("products", builder.operand(d), builder.operand(sketch) + 1)
    return builder.finish()


def one_k(k: list[int]) -> list[int]:
    return [*k[:2], *k[:2]]


@pytest.fixture
def anything_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the list of refused keys away, to show what it stops."""
    monkeypatch.setattr("zkfed.groth16.setup.refuse", lambda key: None)


def test_two_links_with_rows_of_their_own_have_honest_solutions_only() -> None:
    system = two_links("update", "row")
    assert dimensions(of(system))[0] == honest(system) == 8


def test_an_update_and_a_derived_sketch_have_honest_solutions_only() -> None:
    system = update_and_rows()
    assert dimensions(of(system))[0] == honest(system) == 8


@pytest.mark.usefixtures("anything_goes")
def test_control_an_update_and_a_derived_sketch_with_one_k_have_more() -> None:
    system = update_and_rows()
    assert dimensions(of(system, one_k))[0] > honest(system)


@pytest.mark.usefixtures("anything_goes")
def test_control_two_links_with_one_k_have_more() -> None:
    system = two_links("update", "row")
    extra = dimensions(of(system, one_k))[0] - honest(system)
    assert extra >= 5


@pytest.mark.usefixtures("anything_goes")
def test_control_one_blinder_generator_in_two_rows_has_one_more() -> None:
    """R_2 = k_4 H, R_4 = -k_2 H, pi = 0: nobody knows an opening."""
    system = two_links("update", "update")
    assert dimensions(of(system))[0] == honest(system) + 1


@pytest.mark.usefixtures("anything_goes")
def test_control_two_rows_with_one_k_have_more() -> None:
    """kappa_1 = kappa_2: (D_u + X, C_D - X) is as good as (D_u, C_D) for every X."""
    system = update_circuit(2)
    extra = dimensions(of(system, lambda k: [k[0], k[0]]))[0] - honest(system)
    assert extra > 100


@pytest.mark.usefixtures("anything_goes")
def test_control_the_starting_key_accepts_everything() -> None:
    """K = 0 and P = 0: pi = 0 for every pair."""
    system = update_circuit(2)
    found, independent = dimensions(of(system, lambda k: [0, 0]))
    assert found == 2 * independent


def test_control_a_published_k_has_one_more() -> None:
    """[k_1] in G1: R_1 may hold the generator, which no wire opens."""
    system = update_circuit(2)
    for row in (0, 1):
        assert dimensions(of(system, more=lambda draw, row=row: [draw.k[row]]))[0] == honest(system) + 1  # type: ignore[misc]


def test_control_one_row_of_a_column_published_apart_unlinks_the_rows() -> None:
    """k_1 p_0 alone: then p_0 may stand in R_1 without anything in R_2; its wire is unlinked."""
    system = update_circuit(2)

    def apart(draw: Draw) -> list[int]:
        return [draw.k[0] * int(draw.key.bases[0].raw[0]) % TOY.order]

    assert dimensions(of(system, more=apart))[0] == honest(system) + 1


@pytest.mark.parametrize(
    ("system", "k_of"),
    [
        (two_links("update", "update"), None),
        (two_links("update", "row"), one_k),
        (update_circuit(2), lambda k: [k[0], k[0]]),
        (update_circuit(2), lambda k: [k[0], TOY.order - k[0]]),
        (update_circuit(2), lambda k: [0, 0]),
        (update_circuit(2), lambda k: [1, k[1]]),
    ],
    ids=["one H", "one k for two links", "k_1 = k_2", "k_1 = -k_2", "k = 0", "k_1 = 1"],
)
def test_a_setup_of_a_wrong_layout_is_refused(system: System, k_of: Any) -> None:
    with pytest.raises(KeyRefused):
        draw_key(shrunk(system), 1, k_of)
