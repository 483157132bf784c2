"""Shows what a model family is: its shapes, its canonical bytes, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.errors import DecodeError, PolicyError
from zkfed.model import MLP, LinearModel, Model, decode_model
from zkfed.policy import Improvement, Registration

WIDTHS = st.lists(st.integers(1, 1 << 12), min_size=1, max_size=8).map(tuple)
MODELS = st.one_of(
    st.builds(LinearModel, st.integers(1, 1 << 16), st.integers(1, 1 << 12), st.integers(1, 15), st.integers(1, 30)),
    st.builds(MLP, st.integers(1, 1 << 16), WIDTHS, st.integers(1, 1 << 12), st.integers(1, 15), st.integers(1, 30)),
)


@given(MODELS)
def test_a_model_survives_its_bytes(model: Model) -> None:
    assert decode_model(model.encode()) == model


@given(MODELS, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_other_bytes_are_refused_or_another_model(model: Model, where: int, change: bytes) -> None:
    data = bytearray(model.encode())
    data[where % len(data)] ^= change[0]
    try:
        other = decode_model(bytes(data))
    except (DecodeError, PolicyError):
        return
    assert other.encode() == bytes(data)
    assert other != model or change[0] == 0


def test_shapes() -> None:
    linear, binary, mlp = LinearModel(4, 3), LinearModel(4, 2), MLP(4, (5, 2), 3)
    assert (linear.layers, linear.shape, linear.parameters, linear.hidden) == (((5, 3),), (5, 3), 15, ())
    assert (binary.layers, binary.shape) == (((5, 1),), (5, 1))
    assert (mlp.layers, mlp.shape, mlp.parameters) == (((5, 5), (6, 2), (3, 3)), (46,), 46)
    weights = np.arange(46)
    assert [m.shape for m in mlp.split(weights)] == list(mlp.layers)
    assert np.concatenate([m.ravel() for m in mlp.split(weights)]).tolist() == weights.tolist()
    assert linear.split(np.arange(15).reshape(5, 3))[0].tolist() == np.arange(15).reshape(5, 3).tolist()
    with pytest.raises(ValueError, match="45 weights, the model has 46"):
        mlp.split(weights[1:])


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"features": 0}, "MLP.features is 0"), ({"classes": True}, "MLP.classes is True"),
     ({"hidden": ()}, r"MLP.hidden is \(\)"), ({"hidden": [3]}, r"MLP.hidden is \[3\]"),
     ({"hidden": (3, 0)}, "MLP.hidden holds 0"), ({"hidden": (3.0,)}, "MLP.hidden holds 3.0"),
     ({"hidden": (1,) * 9}, "tuple of 1 to 8 widths"), ({"fraction_bits": 16}, "MLP.fraction_bits is 16"),
     ({"hidden": (4097,)}, "MLP.hidden holds 4097"), ({"features": 65537}, "MLP.features is 65537"),
     ({"classes": 4097}, "MLP.classes is 4097"), ({"weight_bits": 31}, "MLP.weight_bits is 31")],
)  # fmt: skip
def test_a_wrong_field_is_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        replace(MLP(4, (5,), 3), **changes)


# -- what a statement allows ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "classes", "is_allowed"),
    [("squared", 1, True), ("squared", 10, True), ("hinge", 2, True), ("hinge", 3, False), ("logistic", 2, True),
     ("logistic", 1, False), ("cross-entropy", 3, True), ("cross-entropy", 2, False), ("accuracy", 2, True),
     ("accuracy", 1, False), ("absolute", 2, False), (None, 2, False), (["squared"], 2, False)],
)  # fmt: skip
def test_a_loss_is_for_its_number_of_classes(loss: Any, classes: int, is_allowed: bool) -> None:
    if is_allowed:
        assert Improvement(LinearModel(3, classes), 10, loss=loss).loss == loss
        return
    with pytest.raises(PolicyError, match="loss"):
        Improvement(LinearModel(3, classes), 10, loss=loss)


def test_a_registration_makes_a_statement_about_own_rows() -> None:
    own = Improvement(LinearModel(3, 2), 10, registration=Registration(40), base_loss_max=1 << 60)
    assert (own.kind, replace(own, registration=None, base_loss_max=None).kind) == ("S1", "S2")
    assert Improvement.decode(own.encode()) == own
    assert own.registration is not None
    assert own.registration.most == 40


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"registration": Registration(39)}, "39 registered rows for 10 drawn ones"),
     ({"registration": 40}, "Improvement.registration is a int"),
     ({"registration": None, "base_loss_max": 5}, "base_loss_max is for registered rows"),
     ({"base_loss_max": 0}, "Improvement.base_loss_max is 0"), ({"base_loss_max": 5.0}, "Improvement.base_loss_max"),
     ({"base_loss_max": 1 << 256}, "Improvement.base_loss_max is a number of 257 bits")],
)  # fmt: skip
def test_what_a_registration_needs(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        replace(Improvement(LinearModel(3, 2), 10, registration=Registration(40)), **changes)


@pytest.mark.parametrize(
    ("classes", "bounds", "text"),
    [(3, (13, 40), None), (3, (14, 40), "cannot have 14 to 40 of each"), (3, (0, 14), None), (2, (20, 20), None),
     (3, (0, 13), "40 rows of 3 classes cannot have 0 to 13 of each"), (2, (21, 40), "cannot have 21"),
     (1, (0, 40), None), (1, (1, 40), "a regression has none"), (1, (0, 39), "a regression has none")],
)  # fmt: skip
def test_bounds_that_no_client_can_meet_are_refused(classes: int, bounds: tuple[int, int], text: str | None) -> None:
    record = Registration(40, *bounds)
    if text is None:
        assert Improvement(LinearModel(3, classes), 10, registration=record).registration == record
        return
    with pytest.raises(PolicyError, match=text):
        Improvement(LinearModel(3, classes), 10, registration=record)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((3,), "rows is 3"), ((8, 0, 9), "class_rows_max is 9"), ((8, 5, 4), "class_rows_min is 5"),
     ((8, -1), "class_rows_min is -1"), ((8, 0, 0), "class_rows_max is 0"), ((8.0,), "rows is 8.0"),
     ((1 << 17,), "rows is 131072")],
)  # fmt: skip
def test_a_wrong_registration_is_refused(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(PolicyError, match=f"Registration.{text}"):
        Registration(*arguments)
