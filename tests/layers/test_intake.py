"""A batch of sealed updates ends as if they had come one by one: the cheats are named, the rest is taken.

Of models (S2) and of counts (S4): the batch is the adders' only way to take an update.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.layers.adder_messages import rewritten
from tests.layers.counts import CountCohort
from tests.layers.parties import Cohort, Opened, fingerprint, signed
from zkfed.layers.bridge import check_release
from zkfed.updates.sealed import SealedUpdate

DEVICES = 6
MAKE = [
    pytest.param(lambda: Cohort(devices=DEVICES), id="updates"),
    pytest.param(lambda: CountCohort(answers=[[0, 1, 0, 0, 0], [0] * 5] * (DEVICES // 2)), id="counts"),
]


def sealed(make: Callable[[], Cohort]) -> tuple[Cohort, Opened, list[bytes]]:
    cohort = make()
    opened = cohort.start()
    return cohort, opened, [d.seal(opened.announcement, opened.key) for d in cohort.devices]


def proof_of(message: bytes) -> bytes:
    return SealedUpdate.decode(message).seal.proof


@pytest.mark.parametrize("make", MAKE)
def test_false_proofs_are_named_wherever_they_stand_and_the_rest_is_taken(make: Callable[[], Cohort]) -> None:
    cohort, opened, good = sealed(make)
    adder = cohort.adder
    bad = {i: rewritten(cohort, good[i], proof=proof_of(good[5])) for i in (0, 2, 3)}
    before = fingerprint(adder)
    verdicts = adder.receive_sealed_all([bad[0], bad[2], bad[3]])
    assert [v.code for v in verdicts] == ["proof-invalid"] * 3
    assert fingerprint(adder) == before
    verdicts = adder.receive_sealed_all([bad.get(i, good[i]) for i in range(DEVICES)])
    assert [v.code for v in verdicts] == [("proof-invalid" if i in bad else "accepted") for i in range(DEVICES)]
    assert [v.client for v in verdicts] == [k.public.hex() for k in cohort.device_keys]
    # The refused ones lost nothing: their true reports are taken afterwards, in any order.
    assert all(v.is_accepted for v in adder.receive_sealed_all([good[3], good[0], good[2]]))
    cohort.add(opened)
    assert len(opened.members) == DEVICES
    assert signed(cohort.open(opened)).kind == "release"
    cohort.close([opened])
    check_release(cohort.transcript)


@pytest.mark.parametrize("make", MAKE)
def test_a_message_that_comes_twice_in_a_batch_counts_once(make: Callable[[], Cohort]) -> None:
    cohort, opened, good = sealed(make)
    copied = rewritten(
        cohort, good[1], ciphertext=SealedUpdate.decode(good[0]).seal.ciphertext,
        outer=SealedUpdate.decode(good[0]).outer,
    )  # fmt: skip
    verdicts = cohort.adder.receive_sealed_all([good[0], good[0], copied, good[1], good[1]])
    assert [v.code for v in verdicts] == ["accepted", "replay", "ciphertext-refused", "accepted", "replay"]
    cohort.add(opened)
    assert len(opened.members) == 2


@pytest.mark.parametrize("make", MAKE)
def test_garbage_in_a_batch_is_refused_and_nobody_else_is(make: Callable[[], Cohort]) -> None:
    cohort, _, good = sealed(make)
    cut = rewritten(cohort, good[2], proof=proof_of(good[2])[:-1])
    verdicts = cohort.adder.receive_sealed_all([b"", good[0], good[1][:-1], cut, good[3] + b"\0", good[4]])
    assert [v.code for v in verdicts] == ["decode", "accepted", "decode", "decode", "decode", "accepted"]
    assert verdicts[0].client == "unknown"
    assert cohort.adder.receive_sealed_all([]) == []


@pytest.mark.parametrize("make", MAKE)
def test_a_batch_is_the_messages_one_by_one(make: Callable[[], Cohort]) -> None:
    cohort, _, good = sealed(make)
    messages = [good[0], rewritten(cohort, good[1], proof=proof_of(good[0])), good[2], good[2], b"x", good[3]]
    adder = cohort.adder
    together = [v.code for v in adder.receive_sealed_all(messages)]
    (attempt,) = adder._attempts.values()
    taken = fingerprint([attempt.sent, [s.encode() for s in attempt.seals.values()], adder._nullifiers])
    for held in (attempt.seals, attempt.sent, attempt.ciphertexts, adder._nullifiers):
        held.clear()
    assert [adder.receive_sealed(m).code for m in messages] == together
    assert taken == fingerprint([attempt.sent, [s.encode() for s in attempt.seals.values()], adder._nullifiers])
