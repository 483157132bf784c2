"""Cheats and failures: who can be named is refused by name, everything else fails closed and costs one group.

The cheats are those of the demo (examples/cheats.py). The parties that refuse them are the ordinary ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import zkfed
from examples.cheats import CHEATS, Cheat, FalseClaim, NormTooLarge, OtherCiphertext, ReplayedProof
from tests.layers.parties import make_policy, proving_keys, signed
from zkfed.adapters.memory import MemoryTransport
from zkfed.layers.agreement import Announced, draw_groups
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import released_sums
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.events import AttemptFailed, Event, Refused, Released, RoundAbandoned, RoundStarted
from zkfed.orchestrator.federation import Options
from zkfed.policy import RoundPolicy
from zkfed.updates.messages import Aggregate, Commit, Failure, Seal


def federation(
    cheats: Sequence[type[Cheat]], devices: int, policy: RoundPolicy | None = None, rounds: tuple[int, ...] = (1,)
) -> zkfed.LocalFederation:
    """Returns a federation whose first devices cheat in some rounds."""
    transport = MemoryTransport()

    def make(index: int, device: zkfed.Device, shard: Shard) -> Client:
        honest = Client(device, shard)
        # The last ones, so that somebody else's proof is there to be stolen.
        position = index - (devices - len(cheats))
        return cheats[position](honest, transport, rounds) if position >= 0 else honest

    return zkfed.LocalFederation(
        policy or make_policy(),
        devices=devices,
        transport=transport,
        options=Options(keys=proving_keys(), make_client=make),
    )


def of(events: Sequence[Event], kind: type[Any], number: int = 1) -> list[Any]:
    return [e for e in events if isinstance(e, kind) and e.round == number]


@pytest.mark.parametrize("cheat", [FalseClaim, NormTooLarge, ReplayedProof])
def test_a_cheat_is_refused_by_name_and_the_others_are_released(cheat: type[Cheat]) -> None:
    fed = federation([cheat], devices=4)
    events = list(fed.run(rounds=2))
    (refused,) = of(events, Refused)
    assert refused.verdict.code == "proof-invalid"
    assert fed.index_of(refused.verdict.client) == 3
    assert refused.verdict.client[:12] in str(refused)
    assert [(e.accepted, e.refused, e.attempts) for e in of(events, Released)] == [(3, 1, 1)]
    # It is honest in the next round, and taken.
    assert not of(events, Refused, 2)
    assert [e.accepted for e in of(events, Released, 2)] == [4]
    check_release(fed.transcript)


def test_the_four_cheats_of_the_demo_at_once() -> None:
    fed = federation(CHEATS, devices=10)
    events = list(fed.run(rounds=2))
    named = {fed.index_of(e.verdict.client): e.verdict.code for e in of(events, Refused)}
    assert named == {6: "proof-invalid", 7: "proof-invalid", 8: "proof-invalid"}
    first, second = of(events, AttemptFailed)
    assert (first.attempt, first.clients, first.is_lost) == (1, 7, False)
    assert (second.attempt, second.is_lost) == (2, True)
    (released,) = of(events, Released)
    assert released.attempts == 2
    assert released.accepted == 7 - second.clients
    assert [e.accepted for e in of(events, Released, 2)] == [10]
    check_release(fed.transcript)


def test_another_ciphertext_fails_closed_and_only_its_group_is_lost() -> None:
    fed = federation([OtherCiphertext], devices=6)
    events = list(fed.run(rounds=1))
    record = fed.transcript.rounds[0]
    attempts = [
        (Announced.decode(a.announced), Aggregate.decode(signed(a.aggregation).body), signed(a.outcome), a)
        for a in record.attempts
    ]
    assert attempts[0][2].kind == "failure"
    failure = Failure.decode(attempts[0][2].body)
    drawn = draw_groups(failure.nonce, attempts[0][1].members, smallest=2, groups=3)
    assert [list(h.body.members) for h, *_ in attempts[1:]] == [list(g) for g in drawn]
    assert sorted(m for g in drawn for m in g) == list(attempts[0][1].members)

    cheat = fed.clients[-1].device.public_key
    by_name = {signed(c).digest: signed(c).signer for c in record.commits}
    for head, body, outcome, _ in attempts[1:]:
        is_bad = any(by_name[m] == cheat for m in body.members)
        assert outcome.kind == ("failure" if is_bad else "release")
        assert body.members == head.body.members
    (released,) = of(events, Released)
    assert released.accepted == 4 == sum(n for _, n in released_sums(record))
    lost = [e for e in of(events, AttemptFailed) if e.is_lost]
    assert [(e.attempt, e.clients) for e in lost] == [(2, 2)]
    # Same commitments and proofs; fresh keys, noises and ciphertexts.
    proofs, ciphertexts = dict[bytes, set[bytes]](), list[bytes]()
    for *_, attempt in attempts:
        for data in attempt.seals:
            seal = Seal.decode(signed(data).body)
            proofs.setdefault(seal.commit, set()).add(seal.proof)
            ciphertexts.append(seal.ciphertext)
    assert len(proofs) == 6
    assert all(len(p) == 1 for p in proofs.values())
    assert len(set(ciphertexts)) == len(ciphertexts) == 12
    for name in ("encryption_key", "holder_commitment", "adder_commitment"):
        assert len({getattr(h.body, name) for h, *_ in attempts}) == len(attempts)
    assert len({Commit.decode(signed(c).body).commitment for c in record.commits}) == 6
    # Nobody is accused: the cheat appears in no refusal, and the failures do not tell the members apart.
    assert not of(events, Refused)
    check_release(fed.transcript)


def test_a_proof_is_made_once_for_all_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    from zkfed.layers.heart import Device

    made: list[str] = []
    prove = Device._prove

    def counted(self: Device, current: Any) -> bytes:
        made.append(repr(self))
        return prove(self, current)

    monkeypatch.setattr(Device, "_prove", counted)
    fed = federation([OtherCiphertext], devices=6)
    list(fed.run(rounds=1))
    assert len(fed.transcript.rounds[0].attempts) == 4
    assert len(made) == len(set(made)) == 6


def test_the_policys_cap_abandons_the_round_and_spends_its_budget() -> None:
    fed = federation([OtherCiphertext], devices=3, policy=make_policy(min_clients=3))
    before = fed.base.copy()
    events = list(fed.run(rounds=2))
    failed = of(events, AttemptFailed)
    assert [(e.attempt, e.clients, e.is_lost) for e in failed] == [(1, 3, False), (2, 3, True)]
    (abandoned,) = of(events, RoundAbandoned)
    assert "the model stays as it is" in str(abandoned)
    assert not of(events, Released)
    models = list(fed.transcript.models())
    assert (models[1] == before).all()
    # The next round is honest and moves the model; both rounds' reservations count.
    (released,) = of(events, Released, 2)
    assert not (models[2] == before).all()
    alone = federation([], devices=3, policy=make_policy(min_clients=3))
    list(alone.run(rounds=1))
    assert fed.spending.total()[0] > alone.spending.total()[0]
    assert released.epsilon == fed.spending.total()[0]
    check_release(fed.transcript)


def test_one_attempt_only_if_the_policy_says_so() -> None:
    fed = federation([OtherCiphertext], devices=4, policy=make_policy(attempts=1))
    events = list(fed.run(rounds=1))
    assert [(e.attempt, e.is_lost) for e in of(events, AttemptFailed)] == [(1, True)]
    assert of(events, RoundAbandoned)
    assert len(fed.transcript.rounds[0].attempts) == 1
    check_release(fed.transcript)


def test_too_few_valid_updates_abandon_the_round_once() -> None:
    fed = federation([FalseClaim, FalseClaim], devices=4, policy=make_policy(min_clients=3))
    events = list(fed.run(rounds=2))
    assert len(of(events, Refused)) == 2
    (abandoned,) = of(events, RoundAbandoned)
    assert "2 valid updates, the policy needs 3" in str(abandoned)
    assert not of(events, AttemptFailed)
    (attempt,) = fed.transcript.rounds[0].attempts
    assert (attempt.seals, attempt.aggregation, attempt.outcome) == ((), b"", b"")
    assert [e.accepted for e in of(events, Released, 2)] == [4]
    check_release(fed.transcript)


def test_groups_are_split_further_while_attempts_are_left() -> None:
    fed = federation([OtherCiphertext], devices=8, policy=make_policy(attempts=3, groups=2))
    events = list(fed.run(rounds=1))
    sizes = [(e.attempt, e.clients, e.is_lost) for e in of(events, AttemptFailed)]
    assert sizes == [(1, 8, False), (2, 4, False), (3, 2, True)]
    assert [e.accepted for e in of(events, Released)] == [6]
    check_release(fed.transcript)


@pytest.mark.parametrize("cheats", [(), (FalseClaim, OtherCiphertext)])
def test_what_people_read(cheats: tuple[type[Cheat], ...]) -> None:
    fed = federation(cheats, devices=6)
    text = [str(e) for e in fed.run(rounds=1)]
    assert all(len(t) < 250 and t.startswith("round 1") and "<" not in t for t in text)
    joined = "\n".join(text)
    if cheats:
        assert "attempt 1 failed closed (5 updates); trying again in random groups" in joined
        assert "refused (proof-invalid)" in joined
        assert "attempt 2 group" in joined
        assert "after 2 attempts, 1 refused" in joined
    else:
        assert "released the sum of 6 updates, 0 refused" in joined
    assert text[0].startswith("round 1: 6 devices, improvement of at least 1.00%, predicted noise/signal")
    assert isinstance(next(iter(federation([], devices=3).run(rounds=1))), RoundStarted)
