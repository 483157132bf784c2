"""What a member refuses of a node, and a node of those who answer: each check of the two alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.orchestrator.hosting import answers, as_is, carry, federation, ingredients
from zkfed.errors import DecodeError, PolicyError
from zkfed.orchestrator.calls import Ask
from zkfed.orchestrator.events import Refused, Released
from zkfed.orchestrator.member import Member, Provers
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import encode_ints


def first_ask(steps: Any) -> Ask:
    return next(step for step in steps if isinstance(step, Ask))


def changed(ask: Ask, **parts: bytes) -> bytes:
    return Ask(ask.kind, (), {**ask.parts, **parts}).request


def test_a_device_enrols_and_registers_under_its_own_policy_only() -> None:
    node, members = federation("S1")
    policy, keys, _, _, _ = ingredients("S1", 1)
    louder = Member(
        Provers(replace(policy, epsilon=policy.epsilon * 2), keys), members[0]._shard, key=members[0]._key
    )  # fmt: skip
    steps = node.enrol()
    enrol = next(steps)
    assert isinstance(enrol, Ask)
    with pytest.raises(PolicyError, match="agreed to"):
        louder.handle(enrol.request)
    step = steps.send(answers(enrol, members, as_is))
    while not isinstance(step, Ask):
        step = next(steps)
    assert step.kind == "register"
    with pytest.raises(PolicyError, match="agreed to"):
        louder.handle(step.request)


def test_a_base_model_of_another_size_is_a_typed_refusal() -> None:
    node, members = federation()
    carry(node.enrol(), members)
    ask = first_ask(node.run(1))
    for size in (0, 1, 13):
        with pytest.raises(DecodeError, match=f"a base model of {size} weights, expected 12"):
            members[0].handle(changed(ask, base=encode_ints(np.zeros(size, dtype=np.int64))))
    assert members[0].handle(ask.request)


def test_another_encryption_key_than_the_announced_one_is_refused() -> None:
    """Else whoever carries the request could have updates encrypted to itself."""
    node, members = federation()
    carry(node.enrol(), members)
    ask, other = first_ask(node.run(1)), first_ask(node.run(1))
    with pytest.raises(PolicyError, match="not the announced one"):
        members[0].handle(changed(ask, encryption_key=other.parts["encryption_key"]))
    with pytest.raises(PolicyError, match="joined no round"):
        members[0].handle(Ask("seal", (), ask.parts).request)
    assert not members[0].head
    members[0].handle(ask.request)
    with pytest.raises(PolicyError, match="not the announced one"):
        members[0].handle(changed(Ask("seal", (), ask.parts), encryption_key=other.parts["encryption_key"]))


def test_a_lost_answer_is_sent_again_and_not_trained_again() -> None:
    node, members = federation(exchanges=1)
    carry(node.enrol(), members)
    ask = first_ask(node.run(1))
    trained = list[int]()
    train = members[0]._train

    def counted(model: Any, base: Any, shard: Any, number: int) -> Any:
        trained.append(number)
        return train(model, base, shard, number) * (1 - 1e-2 * len(trained))  # never the same update twice

    members[0]._train = counted
    first = members[0].handle(ask.request)
    assert members[0].handle(ask.request) == first
    assert trained == [1]


def test_a_federation_takes_no_more_than_its_policy_allows() -> None:
    node, members = federation(devices=3)
    node.policy = replace(node.policy, max_clients=2)
    all_three = [m._key.sign("enrol", node.policy.digest).encode() for m in members]
    events = carry(node.enrol(), [], lambda ask, messages: all_three)
    assert [e.verdict.code for e in events if isinstance(e, Refused)] == ["policy"]
    assert len(node.agreement.enrolled) == 2


def test_a_missing_proving_key_is_said() -> None:
    for kind, missing in (("S2", 1), ("S1", 2)):
        policy, keys, _, _, _ = ingredients(kind, 1)
        with pytest.raises(PolicyError, match=f"{missing} proving keys, {missing + 1} are needed"):
            Provers(policy, keys[:missing])
    node, members = federation("S1")
    node._keys = node._keys[:2]
    with pytest.raises(PolicyError, match="need a third key"):
        carry(node.enrol(), members)
    policy, keys, _, _, _ = ingredients("S2", 1)
    with pytest.raises(PolicyError, match="not about registered rows"):
        _ = Provers(policy, keys).registration


def test_a_stranger_who_sits_out_is_not_noted() -> None:
    node, members = federation()
    carry(node.enrol(), members)

    def add(ask: Ask, messages: list[bytes]) -> list[bytes]:
        if ask.kind != "join":
            return messages
        (digest,) = node.rounds._adder._attempts
        return [SigningKey.generate().sign("sits-out", digest).encode(), *messages]

    events = carry(node.run(1), members, add)
    assert not [e for e in events if isinstance(e, Refused)]
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]


def test_a_host_signs_nothing_of_a_round() -> None:
    node, _ = federation()
    for kind in ("announcement", "receipt", "aggregation", "reveal", "enrol"):
        with pytest.raises(ValueError, match="a host signs asks and keys only"):
            node.sign(kind, bytes(32))
