"""Attack: two updates of one client in one round.

The adders refuse a second commit. Here they have forgotten to: what counts is the nullifier, which
policy, round, kind and client's key name and no byte of a proof does.
"""

from __future__ import annotations

import numpy as np

from tests.layers.parties import Cohort, signed
from zkfed.layers.heart import Device
from zkfed.updates.messages import Commit
from zkfed.updates.update import ModelUpdate, model_digest


def test_a_second_commit_of_one_client_is_worth_nothing() -> None:
    cohort = Cohort()
    opened = cohort.start()
    first, adder = cohort.devices[0], cohort.adder
    forgetful = Device(cohort.agreement, cohort.device_keys[0], first._prover)
    update = ModelUpdate(cohort.update(0).integers // 2 * 2, model_digest(cohort.base))
    assert not np.array_equal(update.integers, first._current().update.integers)
    again = signed(forgetful.commit(opened.announcement, update, base=cohort.base, previous=cohort.previous))
    point = cohort.agreement.decode_commitment(Commit.decode(again.body).commitment)
    adder._commits[again.digest] = again, point
    assert adder.receive_sealed(first.seal(opened.announcement, opened.key)).is_accepted
    verdict = adder.receive_sealed(forgetful.seal(opened.announcement, opened.key))
    assert (verdict.is_accepted, verdict.code) == (False, "replay")
    assert "nullifier of this round is used" in verdict.reason
