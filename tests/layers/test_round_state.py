"""A device takes back what it stored of its round, and nothing else: its parts belong together and are its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import Cohort
from zkfed.encoding import Writer
from zkfed.errors import DecodeError, IntegrityError, ZkfedError
from zkfed.layers.round_state import RoundState, decode_rows
from zkfed.updates.update import ModelUpdate


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    made = Cohort(devices=2)
    opened = made.start()
    for device in made.devices:
        device.seal(opened.announcement, opened.key)
    return made


def other_update(cohort: Cohort, state: RoundState) -> RoundState:
    integers = np.array(state.update.integers)
    integers[0] += 1
    return replace(state, update=ModelUpdate(integers, state.update.base))


CHANGES: dict[str, tuple[Callable[[Cohort, RoundState], RoundState], type[ZkfedError]]] = {
    "another-update": (other_update, IntegrityError),
    "another-blinder": (lambda cohort, state: replace(state, blinder=state.blinder ^ 1), IntegrityError),
    "commit-of-another": (
        lambda cohort, state: replace(state, commit=cohort.devices[1]._current().commit), IntegrityError,
    ),
    "blinder-above": (
        lambda cohort, state: replace(state, blinder=state.blinder + cohort.agreement.order), DecodeError,
    ),
    "blinder-below": (
        lambda cohort, state: replace(state, blinder=state.blinder - cohort.agreement.order), DecodeError,
    ),
    "out-of-order": (
        lambda cohort, state: replace(state, sealed={2: (b"a", b"b"), **state.sealed}), DecodeError,
    ),
}  # fmt: skip


def test_a_round_is_read_as_it_was_written(cohort: Cohort) -> None:
    device = cohort.devices[0]
    data = device.save()
    assert RoundState.decode(data, cohort.agreement, device.public_key).encode() == data


@pytest.mark.parametrize("name", CHANGES)
def test_a_state_whose_parts_do_not_belong_together_is_refused(cohort: Cohort, name: str) -> None:
    change, error = CHANGES[name]
    data = change(cohort, cohort.devices[0]._current()).encode()
    with pytest.raises(error):
        RoundState.decode(data, cohort.agreement, cohort.devices[0].public_key)


def test_the_state_of_another_device_is_refused(cohort: Cohort) -> None:
    with pytest.raises(IntegrityError, match="another device's"):
        RoundState.decode(cohort.devices[1].save(), cohort.agreement, cohort.devices[0].public_key)


def test_an_attempt_without_its_message_is_refused(cohort: Cohort) -> None:
    data = cohort.devices[0].save()
    (message,) = cohort.devices[0]._current().sealed.values()
    end = Writer("x").list(message).finish()[5:]
    assert data.endswith(end)
    less: Any = Writer("x").list([]).finish()[5:]
    with pytest.raises(DecodeError, match="do not fit together"):
        RoundState.decode(data[: -len(end)] + less, cohort.agreement, cohort.devices[0].public_key)


@pytest.mark.parametrize(
    "parts", [[b""], [b"", b""], [bytes(8), bytes(8), bytes(31)], [bytes(8), bytes(16), bytes(96)]]
)
def test_what_is_no_rows_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(DecodeError, match="registered rows"):
        decode_rows(parts)
