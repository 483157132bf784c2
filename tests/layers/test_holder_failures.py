"""A sum that does not open: one signed word, the same whatever was wrong, and the key is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.layers.holder_requests import commits_of, one_coordinate, resigned, revive, shifted
from tests.layers.parties import Cohort, Opened, make_policy, signed
from zkfed.errors import (
    Replay,
)
from zkfed.he.aggregate import add
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import join_ciphertext, split_ciphertext
from zkfed.he.keys import SecretKey
from zkfed.layers.agreement import draw_groups
from zkfed.updates.messages import Failure


def words_of(cohort: Cohort, data: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    params, slots = cohort.agreement.encryption, cohort.agreement.slots
    return split_ciphertext(params, slots, data).copy(), lambda words: join_ciphertext(params, slots, words)


def one_limb(cohort: Cohort, opened: Opened) -> bytes:
    return shifted(cohort, opened, [0] * (cohort.agreement.slots - 1) + [1])


def lane_overflow(cohort: Cohort, opened: Opened) -> bytes:
    # Packs to the same commitment, so that only the range of a lane refuses it.
    return shifted(cohort, opened, [1 << 32, -1] + [0] * (cohort.agreement.slots - 2))


def many_times(cohort: Cohort, opened: Opened) -> bytes:
    # One client's ciphertext 8192 times, as only the adders could.
    words, join = words_of(
        cohort, next(iter(cohort.adder._attempts[opened.announced.digest].ciphertexts.values())).data
    )
    prime = np.uint64(cohort.agreement.encryption.primes[0])
    for _ in range(13):
        words = (words + words) % prime
    return join(words)


def one_client_alone(cohort: Cohort, opened: Opened) -> bytes:
    return next(iter(cohort.adder._attempts[opened.announced.digest].ciphertexts.values())).to_bytes()


def noise_left_out(cohort: Cohort, opened: Opened) -> bytes:
    entry = cohort.adder._attempts[opened.announced.digest]
    return add(entry.encryption_key, list(entry.ciphertexts.values()), cohort.agreement.slots).to_bytes()


def other_key(cohort: Cohort, opened: Opened) -> bytes:
    other = SecretKey.generate(cohort.agreement.encryption)
    return encrypt(other.public, np.zeros(cohort.agreement.slots, np.int64)).to_bytes()


def one_word(cohort: Cohort, opened: Opened) -> bytes:
    words, join = words_of(cohort, opened.ciphertext)
    flat = words.reshape(-1)
    flat[5] = (flat[5] + np.uint64(1 << 58)) % np.uint64(cohort.agreement.encryption.primes[0])
    return join(words)


def garbage(cohort: Cohort, opened: Opened) -> bytes:
    return b"garbage"


def too_short(cohort: Cohort, opened: Opened) -> bytes:
    key = cohort.adder._attempts[opened.announced.digest].encryption_key
    return encrypt(key, cohort.agreement.plaintext.pack(np.zeros(3, np.int64), 1)).to_bytes()


BAD: list[Callable[[Cohort, Opened], bytes]] = [
    one_coordinate, one_limb, lane_overflow, many_times, one_client_alone, noise_left_out, other_key, one_word, garbage,
    too_short,
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("scheme", ["ckks", "bfv"])
def test_a_sum_that_does_not_open_is_one_word(bad: Callable[[Cohort, Opened], bytes], scheme: str) -> None:
    cohort, opened = ready_once(scheme)
    attempt = cohort.holder._attempts.pop(opened.announced.body.encryption_key)
    # Each gets a copy of the same key holder, since the first failure would erase the key of all.
    holder = revive(cohort.new_holder(), attempt, attempt.secret._context)
    cohort.holder._attempts[opened.announced.body.encryption_key] = attempt
    changed = resigned(cohort, dataclasses.replace(opened), bad(cohort, opened))
    secret = next(iter(holder._attempts.values())).secret
    ask = (changed.aggregation, changed.ciphertext, commits_of(cohort, changed))
    outcome = holder.open(*ask, first=cohort.first)
    said = signed(outcome)
    failure = Failure.decode(said.body)
    assert (said.kind, said.signer) == ("failure", cohort.holder_key.public)
    assert failure.announcement == opened.announced.digest
    # The whole message is fixed but for 32 bytes of the operating system and the signature over them.
    assert said.body == Failure(opened.announced.digest, failure.nonce).encode()
    assert len(outcome) == len(Failure(bytes(32), bytes(32)).encode()) + len(said.encode()) - len(said.body)
    assert secret._context is None
    assert not holder._attempts
    with pytest.raises(Replay):
        holder.open(*ask, first=cohort.first)
    drawn = draw_groups(failure.nonce, changed.members, smallest=2, groups=3)
    assert holder._groups[2] == drawn


READY: dict[str, tuple[Cohort, Opened]] = {}


def ready_once(scheme: str) -> tuple[Cohort, Opened]:
    if scheme not in READY:
        cohort = Cohort(make_policy(scheme=scheme))
        READY[scheme] = cohort, cohort.ready()
    return READY[scheme]


@pytest.mark.parametrize("scheme", ["ckks", "bfv"])
def test_the_same_procedure_releases_the_honest_sum(scheme: str) -> None:
    cohort, opened = ready_once(scheme)
    attempt = cohort.holder._attempts[opened.announced.body.encryption_key]
    holder = revive(cohort.new_holder(), attempt, attempt.secret._context)
    zero = shifted(cohort, opened, [0] * cohort.agreement.slots)
    changed = resigned(cohort, dataclasses.replace(opened), zero)
    outcome = holder.open(changed.aggregation, zero, commits_of(cohort, changed), first=cohort.first)
    assert signed(outcome).kind == "release"


def test_nothing_is_written_to_log_or_screen_on_failure(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    cohort, opened = ready_once("ckks")
    attempt = cohort.holder._attempts[opened.announced.body.encryption_key]
    holder = revive(cohort.new_holder(), attempt, attempt.secret._context)
    changed = resigned(cohort, dataclasses.replace(opened), one_word(cohort, opened))
    caplog.set_level(0)
    holder.open(changed.aggregation, changed.ciphertext, commits_of(cohort, changed), first=cohort.first)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
