"""Shows that each value has one encoding, and that a reader takes nothing else.

Whatever bytes a reader accepts, writing the values again gives the same bytes; so a mutated
message is either refused or another message, never a second spelling of the first.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed import encoding
from zkfed.encoding import DIGEST_BYTES, ITEM_BYTES_MAX, JSON_DEPTH_MAX, Reader, Writer, decode_json, digest, item
from zkfed.errors import DecodeError, LimitExceeded

TAG = "zkfed/v1/sample"
NUMBERS = st.integers(0, 2**64 - 1)
INTEGERS = st.integers(-(2**511), 2**511 - 1)
Sample = tuple[bytes, str, int, int, list[bytes]]
SAMPLES = st.tuples(
    st.binary(max_size=40), st.text(max_size=20), NUMBERS, INTEGERS, st.lists(st.binary(max_size=6), max_size=5)
)


def write(value: Sample) -> bytes:
    raw, text, number, integer, values = value
    return Writer(TAG).bytes(raw).text(text).u64(number).integer(integer).list(values).finish()


def read(data: bytes) -> Sample:
    r = Reader(data, TAG)
    value = r.bytes(), r.text(), r.u64(), r.integer(), r.list(100)
    r.finish()
    return value


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A valid message with one to three changes: cut, extended, bits flipped, bytes inserted."""
    data = bytearray(write(draw(SAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["cut", "extend", "flip", "insert", "remove", "length"]))
        if kind == "cut":
            del data[at:]
        elif kind == "extend":
            data += draw(st.binary(min_size=1, max_size=12))
        elif kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "remove":
            del data[at : at + draw(st.integers(1, 4))]
        else:
            data[at : at + 4] = draw(st.integers(0, 2**32 - 1)).to_bytes(4, "big")
    return bytes(data)


# -- one value, one encoding -------------------------------------------------------------------


@given(SAMPLES)
def test_what_is_written_is_read(value: Sample) -> None:
    assert read(write(value)) == value


@given(mutations())
def test_a_mutated_message_is_refused_or_is_itself_canonical(data: bytes) -> None:
    try:
        value = read(data)
    except DecodeError:
        return
    assert write(value) == data


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_canonical(body: bytes) -> None:
    try:
        value = read(item(TAG.encode()) + body)
    except DecodeError:
        return
    assert write(value) == item(TAG.encode()) + body


@given(SAMPLES, st.data())
def test_every_cut_and_every_extension_is_refused(value: Sample, data: st.DataObject) -> None:
    encoded = write(value)
    with pytest.raises(DecodeError):
        read(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(DecodeError, match="bytes too many"):
        read(encoded + data.draw(st.binary(min_size=1, max_size=9)))


def test_the_bytes_themselves() -> None:
    encoded = Writer("t").bytes(b"ab").text("é").u64(258).integer(-129).list([b"", b"x"]).finish()
    assert encoded.hex(" ") == (
        "00 00 00 01 74 00 00 00 02 61 62 00 00 00 02 c3 a9 00 00 00 08 00 00 00 00 00 00 01 02 "
        "00 00 00 02 ff 7f 00 00 00 08 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 01 78"
    )


# -- integers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, False, 1.0, "1", b"1", None, -1, 2**64, -(2**70)])
def test_u64_takes_an_int_of_64_bits_and_nothing_else(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape("an int in [0, 2^64)")):
        Writer(TAG).u64(value)


@pytest.mark.parametrize("value", [True, False, 1.0, "1", b"1", None])
def test_integer_takes_an_int_and_nothing_else(value: Any) -> None:
    with pytest.raises(ValueError, match="integer takes an int"):
        Writer(TAG).integer(value)


@given(INTEGERS, st.integers(1, 8))
def test_an_integer_that_is_padded_is_refused(value: int, padding: int) -> None:
    minimal = Writer(TAG).integer(value).finish()[4 + len(TAG) + 4 :]
    padded = (b"\xff" if value < 0 else b"\0") * padding + minimal
    assert int.from_bytes(padded, "big", signed=True) == value
    with pytest.raises(DecodeError, match="not minimal"):
        Reader(Writer(TAG).bytes(padded).finish(), TAG).integer(limit=80)


@pytest.mark.parametrize(
    ("value", "octets"),
    [(0, "00"), (-1, "ff"), (127, "7f"), (128, "0080"), (-128, "80"), (-129, "ff7f"), (255, "00ff"), (-256, "ff00")],
)
def test_an_integer_is_minimal_two_s_complement(value: int, octets: str) -> None:
    assert Writer(TAG).integer(value).finish() == Writer(TAG).bytes(bytes.fromhex(octets)).finish()
    assert Reader(Writer(TAG).integer(value).finish(), TAG).integer() == value


def test_no_bytes_are_no_integer() -> None:
    with pytest.raises(DecodeError, match="not minimal"):
        Reader(Writer(TAG).bytes(b"").finish(), TAG).integer()


@pytest.mark.parametrize("size", [0, 1, 7, 9, 16])
def test_a_u64_has_8_bytes(size: int) -> None:
    with pytest.raises(DecodeError, match=f"an item of {size} bytes where 8 are expected"):
        Reader(Writer(TAG).bytes(bytes(size)).finish(), TAG).u64()


# -- limits, before anything is allocated -----------------------------------------------------------


def u32(n: int) -> bytes:
    return n.to_bytes(4, "big")


HEAD = item(TAG.encode())
HUGE = [
    pytest.param(HEAD + item((2**64 - 1).to_bytes(8, "big")), LimitExceeded, id="more items than allowed"),
    pytest.param(HEAD + item((2**30).to_bytes(8, "big")), DecodeError, id="more items than bytes"),
    pytest.param(HEAD + item((3).to_bytes(8, "big")) + bytes(8), DecodeError, id="one item too few"),
    pytest.param(HEAD + item((1).to_bytes(8, "big")) + u32(2**32 - 1), LimitExceeded, id="an item of 4 GiB"),
    pytest.param(HEAD + item((1).to_bytes(8, "big")) + u32(2**30), DecodeError, id="an item of 1 GiB"),
]


@pytest.mark.parametrize(("data", "error"), HUGE)
def test_an_announced_size_allocates_nothing(data: bytes, error: type[DecodeError]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError) as caught:
            Reader(data, TAG).list(2**40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error
    assert peak < 1 << 20


def test_limits_are_inclusive() -> None:
    data = Writer(TAG).bytes(bytes(5)).u64(7).list([b"a", b"b"]).finish()
    r = Reader(data, TAG, limit=len(data))
    assert (r.bytes(limit=5), r.u64(maximum=7), r.list(2)) == (bytes(5), 7, [b"a", b"b"])
    with pytest.raises(LimitExceeded, match=f"{len(data)} bytes, at most {len(data) - 1} are accepted"):
        Reader(data, TAG, limit=len(data) - 1)
    with pytest.raises(LimitExceeded, match="an item of 5 bytes, at most 4 are accepted"):
        Reader(data, TAG).bytes(limit=4)
    r = Reader(data, TAG)
    r.bytes()
    with pytest.raises(LimitExceeded, match="the number 7, at most 6 is accepted"):
        r.u64(maximum=6)
    with pytest.raises(LimitExceeded, match="the number 2, at most 1 is accepted"):
        r.list(1)


def test_an_item_above_the_limit_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ITEM_BYTES_MAX == 1 << 30
    monkeypatch.setattr(encoding, "ITEM_BYTES_MAX", 8)
    assert item(bytes(8)) == u32(8) + bytes(8)
    with pytest.raises(LimitExceeded, match="an item of 9 bytes is above the limit of 8"):
        item(bytes(9))


@pytest.mark.parametrize("count", [1, 3])
def test_items_of_a_list_with_another_size_are_refused(count: int) -> None:
    with pytest.raises(DecodeError, match="an item of 31 bytes where 32 are expected"):
        Reader(Writer(TAG).list([bytes(32)] * (count - 1) + [bytes(31)]).finish(), TAG).list(9, exact=32)


# -- another kind, another type -----------------------------------------------------------------------


def test_another_kind_is_refused_and_shown_escaped() -> None:
    with pytest.raises(DecodeError, match=re.escape(f"expected a message {TAG}, got")) as caught:
        Reader(Writer("zkfed/v1/\x1b[2Jother").finish(), TAG)
    assert "\x1b" not in str(caught.value)
    for near in (TAG + "s", TAG[:-1], TAG.upper(), ""):
        with pytest.raises(DecodeError, match="expected a message"):
            Reader(Writer(near).finish(), TAG)


@pytest.mark.parametrize("value", [None, "text", bytearray(HEAD), memoryview(HEAD), 5])
def test_only_bytes_are_read(value: Any) -> None:
    with pytest.raises(DecodeError, match="expected bytes, got"):
        Reader(value, TAG)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xc3"])
def test_text_that_is_not_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError, match="not UTF-8"):
        Reader(Writer(TAG).bytes(raw).finish(), TAG).text()


# -- digests ---------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=5), max_size=5), st.lists(st.binary(max_size=5), max_size=5))
def test_a_digest_tells_item_lists_apart(a: list[bytes], b: list[bytes]) -> None:
    assert (digest(TAG, *a) == digest(TAG, *b)) == (a == b)


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=5), st.data())
def test_a_digest_sees_where_items_end(items: list[bytes], data: st.DataObject) -> None:
    """The same bytes cut elsewhere are other items, so the digest is another."""
    joined = b"".join(items)
    at = data.draw(st.integers(0, len(joined)))
    cut = [joined[:at], joined[at:]]
    assert (digest(TAG, *cut) == digest(TAG, *items)) == (cut == items)


