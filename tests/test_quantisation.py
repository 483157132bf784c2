"""Shows that a quantised model is the one that proofs are made of, and that its report is true.

Reports are compared with what scikit-learn says about its own models, and with integers of Python.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import hinge_loss, log_loss
from sklearn.neural_network import MLPClassifier

from examples import quantise as quantise_example
from zkfed.errors import ModelRefused
from zkfed.fixedpoint import quantise_features
from zkfed.importing import ImportedModel, import_model
from zkfed.model import MLP, LinearModel, Model
from zkfed.quantisation import QuantisationReport, quantise
from zkfed.statements.keys import fixed_weights

DIGITS = load_digits()
X, Y = DIGITS.data / 16.0, DIGITS.target
TRAIN, TEST = slice(0, 1000), slice(1000, 1300)


def by_hand(model: Model, weights: np.ndarray, loss: str | None = None) -> ImportedModel:
    usual = {1: "squared", 2: "logistic"}.get(model.classes, "cross-entropy")
    return ImportedModel(model, weights, "", usual if loss is None else loss)


def integer_logits(model: Model, weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Logits in Python's integers, one multiplication at a time."""
    matrices, out = [m.tolist() for m in model.split(weights)], []
    for row in quantise_features(features).tolist():
        left = row
        for layer, matrix in enumerate(matrices, 1):
            z = [sum(a * w for a, w in zip(left, column, strict=True)) for column in zip(*matrix, strict=True)]
            if layer < len(matrices):
                left = [max(v // 2**model.fraction_bits, 0) for v in z] + [127]
        out.append([v / (127 * 2**model.fraction_bits) for v in z])
    return np.array(out)


@pytest.fixture(scope="module")
def trained() -> MLPClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 15 epochs are not enough to converge, and enough here
        return MLPClassifier((16, 8), max_iter=15, random_state=0).fit(X[TRAIN], Y[TRAIN])


# -- the integers ---------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 15), st.sampled_from([LinearModel, MLP]))
def test_integers_are_the_nearest_and_those_of_a_proof(seed: int, bits: int, family: type) -> None:
    rand = np.random.default_rng(seed)
    model = LinearModel(3, 4, bits, 20) if family is LinearModel else MLP(3, (5,), 4, bits, 20)
    weights = rand.normal(size=model.shape)
    exact, _ = quantise(by_hand(model, weights), rand.uniform(-1, 1, (6, 3)), rand.integers(0, 4, 6))
    assert exact.dtype == np.int64
    assert np.abs(exact / 2.0**bits - weights).max() <= 0.5**bits / 2
    assert exact.tolist() == fixed_weights(model, weights, "base model").tolist()


@given(st.floats(0.01, 30_000), st.integers(1, 15))
def test_weights_beyond_the_range_are_cut_and_the_advice_is_tight(weight: float, fraction_bits: int) -> None:
    def report(bits: int) -> QuantisationReport:
        model = LinearModel(1, 1, fraction_bits, bits)
        exact, out = quantise(by_hand(model, np.array([[weight], [-weight]])), np.array([[1.0]]), np.array([0.0]))
        assert np.abs(exact).max() < 1 << bits
        return out

    narrow = report(1)
    if not narrow.layers[0].cut:
        assert narrow.warnings == []
        return
    assert narrow.layers[0].cut == 2
    advised = re.search(r"layer 1: 2 weights of .* or more cut; weight_bits=(\d+) holds all", narrow.warnings[0])
    assert advised is not None
    assert report(int(advised[1])).layers[0].cut == 0
    assert report(int(advised[1]) - 1).layers[0].cut == 2


def test_weights_that_no_model_holds_are_said_to_be_so() -> None:
    imported = by_hand(LinearModel(1, 1), np.array([[1e5], [0.0]]))
    _, report = quantise(imported, np.array([[0.5]]), np.array([0.0]))
    assert report.warnings == ["layer 1: 1 weight of 32 or more cut; no weight_bits holds all"]


# -- the report -----------------------------------------------------------------------------------


def test_a_perceptron_is_judged_as_scikit_learn_and_plain_integers_judge_it(trained: MLPClassifier) -> None:
    exact, report = quantise(import_model(trained), X[TEST], Y[TEST])
    logits = integer_logits(MLP(64, (16, 8), 10), exact, X[TEST])
    assert report.accuracy is not None
    assert report.accuracy == (trained.score(X[TEST], Y[TEST]), float((logits.argmax(axis=1) == Y[TEST]).mean()))
    assert report.loss[0] == pytest.approx(log_loss(Y[TEST], trained.predict_proba(X[TEST])))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert report.loss[1] == pytest.approx(log_loss(Y[TEST], chances))
    assert report.moved == int((logits.argmax(axis=1) != trained.predict(X[TEST])).sum())
    assert report.warnings == []
    assert [layer.shape for layer in report.layers] == [(65, 16), (17, 8), (9, 10)]
    for layer, matrix, bias in zip(report.layers, trained.coefs_, trained.intercepts_, strict=True):
        assert layer.weight == max(np.abs(matrix).max(), np.abs(bias).max())
        assert layer.weight_bits == int(np.rint(layer.weight * 2**15)).bit_length()


@pytest.mark.parametrize("bits", [3, 15])
def test_coarse_steps_cost_what_the_report_says(trained: MLPClassifier, bits: int) -> None:
    imported = import_model(trained, fraction_bits=bits)
    exact, report = quantise(imported, X[TEST], Y[TEST])
    logits = integer_logits(imported.model, exact, X[TEST])
    assert report.accuracy is not None
    assert report.accuracy[1] == float((logits.argmax(axis=1) == Y[TEST]).mean())
    assert (report.logit_error > 0.5) == (bits == 3)
    lost = [int((np.abs(m) <= 0.5**bits / 2).sum()) for m in imported.model.split(imported.weights)]
    assert [layer.lost for layer in report.layers] == lost
    assert lost[0] > 100 or bits == 15


@pytest.mark.parametrize(
    ("estimator", "theirs"),
    [(LogisticRegression(), log_loss), (SGDClassifier(loss="hinge", random_state=0), hinge_loss)],
)
def test_two_classes(estimator: Any, theirs: Any) -> None:
    y = (Y > 4).astype(int)
    fitted = estimator.fit(X[TRAIN], y[TRAIN])
    exact, report = quantise(import_model(fitted), X[TEST], y[TEST])
    judged = fitted.predict_proba(X[TEST]) if theirs is log_loss else fitted.decision_function(X[TEST])
    assert report.loss[0] == pytest.approx(theirs(y[TEST], judged))
    assert report.accuracy is not None
    assert report.accuracy[0] == fitted.score(X[TEST], y[TEST])
    logits = integer_logits(LinearModel(64, 2), exact, X[TEST])[:, 0]
    assert report.accuracy[1] == float(((logits > 0) == (y[TEST] == 1)).mean())


def test_regression_has_no_accuracy() -> None:
    y = (Y - 4.5) / 4.5
    fitted = Ridge().fit(X[TRAIN], y[TRAIN])
    exact, report = quantise(import_model(fitted), X[TEST], y[TEST])
    assert report.accuracy is None
    assert report.loss[0] == pytest.approx(float(((fitted.predict(X[TEST]) - y[TEST]) ** 2).mean()), rel=1e-4)
    logits = integer_logits(LinearModel(64, 1), exact, X[TEST])[:, 0]
    assert report.loss[1] == pytest.approx(float(((logits - y[TEST]) ** 2).mean()), rel=1e-4)
    assert "accuracy" not in str(report)


@pytest.mark.parametrize("loss", ["accuracy", "squared"])
def test_other_losses_of_many_classes(loss: str) -> None:
    logits, y = np.array([[0.5, 0.25, 0.0], [0.0, 0.25, 0.5]]), np.array([0, 1])
    weights = np.vstack([logits, np.zeros(3)])  # two rows that are unit vectors read them off
    _, report = quantise(by_hand(LinearModel(2, 3), weights, loss), np.eye(2), y)
    expected = 0.5 if loss == "accuracy" else ((0.25 + 0.0625) + (0.75**2 + 0.25)) / 2
    assert report.loss == pytest.approx((expected, expected))
    assert report.layers[0].lost == 0  # what is 0 does not get lost
    rows = [line.split()[:3] for line in str(report).splitlines()[2:4]]
    assert rows == [
        ["accuracy", "50.00%", "50.00%"],
        ["errors" if loss == "accuracy" else loss, *[f"{expected:.5g}"] * 2],
    ]


@settings(max_examples=40)
@given(st.integers(0, 1 << 30))
def test_no_logit_of_a_linear_model_moves_further_than_its_roundings(seed: int) -> None:
    rand = np.random.default_rng(seed)
    weights, x = rand.normal(size=(9, 3)), rand.uniform(-1, 1, (5, 8))
    _, report = quantise(by_hand(LinearModel(8, 3, 6), weights), x, rand.integers(0, 3, 5))
    assert report.logit_error <= np.abs(weights[:-1]).sum(axis=0).max() * 0.5 / 127 + 9 * 0.5 / 64 + 1e-9


def test_features_in_integers_are_127ths(trained: MLPClassifier) -> None:
    imported = import_model(trained)
    integers = np.rint(X[TEST] * 127).astype(np.int64)
    one, other = (quantise(imported, x, Y[TEST])[1] for x in (integers, integers / 127))
    assert one == other


def test_activations_near_either_end_of_their_range_are_warned_of() -> None:
    def warned(weight: float) -> list[str]:
        model = MLP(1, (2,), 3, weight_bits=30)
        weights = np.zeros(model.parameters)
        weights[:2] = weight, -weight
        return quantise(by_hand(model, weights), np.array([[1.0]]), np.array([0]))[1].warnings

    wide = "layer 1: activations use the last of 16 bits; other rows may leave the range, and such a row can be"
    assert warned(0.125) == []  # floor(-15.9)
    assert warned(0.118) == ["layer 1: activations stay below 16/127; steps of 1/127 are coarse for them"]
    assert warned(258.0) == []  # 32,766
    assert warned(258.5) == [f"{wide} neither proven nor judged"]


def test_reads_well_as_text_and_in_a_notebook(trained: MLPClassifier) -> None:
    _, report = quantise(import_model(trained, weight_bits=13), X[TEST], Y[TEST])
    text, page = str(report), report._repr_html_()
    assert text.startswith("MLP 64-16-8-10: 1,266 weights in steps of 2^-15, judged on 300 rows\n")
    assert max(map(len, text.splitlines())) <= 118
    assert report.accuracy is not None
    for part in (f"{report.accuracy[1]:.2%}", f"{report.loss[1]:.5g}", f"{report.layers[1].activation_bits}/16"):
        assert part in text
        assert part in page
    assert report.warnings
    assert all(warning in text and warning in page for warning in report.warnings)
    assert page.count("<tr>") == page.count("</tr>") == 7


def test_the_example_shows_what_coarse_steps_and_narrow_weights_cost(capsys: pytest.CaptureFixture[str]) -> None:
    quantise_example.main()
    fine, coarse, narrow, refused = capsys.readouterr().out.split("\n\n")
    moved = [int(re.findall(r"(\d+) rows? moved", text)[0]) for text in (fine, coarse, narrow)]
    assert moved[0] <= 2 < min(moved[1:])
    assert "weight_bits=16 holds all" in narrow
    assert "weight_bits" not in fine + coarse
    assert refused.startswith("refused  model-refused: MLPClassifier, layer 1: activation 'tanh'")


# -- what is refused ------------------------------------------------------------------------------


def test_activations_outside_their_range_are_refused_by_name() -> None:
    model = MLP(1, (1, 2), 2, weight_bits=30)
    weights = np.array([1.0, 0.0, 0.0, 600.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(ModelRefused, match=r"hidden layer 2, unit 1: an activation is outside \(-516, 516\)"):
        quantise(by_hand(model, weights), np.array([[1.0]]), np.array([1]))


def changed(values: dict[int, float]) -> np.ndarray:
    weights = np.zeros(MLP(2, (2,), 3).parameters)
    for where, value in values.items():
        weights[where] = value
    return weights


@pytest.mark.parametrize(
    ("weights", "text"),
    [(changed({8: np.nan, 7: np.inf}), "layer 2: 2 weights are NaN or infinite"), (changed({0: np.nan}), "layer 1"),
     (changed({9: -1e300}), "layer 2: a weight is 2\\^30 or more"), (np.zeros(14), "shape \\(14,\\)"),
     (np.zeros(15, dtype=complex), "complex128"), (np.zeros(15, dtype=object), "object"), (np.zeros((15, 1)), "shape"),
     (np.zeros(15, dtype=bool), "bool")],
)  # fmt: skip
def test_weights_that_are_none_are_refused(weights: np.ndarray, text: str) -> None:
    with pytest.raises(ModelRefused, match=text):
        quantise(by_hand(MLP(2, (2,), 3), weights), np.zeros((1, 2)), np.array([0]))


@pytest.mark.parametrize(
    ("features", "labels", "text"),
    [(np.zeros((1, 2)), [3], "labels"), (np.zeros((1, 2)), [-1], "labels"), (np.zeros((2, 2)), [0], "one for each row"),
     (np.zeros((1, 2)), [[0]], "one for each row"), (np.zeros((1, 2)), [0.5], "labels"), (np.zeros((0, 2)), [], "rows"),
     (np.full((1, 2), 1.5), [0], "scale them first"), (np.full((1, 2), np.nan), [0], "NaN"),
     (np.zeros((1, 3)), [0], "rows of 3 features"), (np.zeros(2), [0], "shape")],
)  # fmt: skip
def test_rows_that_are_none_are_refused(features: np.ndarray, labels: list[Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        quantise(by_hand(MLP(2, (2,), 3), np.zeros(15)), features, np.array(labels))


@pytest.mark.parametrize("loss", ["hinge", "absolute"])
def test_a_loss_of_another_kind_of_model_is_refused(loss: str) -> None:
    with pytest.raises(ModelRefused, match=f"the loss '{loss}' is none here for 3 classes"):
        quantise(by_hand(MLP(2, (2,), 3), np.zeros(15), loss), np.zeros((1, 2)), np.array([0]))
