"""A statistic (S4) message by message: whoever cheats with a report is refused by the adders, or nothing opens.

The cheats skip every check of their own device and prove as well as can be proven (`Unchecked`), so it is
the adders, the key holder or the reader of the record who refuse; a control shows that an honest vector sent
the same way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.adder_messages import rewritten, turned_down
from tests.layers.counts import (
    ONE_OF_FIVE,
    TWO_OF_FIVE,
    UP_TO_NINE,
    CountCohort,
    Unchecked,
    agreed,
    count_keys,
    count_policy,
)
from tests.layers.parties import NOW_S, Opened, fingerprint, signed
from zkfed.counts import CountBounds
from zkfed.encoding import digest
from zkfed.errors import (
    DecodeError,
    PolicyError,
    ProofInvalid,
    Replay,
    UnsatisfiedConstraint,
)
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.layers.intake import Work
from zkfed.layers.transcript import released_sums
from zkfed.updates.messages import Commit, Release, Seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.update import ModelUpdate, decode_ints, model_digest

NOBODY, FIRST, LAST = [0] * 5, [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]


# -- an honest statistic ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "curve", "bounds", "answers"),
    [
        ("ckks", "bls12-381", ONE_OF_FIVE, [FIRST, LAST, NOBODY]),
        ("bfv", "bls12-381", TWO_OF_FIVE, [[1, 0, 1, 0, 0], LAST, NOBODY]),
        ("ckks", "bn254", TWO_OF_FIVE, [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]),
        ("bfv", "bn254", UP_TO_NINE, [[3, 0, 3, 0, 3], [0, 0, 0, 0, 2], NOBODY]),
    ],
)
def test_what_is_released_is_the_exact_count_and_both_noises(
    scheme: str, curve: str, bounds: CountBounds, answers: Any
) -> None:
    cohort = CountCohort(count_policy(bounds, scheme=scheme, curve=curve), answers)
    opened = cohort.ready()
    adder = cohort.adder._attempts[opened.announced.digest].noise.values
    holder = cohort.holder._attempts[opened.announced.body.encryption_key].noise.values
    released = decode_ints(Release.decode(signed(cohort.open(opened)).body).sums)
    assert (released == np.sum(answers, axis=0) + adder + holder).all()
    assert len(adder) == len(holder) == 5
    assert not np.array_equal(adder, holder)
    record = cohort.close([opened])
    ((sums, people),) = released_sums(record)
    assert ((sums == released).all(), people) == (True, len(answers))
    # A statistic moves no model.
    assert not cohort.base.any()
    check_release(cohort.transcript)


@pytest.mark.parametrize("bounds", [ONE_OF_FIVE, TWO_OF_FIVE, UP_TO_NINE, CountBounds(5, 7, 0, 16)])
def test_the_noise_is_scaled_to_the_bounds(bounds: CountBounds) -> None:
    agreement, needed = agreed(bounds, count_keys(bounds)), bounds.squared_l2
    assert agreement.squared_norm_max == needed
    assert (agreement.noise_scale.sensitivity - 1) ** 2 < needed <= agreement.noise_scale.sensitivity**2
    assert agreement.noise_scale.epsilon <= agreement.policy.epsilon


@pytest.mark.parametrize("wrong", [{"clip_norm": 0.5}, {"clip_norm": 2.0}, {"server_rate": 2.0}, {"schedule": ("1%",)}])
def test_a_policy_of_counts_says_nothing_about_models(wrong: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match="a policy of counts"):
        replace(count_policy(), **wrong)


# -- vectors outside the bounds --------------------------------------------------------------------

FALSE = {
    "one-hot-twice": (ONE_OF_FIVE, [2, 0, 0, 0, 0]),
    "one-hot-negative": (ONE_OF_FIVE, [0, -1, 0, 0, 0]),
    "one-hot-two": (ONE_OF_FIVE, [0, 1, 0, 1, 0]),
    "one-hot-cancels": (ONE_OF_FIVE, [-1, 2, 0, 0, 0]),
    "one-hot-huge": (ONE_OF_FIVE, [(1 << 15) - 1, 0, 0, 0, 0]),
    "one-hot-none": (CountBounds(5, 1, 1, 1), NOBODY),
    "few-hot-twice": (TWO_OF_FIVE, [2, 0, 0, 0, 0]),
    "few-hot-three": (TWO_OF_FIVE, [1, 1, 1, 0, 0]),
    "few-hot-cancels": (TWO_OF_FIVE, [3, -1, 0, 0, 0]),
    "few-hot-none": (CountBounds(5, 1, 1, 2), NOBODY),
    "counts-each": (UP_TO_NINE, [4, 0, 0, 0, 0]),
    "counts-negative": (UP_TO_NINE, [3, 3, 3, 3, -3]),
    "counts-many": (UP_TO_NINE, [3, 3, 3, 1, 0]),
}
TRUE = [(ONE_OF_FIVE, FIRST), (TWO_OF_FIVE, [1, 0, 0, 1, 0]), (UP_TO_NINE, [3, 0, 3, 0, 3]), (ONE_OF_FIVE, NOBODY)]


def answered(bounds: CountBounds, vector: Sequence[int], kind: type[Device] = Unchecked) -> tuple[CountCohort, Opened]:
    """Returns a round in which the first of three devices has committed to a vector of its choice."""
    cohort = CountCohort(count_policy(bounds), [vector, LAST, FIRST], kinds=[kind])
    return cohort, cohort.start()


@pytest.mark.parametrize(("bounds", "vector"), FALSE.values(), ids=FALSE)
def test_a_false_vector_is_refused_by_name_and_the_rest_is_counted(bounds: CountBounds, vector: list[int]) -> None:
    cohort, opened = answered(bounds, vector)
    verdicts = cohort.adder.receive_sealed_all([d.seal(opened.announcement, opened.key) for d in cohort.devices])
    assert [v.code for v in verdicts] == ["proof-invalid", "accepted", "accepted"]
    assert verdicts[0].client == cohort.device_keys[0].public.hex()
    assert str(vector) not in str(verdicts[0])
    cohort.add(opened)
    cohort.open(opened)
    ((_, people),) = released_sums(cohort.close([opened]))
    assert people == 2
    check_release(cohort.transcript)


@pytest.mark.parametrize(("bounds", "vector"), TRUE)
def test_control_a_true_vector_sent_the_same_way_is_taken(bounds: CountBounds, vector: list[int]) -> None:
    cohort, opened = answered(bounds, vector)
    assert cohort.adder.receive_sealed(cohort.devices[0].seal(opened.announcement, opened.key)).is_accepted


@pytest.mark.parametrize(("bounds", "vector"), FALSE.values(), ids=FALSE)
def test_an_honest_device_refuses_before_it_commits(bounds: CountBounds, vector: list[int]) -> None:
    cohort = CountCohort(count_policy(bounds), [vector, LAST])
    opened = cohort.announce()
    with pytest.raises(UnsatisfiedConstraint) as caught:
        cohort.commit(0, opened)
    assert not any(str(v) in str(caught.value) for v in vector if v not in range(5))
    cohort.vectors[0] = np.array(FIRST)
    cohort.send_commit(0, opened)


@pytest.mark.parametrize(
    "answer",
    [np.zeros(4, np.int64), np.zeros((1, 5), np.int64), np.zeros(5), np.array([1 << 15, 0, 0, 0, 0])],
    ids=["short", "a matrix", "floats", "beyond a lane"],
)
def test_what_is_no_vector_of_counts_is_refused(answer: Any) -> None:
    cohort = CountCohort()
    opened = cohort.announce()
    with pytest.raises((DecodeError, ValueError)):
        cohort.commit(0, opened, ModelUpdate(answer, model_digest(cohort.base)))
    assert cohort.devices[0]._round is None


def test_adders_that_do_not_check_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort, opened = answered(ONE_OF_FIVE, [2, 0, 0, 0, 0])
    monkeypatch.setattr(cohort.adder, "_work", Work(verify=lambda *_: None))
    cohort.seal_all(opened)
    monkeypatch.undo()
    cohort.add(opened)
    cohort.open(opened)  # the sum is of what was committed to, so it opens
    cohort.close([opened])
    with pytest.raises(ProofInvalid):
        check_release(cohort.transcript)


# -- reports from somewhere else -------------------------------------------------------------------


def report(cohort: CountCohort, index: int, opened: Opened) -> Seal:
    return SealedUpdate.decode(cohort.devices[index].seal(opened.announcement, opened.key)).seal


class Reused(Unchecked):
    """Commits with a blinder that it has used before, so that an old proof is about this commitment too."""

    def commit(self, announcement: bytes, update: ModelUpdate, *, base: Any, previous: bytes) -> bytes:
        super().commit(announcement, update, base=base, previous=previous)
        current, agreement = self._current(), self.agreement
        current.blinder = int.from_bytes(self.public_key[:16], "big")
        current.point = agreement.generators.commit(update.integers, current.blinder)
        body = Commit(current.first.digest, agreement.backend.encode(current.point), "S4")
        current.commit = self._key.sign("commit", body.encode())
        return current.commit.encode()


def twin(cohort: CountCohort, **changes: Any) -> CountCohort:
    """Returns another federation with the same signing keys, and another question or other bounds."""
    policy = cohort.agreement.policy
    other = CountCohort(count_policy(**changes), cohort.vectors, kinds=[Reused] * 3)
    other.adder_key, other.holder_key, other.device_keys = cohort.adder_key, cohort.holder_key, cohort.device_keys
    pinned = replace(other.agreement.policy, adder_key=policy.adder_key, holder_key=policy.holder_key)
    other.agreement = replace(other.agreement, policy=pinned, enrolled=cohort.agreement.enrolled)
    adder, holder = type(cohort.adder), type(cohort.holder)
    other.adder = adder(other.agreement, other.adder_key, other.noise_prover, base=other.base)
    other.holder = holder(other.agreement, other.holder_key, other.noise_prover, base=other.base)
    other.devices = [Reused(other.agreement, k, d._prover) for k, d in zip(other.device_keys, other.devices)]  # noqa: B905
    return other


@pytest.mark.parametrize(
    "changes",
    [{"question": digest("zkfed/v1/test-question", b"another")}, {"bounds": CountBounds(5, 1, 1, 1)}],
    ids=["question", "bounds"],
)
def test_a_report_for_another_question_or_other_bounds_is_none(changes: Any) -> None:
    """Same client, vector, blinder and verifying key: only the question is another one."""
    cohort = CountCohort(kinds=[Reused] * 3)
    other = twin(cohort, **changes)
    assert cohort.agreement.improvement.digest == other.agreement.improvement.digest
    opened, elsewhere = cohort.start(), other.start()
    mine, theirs = cohort.devices[0]._current(), other.devices[0]._current()
    assert cohort.agreement.backend.encode(mine.point) == cohort.agreement.backend.encode(theirs.point)
    message = cohort.devices[0].seal(opened.announcement, opened.key)
    stolen = report(other, 0, elsewhere).proof
    turned_down(cohort, rewritten(cohort, message, proof=stolen), "proof-invalid")
    turned_down(cohort, other.devices[0].seal(elsewhere.announcement, elsewhere.key), "replay", "not open")
    assert cohort.adder.receive_sealed(message).is_accepted


def test_a_proof_of_the_last_round_is_none_of_this_one() -> None:
    cohort = CountCohort(kinds=[Reused] * 3)
    first = cohort.ready()
    old = report(cohort, 0, first)
    old_message = cohort.devices[0].seal(first.announcement, first.key)
    cohort.open(first)
    cohort.close([first])
    second = cohort.start()
    message = cohort.devices[0].seal(second.announcement, second.key)
    turned_down(cohort, old_message, "replay", "not open")
    turned_down(cohort, rewritten(cohort, message, proof=old.proof), "proof-invalid")
    assert cohort.adder.receive_sealed(message).is_accepted


def test_another_clients_proof_commitment_or_ciphertext_is_refused() -> None:
    cohort = CountCohort(answers=[FIRST, FIRST, LAST])
    opened = cohort.announce()
    first = cohort.send_commit(0, opened)
    copied = replace(Commit.decode(signed(cohort.commits[first]).body))
    before = fingerprint(cohort.adder)
    with pytest.raises(Replay, match="copied commitment"):
        cohort.adder.receive_commit(cohort.device_keys[1].sign("commit", copied.encode()).encode(), now_s=NOW_S)
    other_kind = replace(copied, kinds="S2")
    with pytest.raises(DecodeError, match="other statements"):
        cohort.adder.receive_commit(cohort.device_keys[1].sign("commit", other_kind.encode()).encode(), now_s=NOW_S)
    assert fingerprint(cohort.adder) == before
    cohort.send_commit(1, opened)
    one = cohort.devices[0].seal(opened.announcement, opened.key)
    two = cohort.devices[1].seal(opened.announcement, opened.key)
    turned_down(cohort, rewritten(cohort, two, proof=SealedUpdate.decode(one).seal.proof), "proof-invalid")
    turned_down(cohort, rewritten(cohort, two, commit=first), "not-authorised")
    assert cohort.adder.receive_sealed(one).is_accepted
    turned_down(cohort, one, "replay", "sealed this attempt already")
    taken = SealedUpdate.decode(one)
    turned_down(
        cohort, rewritten(cohort, two, ciphertext=taken.seal.ciphertext, outer=taken.outer), "replay", "same ciphertext"
    )
    assert cohort.adder.receive_sealed(two).is_accepted


# -- what is encrypted -----------------------------------------------------------------------------


class Stuffed(Device):
    """Proves one vector and encrypts another."""

    stuffing: Callable[[Any], Any] = staticmethod(lambda v: v + 1)

    def _encrypt(self, key: PublicKey, current: Any) -> bytes:
        packed = self.agreement.plaintext.pack(self.stuffing(current.update.integers), current.blinder)
        return encrypt(key, packed).to_bytes()


@pytest.mark.parametrize("scheme", ["ckks", "bfv"])
@pytest.mark.parametrize(
    "stuffing",
    [lambda v: v + np.array([1, 0, 0, 0, 0]), lambda v: np.roll(v, 1), lambda v: v * 1000 + 7, lambda v: -v],
    ids=["one more", "another answer", "a thousand", "a negative"],
)
def test_a_ciphertext_of_another_vector_opens_nothing(scheme: str, stuffing: Callable[[Any], Any]) -> None:
    kind = type("Stuffing", (Stuffed,), {"stuffing": staticmethod(stuffing)})
    cohort = CountCohort(count_policy(scheme=scheme, attempts=1), [FIRST, LAST, FIRST], kinds=[kind])
    opened = cohort.ready()
    assert signed(cohort.open(opened)).kind == "failure"
    record = cohort.close([opened])
    assert list(released_sums(record)) == []
    check_release(cohort.transcript)


def test_fewer_than_the_smallest_cohort_are_neither_added_nor_opened() -> None:
    cohort = CountCohort(count_policy(min_clients=3), [FIRST, LAST, FIRST])
    opened = cohort.start()
    for device in cohort.devices[:2]:
        assert cohort.adder.receive_sealed(device.seal(opened.announcement, opened.key)).is_accepted
    with pytest.raises(PolicyError):
        cohort.add(opened)
    # Nor do adders that add all the same get them opened.
    careless = replace(cohort.agreement, policy=replace(cohort.agreement.policy))
    object.__setattr__(careless.policy, "min_clients", 2)
    cohort.adder.agreement = careless
    cohort.add(opened)
    with pytest.raises(PolicyError):
        cohort.open(opened)
