"""Trained models of other libraries as ours: numpy arrays, scikit-learn estimators, torch modules.

    source                                   becomes
    [W], [(W1, b1), (W2, b2), ...]           linear layers with ReLU between them; W has shape (inputs, outputs)
    a fitted estimator of `_ESTIMATORS`      its decision function
    a torch state_dict or nn.Sequential      its logits

Neither library is imported here: what comes is read by its attributes. The model must have been
trained on features in [-1, 1], which become integers in [-127, 127]; no feature and no logit is
rescaled. For two classes there is one logit, positive for class 1; a last layer of two outputs is
replaced by their difference, which has the same probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import ModelRefused, shown
from zkfed.model import HIDDEN_MAX, MLP, WIDTH_MAX, LinearModel, Model

__all__ = ["ImportedModel", "import_model"]

Floats = npt.NDArray[np.float64]
Layer = tuple[str, Any, Any]
"""(name for error texts, W of shape (inputs, outputs), bias or None)."""


@dataclass(frozen=True)
class ImportedModel:
    """A trained model in the form that statements are about.

    Attributes:
        model: The shape.
        weights: Floats of `model.shape`, each matrix with its bias as last row; secret where the model is.
        source: What it was, for people.
        loss: One of `policy.LOSSES`: the one that it was trained for where that is among them.
    """

    model: Model
    weights: Floats = field(repr=False)
    source: str
    loss: str


def import_model(
    source: Any, *, classes: int | None = None, fraction_bits: int = 15, weight_bits: int = 20
) -> ImportedModel:
    """Returns a trained model as one that can be proven about.

    Args:
        source: A list of layers, each a matrix (inputs, outputs) or a pair of it and its bias; a
            fitted scikit-learn estimator; an nn.Sequential of Linear and ReLU, or the state_dict of a
            module that computes Linear layers in this order with ReLU between them: it does not say so.
        classes: Needed for one output only: 1 for regression, 2 if it is the logit of class 1.
            An estimator knows it.
        fraction_bits: f; weights will be integers at scale 2^f.
        weight_bits: Weights will be below 2^weight_bits as integers.

    Raises:
        ModelRefused: Something in it is not supported, or not a finite number; the text names the layer.
        PolicyError: `fraction_bits` or `weight_bits` is out of range.
    """
    kind = type(source)
    if kind.__module__.split(".")[0] == "sklearn" or hasattr(source, "get_params"):
        layers, known, loss, name = _from_estimator(source)
        if classes is not None and classes != known:
            raise ModelRefused(f"the {name} has {known} classes, not {shown(classes)}")
        classes = known
    elif isinstance(source, list):
        layers, loss, name = _from_arrays(source), "", "numpy arrays"
    elif isinstance(source, Mapping):
        layers, loss, name = _from_state_dict(source), "", "torch state_dict"
    elif hasattr(source, "named_children"):
        layers, loss, name = _from_module(source), "", "torch Sequential"
    else:
        raise ModelRefused(
            f"{kind.__name__} cannot be imported; give a list of matrices or (matrix, bias) pairs, "
            f"a fitted scikit-learn estimator, an nn.Sequential or a state_dict"
        )
    matrices = _matrices(layers)
    if matrices[-1].shape[1] == 2 and classes in (None, 2):
        matrices[-1] = matrices[-1][:, 1:] - matrices[-1][:, :1]
        classes = 2
    model = _model(matrices, classes, fraction_bits, weight_bits)
    weights = np.concatenate([m.ravel() for m in matrices]).reshape(model.shape)
    return ImportedModel(model, weights, name, loss or _usual_loss(model.classes))


# -- layers --------------------------------------------------------------------------------------


def _from_arrays(source: list[Any]) -> list[Layer]:
    layers = []
    for number, item in enumerate(source, 1):
        if isinstance(item, tuple) and len(item) != 2:
            raise ModelRefused(f"layer {number} has {len(item)} parts, expected a matrix or (matrix, bias)")
        weights, bias = item if isinstance(item, tuple) else (item, None)
        layers.append((f"layer {number}", weights, bias))
    return layers


def _matrices(layers: list[Layer]) -> list[Floats]:
    """Returns each layer's matrix with its bias as last row."""
    if not layers:
        raise ModelRefused("there are no layers")
    if len(layers) > HIDDEN_MAX + 1:
        raise ModelRefused(f"{layers[HIDDEN_MAX + 1][0]}: more than {HIDDEN_MAX} hidden layers are not supported")
    out: list[Floats] = []
    for name, weights, bias in layers:
        w = _floats(name, "weights", weights)
        if w.ndim != 2 or 0 in w.shape:
            raise ModelRefused(f"{name}: weights of shape {w.shape}, expected (inputs, outputs){_guess(w.ndim)}")
        b = np.zeros(w.shape[1]) if bias is None else _floats(name, "bias", bias)
        if b.shape != (w.shape[1],):
            raise ModelRefused(f"{name}: a bias of shape {b.shape}, expected ({w.shape[1]},) for its outputs")
        if out and len(w) != out[-1].shape[1]:
            raise ModelRefused(f"{name} takes {len(w)} inputs, the layer before it has {out[-1].shape[1]} outputs")
        if len(out) < len(layers) - 1 and w.shape[1] > WIDTH_MAX:
            raise ModelRefused(f"{name} has {w.shape[1]} hidden units, at most {WIDTH_MAX} are supported")
        out.append(np.concatenate([w, b[None, :]]))
    return out


