"""Shows that layouts have one encoding, and that readers refuse everything else with a type.

Also: static inputs are accepted by name, size, type and range only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.errors import DecodeError, LimitExceeded, ProofInvalid
from zkfed.policy import LinearModel
from zkfed.r1cs.system import CONTEXT, Input, Layout, LinkSpec, Segment
from zkfed.statements.improvement import improvement_circuit

LAYOUT = improvement_circuit(LinearModel(3, 3), 20).layout
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    # A circuit with segments or challenges has a ctx to bind them to.
    inputs, segments, at = [Input(CONTEXT, (), 1, 0, False, None)], [], 2
    for name, stage in zip(
        draw(st.lists(NAMES.filter(lambda name: name != CONTEXT), unique=True, max_size=5)),
        sorted(draw(st.lists(st.integers(0, 3), min_size=5, max_size=5))),
        strict=False,
    ):
        shape = draw(st.sampled_from([(), (2,), (17,)]))
        low, high = sorted(draw(st.tuples(st.integers(-(1 << 250), 1 << 250), st.integers(-5, 5))))
        bounds = draw(st.sampled_from([None, (low, high)])) if stage == 0 else None
        inputs.append(Input(name, shape, at, stage, stage > 0 and draw(st.booleans()), bounds))
        at += inputs[-1].size
    for name, stage in zip(
        draw(st.lists(NAMES, unique=True, max_size=4)),
        sorted(draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))),
        strict=False,
    ):
        size = draw(st.integers(1, 1 << 28))
        segments.append(Segment(name, stage, at, at + size, draw(st.booleans())))
        at += size
    links = [LinkSpec(s.name, draw(NAMES), draw(st.integers(1, 64)), 32) for s in segments if s.is_linked]
    curve, digest = draw(st.sampled_from([BLS12_381, BN254])), draw(st.binary(min_size=32, max_size=32))
    return Layout(draw(NAMES), 1, curve, digest, tuple(inputs), tuple(segments), tuple(links))


@given(layouts())
def test_roundtrip(layout: Layout) -> None:
    assert Layout.decode(layout.encode()) == layout
    assert not layout.is_plain


def test_a_plain_layout_survives_and_has_neither_segments_nor_challenges() -> None:
    plain = Layout("plain", 1, BN254, bytes(32), (Input("public", (3,), 1, 0, False, None),), (), ())
    assert Layout.decode(plain.encode()) == plain
    assert plain.is_plain
    for forged in (
        replace(plain, segments=(Segment("s", 0, 4, 6, False),)),
        replace(plain, inputs=(*plain.inputs, Input("chi", (), 4, 1, True, None))),
    ):
        with pytest.raises(DecodeError, match="no ctx"):
            Layout.decode(forged.encode())


def test_the_layout_of_a_statement_survives() -> None:
    decoded = Layout.decode(LAYOUT.encode())
    assert decoded == LAYOUT
    assert (decoded.public_count, decoded.stage_count) == (LAYOUT.public_count, 2)


@given(data=st.data())
def test_changed_bytes_are_refused_or_mean_another_layout(data: st.DataObject) -> None:
    raw = bytearray(LAYOUT.encode())
    kind, at = (
        data.draw(st.sampled_from(["change", "cut", "insert", "repeat"])),
        data.draw(st.integers(0, len(raw) - 1)),
    )
    if kind == "change":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del raw[at:]
    elif kind == "insert":
        raw[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    else:
        raw += raw[at:]
    changed = bytes(raw)
    try:
        decoded = Layout.decode(changed)
    except DecodeError:
        return
    assert decoded.encode() == changed
    assert (decoded == LAYOUT) == (changed == LAYOUT.encode())


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        Layout.decode(raw)


def first_input(**changes: Any) -> Layout:
    return replace(LAYOUT, inputs=(replace(LAYOUT.inputs[0], **changes), *LAYOUT.inputs[1:]))


def first_segment(**changes: Any) -> Layout:
    return replace(LAYOUT, segments=(replace(LAYOUT.segments[0], **changes), *LAYOUT.segments[1:]))


@pytest.mark.parametrize(
    "forged",
    [
        # 2^32 * 2^32 = 0 in 64 bits: sizes are computed exactly.
        pytest.param(first_input(shape=(1 << 32, 1 << 32)), id="product-of-shape-wraps"),
        pytest.param(first_input(shape=((1 << 64) - 1,)), id="shape-above-63-bits"),
        pytest.param(first_input(shape=(1 << 25,)), id="too-many-values"),
        pytest.param(first_input(shape=(0,)), id="no-values"),
        pytest.param(first_input(shape=(1,)), id="one-value-as-vector"),
        pytest.param(first_input(shape=(2, 3)), id="matrix"),
        pytest.param(first_input(name=LAYOUT.inputs[1].name), id="input-twice"),
        pytest.param(first_input(stage=2), id="stages-out-of-order"),
        pytest.param(first_input(stage=17), id="too-many-stages"),
        pytest.param(first_input(is_challenge=True), id="static-challenge"),
        pytest.param(first_input(bounds=(5, 4)), id="empty-range"),
        pytest.param(replace(LAYOUT, inputs=(*LAYOUT.inputs[:-1], replace(LAYOUT.inputs[-1], bounds=(0, 1)))),
                     id="bounds-that-nobody-checks"),
        pytest.param(first_segment(name="stage-0"), id="segment-twice"),
        pytest.param(first_segment(stop=LAYOUT.segments[0].start), id="segment-without-mask"),
        pytest.param(first_segment(is_linked=False), id="link-of-an-unlinked-segment"),
        pytest.param(replace(LAYOUT, links=()), id="linked-segment-without-link"),
        pytest.param(replace(LAYOUT, links=(LAYOUT.links[0],) * 2), id="linked-twice"),
        pytest.param(replace(LAYOUT, links=(replace(LAYOUT.links[0], lanes=0),)), id="no-lanes"),
        pytest.param(replace(LAYOUT, links=(replace(LAYOUT.links[0], segment="none"),)), id="link-of-no-segment"),
        pytest.param(replace(LAYOUT, curve=replace(LAYOUT.curve, name="p-256")), id="unknown-curve"),
        pytest.param(replace(LAYOUT, circuit_digest=b"x" * 31), id="short-digest"),
    ],
)  # fmt: skip
def test_layouts_that_no_circuit_has_are_refused(forged: Layout) -> None:
    with pytest.raises(DecodeError):
        Layout.decode(forged.encode())


def test_announced_sizes_are_checked_first() -> None:
    with pytest.raises(LimitExceeded):
        Layout.decode(first_input(shape=(1 << 40,)).encode())
    with pytest.raises(LimitExceeded):
        Layout.decode(b"\0" * ((1 << 20) + 1))


# -- static inputs -------------------------------------------------------------------------------

GOOD = {"ctx": 5, "squared-norm-max": 1000, "loss-change-max": -7}


def test_static_inputs_are_scalars_in_order() -> None:
    assert LAYOUT.check_static(GOOD) == [5, 1000, BLS12_381.order - 7]
    assert LAYOUT.check_static({**GOOD, "ctx": np.array(5)}) == [5, 1000, BLS12_381.order - 7]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"ctx": None}, DecodeError, "holds a NoneType"),
        ({"ctx": True}, DecodeError, "holds a bool"),
        ({"ctx": 1.0}, DecodeError, "holds a float"),
        ({"ctx": "1"}, DecodeError, "holds a str"),
        ({"ctx": [1, 2]}, DecodeError, "has 2 values, expected 1"),
        ({"ctx": []}, DecodeError, "has 0 values"),
        ({"extra": 1}, DecodeError, "expected the inputs"),
        ({"ctx": BLS12_381.order}, ProofInvalid, "input ctx is outside its range"),
        ({"ctx": 5 + BLS12_381.order}, ProofInvalid, "outside its range"),
        ({"ctx": -1}, ProofInvalid, "outside its range"),
        ({"squared-norm-max": -1}, ProofInvalid, "outside its range"),
        ({"squared-norm-max": 1 << 60}, ProofInvalid, "outside its range"),
        ({"loss-change-max": 0}, ProofInvalid, "outside its range"),
        ({"loss-change-max": BLS12_381.order - 7}, ProofInvalid, "outside its range"),
    ],
)
def test_other_static_inputs_are_refused(change: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        LAYOUT.check_static({**GOOD, **change})


def test_a_missing_input_is_refused() -> None:
    with pytest.raises(DecodeError, match="expected the inputs"):
        LAYOUT.check_static({"ctx": 5})
