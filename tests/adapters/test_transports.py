"""Shows that every transport keeps the contract of `zkfed.ports.Transport`.

Bytes arrive as they were published, once each, in the order of arrival; publishing again changes
nothing; limits and malformed names are refused and leave everything as it was; threads may share it.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import LimitExceeded, TransportError
from zkfed.ports import CHANNEL_CHARACTERS_MAX, Transport

Make = Callable[..., Transport]


@pytest.fixture(params=["memory", "filesystem"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    if request.param == "memory":
        return MemoryTransport
    return lambda **limits: FilesystemTransport(tmp_path_factory.mktemp("drop"), **limits)


def test_is_a_transport(make: Make) -> None:
    assert isinstance(make(), Transport)


def test_a_channel_that_nobody_wrote_to_is_empty(make: Make) -> None:
    assert make().fetch("round/1/commits") == ()


def test_messages_arrive_once_in_order_and_channels_do_not_mix(make: Make) -> None:
    transport = make()
    first = [b"", b"b", b"a", bytes(range(256)) * 300]
    for message in first:
        assert transport.publish("round/1", message) == hashlib.sha256(message).hexdigest()
    transport.publish("round/1/commits", b"below")
    transport.publish("round/2", b"a")
    assert transport.fetch("round/1") == tuple(first)
    assert transport.fetch("round/1/commits") == (b"below",)
    assert transport.fetch("round/2") == (b"a",)
    assert transport.fetch("round") == ()


def test_publishing_again_changes_nothing(make: Make) -> None:
    transport = make()
    addresses = [transport.publish("a", message) for message in (b"x", b"y", b"x", b"y", b"x")]
    assert transport.fetch("a") == (b"x", b"y")
    assert addresses[0] == addresses[2] == addresses[4] != addresses[1]


def test_a_later_fetch_only_adds_at_the_end(make: Make) -> None:
    transport = make()
    seen: tuple[bytes, ...] = ()
    for index in range(12):
        transport.publish("a", b"message %d" % index)
        now = transport.fetch("a")
        assert now[: len(seen)] == seen
        assert len(now) == len(seen) + 1
        seen = now


_CHANNELS = st.from_regex(r"[a-z0-9_-]{1,9}(/[a-z0-9_-]{1,9}){0,3}", fullmatch=True)
_MESSAGES = st.lists(st.tuples(_CHANNELS, st.binary(max_size=400)), max_size=12)


def _check_against_model(transport: Transport, published: list[tuple[str, bytes]]) -> None:
    expected: dict[str, list[bytes]] = {}
    for channel, message in published:
        transport.publish(channel, message)
        messages = expected.setdefault(channel, [])
        if message not in messages:
            messages.append(message)
    assert {channel: transport.fetch(channel) for channel in expected} == {
        channel: tuple(messages) for channel, messages in expected.items()
    }


@given(_MESSAGES)
def test_memory_equals_a_plain_list_without_doubles(published: list[tuple[str, bytes]]) -> None:
    _check_against_model(MemoryTransport(), published)


@given(_MESSAGES)
def test_filesystem_equals_a_plain_list_without_doubles(published: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        _check_against_model(FilesystemTransport(root), published)


@pytest.mark.parametrize(
    "channel",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../../b",
        "a/./b",
        "A",
        "a b",
        "a\\b",
        "a\n",
        "a\x00",
        "ä",
        "\u0661",
        "\udcff",
        "a" * (CHANNEL_CHARACTERS_MAX + 1),
        "a/" * 200 + "a",
    ],
)
def test_malformed_channels_are_refused(make: Make, channel: str) -> None:
    transport = make()
    with pytest.raises(TransportError) as published:
        transport.publish(channel, b"x")
    with pytest.raises(TransportError):
        transport.fetch(channel)
    assert str(published.value).isascii()
    assert len(str(published.value)) < 250
    transport.publish("a", b"the next honest message")
    assert transport.fetch("a") == (b"the next honest message",)


def test_the_longest_channel_works(make: Make) -> None:
    transport = make()
    channel = "a" * CHANNEL_CHARACTERS_MAX
    transport.publish(channel, b"x")
    assert transport.fetch(channel) == (b"x",)


def test_wrong_types_are_the_programmers_mistake(make: Make) -> None:
    transport = make()
    for message in ("text", bytearray(b"x"), None, 7):
        with pytest.raises(TypeError, match="a message is bytes"):
            transport.publish("a", message)  # type: ignore[arg-type]
    for channel in (b"a", None, 7):
        with pytest.raises(TypeError, match="a channel is a str"):
            transport.publish(channel, b"x")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a channel is a str"):
            transport.fetch(channel)  # type: ignore[arg-type]
    assert transport.fetch("a") == ()


def test_a_message_above_the_limit_is_refused_and_nothing_is_stored(make: Make) -> None:
    transport = make(message_bytes_max=100)
    with pytest.raises(LimitExceeded, match="101 bytes, at most 100"):
        transport.publish("a", bytes(101))
    assert transport.fetch("a") == ()
    transport.publish("a", bytes(100))
    assert transport.fetch("a") == (bytes(100),)


def test_a_full_channel_takes_no_more_and_stays_readable(make: Make) -> None:
    transport = make(message_bytes_max=100, channel_bytes_max=250)
    kept = (bytes(100), bytes([1]) * 100, bytes([2]) * 50)
    for message in kept:
        transport.publish("a", message)
    with pytest.raises(LimitExceeded, match="251 bytes, at most 250"):
        transport.publish("a", b"1")
    assert transport.fetch("a") == kept
    transport.publish("a", kept[0])  # already there: not more bytes
    transport.publish("b", b"another channel has its own limit")
    assert transport.fetch("b") != ()


class Slow(bytes):
    """Bytes whose length takes a while, so that threads meet between a check and its effect."""

    def __len__(self) -> int:
        time.sleep(0.001)
        return super().__len__()


def test_many_threads_lose_nothing_and_double_nothing(make: Make) -> None:
    transport = make()
    channels = [f"channel/{index}" for index in range(20)]  # the first message of each is a race
    everybody = threading.Barrier(4)

    def write(name: int) -> None:
        for channel in channels:
            everybody.wait()
            transport.publish(channel, Slow(b"from %d" % name))
            transport.publish(channel, Slow(b"said by all"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    for channel in channels:
        expected = [b"from 0", b"from 1", b"from 2", b"from 3", b"said by all"]
        assert sorted(transport.fetch(channel)) == expected
