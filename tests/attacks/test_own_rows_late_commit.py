"""Attack: see the drawn rows first, then train on them and commit.

Once the adders open their nonce the commit list is fixed. An honest adder takes no other commit; a
dishonest one cannot use it, for the key holder opens its nonce, and later the sum, over the one list
only, and the record shows the list. A client's second C_D of a round is refused before as after.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.layers.own_rows import OwnCohort
from tests.layers.parties import NOW_S, fingerprint, signed
from zkfed.errors import IntegrityError, NotAuthorised, PolicyError, Replay
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.updates.messages import Reveal
from zkfed.updates.update import ModelUpdate, model_digest


def test_the_adders_take_no_commit_once_the_beacon_is_open() -> None:
    cohort = OwnCohort(devices=4)
    opened = cohort.announce()
    early = [cohort.commit(i, opened) for i in range(4)]
    for message in early[:3]:
        cohort.adder.receive_commit(message, now_s=NOW_S)
    cohort.adder.reveal()
    before = fingerprint(cohort.adder)
    with pytest.raises(PolicyError, match="beacon is open"):
        cohort.adder.receive_commit(early[3], now_s=NOW_S)
    assert fingerprint(cohort.adder) == before
    # Who has lost its receipt still gets it.
    assert signed(cohort.adder.receive_commit(early[0], now_s=NOW_S)).kind == "receipt"


def test_a_client_cannot_change_its_update_after_the_beacon() -> None:
    cohort = OwnCohort()
    opened = cohort.start()
    device = cohort.devices[0]
    fitted = ModelUpdate(np.roll(cohort.update(0).integers, 1), model_digest(cohort.base))
    with pytest.raises(Replay, match="committed to an update"):
        device.commit(opened.announcement, fitted, base=cohort.base, previous=cohort.previous)
    forgetful = Device(cohort.agreement, cohort.device_keys[0], device._prover, rows=cohort.rows[0])
    second = forgetful.commit(opened.announcement, fitted, base=cohort.base, previous=cohort.previous)
    with pytest.raises(PolicyError, match="beacon is open"):
        cohort.adder.receive_commit(second, now_s=NOW_S)


def test_adders_that_take_a_late_commit_cannot_use_it() -> None:
    cohort = OwnCohort(devices=4)
    opened = cohort.announce()
    for index in range(3):
        cohort.send_commit(index, opened)
    late = cohort.commit(3, opened)
    adder, holder = cohort.open_beacon()
    reveal, cohort.adder._reveal = cohort.adder._reveal, b""  # adders that forget that the list is fixed
    cohort.adder.receive_commit(late, now_s=NOW_S)
    cohort.adder._reveal = reveal
    cohort.commits[signed(late).digest] = late
    longer = Reveal(opened.announced.digest, tuple(sorted(cohort.commits)), Reveal.decode(signed(adder).body).nonce)
    second = cohort.adder_key.sign("reveal", longer.encode()).encode()
    with pytest.raises(Replay, match="another commit list"):
        cohort.holder.reveal(second, cohort.adder.commits)
    # The late client can see its rows now: the beacon does not depend on its commit any more.
    device = cohort.devices[3]
    with pytest.raises(NotAuthorised, match="without this device's commit"):
        device.accept_beacon((adder, holder))
    terms = cohort.agreement.own_terms(
        cohort.base, cohort.adder._beacon.value, client=device.public_key,
        commitment=cohort.agreement.backend.encode(device._current().point),
    )  # fmt: skip
    device._current().terms, device._current().rows = terms, device._rows.take(terms.drawn.indices)
    for member in cohort.devices[:3]:
        member.accept_beacon((adder, holder))
    cohort.seal_all(opened)  # these adders accept all four
    cohort.add(opened)
    before = fingerprint(cohort.holder)
    with pytest.raises(NotAuthorised, match="not in the commit list"):
        cohort.open(opened)
    assert fingerprint(cohort.holder) == before
    cohort.close([opened])
    with pytest.raises(IntegrityError, match="over another commit list"):
        check_release(cohort.transcript)
    record = cohort.transcript.rounds[0]
    without = replace(record, commits=tuple(c for c in record.commits if c != late))
    closing = cohort.adder_key.sign("transcript", without.digest).encode()
    cohort.transcript.rounds[0] = replace(without, closing=closing)
    with pytest.raises(NotAuthorised, match="does not belong to its commit"):
        check_release(cohort.transcript)
