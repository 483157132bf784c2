"""Shows that the integer forward pass is exact, and where it refuses to go on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed.inference import forward
from zkfed.model import MLP, LinearModel, Model

MODELS = [LinearModel(3, 1), LinearModel(2, 4), MLP(3, (4,), 3), MLP(2, (3, 2), 2), MLP(2, (2,), 3, fraction_bits=3)]


def slowly(model: Model, weights: list[int], row: list[int]) -> list[int]:
    at, left = 0, row
    for layer, (rows, columns) in enumerate(model.layers, 1):
        out = [sum(left[j] * weights[at + j * columns + k] for j in range(rows)) for k in range(columns)]
        at += rows * columns
        if layer < len(model.layers):
            left = [max(z // 2**model.fraction_bits, 0) for z in out] + [127]
    return out


@settings(max_examples=60)
@given(st.sampled_from(MODELS), st.integers(0, 1 << 30), st.sampled_from([4, 1 << 12, 1 << 20]))
def test_equals_plain_integers(model: Model, seed: int, size: int) -> None:
    rand = np.random.default_rng(seed)
    size = min(size, 1 << (model.fraction_bits + 3))  # so that activations stay in their range
    x = np.concatenate([rand.integers(-127, 128, (5, model.features)), np.full((5, 1), 127)], axis=1)
    w = rand.integers(-size, size + 1, model.shape)
    got = forward(model, w, x)
    expected = [slowly(model, w.ravel().tolist(), row) for row in x.tolist()]
    assert got.logits.tolist() == expected
    assert len(got.activations) == len(model.hidden)


@pytest.mark.parametrize("weight", [1 << 60, -(1 << 60), (1 << 62) // 127 - 1, -(1 << 62) // 127 + 1])
def test_sums_beyond_machine_integers_are_exact(weight: int) -> None:
    w, x = np.full((3, 1), weight), np.array([[127, 127, 127]])
    assert forward(LinearModel(2, 1), w, x).logits.tolist() == [[3 * 127 * weight]]


@pytest.mark.parametrize(("quotient", "is_allowed"), [(65535, True), (65536, False), (-65535, True), (-65536, False)])
def test_the_range_of_activations_is_exact(quotient: int, is_allowed: bool) -> None:
    model = MLP(1, (1,), 2, weight_bits=30)
    bias = -(-quotient * 2**15 // 127)  # the smallest w with 127 w >= 2^15 quotient
    weights, row = np.array([0, bias, 0, 0]), np.array([[0, 127]])
    if is_allowed:
        assert forward(model, weights, row).pre[0].tolist() == [[127 * bias]]
        assert forward(model, weights, row).activations[0].tolist() == [[max(quotient, 0)]]
        return
    with pytest.raises(ValueError, match="hidden layer 1, unit 0"):
        forward(model, weights, row)


def test_an_activation_outside_its_range_names_layer_and_unit() -> None:
    model = MLP(1, (2, 2), 2)
    weights = np.zeros(model.parameters, dtype=np.int64)
    weights[3] = 1 << 24  # bias of unit 1: floor(127 * 2^24 / 2^15) = 65,024
    assert forward(model, weights, np.array([[1, 127]])).activations[0].tolist() == [[0, 65024]]
    weights[3] += 1 << 18  # + 1,016
    with pytest.raises(ValueError, match=r"hidden layer 1, unit 1: an activation is outside \(-516, 516\)"):
        forward(model, weights, np.array([[1, 127]]))
    weights[3] *= -1
    with pytest.raises(ValueError, match="unit 1"):
        forward(model, weights, np.array([[1, 127]]))


@pytest.mark.parametrize("rows", [np.ones((2, 2), dtype=np.int64), np.ones(3, dtype=np.int64), np.ones((2, 3))])
def test_rows_of_another_shape_or_type_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows"):
        forward(LinearModel(2, 2), np.zeros((3, 1), dtype=np.int64), rows)


def test_weights_in_floats_are_refused() -> None:
    with pytest.raises(ValueError, match="weights are float64, expected integers"):
        forward(LinearModel(2, 2), np.zeros((3, 1)), np.ones((2, 3), dtype=np.int64))
