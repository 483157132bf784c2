"""Shows that what torch computed, recorded in tests/vectors/torch, is what the imported model computes.

A state_dict is its recorded arrays. A module is a stand-in with the recorded classes, since torch is
not installed here; `python -m tests.vectors.torch.generate` compares with the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_importing import logits_of
from zkfed.errors import ModelRefused
from zkfed.importing import import_model

FILE = Path(__file__).resolve().parent / "vectors" / "torch" / "models.json"
RECORDED = json.loads(FILE.read_text("utf-8"))
MODELS, REFUSED = RECORDED["models"], RECORDED["refused"]


def state_of(entry: dict[str, Any]) -> dict[str, np.ndarray]:
    return {key: np.array(value) for key, value in entry["state"].items()}


class StandIn:
    """What the importer reads of an nn.Module: its class, named_children, weight and bias."""

    def __init__(self, children: list[Any], state: dict[str, np.ndarray], prefix: str = "") -> None:
        self.children = [(n, stand_in(home, kind, below, state, f"{prefix}{n}.")) for n, home, kind, below in children]
        self.weight, self.bias = state.get(f"{prefix}weight"), state.get(f"{prefix}bias")

    def named_children(self) -> Iterator[tuple[str, StandIn]]:
        return iter(self.children)


def stand_in(home: str, kind: str, children: list[Any], state: dict[str, np.ndarray], prefix: str = "") -> Any:
    return type(kind, (StandIn,), {"__module__": home})(children, state, prefix)


def sequential(entry: dict[str, Any]) -> Any:
    return stand_in("torch.nn.modules.container", "Sequential", entry["children"], state_of(entry))


@pytest.mark.parametrize("name", MODELS)
def test_a_state_dict_keeps_its_logits(name: str) -> None:
    entry = MODELS[name]
    got = import_model(state_of(entry), classes=1 if name == "one output" else None)
    logits = np.array(entry["logits"])
    if name == "named":  # two outputs become one
        assert got.model.classes == 2
        logits = logits[:, 1:] - logits[:, :1]
    np.testing.assert_allclose(logits_of(got, np.array(entry["rows"])), logits, rtol=1e-5, atol=1e-5)
    assert got.source == "torch state_dict"


@pytest.mark.parametrize("name", [name for name in MODELS if name != "named"])
def test_a_sequential_is_its_state_dict(name: str) -> None:
    classes = 1 if name == "one output" else None
    by_state = import_model(state_of(MODELS[name]), classes=classes)
    by_module = import_model(sequential(MODELS[name]), classes=classes)
    assert by_module.model == by_state.model
    assert by_module.weights.tolist() == by_state.weights.tolist()
    assert by_module.source == "torch Sequential"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("convolution", r"layer '0' \(Conv2d\): expected Linear; supported are Linear layers with ReLU between them"),
        ("batch norm", r"layer '1' \(BatchNorm1d\): expected ReLU"),
        ("layer norm", r"layer '1' \(LayerNorm\): expected ReLU"),
        ("recurrent", r"layer '0' \(LSTM\): expected Linear"),
        ("tanh", r"layer '1' \(Tanh\): expected ReLU"),
        ("no activation", r"layer '1' \(Linear\): expected ReLU"),
        ("softmax", r"layer '1' \(Softmax\): expected ReLU"),
        ("last relu", "the last layer is a ReLU, expected Linear"),
        ("empty", "there are no layers"),
    ],
)
def test_other_modules_are_refused_with_the_layer(name: str, text: str) -> None:
    with pytest.raises(ModelRefused, match=text):
        import_model(sequential(REFUSED[name]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("convolution", r"layer '0': weight of 4 dimensions \(a convolution\?\); only Linear"),
        ("batch norm", "layer '1' holds 'weight, bias, running_mean.*only Linear"),
        ("layer norm", r"layer '1': weight of 1 dimensions \(a normalisation\?\)"),
        ("recurrent", "layer '0' holds 'weight_ih_l0.*only Linear"),
        ("empty", "there are no layers"),
    ],
)
def test_a_state_dict_of_other_layers_is_refused_with_the_layer(name: str, text: str) -> None:
    with pytest.raises(ModelRefused, match=text):
        import_model(state_of(REFUSED[name]))


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"fc.bias": np.ones(3)}, "layer 'fc' holds 'bias'; only Linear"),  # weight_norm keeps the weight elsewhere
        ({"fc.weight": np.ones((3, 2)), "fc.scale": np.ones(3)}, "layer 'fc' holds 'weight, scale'"),
        ({"weight_v": np.ones((3, 2))}, "the layer holds 'weight_v'"),
        ({"epoch": 3, "model": {}}, "the layer holds 'epoch, model'"),
    ],
)
def test_a_state_dict_that_holds_something_else_is_refused(state: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelRefused, match=text):
        import_model(state)


def test_a_state_dict_in_another_order_is_refused_with_the_layer() -> None:
    state = state_of(MODELS["nested"])
    backwards = dict(reversed(state.items()))
    with pytest.raises(ModelRefused, match=r"layer '2' takes 5 inputs, the layer before it has 3 outputs"):
        import_model(backwards)


def test_a_layer_of_ones_own_is_not_taken_for_torchs() -> None:
    entry = MODELS["linear"]
    own = [[name, "my.layers", kind, below] for name, _, kind, below in entry["children"]]
    with pytest.raises(ModelRefused, match=r"layer '0' \(my\.layers\.Linear\): expected Linear"):
        import_model(sequential(entry | {"children": own}))
    module = stand_in("my.models", "Net", entry["children"], state_of(entry))
    with pytest.raises(ModelRefused, match=r"a Net computes what only its code says.*state_dict"):
        import_model(module)


def test_one_linear_is_a_model() -> None:
    state = {key.removeprefix("0."): value for key, value in state_of(MODELS["linear"]).items()}
    expected = import_model(state_of(MODELS["linear"])).weights.tolist()
    assert import_model(state).weights.tolist() == expected
    assert import_model(stand_in("torch.nn.modules.linear", "Linear", [], state)).weights.tolist() == expected


class Tensor:
    """A tensor in memory that numpy cannot read: what `detach().cpu()` raises stands for all of them."""

    def detach(self) -> Any:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")


def test_a_tensor_without_data_is_refused_with_the_layer() -> None:
    with pytest.raises(ModelRefused, match=r"layer 'fc1': torch gives no array of it \(NotImplementedError\)"):
        import_model({"fc1.weight": Tensor()})
