"""A node and its members share nothing but bytes: whole rounds, restarts, and whoever answers something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.layers.parties import make_policy, proving_keys
from tests.orchestrator.hosting import carry, federation
from zkfed.encoding import Writer
from zkfed.errors import (
    DecodeError,
    KeyRefused,
    NotAuthorised,
    PolicyError,
    Replay,
    ZkfedError,
)
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.calls import ASKS, Answer, Ask, Replies, asked_kind
from zkfed.orchestrator.events import Refused, Released, RoundAbandoned
from zkfed.orchestrator.federation import make_keys
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options
from zkfed.policy import Improvement, LinearModel, RoundPolicy
from zkfed.updates.signing import SigningKey


@pytest.mark.parametrize(("kind", "exchanges"), [("S2", 1), ("S2", 2), ("S4", 1), ("S4", 2), ("S1", 2)])
def test_rounds_with_members_that_only_see_bytes(kind: str, exchanges: int) -> None:
    node, members = federation(kind, exchanges=exchanges)
    carry(node.enrol(), members)
    events = carry(node.run(2), members)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3, 3]
    assert not [e for e in events if isinstance(e, Refused)]
    check_release(node.transcript)
    assert (node.model == node.base / 2.0**node.policy.model.fraction_bits).all()


@pytest.mark.parametrize(("kind", "exchanges"), [("S2", 1), ("S2", 2), ("S4", 2), ("S1", 2)])
def test_a_member_that_restarts_between_any_two_requests_goes_on(kind: str, exchanges: int) -> None:
    node, members = federation(kind, exchanges=exchanges)
    provers, keys = members[0]._provers, [m._key for m in members]
    shards, train = [m._shard for m in members], members[0]._train

    def restart(ask: Ask, messages: list[bytes]) -> list[bytes]:
        for i, member in enumerate(members):
            state = member.state()
            members[i] = Member(provers, shards[i], key=keys[i], train=train, state=state)
            assert members[i].state() == state
        return messages

    carry(node.enrol(), members, restart)
    events = carry(node.run(2), members, restart)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3, 3]
    check_release(node.transcript)


def test_a_restarted_member_does_not_answer_a_second_announcement_of_its_round() -> None:
    node, members = federation(exchanges=1)
    carry(node.enrol(), members)
    asks = [next(step for step in node.run(1) if isinstance(step, Ask)) for _ in range(1)]
    first = members[0].handle(asks[0].request)
    again = Member(
        members[0]._provers, members[0]._shard, key=members[0]._key, state=members[0].state()
    )  # fmt: skip
    assert again.handle(asks[0].request) == first  # a lost answer is sent again as it was
    other = next(step for step in node.run(1) if isinstance(step, Ask))
    assert other.request != asks[0].request
    assert node.transcript.rounds  # the first was broken off and is on record
    carry(node.run(0), members)


def test_two_announcements_of_one_round_get_one_update() -> None:
    """Two nodes with the same keys: the second asks for the same round again, with another key."""
    node, members = federation(exchanges=1)
    carry(node.enrol(), members)
    twin, _ = federation(exchanges=1)
    for name in ("_adder_key", "_holder_key", "policy", "_benchmark"):
        setattr(twin, name, getattr(node, name))
    carry(twin.enrol(), members)
    one = next(s for s in node.run(1) if isinstance(s, Ask))
    two = next(s for s in twin.run(1) if isinstance(s, Ask))
    members[0].handle(one.request)
    restarted = Member(members[0]._provers, members[0]._shard, key=members[0]._key, state=members[0].state())
    for member in (members[0], restarted):
        member._train = lambda model, base, shard, number: np.full(model.shape, 0.01)
        with pytest.raises(Replay):
            member.handle(two.request)


def test_what_does_not_come_or_is_no_answer_is_refused_by_name() -> None:
    node, members = federation(devices=4, exchanges=1)
    carry(node.enrol(), members)

    def spoil(ask: Ask, messages: list[bytes]) -> list[bytes]:
        other = Answer.decode(messages[2])
        return [messages[0], messages[1], Answer(other.commit, other.sealed[:-1]).encode(), b"", b"\0", bytes(5000)]

    events = carry(node.run(1), members, spoil)
    refused = {e.verdict.client: e.verdict.code for e in events if isinstance(e, Refused)}
    silent = members[3].public_key.hex()
    assert refused[silent] == "no-answer"
    assert set(refused) >= {"unknown", silent}
    assert [e.accepted for e in events if isinstance(e, Released)] == [2]
    check_release(node.transcript)


def test_a_device_with_nothing_to_prove_says_so_signed() -> None:
    node, members = federation(devices=3)
    carry(node.enrol(), members)
    members[0]._train = lambda model, base, shard, number: base  # does not improve anything
    events = carry(node.run(1), members)
    verdicts = [e.verdict for e in events if isinstance(e, Refused)]
    assert [(v.client, v.code) for v in verdicts] == [(members[0].public_key.hex(), "unsatisfied-constraint")]
    assert [e.accepted for e in events if isinstance(e, Released)] == [2]


@pytest.mark.parametrize("exchanges", [1, 2])
def test_a_device_that_says_it_sits_out_for_another_round_is_not_believed(exchanges: int) -> None:
    node, members = federation(devices=3, exchanges=exchanges)
    carry(node.enrol(), members)
    forged = members[0]._key.sign("sits-out", bytes(32)).encode()

    def add(ask: Ask, messages: list[bytes]) -> list[bytes]:
        return [forged, *messages[1:]] if ask.kind in ("join", "round") else messages

    events = carry(node.run(1), members, add)
    refused = [(e.verdict.client, e.verdict.code) for e in events if isinstance(e, Refused)]
    assert refused == [(members[0].public_key.hex(), "decode")]
    assert [e.accepted for e in events if isinstance(e, Released)] == [2]


def test_a_failed_attempt_is_repeated_with_one_exchange_a_round() -> None:
    node, members = federation(devices=4, exchanges=1)
    carry(node.enrol(), members)
    honest = node.rounds._holder.open

    def fails(aggregation: bytes, ciphertext: bytes, commits: tuple[bytes, ...], *, first: bytes) -> bytes:
        node.rounds._holder.open = honest  # type: ignore[method-assign]
        attempt = next(iter(node.rounds._holder._attempts.values()))
        attempt.noise.values[0] += 1  # what is decrypted does not open the commitments
        return honest(aggregation, ciphertext, commits, first=first)

    node.rounds._holder.open = fails  # type: ignore[method-assign]
    events = carry(node.run(1), members)
    released = [e for e in events if isinstance(e, Released)]
    assert [(e.accepted, e.attempts) for e in released] == [(4, 2)]
    check_release(node.transcript)


def test_who_may_enrol() -> None:
    node, members = federation(devices=4)
    node._allowed = frozenset(m.public_key for m in members[:3])
    stranger = SigningKey.generate().sign("enrol", bytes(32)).encode()
    events = carry(node.enrol(), members, lambda ask, messages: [*messages, messages[0], stranger, b"x"])
    codes = sorted(e.verdict.code for e in events if isinstance(e, Refused))
    assert codes == ["decode", "not-authorised", "policy"]
    assert node.agreement.enrolled == tuple(sorted(m.public_key for m in members[:3]))
    with pytest.raises(PolicyError, match="enrolment is over"):
        carry(node.enrol(), members)


def test_too_few_devices_is_an_error_and_a_new_enrolment_may_follow() -> None:
    node, members = federation(devices=3)
    with pytest.raises(PolicyError, match="1 devices, the policy needs 2"):
        carry(node.enrol(), members[:1])
    with pytest.raises(PolicyError, match="nobody is enrolled"):
        node.run(1)
    carry(node.enrol(), members)
    assert [e.accepted for e in carry(node.run(1), members) if isinstance(e, Released)] == [3]


def test_a_member_follows_the_policy_and_the_keys_of_its_host_only() -> None:
    node, members = federation()
    carry(node.enrol(), members)
    ask = next(s for s in node.run(1) if isinstance(s, Ask))
    shard = members[0]._shard
    louder = Provers(replace(make_policy(), epsilon=1.0), proving_keys())
    with pytest.raises(PolicyError, match="is not the one that this device's host agreed to"):
        Member(louder, shard, key=members[0]._key).handle(ask.request)
    own_setup = Provers(make_policy(), make_keys(make_policy()))
    with pytest.raises(KeyRefused, match="whose setup is it"):
        Member(own_setup, shard, key=members[0]._key).handle(ask.request)
    with pytest.raises(NotAuthorised, match="not enrolled"):
        Member(members[0]._provers, shard, key=SigningKey.generate()).handle(ask.request)
    other, _ = federation()
    pinned = Provers(other.policy, proving_keys())
    with pytest.raises(PolicyError):
        Member(pinned, shard, key=members[0]._key).handle(ask.request)


def test_a_head_of_another_size_is_refused_before_its_circuits_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    node, members = federation()
    carry(node.enrol(), members)
    ask = next(s for s in node.run(1) if isinstance(s, Ask))
    statement = Improvement(model=LinearModel(features=600, classes=10), rows=200, at_least="1%")
    large = replace(node.policy, statement=statement)
    writer = Writer("zkfed/v1/head").list([large.encode(), *[b""] * 5])
    hostile = Ask(ask.kind, (), {**ask.parts, "head": writer.finish()})

    def built(*_: object) -> None:
        pytest.fail("the agreement was built")

    monkeypatch.setattr(Transcript, "of_head", built)
    with pytest.raises(PolicyError, match="agreed to"):
        members[0].handle(hostile.request)


def test_a_member_in_one_federation_does_not_enter_another() -> None:
    node, members = federation()
    other, _ = federation()
    carry(node.enrol(), members)
    carry(other.enrol(), members)
    members[0].handle(next(s for s in node.run(1) if isinstance(s, Ask)).request)
    with pytest.raises(PolicyError, match="another one than this device takes part in"):
        members[0].handle(next(s for s in other.run(1) if isinstance(s, Ask)).request)


def test_every_cut_or_changed_request_is_a_typed_refusal_and_changes_nothing() -> None:
    node, members = federation(exchanges=1)
    asks = list[Ask]()

    def keep(ask: Ask, messages: list[bytes]) -> list[bytes]:
        asks.append(ask)
        return messages

    carry(node.enrol(), members, keep)
    ask = next(s for s in node.run(1) if isinstance(s, Ask))
    before = members[0].state()
    rng = np.random.default_rng(1)
    for request in (asks[0].request, ask.request):
        cuts = {0, 1, 4, 20, len(request) // 2, len(request) - 1}
        spoiled = [request[:cut] for cut in cuts] + [request + b"\0"]
        for at in rng.integers(0, len(request), 60):
            changed = bytearray(request)
            changed[at] ^= 1 << int(rng.integers(8))
            spoiled.append(bytes(changed))
        for data in spoiled:
            try:
                members[0].handle(data)
            except ZkfedError:
                assert members[0]._client is None or members[0].state() == before
            else:
                # Of an enrolment only the parties' keys may differ: this host has pinned none.
                assert request == asks[0].request
                assert len(data) == len(request)
                assert RoundPolicy.decode(Ask.decode(data).parts["policy"]).statement == node.policy.statement
    assert members[0].handle(ask.request)


@pytest.mark.parametrize("kind", sorted(ASKS))
def test_requests_round_trip(kind: str) -> None:
    ask = Ask(kind, ("a",), {name: name.encode() for name in ASKS[kind]})
    assert asked_kind(ask.request) == kind
    assert Ask.decode(ask.request).request == ask.request
    with pytest.raises(DecodeError):
        Ask.decode(ask.request + b"\0")
    with pytest.raises(DecodeError, match="expected a node's request"):
        Ask.decode(b"GET / HTTP/1.1")


def test_a_head_is_read_as_it_was_written() -> None:
    node, members = federation("S1")
    carry(node.enrol(), members)
    head = node.transcript.head
    assert Transcript.of_head(head).head == head
    with pytest.raises(DecodeError):
        Transcript.of_head(head[:-1])


def test_a_state_of_another_device_or_cut_is_refused() -> None:
    node, members = federation(exchanges=1)
    carry(node.enrol(), members)
    carry(node.run(1), members)
    state, provers = members[0].state(), members[0]._provers
    with pytest.raises(ZkfedError):
        Member(provers, None, key=members[1]._key, state=state)
    for cut in (1, 100, len(state) - 1):
        with pytest.raises(DecodeError):
            Member(provers, None, key=members[0]._key, state=state[:cut])


def test_secrets_stay_out_of_texts() -> None:
    node, members = federation(exchanges=1)
    texts = [repr(node), repr(members[0]), repr(members[0]._provers)]
    carry(node.enrol(), members)
    ask = next(s for s in node.run(1) if isinstance(s, Ask))
    texts += [repr(ask), repr(Replies((b"a secret",))), repr(Answer(b"a secret", b"a secret"))]
    assert all(len(text) < 500 and "a secret" not in text for text in texts)


def test_a_node_refuses_what_does_not_fit_together() -> None:
    with pytest.raises(PolicyError, match="public benchmark"):
        Node(make_policy(), None, options=Options(keys=proving_keys()))
    with pytest.raises(PolicyError, match="expected 1 or 2"):
        Options(exchanges=3)
    node, members = federation("S1", exchanges=1)
    with pytest.raises(PolicyError, match="more than one exchange"):
        carry(node.enrol(), members)
    events = carry(federation(devices=3)[0].enrol(), federation(devices=3)[1])
    assert not [e for e in events if isinstance(e, RoundAbandoned)]