def test_a_digest_is_sha256_of_the_items_and_depends_on_the_tag() -> None:
    assert digest(TAG, b"a", b"") == hashlib.sha256(item(TAG.encode()) + item(b"a") + item(b"")).digest()
    assert len(digest(TAG)) == DIGEST_BYTES
    assert (
        len({digest("ab", b"c"), digest("a", b"bc"), digest("abc"), digest("abc", b""), digest("ab", b"", b"c")}) == 5
    )


# -- JSON from outside -----------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"[[', "\\", '\\"', "{"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_as_it_was_written(value: object) -> None:
    """Brackets and quotes inside of strings count for nothing."""
    for ascii_only in (True, False):
        assert decode_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a": 1, "a": 2}',
        b'[{"a": {"b": 1, "b": 1}}]',
        b"\xff",
        b'"\xed\xa0\x80"',
        b"[1] [2]",
        b'"abc',
        b"]" * 9,
    ],
)
def test_other_text_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_json(data)


@pytest.mark.parametrize("depth", [JSON_DEPTH_MAX, JSON_DEPTH_MAX + 1])
def test_json_is_nested_so_deep_and_no_deeper(depth: int) -> None:
    text = b"[" * depth + b'"[[[["' + b"]" * depth
    if depth <= JSON_DEPTH_MAX:
        assert decode_json(text)
        return
    with pytest.raises(DecodeError, match="nested more than 32 deep"):
        decode_json(text)


def test_deep_json_ends_no_process_whose_recursion_limit_was_raised() -> None:
    """py_ecc raises it to 100,000; then Python's parser overflows the stack of C, and a node could end its clients."""
    code = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "from zkfed.encoding import decode_json\n"
        "from zkfed.errors import DecodeError\n"
        "for text in (b'[' * 10**6, b'{\"a\":' * 10**6, b'[{\"a\":' * 10**5):\n"
        "    try: decode_json(text)\n"
        "    except DecodeError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["refused"] * 3), done.stderr[-500:]
