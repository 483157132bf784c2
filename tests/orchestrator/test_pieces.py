"""Shows that pieces give back the message that was cut, and that a stranger's pieces change nothing."""

from __future__ import annotations

import hashlib
import random
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.errors import LimitExceeded
from zkfed.orchestrator.pieces import Joiner, cut

ITEM = 250


def address(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()


@given(st.binary(max_size=1000), st.randoms(use_true_random=False), st.lists(st.binary(max_size=60), max_size=8))
def test_any_order_with_replays_and_garbage_gives_the_message_once(
    message: bytes, chance: random.Random, garbage: list[bytes]
) -> None:
    items = cut(message, ITEM)
    assert all(len(item) <= ITEM for item in items)
    flood = items * 2 + garbage + [item[:-1] for item in items if item[:1] != b"\0"]
    chance.shuffle(flood)
    joiner = Joiner(1000, 1 << 20)
    completed = [taken for taken in map(joiner.add, flood) if taken is not None and taken == (address(message), True)]
    assert len(completed) == 1
    assert joiner.messages[address(message)] == message


def test_in_order_the_last_item_completes() -> None:
    joiner, message = Joiner(1000, 1 << 20), bytes(range(250)) * 4
    answers = [joiner.add(item) for item in cut(message, ITEM)]
    assert answers == [(address(message), False)] * (len(answers) - 1) + [(address(message), True)]


def test_equal_pieces_of_one_message_are_told_apart() -> None:
    joiner, message = Joiner(1000, 1 << 20), bytes(700)
    for item in cut(message, ITEM):
        joiner.add(item)
    assert list(joiner.messages.values()) == [message]


def test_a_stranger_who_uses_the_honest_address_keeps_nothing_out() -> None:
    message, other = b"honest" * 100, b"forged" * 100
    honest = cut(message, ITEM)
    claimed = bytes.fromhex(address(message))
    forged = [item[:1] + claimed + item[33:] for item in cut(other, ITEM)]
    pieces, listed = honest[:-1], honest[-1]
    digests = [listed[at : at + 32] for at in range(41, len(listed), 32)]
    lies = [
        listed[:41] + b"".join(reversed(digests)),  # in another order
        listed[:41] + b"".join(digests[:-1]),  # without the last
        listed[:41] + b"".join([*digests, digests[0]]),
        listed[:33] + (599).to_bytes(8, "big") + listed[41:],  # another size
        listed[:33] + (1 << 63).to_bytes(8, "big") + listed[41:],
        listed[:41],  # no pieces
        listed[:40],
        b"\2",
        b"\1",
        b"\3" + listed[1:],
        b"",
    ]
    joiner = Joiner(1000, 1 << 20)
    for item in [*forged, *lies, *pieces, *lies, *forged]:
        joiner.add(item)
    assert joiner.messages == {}
    assert joiner.add(listed) == (address(message), True)
    assert list(joiner.messages.values()) == [message]


def test_a_list_of_pieces_that_never_come_waits_for_nothing_and_costs_its_own_size() -> None:
    joiner = Joiner(1 << 26, 1 << 20)
    tracemalloc.start()
    started = time.monotonic()
    for number in range(500):
        joiner.add(b"\2" + number.to_bytes(32, "big") + (1 << 26).to_bytes(8, "big") + bytes(32) * 20)
    took = time.monotonic() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert joiner.messages == {}
    assert peak < 8 << 20
    assert took < 2


def test_a_full_channel_is_said_and_stays_as_it_was() -> None:
    joiner = Joiner(1000, 250)
    joiner.add(b"\0" + bytes(200))
    with pytest.raises(LimitExceeded, match="more than 250 bytes"):
        joiner.add(b"\0" + bytes(range(100)))
    assert joiner.size == 201
    assert joiner.add(b"\0" + bytes(200)) == (address(bytes(200)), False)
    assert joiner.add(b"\0fits") is not None


def test_a_message_above_the_limit_is_passed_over_whole_or_in_pieces() -> None:
    joiner = Joiner(100, 1 << 20)
    assert joiner.add(b"\0" + bytes(101)) is None
    assert joiner.add(cut(bytes(500), ITEM)[-1]) is None
    assert joiner.messages == {}


@pytest.mark.parametrize("item", [0, 1, 30, 36, 37, 38, 100])
def test_a_broker_that_carries_too_little_is_said(item: int) -> None:
    with pytest.raises(LimitExceeded, match="raise the broker's message limit"):
        cut(bytes(1000), item)


def test_the_largest_message_fits_a_megabyte() -> None:
    items = cut(bytes(1 << 26), (1 << 20) - 1032)
    assert max(map(len, items)) <= (1 << 20) - 1032
    assert len(items) == 66


def listed(address: bytes, size: int, pieces: list[bytes]) -> bytes:
    return b"\2" + address + size.to_bytes(8, "big") + b"".join(hashlib.sha256(p).digest() for p in pieces)


def test_whole_and_true_pieces_of_another_message_are_not_taken_for_it() -> None:
    """The forger fits pieces and list to each other: only the address is not theirs."""
    claimed = bytes.fromhex(address(b"honest" * 100))
    pieces = [b"\1" + claimed + i.to_bytes(4, "big") + b"forged" * 50 for i in range(2)]
    joiner = Joiner(1000, 1 << 20)
    for item in [*pieces, listed(claimed, 600, pieces)]:
        assert joiner.add(item) == (claimed.hex(), False)
    for item in cut(b"honest" * 100, ITEM):
        joiner.add(item)
    assert list(joiner.messages.values()) == [b"honest" * 100]


def test_a_list_that_names_one_piece_many_times_costs_no_more_than_it_weighs() -> None:
    message_bytes_max, claimed = 1 << 20, bytes(32)
    piece = b"\1" + claimed + bytes(4) + bytes(1 << 20)
    joiner = Joiner(message_bytes_max, 1 << 24)
    joiner.add(piece)
    tracemalloc.start()
    assert joiner.add(listed(claimed, 1 << 20, [piece] * 300)) == (claimed.hex(), False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert joiner.messages == {}


def test_a_list_with_a_size_above_the_limit_is_no_list() -> None:
    """Its pieces would be kept, up to the channel's limit, for a message that nobody may send."""
    joiner = Joiner(100, 1 << 20)
    assert joiner.add(listed(bytes(32), 101, [b"x"] * 2)) is None
    assert joiner.add(listed(bytes(32), 100, [b"x"] * 2)) == (bytes(32).hex(), False)
    assert joiner.add(b"\1" + bytes(36) + bytes(101)) is None


def test_replayed_items_take_no_room() -> None:
    """Else whoever repeats what others wrote fills the channel for its readers."""
    joiner, message = Joiner(1000, 1 << 20), bytes(range(250)) * 3
    *pieces, listed_last = cut(message, ITEM)
    for item in pieces[:-1] * 50:
        joiner.add(item)
    for _ in range(50):
        joiner.add(listed_last)
    assert joiner.size == sum(map(len, {*pieces[:-1], listed_last}))
    joiner.add(pieces[-1])
    assert list(joiner.messages.values()) == [message]
