"""An honest round, message by message: the released sum is the exact sum, and nothing secret is public.

The secrets of the parties are read here, to compare: the sum of all updates and of both noises over the
integers is what is released, in every scheme and for every kind of task.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import Cohort, Opened, make_policy, signed
from zkfed.encoding import Writer
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Transcript, apply_releases
from zkfed.updates.messages import Release, Seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.update import decode_ints, encode_ints

CASES = [("ckks", 3), ("bfv", 3), ("ckks", 1), ("bfv", 2)]  # regression, binary and three classes


def secrets_of(cohort: Cohort, opened: Opened) -> tuple[list[Any], Any, Any]:
    """Returns the devices' round secrets and the noises of G and K; call it before the opening."""
    rounds = [d._current() for d in cohort.devices]
    key = opened.announced.body.encryption_key
    return rounds, cohort.adder._attempts[opened.announced.digest].noise, cohort.holder._attempts[key].noise


@pytest.mark.parametrize(("scheme", "classes"), CASES)
def test_what_is_released_is_the_exact_sum(scheme: str, classes: int) -> None:
    cohort = Cohort(make_policy(classes, scheme=scheme))
    for _ in range(2):
        opened = cohort.ready()
        devices, adder, holder = secrets_of(cohort, opened)
        release = Release.decode(signed(cohort.open(opened)).body)
        exact = np.sum([d.update.integers for d in devices], axis=0)
        sums = decode_ints(release.sums)
        assert (sums == exact + adder.values + holder.values).all()
        order = cohort.agreement.order
        blinder = sum(d.blinder for d in devices) + adder.blinder + holder.blinder
        assert int.from_bytes(release.blinder, "big") == blinder % order
        # Whoever knew both noises could take them off again: nothing was lost or rounded on the way.
        assert (sums - adder.values - holder.values == exact).all()
        before = cohort.base
        cohort.close([opened])
        check_release(cohort.transcript)
        moved = np.array([round(Fraction(int(s), len(devices))) for s in sums]).reshape(before.shape)
        assert (cohort.base == before + moved).all()
    assert len(list(cohort.transcript.models())) == 3
    assert (list(cohort.transcript.models())[-1] == cohort.base).all()


def test_both_noises_are_drawn_anew_and_are_not_small() -> None:
    cohort, vectors = Cohort(), []
    for _ in range(2):
        opened = cohort.ready()
        _, adder, holder = secrets_of(cohort, opened)
        vectors += [adder.values, holder.values]
        cohort.open(opened)
        cohort.close([opened])
    sigma = float(cohort.agreement.noise_scale.sigma)
    for vector in vectors:
        # Outside of this with probability 2^-33 for 12 coordinates.
        assert 0.1 * sigma < np.sqrt(np.mean(vector.astype(float) ** 2)) < 3 * sigma
    assert len({v.tobytes() for v in vectors}) == len(vectors)


def test_the_model_moves_by_the_server_rate_and_stays_in_its_range() -> None:
    policy = make_policy(server_rate=0.5)
    base = np.zeros((4, 3), np.int64)
    sums = [(np.full(12, 10, np.int64), 2), (np.full(12, -4, np.int64), 1)]
    assert (apply_releases(policy, base, sums) == 1).all()  # 0.5 * (10 - 4) / 3
    assert (apply_releases(policy, base, []) == base).all()
    half = [(np.full(12, 3, np.int64), 1)]
    assert (apply_releases(policy, base, half) == 2).all()  # 1.5 rounds to the even neighbour
    assert (apply_releases(policy, base, [(np.full(12, 5, np.int64), 1)]) == 2).all()  # and so does 2.5
    limit = (1 << policy.model.weight_bits) - 1
    assert (apply_releases(policy, base, [(np.full(12, 1 << 40, np.int64), 1)]) == limit).all()
    assert (apply_releases(policy, base, [(np.full(12, -(1 << 40), np.int64), 1)]) == -limit).all()


@pytest.fixture(scope="module")
def finished() -> tuple[Cohort, Opened, list[Any], list[Any]]:
    cohort = Cohort()
    opened = cohort.ready()
    devices, adder, holder = secrets_of(cohort, opened)
    ciphertexts = [c.to_bytes() for c in cohort.adder._attempts[opened.announced.digest].ciphertexts.values()]
    cohort.open(opened)
    cohort.close([opened])
    return cohort, opened, [*devices, adder, holder], ciphertexts


def public_bytes(cohort: Cohort) -> bytes:
    objects = [*cohort.transcript._head().values(), *(r.encode() for r in cohort.transcript.rounds)]
    return b"".join(objects)


