"""Shows that a whole federation at DEBUG logs no seed, no device's state, no row and no trained weight.

Everything that the members hold is known here, and looked for in the records and in all that hangs on them.
"""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from tests.orchestrator.hosting import as_is, carry, federation
from zkfed.orchestrator.calls import Ask
from zkfed.orchestrator.events import Refused, Released
from zkfed.orchestrator.member import Member
from zkfed.renderers.following import follow, renderer

PIECE_BYTES = 16


def broken(ask: Ask, messages: list[bytes]) -> list[bytes]:
    """Spoils one answer of the round, so that refusals are logged too."""
    if ask.kind != "seal":
        return as_is(ask, messages)
    return [messages[0][:-1], *messages[1:]]


@pytest.mark.parametrize("kind", ["S2", "S1", "S4"])
def test_a_whole_federation_at_debug_logs_no_secret(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    node, members = federation(kind, devices=4)
    secrets: list[bytes] = []

    def watched(ask: Ask, messages: list[bytes]) -> list[bytes]:
        # The state before the answers leave holds masks and blinders of the round.
        secrets.extend(member.state() for member in members)
        return broken(ask, messages)

    with caplog.at_level(logging.DEBUG):
        events = [*carry(node.enrol(), members, watched), *carry(node.run(1), members, watched)]
        list(follow(events, renderer("log")))
    assert any(isinstance(event, Released) for event in events)
    assert any(isinstance(event, Refused) for event in events)
    assert any(record.levelno == logging.DEBUG for record in caplog.records)
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    secrets.extend(member._key._key.private_bytes_raw() for member in members)
    assert leaks(logged, members, secrets) == []
    # The search finds what is there.
    assert leaks(f"{logged} {secrets[-1].hex()}", members, secrets) == [secrets[-1][:16], secrets[-1][16:]]
    assert leaks(f"{logged} {secrets[0][-40:]!r}", members, secrets) != []
    row = next(iter(rows_of(members[0])), None)
    assert row is None or leaks(f"{logged} [0.5, {row}]", members, secrets) == [row.encode()]


def leaks(logged: str, members: list[Member], secrets: list[bytes]) -> list[bytes]:
    """Returns the pieces of secrets, and the numbers of rows, that stand in a text."""
    logged, found = logged.lower(), []
    public = " ".join(member.public_key.hex() for member in members)
    for secret in secrets:
        for start in range(0, len(secret) - PIECE_BYTES + 1, PIECE_BYTES):
            piece = secret[start : start + PIECE_BYTES]
            is_telling = len(set(piece)) > 4 and piece.hex() not in public
            if is_telling and (piece.hex() in logged or repr(piece)[2:-1].lower() in logged):
                found.append(piece)
    words = set(re.split(r"[\s,\[\](){}]+", logged))
    rows = set().union(*(rows_of(member) for member in members))
    return found + [row.encode() for row in sorted(rows & words)]


def rows_of(member: Member) -> set[str]:
    """Returns the numbers of a member's rows as Python writes them, but those that every log has."""
    shard = member._shard
    values = np.asarray(getattr(shard, "features", shard), dtype=float).ravel()
    return {repr(float(x)) for x in values if len(repr(float(x))) > 8}
