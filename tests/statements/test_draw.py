"""The beacon and the draw of rows.

Shows that both are the functions that the module's text says, written down a second time here
with hashlib alone and with frozen outputs; that each part of the beacon matters; that rows are
distinct, in range, ascending and uniform; and that more than a quarter is never drawn.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from zkfed.errors import PolicyError
from zkfed.statements.draw import _below, beacon_output, draw_rows, draw_shared_rows

ANNOUNCEMENT, ADDERS, HOLDER = b"a" * 32, b"g" * 32, b"k" * 32
COMMITS = [b"2" * 32, b"1" * 32, b"3" * 32]
SIGNER, COMMITMENT = b"s" * 32, b"c" * 48


def hashed(*items: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(i).to_bytes(4, "big") + i for i in items)).digest()


def beacon(commits: list[bytes] = COMMITS, **changes: bytes) -> bytes:
    parts = {"announcement": ANNOUNCEMENT, "nonce_adders": ADDERS, "nonce_holder": HOLDER, **changes}
    return beacon_output(parts.pop("announcement"), commits, **parts)


def restated(tag: bytes, seed: list[bytes], n: int, m: int) -> list[int]:
    """Shuffles the whole list and reads its head."""
    rows, words, block = list(range(m)), [], 0
    for k in range(n):
        while True:
            if not words:
                out = hashed(tag, *seed, n.to_bytes(8, "big"), m.to_bytes(8, "big"), block.to_bytes(8, "big"))
                words, block = [int.from_bytes(out[i : i + 8], "big") for i in (0, 8, 16, 24)], block + 1
            word = words.pop(0)
            if word < 2**64 - 2**64 % (m - k):
                break
        at = k + word % (m - k)
        rows[k], rows[at] = rows[at], rows[k]
    return sorted(rows[:n])


def test_the_beacon_is_the_hash_that_the_text_says() -> None:
    items = [(3).to_bytes(8, "big"), *sorted(COMMITS)]
    ordered = b"".join(len(i).to_bytes(4, "big") + i for i in [b"commits", *items])
    assert beacon() == hashed(b"zkfed/v1/beacon", ANNOUNCEMENT, ordered, ADDERS, HOLDER, b"")
    assert beacon().hex() == BEACON_VECTOR


def test_every_part_of_the_beacon_matters_but_the_order_of_commits() -> None:
    changed = [
        beacon(announcement=b"b" * 32), beacon(nonce_adders=b"h" * 32), beacon(nonce_holder=b"l" * 32),
        beacon(public=b"drand"), beacon(commits=COMMITS[:2]), beacon(nonce_adders=HOLDER, nonce_holder=ADDERS),
        beacon(),
    ]  # fmt: skip
    assert len(set(changed)) == len(changed)
    assert beacon(commits=COMMITS[::-1]) == beacon()


@pytest.mark.parametrize("bad", [{"announcement": b"a"}, {"nonce_adders": b""}, {"nonce_holder": b"k" * 31}])
def test_digests_and_nonces_have_32_bytes(bad: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        beacon(**bad)


def test_a_commit_counts_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        beacon(commits=[*COMMITS, COMMITS[0]])


@pytest.mark.parametrize(("n", "m"), [(1, 4), (5, 20), (25, 100), (200, 1000), (250, 1000)])
def test_own_rows_are_those_of_the_text(n: int, m: int) -> None:
    drawn = draw_rows(beacon(), SIGNER, commitment=COMMITMENT, count=n, registered=m)
    assert list(drawn) == restated(b"zkfed/v1/draw-own", [beacon(), SIGNER, COMMITMENT], n, m)
    assert len(set(drawn)) == n
    assert (np.diff(drawn) > 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] < m


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (90, 100)])
def test_shared_rows_are_those_of_the_text(n: int, m: int) -> None:
    drawn = draw_shared_rows(beacon(), count=n, pool=m)
    assert list(drawn) == restated(b"zkfed/v1/draw-shared", [beacon()], n, m)


def test_frozen_draws() -> None:
    own = draw_rows(beacon(), SIGNER, commitment=COMMITMENT, count=8, registered=1000)
    assert list(own) == OWN_VECTOR
    assert list(draw_shared_rows(beacon(), count=8, pool=1000)) == SHARED_VECTOR


def test_the_draw_depends_on_beacon_client_and_commitment() -> None:
    def of(b: bytes = beacon(), signer: bytes = SIGNER, commitment: bytes = COMMITMENT) -> tuple[int, ...]:
        return draw_rows(b, signer, commitment=commitment, count=20, registered=1000)

    draws = {of(), of(b=beacon(public=b"x")), of(signer=b"t" * 32), of(commitment=b"d" * 48)}
    assert len(draws) == 4


def test_every_set_of_rows_is_equally_likely() -> None:
    """4,200 draws of 2 of 8 rows: 28 sets, 150 each; chi squared of 27 degrees is below 66 but for 4 in 10^5."""
    found: Counter[tuple[int, ...]] = Counter()
    for i in range(4200):
        found[draw_rows(i.to_bytes(32, "big"), SIGNER, commitment=b"", count=2, registered=8)] += 1
    assert set(found) == set(combinations(range(8), 2))
    assert sum((count - 150) ** 2 / 150 for count in found.values()) < 66


def test_a_word_of_the_incomplete_block_is_skipped() -> None:
    """2^64 mod 3 is 1: the word 2^64 - 1 would favour 0."""
    assert _below(iter([2**64 - 1, 2**64 - 2]), 3) == (2**64 - 2) % 3
    assert _below(iter([2**64 - 1]), 1 << 32) == 2**32 - 1


@pytest.mark.parametrize(("n", "m"), [(251, 1000), (1, 3), (2, 7)])
def test_more_than_a_quarter_of_the_registered_rows_is_never_drawn(n: int, m: int) -> None:
    with pytest.raises(PolicyError, match="need"):
        draw_rows(beacon(), SIGNER, commitment=COMMITMENT, count=n, registered=m)


def test_no_more_rows_than_the_pool_has() -> None:
    with pytest.raises(PolicyError, match="from a pool of 5"):
        draw_shared_rows(beacon(), count=6, pool=5)


@pytest.mark.parametrize(("b", "n"), [(b"", 1), (b"x" * 31, 1), (bytes(32), 0), (bytes(32), -1)])
def test_no_beacon_or_no_rows_is_misuse(b: bytes, n: int) -> None:
    with pytest.raises(ValueError, match="beacon"):
        draw_rows(b, SIGNER, commitment=COMMITMENT, count=n, registered=100)


BEACON_VECTOR = "c1180013f891828f7ada964bff6d6b47e321d905ac1b977e8665ae38a95b873d"
OWN_VECTOR = [12, 242, 363, 470, 572, 809, 815, 986]
SHARED_VECTOR = [245, 297, 403, 437, 452, 501, 542, 767]