def _guess(dimensions: int) -> str:
    return "; convolutions are not supported" if dimensions > 2 else ""


def _floats(layer: str, part: str, values: Any) -> Floats:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):  # the last from torch: a tensor in training
        raise ModelRefused(f"{layer}: {part} are no array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise ModelRefused(f"{layer}: {part} are {array.dtype}, expected real numbers")
    if not np.isfinite(array).all():
        raise ModelRefused(f"{layer}: {part} hold {int((~np.isfinite(array)).sum())} NaN or infinite values")
    return array.astype(np.float64)


def _model(matrices: list[Floats], classes: int | None, fraction_bits: int, weight_bits: int) -> Model:
    features, outputs = len(matrices[0]) - 1, matrices[-1].shape[1]
    if classes is None:
        if outputs == 1:
            raise ModelRefused("one output: say classes=1 for a regression, classes=2 if it is the logit of class 1")
        classes = outputs
    hidden = tuple(m.shape[1] for m in matrices[:-1])
    bits = {"fraction_bits": fraction_bits, "weight_bits": weight_bits}
    model = MLP(features, hidden, classes, **bits) if hidden else LinearModel(features, classes, **bits)
    if model.outputs != outputs:
        raise ModelRefused(f"the last layer has {outputs} outputs, {classes} classes need {model.outputs}")
    return model


def _usual_loss(classes: int) -> str:
    return {1: "squared", 2: "logistic"}.get(classes, "cross-entropy")


# -- scikit-learn --------------------------------------------------------------------------------

_LOSS_OF = {"log_loss": "logistic", "hinge": "hinge", "squared_hinge": "hinge"}


def _sgd_loss(estimator: Any, classes: int) -> str:
    # One against the rest is no loss of ours for more than two classes.
    return _LOSS_OF.get(estimator.loss, "accuracy") if classes == 2 else "accuracy"


_ESTIMATORS: dict[str, Callable[[Any, int], str]] = {
    "LinearRegression": lambda _e, _c: "squared",
    "Ridge": lambda _e, _c: "squared",
    "SGDRegressor": lambda _e, _c: "squared",
    "MLPRegressor": lambda _e, _c: "squared",
    "RidgeClassifier": lambda _e, _c: "squared",
    "LogisticRegression": lambda _e, c: _usual_loss(c),
    "MLPClassifier": lambda _e, c: _usual_loss(c),
    "LinearSVC": _sgd_loss,
    "SGDClassifier": _sgd_loss,
    "Perceptron": lambda _e, _c: "accuracy",
}
"""Supported estimators, and the loss that each was trained for."""


def _from_estimator(estimator: Any) -> tuple[list[Layer], int, str, str]:
    """Returns (layers, classes, loss, name)."""
    name = type(estimator).__name__
    if name == "Pipeline":
        steps = ", ".join(type(step).__name__ for _, step in estimator.steps)
        raise ModelRefused(f"a Pipeline ({steps}) is not supported; import its last step: its rows are what that sees")
    if name not in _ESTIMATORS:
        raise ModelRefused(f"the estimator {name} is not supported; supported are {', '.join(_ESTIMATORS)}")
    if not hasattr(estimator, "coef_") and not hasattr(estimator, "coefs_"):
        raise ModelRefused(f"the {name} is not fitted")
    layers = _perceptron_layers(estimator) if hasattr(estimator, "coefs_") else [_linear_layer(estimator)]
    classes = _classes(estimator, np.asarray(layers[-1][1]).shape[1])
    if name == "RidgeClassifier" and classes > 2:
        # It fits targets of -1 and 1, squared loss here counts from 0 and 1: the same order of classes.
        label, w, b = layers[0]
        layers = [(label, w / 2, (b + 1) / 2)]
    return layers, classes, _ESTIMATORS[name](estimator, classes), f"scikit-learn {name}"


def _linear_layer(estimator: Any) -> Layer:
    coefficients = estimator.coef_.toarray() if hasattr(estimator.coef_, "toarray") else estimator.coef_  # sparsify()
    w = np.atleast_2d(np.asarray(coefficients)).T
    b = np.broadcast_to(np.atleast_1d(np.asarray(estimator.intercept_)), (w.shape[1],))
    return f"{type(estimator).__name__}.coef_", w, b


_OUTPUTS = ("identity", "logistic", "softmax")
"""Of a last layer: a loss here starts from the logits, and makes these itself. The poisson loss has "exp"."""


def _perceptron_layers(estimator: Any) -> list[Layer]:
    name = type(estimator).__name__
    if estimator.activation != "relu" and len(estimator.coefs_) > 1:
        raise ModelRefused(f"{name}, layer 1: activation {shown(estimator.activation)}; only 'relu' is supported")
    if estimator.out_activation_ not in _OUTPUTS:
        raise ModelRefused(
            f"{name}, layer {len(estimator.coefs_)}: output {shown(estimator.out_activation_)}; "
            f"only {', '.join(_OUTPUTS)} are supported"
        )
    pairs = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    return [(f"{name}, layer {number}", w, b) for number, (w, b) in enumerate(pairs, 1)]


def _classes(estimator: Any, outputs: int) -> int:
    name, labels = type(estimator).__name__, getattr(estimator, "classes_", None)
    if labels is None:
        if outputs != 1:
            raise ModelRefused(f"{name}: {outputs} targets; a regression has one here")
        return 1
    if len(labels) < 2:
        raise ModelRefused(f"{name} was fitted on rows of one class, expected two or more")
    if not np.array_equal(labels, np.arange(len(labels))):
        raise ModelRefused(
            f"{name}.classes_ are {shown(np.asarray(labels).tolist())}, expected 0, 1, ...: fit it on class numbers"
        )
    kind = getattr(getattr(estimator, "_label_binarizer", None), "y_type_", "")
    if kind.startswith("multilabel") or outputs != (len(labels) if len(labels) > 2 else 1):
        raise ModelRefused(f"{name}: {outputs} outputs for {len(labels)} classes; a row has one label here")
    if getattr(estimator, "multi_class", "auto") not in ("auto", "deprecated") and name == "LogisticRegression":
        raise ModelRefused(f"{name}.multi_class is {shown(estimator.multi_class)}; only the default is supported")
    return len(labels)


# -- torch ---------------------------------------------------------------------------------------

_IDENTITIES = {"Dropout", "Flatten", "Identity"}
"""Modules that leave a flat row as it is outside training."""


def _from_state_dict(state: Mapping[Any, Any]) -> list[Layer]:
    parts_of: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        layer, _, part = str(key).rpartition(".")
        parts_of.setdefault(layer, {})[part] = value
    layers = []
    for layer, parts in parts_of.items():
        name = f"layer {shown(layer)}" if layer else "the layer"
        other = [part for part in parts if part not in ("weight", "bias")]
        if other or "weight" not in parts:
            raise ModelRefused(
                f"{name} holds {shown(', '.join(parts))}; only Linear layers are supported, which hold weight and bias"
            )
        layers.append(_linear(name, parts["weight"], parts.get("bias")))
    return layers


def _from_module(module: Any) -> list[Layer]:
    if _kind(module) == "Linear":
        return [_linear("the Linear", module.weight, module.bias)]
    if _kind(module) != "Sequential":
        raise ModelRefused(
            f"a {type(module).__name__} computes what only its code says; if that is Linear layers with "
            f"ReLU between them, give its state_dict()"
        )
    layers, expected = [], "Linear"
    for name, leaf in _leaves(module, ""):
        kind = _kind(leaf)
        if kind in _IDENTITIES:
            continue
        if kind != expected:
            raise ModelRefused(
                f"layer {shown(name)} ({kind}): expected {expected}; supported are Linear layers with ReLU "
                f"between them, and {', '.join(sorted(_IDENTITIES))}"
            )
        if kind == "Linear":
            layers.append(_linear(f"layer {shown(name)} (Linear)", leaf.weight, leaf.bias))
        expected = "ReLU" if kind == "Linear" else "Linear"
    if layers and expected == "Linear":
        raise ModelRefused("the last layer is a ReLU, expected Linear: logits may be negative")
    return layers


def _kind(module: Any) -> str:
    """Returns the class's name; with its module if it is not torch's own, so that it is never expected."""
    kind = type(module)
    return kind.__name__ if kind.__module__.startswith("torch.nn.") else f"{kind.__module__}.{kind.__name__}"


def _leaves(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, child in module.named_children():
        if _kind(child) == "Sequential":
            yield from _leaves(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _linear(name: str, weight: Any, bias: Any) -> Layer:
    w = _array(name, weight)
    if w.ndim != 2:
        guess = {1: " (a normalisation?)", 3: " (a convolution?)", 4: " (a convolution?)"}.get(w.ndim, "")
        raise ModelRefused(f"{name}: weight of {w.ndim} dimensions{guess}; only Linear layers are supported")
    return name, w.T, None if bias is None else _array(name, bias)


def _array(name: str, value: Any) -> npt.NDArray[Any]:
    if not hasattr(value, "detach"):
        return np.asarray(value)
    try:
        tensor = value.detach().cpu()
        # numpy has no bfloat16.
        return np.asarray((tensor.double() if tensor.is_floating_point() else tensor).numpy())
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelRefused(f"{name}: torch gives no array of it ({type(error).__name__})") from None
