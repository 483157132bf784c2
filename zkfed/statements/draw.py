"""Which rows a round is about: drawn by a beacon that nobody knew when C_D was fixed.

    b = H("zkfed/v1/beacon", announcement, commit digests in ascending order, nonce_G, nonce_K, public)

    own rows      n of the M registered ones, from the words of H("zkfed/v1/draw-own", b, client key, C_D, n, M, i)
    shared rows   n of a pool of M, from the words of H("zkfed/v1/draw-shared", b, n, M, i),   i = 0, 1, ...

The words are 8 bytes big-endian, four to a hash. They drive a Fisher-Yates shuffle that stops
after n steps: step k takes the next word below floor(2^64/m) m, for m = M - k, modulo m. So each
set of n rows is equally likely, up to the hash. Rows come in ascending order.

The two nonces are committed in the announcement and opened after the deadline: the beacon is
unpredictable as long as one of G and K is honest (protocol.md section 7.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count as naturals

from zkfed.encoding import DIGEST_BYTES, Writer, digest
from zkfed.errors import PolicyError

__all__ = ["REGISTERED_PER_DRAWN", "beacon_output", "draw_rows", "draw_shared_rows"]

REGISTERED_PER_DRAWN = 4
"""M >= 4 n: who trains on the registered rows guesses few of those that are drawn."""


def beacon_output(
    announcement: bytes, commits: Sequence[bytes], *, nonce_adders: bytes, nonce_holder: bytes, public: bytes = b""
) -> bytes:
    """Returns b, 32 bytes.

    Args:
        announcement: Digest of the announcement that committed to both nonces.
        commits: Digests of all commits of the round, in any order.
        nonce_adders: nonce_G, 32 bytes.
        nonce_holder: nonce_K, 32 bytes.
        public: Output of a public beacon for this round; empty without one.

    Raises:
        ValueError: A digest or nonce does not have 32 bytes, or a commit occurs twice.
    """
    if any(len(item) != DIGEST_BYTES for item in (announcement, *commits, nonce_adders, nonce_holder)):
        raise ValueError(f"digests and nonces have {DIGEST_BYTES} bytes")
    if len(set(commits)) != len(commits):
        raise ValueError("a commit occurs twice in the list for the beacon")
    ordered = Writer("commits").list(sorted(commits)).finish()
    return digest("zkfed/v1/beacon", announcement, ordered, nonce_adders, nonce_holder, public)


def draw_rows(beacon: bytes, signer: bytes, *, commitment: bytes, count: int, registered: int) -> tuple[int, ...]:
    """Returns the n of M registered rows that a client's round is about, ascending.

    Args:
        beacon: b, 32 bytes.
        signer: The client's Ed25519 key.
        commitment: C_D, encoded.
        count: n.
        registered: M.

    Raises:
        PolicyError: n is above M/4.
    """
    if REGISTERED_PER_DRAWN * count > registered:
        raise PolicyError(f"{count} rows a round need {REGISTERED_PER_DRAWN * count} registered ones, got {registered}")
    return _draw("zkfed/v1/draw-own", [beacon, signer, commitment], count, registered)


def draw_shared_rows(beacon: bytes, *, count: int, pool: int) -> tuple[int, ...]:
    """Returns the n of M rows of a public pool that every client's round is about, ascending.

    Raises:
        PolicyError: n is above M.
    """
    if count > pool:
        raise PolicyError(f"{count} rows a round from a pool of {pool}")
    return _draw("zkfed/v1/draw-shared", [beacon], count, pool)


def _draw(tag: str, seed: list[bytes], count: int, total: int) -> tuple[int, ...]:
    if len(seed[0]) != DIGEST_BYTES or count < 1:
        raise ValueError(f"a beacon has {DIGEST_BYTES} bytes, and at least one row is drawn")
    words = _words(tag, [*seed, count.to_bytes(8, "big"), total.to_bytes(8, "big")])
    moved: dict[int, int] = {}
    drawn: list[int] = []
    for k in range(count):
        at = k + _below(words, total - k)
        drawn.append(moved.get(at, at))
        moved[at] = moved.get(k, k)
    return tuple(sorted(drawn))


def _words(tag: str, seed: list[bytes]) -> Iterator[int]:
    for block in naturals():
        out = digest(tag, *seed, block.to_bytes(8, "big"))
        yield from (int.from_bytes(out[i : i + 8], "big") for i in range(0, DIGEST_BYTES, 8))


def _below(words: Iterator[int], bound: int) -> int:
    """Returns a uniform number in [0, bound): words of the last, incomplete block of `bound` are skipped."""
    limit = (1 << 64) // bound * bound
    return next(word % bound for word in words if word < limit)