def forms(vector: Any, blinder: int) -> list[bytes]:
    """Returns ways in which a secret vector or blinder could have got into a file."""
    head = np.asarray(vector)[:4]
    return [
        *(head.astype(kind).tobytes() for kind in (">i8", "<i8", ">i4", "<i4", "<f8", ">i2", "<i2")),
        str(head.tolist()).encode(),
        *(blinder.to_bytes(32, end) for end in ("big", "little")),
        str(blinder).encode(),
    ]


def test_a_transcript_holds_no_ciphertext_update_blinder_or_noise(
    finished: tuple[Cohort, Opened, list[Any], list[Any]],
) -> None:
    cohort, opened, parties, ciphertexts = finished
    public = public_bytes(cohort)
    for party in parties:
        vector = party.update.integers if hasattr(party, "update") else party.values
        assert not [f for f in forms(vector, party.blinder) if f in public]
    assert len(ciphertexts) == len(cohort.devices)
    for data in [*ciphertexts, opened.ciphertext, *(SealedUpdate.decode(s).outer for s in opened.sealed)]:
        # Any 48 bytes of it from anywhere but the constant framing would do to show a leak.
        for at in range(1000, len(data) - 48, len(data) // 7):
            assert data[at : at + 48] not in public
    assert len(public) < 100_000 < len(ciphertexts[0]) * 2


def test_what_must_be_public_is_found_by_the_same_search(
    finished: tuple[Cohort, Opened, list[Any], list[Any]],
) -> None:
    cohort, opened, _, _ = finished
    public = public_bytes(cohort)
    release = Release.decode(signed(opened.outcome).body)
    assert release.sums in public
    assert forms(decode_ints(release.sums), 1)[0] in public
    assert all(Seal.decode(SealedUpdate.decode(s).signed.body).proof in public for s in opened.sealed)


def test_no_text_of_a_party_shows_a_secret() -> None:
    cohort = Cohort()
    opened = cohort.ready()
    devices, adder, holder = secrets_of(cohort, opened)
    key = opened.announced.body.encryption_key
    shown = [
        *cohort.devices, cohort.adder, cohort.holder, *devices, adder, holder, cohort.adder_key, cohort.holder_key,
        cohort.adder._sealing, cohort.adder._attempts[opened.announced.digest], cohort.holder._attempts[key],
        cohort.holder._attempts[key].secret, cohort.update(0), cohort.agreement, SealedUpdate.decode(opened.sealed[0]),
        *cohort.device_keys,
    ]  # fmt: skip
    text = "\n".join(f"{value!r}\n{value}" for value in shown)
    for party in [*devices, adder, holder]:
        vector = party.update.integers if hasattr(party, "update") else party.values
        for form in [str(vector.tolist())[1:30], str(vector)[1:20], str(party.blinder), f"{party.blinder:x}"]:
            assert form not in text
    for signing in (cohort.adder_key, cohort.holder_key, *cohort.device_keys):
        assert signing._key.private_bytes_raw().hex() not in text
    assert "hidden" in repr(cohort.devices[0])


def test_the_parties_exchange_bytes_and_nothing_else() -> None:
    cohort = Cohort()
    draft, key = cohort.offer_and_draft()
    announcement = cohort.holder.countersign(draft)
    cohort.adder.open_attempt(announcement)
    commits = [
        d.commit(announcement, cohort.update(i), base=cohort.base, previous=bytes(32))
        for i, d in enumerate(cohort.devices)
    ]
    receipts = [cohort.adder.receive_commit(c, now_s=1) for c in commits]
    sealed = [d.seal(announcement, key) for d in cohort.devices]
    assert all(cohort.adder.receive_sealed(s).is_accepted for s in sealed)
    first = Opened(announcement, key).announced.digest
    aggregation, ciphertext, seals = cohort.adder.aggregate(first)
    in_order = tuple(sorted(commits, key=lambda c: signed(c).digest))
    outcome = cohort.holder.open(aggregation, ciphertext, in_order, first=first)
    messages = [draft, key, announcement, *commits, *receipts, *sealed, aggregation, ciphertext, *seals, outcome]
    assert [type(m) for m in messages] == [bytes] * len(messages)
    assert signed(outcome).kind == "release"


def test_a_transcript_survives_its_encoding(
    finished: tuple[Cohort, Opened, list[Any], list[Any]], tmp_path: Any
) -> None:
    cohort = finished[0]
    cohort.transcript.save(tmp_path)
    again = Transcript.load(tmp_path)
    check_release(again)
    assert [r.encode() for r in again.rounds] == [r.encode() for r in cohort.transcript.rounds]
    assert again._head() == cohort.transcript._head()
    assert again._head()["base"] == Writer("zkfed/v1/base").bytes(encode_ints(cohort.transcript.base.ravel())).finish()
