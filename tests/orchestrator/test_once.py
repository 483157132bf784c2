"""A host that asks each site once a round: one key and one answer a site; what else comes is refused by name."""

from __future__ import annotations

import pytest

from tests.layers.parties import ROWS, make_policy, proving_keys
from tests.orchestrator.hosting import federation
from zkfed.errors import DecodeError, LimitExceeded, NotAuthorised, PolicyError, Replay
from zkfed.orchestrator.calls import Answer
from zkfed.orchestrator.events import Event, Refused, Released
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.once import AskedOnce
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import SigningKey

SITES = ("a", "b", "c")


def hosted() -> tuple[AskedOnce, dict[str, Member], list[Event]]:
    policy, events = make_policy(attempts=1), list[Event]()
    shards, benchmark = synthetic_cohort(policy.model, len(SITES), ROWS)
    provers = Provers(policy, proving_keys())
    members = [Member(provers, shard, key=SigningKey.generate()) for shard in shards]
    node = Node(policy, benchmark, options=Options(keys=proving_keys(), exchanges=1))
    return AskedOnce(node, events.append), dict(zip(SITES, members, strict=True)), events


def enrolled() -> tuple[AskedOnce, dict[str, Member], list[Event]]:
    """Returns a host in its first round."""
    host, members, events = hosted()
    host.begin()
    for site, member in members.items():
        host.take(site, member.handle(host.request))
    host.finish()
    host.begin()
    return host, members, events


def accepted(events: list[Event]) -> list[int]:
    return [e.accepted for e in events if isinstance(e, Released)]


def test_a_round_of_sites_that_answer_once() -> None:
    host, members, events = enrolled()
    for site, member in members.items():
        host.take(site, member.handle(host.request))
        with pytest.raises(Replay, match="has answered"):
            host.take(site, member.handle(host.request))
        with pytest.raises(Replay, match="has answered"):
            host.fault(site, "policy", "no")
    host.finish()
    assert accepted(events) == [3]
    assert not [e for e in events if isinstance(e, Refused)]


def test_who_was_refused_has_answered() -> None:
    """One answer a round also where it is none: nobody tries until something passes."""
    host, members, events = enrolled()
    with pytest.raises(DecodeError):
        host.take("a", b"garbage")
    with pytest.raises(Replay):
        host.take("a", members["a"].handle(host.request))
    for site in ("b", "c"):
        host.take(site, members[site].handle(host.request))
    host.finish()
    assert accepted(events) == [2]
    assert [host.site(e.verdict.client) for e in events if isinstance(e, Refused)][:1] == ["a"]


def test_what_is_no_answer_is_refused_at_once() -> None:
    """So is what is signed and longer than any honest answer: all of them wait for the end of the round."""
    host, members, events = enrolled()
    for site, wrong in (("a", None), ("b", [0.1, 0.2])):
        with pytest.raises(DecodeError, match="a result without a proof"):
            host.take(site, wrong)
    answer = Answer.decode(members["c"].handle(host.request))
    update = SealedUpdate.decode(answer.sealed)
    with pytest.raises(LimitExceeded, match=r"at most \d{6} are accepted"):
        host.take("c", Answer(answer.commit, SealedUpdate(update.signed, bytes(1 << 20)).encode()).encode())
    host.finish()
    assert not accepted(events)


def test_two_sites_are_not_one_device() -> None:
    host, members, _ = hosted()
    host.begin()
    first = members["a"].handle(host.request)
    host.take("a", first)
    with pytest.raises(NotAuthorised, match="another site has enrolled this key"):
        host.take("b", first)


def test_a_site_does_not_answer_with_anothers_key() -> None:
    host, members, _ = enrolled()
    with pytest.raises(NotAuthorised, match="another key than this site enrolled"):
        host.take("b", members["a"].handle(host.request))
    with pytest.raises(NotAuthorised, match="another key than this site enrolled"):
        host.take("stranger", members["a"].handle(host.request))
    host.take("a", members["a"].handle(host.request))


def test_nothing_is_taken_that_was_not_asked() -> None:
    host, _, _ = hosted()
    with pytest.raises(PolicyError, match="nothing was asked"):
        host.take("a", b"")
    with pytest.raises(PolicyError, match="no round is open"):
        host.finish()


def test_an_own_account_is_cut_and_escaped() -> None:
    host, members, events = enrolled()
    host.fault("a", "\x1b[31m" * 1000, "\x1b[2J" * 10_000)
    for site in ("b", "c"):
        host.take(site, members[site].handle(host.request))
    host.finish()
    (refused,) = (e for e in events if isinstance(e, Refused) and "the site says" in e.verdict.reason)
    assert "\x1b" not in str(refused)
    assert len(str(refused)) < 600


def test_a_policy_that_needs_more_than_one_exchange_is_refused() -> None:
    for kind in ("S2", "S1"):
        node, _ = federation(kind)  # two attempts, or registered rows
        with pytest.raises(PolicyError, match="one exchange a round"):
            AskedOnce(node, lambda event: None)


def test_an_enrolment_of_too_few_may_be_begun_anew() -> None:
    """The sites of the first try are nobody else: their own keys do not stand in their way."""
    host, members, events = hosted()
    host.begin()
    host.take("a", members["a"].handle(host.request))
    with pytest.raises(PolicyError, match="the policy needs"):
        host.finish()
    host.begin()
    with pytest.raises(NotAuthorised, match="another site"):
        host.take("stranger", members["a"].handle(host.request))
    for site, member in members.items():
        host.take(site, member.handle(host.request))
    host.finish()
    host.begin()
    for site, member in members.items():
        host.take(site, member.handle(host.request))
    host.finish()
    assert accepted(events) == [3]


def test_an_excuse_that_comes_late_is_none_for_the_next_round() -> None:
    host, members, events = enrolled()
    for site, member in members.items():
        host.take(site, member.handle(host.request))
    host.finish()
    with pytest.raises(PolicyError, match="nothing was asked"):
        host.fault("a", "policy", "late")
    host.begin()
    for site, member in members.items():
        host.take(site, member.handle(host.request))
    host.finish()
    assert accepted(events) == [3, 3]
