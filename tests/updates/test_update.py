"""Shows that integers are written exactly or not at all, and that updates and verdicts print no secret."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.errors import DecodeError
from zkfed.updates.update import ModelUpdate, Verdict, decode_ints, encode_ints, model_digest

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64, max_size=12))
def test_integers_are_read_as_they_were_written(values: list[int]) -> None:
    data = encode_ints(np.array(values, dtype=np.int64))
    assert data == b"".join(v.to_bytes(8, "big", signed=True) for v in values)
    assert decode_ints(data).tolist() == values
    assert decode_ints(data).dtype == np.int64


@given(st.binary(max_size=64))
def test_bytes_are_integers_only_in_whole(data: bytes) -> None:
    if len(data) % 8:
        with pytest.raises(DecodeError, match=f"got {len(data)} bytes"):
            decode_ints(data)
    else:
        assert encode_ints(decode_ints(data)) == data


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2], np.uint8), np.array([1, 2], np.int32), np.array([1, 2], ">i4"), np.array([1, 2], object),
        np.array([np.int64(1), 2], object), [1, 2],
    ],
)  # fmt: skip
def test_any_integers_will_do(values: Any) -> None:
    assert decode_ints(encode_ints(values)).tolist() == [1, 2]
    assert model_digest(values) == model_digest(np.array([1, 2]))


@pytest.mark.parametrize(
    "values",
    [
        [0.5],
        [1.0],
        np.array([True, False]),
        np.array([1.0], object),
        np.array([True], object),
        ["1"],
        [b"1"],
        [1j],
        [None],
    ],
)
def test_no_number_is_rounded(values: Any) -> None:
    for write in (encode_ints, model_digest):
        with pytest.raises(TypeError, match="expected integers"):
            write(values)


@pytest.mark.parametrize(
    "values", [np.array([2**63], np.uint64), [2**63], [-(2**63) - 1], [0, 2**80], np.array([-(2**70)], object)]
)
def test_no_number_is_wrapped(values: Any) -> None:
    for write in (encode_ints, model_digest):
        with pytest.raises((TypeError, ValueError)):
            write(values)


def test_nothing_is_written_as_nothing() -> None:
    assert encode_ints(np.array([])) == b""
    assert decode_ints(b"").tolist() == []


def test_a_model_digest_sees_values_order_and_shape() -> None:
    weights = np.arange(6, dtype=np.int64)
    models = [
        weights, weights.reshape(2, 3), weights.reshape(3, 2), weights.reshape(6, 1), weights[::-1], weights + 1,
        weights[:5], weights.reshape(2, 3).T,
    ]  # fmt: skip
    assert len({model_digest(m) for m in models}) == len(models)
    assert model_digest(weights.reshape(2, 3)) == model_digest(np.asfortranarray(weights.reshape(2, 3)))


def test_an_update_hides_its_integers() -> None:
    update = ModelUpdate(np.array([12345, -23456]), bytes(32))
    assert "integers" not in repr(update)
    assert "12345" not in f"{update!r} {update}"
    with pytest.raises(FrozenInstanceError):
        update.base = b""  # type: ignore[misc]


def test_a_verdict_reads_well() -> None:
    client = "0123456789abcdef" * 4
    assert str(Verdict(client, True, "accepted", "in the sum")) == "0123456789ab accepted: in the sum"
    refused = Verdict(client, False, "proof-invalid", "the proof does not hold")
    assert str(refused) == "0123456789ab refused (proof-invalid): the proof does not hold"
