"""Shows that an imported model computes what the original did, and that the rest is refused by layer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import linear_model, neural_network, svm
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import zkfed
from zkfed.errors import ModelRefused, PolicyError
from zkfed.importing import ImportedModel, import_model
from zkfed.model import MLP, LinearModel

X = load_digits().data[:400] / 16
Y = load_digits().target[:400]


def logits_of(imported: ImportedModel, features: np.ndarray) -> np.ndarray:
    """The formula of zkfed/model.py in floats."""
    left = features
    *hidden, last = imported.model.split(imported.weights)
    for w in hidden:
        left = np.maximum(left @ w[:-1] + w[-1], 0)
    return np.asarray(left @ last[:-1] + last[-1])


def fitted(estimator: Any, labels: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a short training is as good for an import
        return estimator.fit(X, labels)


def quick_mlp(**options: Any) -> Any:
    return neural_network.MLPClassifier(**{"hidden_layer_sizes": (12,), "max_iter": 5, "random_state": 0} | options)


def regressor(**options: Any) -> Any:
    return neural_network.MLPRegressor(**{"hidden_layer_sizes": (6, 5), "max_iter": 5, "random_state": 0} | options)


# -- arrays --------------------------------------------------------------------------------------


def test_one_matrix_is_a_linear_model_without_bias() -> None:
    got = import_model([np.arange(12).reshape(4, 3)])
    assert got.model == LinearModel(4, 3)
    assert got.weights.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [0, 0, 0]]
    assert (got.source, got.loss) == ("numpy arrays", "cross-entropy")


def test_pairs_and_matrices_are_layers_with_relu() -> None:
    rand = np.random.default_rng(1)
    w1, w2, w3 = rand.normal(size=(4, 5)), rand.normal(size=(5, 2)), rand.normal(size=(2, 3))
    b1, b3 = rand.normal(size=5), rand.normal(size=3)
    got = import_model([(w1, b1), w2, (w3, b3)], fraction_bits=12, weight_bits=18)
    assert got.model == MLP(4, (5, 2), 3, fraction_bits=12, weight_bits=18)
    assert got.weights.shape == got.model.shape
    x = rand.uniform(-1, 1, (20, 4))
    expected = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2, 0) @ w3 + b3
    np.testing.assert_allclose(logits_of(got, x), expected, rtol=0, atol=1e-12)


def test_two_outputs_are_one_logit_with_the_same_probabilities() -> None:
    rand = np.random.default_rng(2)
    w, b, x = rand.normal(size=(4, 2)), rand.normal(size=2), rand.uniform(-1, 1, (20, 4))
    got = import_model([(w, b)])
    assert (got.model, got.loss) == (LinearModel(4, 2), "logistic")
    z = x @ w + b
    softmax = np.exp(z[:, 1]) / np.exp(z).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits_of(got, x)[:, 0])), softmax, rtol=1e-12)


def test_one_output_needs_to_know_what_it_is() -> None:
    w = [np.ones((4, 1))]
    assert (import_model(w, classes=1).model, import_model(w, classes=1).loss) == (LinearModel(4, 1), "squared")
    assert (import_model(w, classes=2).model, import_model(w, classes=2).loss) == (LinearModel(4, 2), "logistic")
    with pytest.raises(ModelRefused, match="classes=1 for a regression, classes=2"):
        import_model(w)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ([], "there are no layers"),
        ([np.ones((3, 4)), np.ones((5, 3))], "layer 2 takes 5 inputs, the layer before it has 4 outputs"),
        ([(np.ones((3, 4)), np.ones(3))], r"layer 1: a bias of shape \(3,\), expected \(4,\)"),
        ([np.ones((3, 4)), np.ones((8, 4, 3, 3))], "layer 2: weights of shape .* convolutions are not supported"),
        ([np.ones(3)], r"layer 1: weights of shape \(3,\), expected \(inputs, outputs\)$"),
        ([np.ones((0, 3))], "layer 1: weights of shape"),
        ([np.ones((3, 4)) * 1j], "layer 1: weights are complex128, expected real numbers"),
        ([np.array([["a"] * 3])], "layer 1: weights are <U1"),
        ([[[1.0, 2.0], [3.0]]], "layer 1: weights are no array of numbers"),
        ([np.ones((3, 4)), np.full((4, 3), np.nan)], "layer 2: weights hold 12 NaN or infinite values"),
        ([(np.ones((3, 3)), [0, np.inf, 0])], "layer 1: bias hold 1 NaN"),
        ([(np.ones((3, 3)), np.ones(3), 1)], "layer 1 has 3 parts"),
        ([np.ones((2, 2))] * 10, "layer 10: more than 8 hidden layers"),
        ([np.ones((2, 5000)), np.ones((5000, 3))], "layer 1 has 5000 hidden units, at most 4096"),
        (np.ones((3, 4)), "ndarray cannot be imported"),
        ("model.pt", "^str cannot be imported"),
    ],
)
def test_arrays_that_are_no_model_are_refused_by_layer(source: Any, text: str) -> None:
    with pytest.raises(ModelRefused, match=text):
        import_model(source)


@pytest.mark.parametrize(("outputs", "classes"), [(3, 2), (3, 4), (3, 1), (2, 3), (2, 1), (1, 3)])
def test_classes_that_do_not_fit_the_last_layer_are_refused(outputs: int, classes: int) -> None:
    with pytest.raises(ModelRefused, match=f"the last layer has {outputs} outputs, {classes} classes need"):
        import_model([np.ones((4, outputs))], classes=classes)


class InTraining:
    """Refuses to be an array as a torch tensor that requires a gradient does."""

    def __array__(self, *_arguments: object, **_options: object) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


def test_what_will_not_become_an_array_is_refused_by_layer() -> None:
    with pytest.raises(ModelRefused, match="layer 2: weights are no array of numbers"):
        import_model([np.ones((3, 4)), InTraining()])


def test_bits_are_the_models() -> None:
    with pytest.raises(PolicyError, match=r"LinearModel\.fraction_bits is 16"):
        import_model([np.ones((4, 3))], fraction_bits=16)


def test_the_repr_holds_no_weights() -> None:
    assert "0.123" not in repr(import_model([np.full((2, 3), 0.123)]))


# -- scikit-learn --------------------------------------------------------------------------------

BINARY = Y % 2
REGRESSION = Y / 9


@pytest.mark.parametrize(
    ("estimator", "labels", "loss"),
    [
        (linear_model.LogisticRegression(max_iter=50), BINARY, "logistic"),
        (linear_model.LogisticRegression(max_iter=50), Y, "cross-entropy"),
        (linear_model.RidgeClassifier(), BINARY, "squared"),
        (linear_model.SGDClassifier(random_state=0), BINARY, "hinge"),
        (linear_model.SGDClassifier(loss="log_loss", random_state=0), BINARY, "logistic"),
        (linear_model.SGDClassifier(loss="modified_huber", random_state=0), BINARY, "accuracy"),
        (linear_model.SGDClassifier(random_state=0), Y, "accuracy"),
        (linear_model.Perceptron(random_state=0), Y, "accuracy"),
        (svm.LinearSVC(random_state=0), BINARY, "hinge"),
        (svm.LinearSVC(random_state=0, fit_intercept=False), Y, "accuracy"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else None,
)
def test_a_classifier_keeps_its_decision_function(estimator: Any, labels: np.ndarray, loss: str) -> None:
    estimator = fitted(estimator, labels)
    got = import_model(estimator)
    classes = int(labels.max()) + 1
    assert (got.model, got.loss) == (LinearModel(64, classes), loss)
    assert got.source == f"scikit-learn {type(estimator).__name__}"
    z = estimator.decision_function(X).reshape(len(X), -1)
    np.testing.assert_allclose(logits_of(got, X), z, rtol=0, atol=1e-12)


def test_sparse_coefficients_are_the_same_model() -> None:
    estimator = fitted(linear_model.SGDClassifier(penalty="l1", random_state=0), Y)
    dense = import_model(estimator).weights
    assert import_model(estimator.sparsify()).weights.tolist() == dense.tolist()


def test_probabilities_are_those_of_the_losses() -> None:
    binary = fitted(linear_model.LogisticRegression(max_iter=50), BINARY)
    z = logits_of(import_model(binary), X)[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-z)), binary.predict_proba(X)[:, 1], rtol=1e-9)
    several = fitted(linear_model.LogisticRegression(max_iter=50), Y)
    e = np.exp(logits_of(import_model(several), X))
    np.testing.assert_allclose(e / e.sum(axis=1, keepdims=True), several.predict_proba(X), rtol=1e-9)


def test_ridge_of_many_classes_counts_from_zero_and_one() -> None:
    estimator = fitted(linear_model.RidgeClassifier(), Y)
    got = import_model(estimator)
    np.testing.assert_allclose(2 * logits_of(got, X) - 1, estimator.decision_function(X), rtol=0, atol=1e-12)
    # Squared loss against 0 and 1 is a quarter of what it fitted.
    ours, theirs = logits_of(got, X) - np.eye(10)[Y], estimator.decision_function(X) - (2 * np.eye(10)[Y] - 1)
    assert (ours**2).sum() == pytest.approx((theirs**2).sum() / 4)


@pytest.mark.parametrize(
    "estimator",
    [linear_model.LinearRegression(), linear_model.Ridge(), linear_model.SGDRegressor(random_state=0), regressor()],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_regression_keeps_its_prediction(estimator: Any) -> None:
    got = import_model(fitted(estimator, REGRESSION))
    assert (got.model.classes, got.loss) == (1, "squared")
    np.testing.assert_allclose(logits_of(got, X)[:, 0], estimator.predict(X), rtol=0, atol=1e-9)


@pytest.mark.parametrize("hidden", [(12,), (9, 7), ()])
@pytest.mark.parametrize("labels", [BINARY, Y], ids=["binary", "ten"])
def test_a_perceptron_keeps_its_probabilities(hidden: tuple[int, ...], labels: np.ndarray) -> None:
    estimator = fitted(quick_mlp(hidden_layer_sizes=hidden), labels)
    got = import_model(estimator)
    assert (got.model.hidden, got.model.classes) == (hidden, int(labels.max()) + 1)
    z, p = logits_of(got, X), estimator.predict_proba(X)
    if got.model.classes == 2:
        assert got.loss == "logistic"
        np.testing.assert_allclose(1 / (1 + np.exp(-z[:, 0])), p[:, 1], rtol=1e-9)
    else:
        assert got.loss == "cross-entropy"
        np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), p, rtol=1e-9)


def spoilt() -> Any:
    estimator = fitted(quick_mlp(hidden_layer_sizes=(4, 3)), Y)
    estimator.coefs_[1][0, 0] = np.nan
    return estimator


def one_against_rest() -> Any:
    estimator = fitted(linear_model.LogisticRegression(max_iter=5), Y)
    estimator.multi_class = "ovr"  # as scikit-learn before 1.8 has it
    return estimator


def poisson() -> Any:
    estimator = fitted(regressor(), REGRESSION)
    estimator.out_activation_ = "exp"  # as loss="poisson" makes it from scikit-learn 1.7 on
    return estimator


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (poisson, "MLPRegressor, layer 3: output 'exp'; only identity, logistic, softmax are supported"),
        (lambda: fitted(quick_mlp(activation="tanh"), Y), "MLPClassifier, layer 1: activation 'tanh'; only 'relu'"),
        (spoilt, "MLPClassifier, layer 2: weights hold 1 NaN"),
        (lambda: fitted(quick_mlp(), np.eye(10)[Y].astype(int)), "10 outputs for 10 classes; a row has one label"),
        (lambda: fitted(linear_model.RidgeClassifier(), np.eye(10)[Y].astype(int)), "a row has one label"),
        (lambda: fitted(linear_model.Ridge(), np.eye(10)[Y]), "Ridge: 10 targets; a regression has one"),
        (lambda: fitted(linear_model.LogisticRegression(max_iter=5), Y + 1), r"classes_ are \[1, 2.*fit it on class"),
        (lambda: fitted(linear_model.Perceptron(), 2 * BINARY - 1), r"Perceptron.classes_ are \[-1, 1\]"),
        (lambda: fitted(quick_mlp(), np.where(BINARY, "yes", "no")), r"classes_ are \['no', 'yes'\]"),
        (lambda: fitted(quick_mlp(), 0 * Y), "MLPClassifier was fitted on rows of one class"),
        (lambda: fitted(linear_model.RidgeClassifier(), 0 * Y), "RidgeClassifier was fitted on rows of one class"),
        (one_against_rest, "LogisticRegression.multi_class is 'ovr'"),
        (linear_model.LogisticRegression, "the LogisticRegression is not fitted"),
        (lambda: fitted(svm.SVC(kernel="linear"), Y), "the estimator SVC is not supported; supported are Linear"),
        (lambda: fitted(RandomForestClassifier(2), Y), "the estimator RandomForestClassifier is not supported"),
        (lambda: fitted(make_pipeline(MaxAbsScaler(), quick_mlp()), Y), r"a Pipeline \(MaxAbsScaler, MLPClassifier\)"),
    ],
)
def test_estimators_that_compute_something_else_are_refused(make: Any, text: str) -> None:
    with pytest.raises(ModelRefused, match=text):
        import_model(make())


def test_an_estimator_knows_its_classes() -> None:
    estimator = fitted(linear_model.LogisticRegression(max_iter=5), BINARY)
    assert import_model(estimator, classes=2).model.classes == 2
    with pytest.raises(ModelRefused, match="has 2 classes, not 3"):
        import_model(estimator, classes=3)


def test_it_is_public() -> None:
    assert zkfed.import_model is import_model
