"""A key holder of its own: the same rounds, and a node that lies to it, or a stranger on the way, gets nothing."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import Cohort
from tests.orchestrator.hosting import carry, held, ingredients
from zkfed.adapters.memory import MemoryTransport
from zkfed.encoding import Writer
from zkfed.errors import IntegrityError, PolicyError, TransportError
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import RoundRecord, Transcript, released_sums
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.exchange import federation_name
from zkfed.orchestrator.federation import Federation
from zkfed.orchestrator.holding import ANSWER, ASK, HolderLink, HolderMailbox, RemoteHolder, _ask_digest
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options, make_keys
from zkfed.updates.signing import Signed, SigningKey


class Apart:
    """A node and its members in this thread, and the key holder in another, over one transport."""

    def __init__(self, kind: str = "S2", transport: Any = None, *, patience_s: float = 30.0) -> None:
        policy, self.keys, shards, benchmark, train = ingredients(kind, 3)
        self.transport = transport or MemoryTransport()
        self.key = SigningKey.generate()
        link = HolderLink(self.key.public, self.transport, patience_s=patience_s, poll_s=0.001)
        self.node = Node(policy, benchmark, options=Options(keys=self.keys), holder=link)
        provers = Provers(policy, self.keys)
        self.members = [Member(provers, shard, key=SigningKey.generate(), train=train) for shard in shards]
        self.name = federation_name(self.node.policy)

    def mailbox(self, **changes: Any) -> HolderMailbox:
        given = {"policy": self.node.policy, "key": self.key, "keys": self.keys, "transport": self.transport, **changes}
        return HolderMailbox(**given)

    def held(self, mailbox: HolderMailbox) -> contextlib.AbstractContextManager[list[TransportError]]:
        """Runs the key holder in a thread until the node goes."""
        return held(mailbox, self.node.end)

    def run(self, rounds: int = 1) -> list[Any]:
        return [*carry(self.node.enrol(), self.members), *carry(self.node.run(rounds), self.members)]


@pytest.mark.parametrize("kind", ["S1", "S2", "S4"])
def test_rounds_with_a_key_holder_elsewhere(kind: str) -> None:
    """Two rounds are released and hold, and the key holder computed the same model itself."""
    apart = Apart(kind)
    mailbox = apart.mailbox()
    with apart.held(mailbox):
        events = apart.run(2)
    assert sum(isinstance(e, Released) for e in events) == 2
    check_release(apart.node.transcript)
    assert mailbox._holder is not None
    assert np.array_equal(mailbox._holder.base, apart.node.base)
    assert mailbox._holder.previous == apart.node.transcript.rounds[-1].digest


def test_no_secret_of_the_key_holder_is_in_the_nodes_process() -> None:
    """The node has no key that decrypts: its rounds speak to the link."""
    apart = Apart()
    with apart.held(apart.mailbox()):
        apart.run()
    assert isinstance(apart.node.rounds._holder, RemoteHolder)
    assert "hidden" in repr(apart.mailbox())
    assert apart.node.policy.holder_key == apart.key.public


def test_a_key_holder_that_is_not_there_is_named() -> None:
    apart = Apart(patience_s=0.05)
    with pytest.raises(TransportError, match=r"did not answer 'agree' within 0\.05 s"):
        apart.run()


class Unreliable(MemoryTransport):
    """Loses the first try of every answer of the key holder."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = set[str]()

    def publish(self, channel: str, message: bytes) -> str:
        if "/holder/answers/" in channel and channel not in self.tried:
            self.tried.add(channel)
            raise TransportError("lost")
        return super().publish(channel, message)


def test_an_answer_that_was_lost_is_sent_again() -> None:
    apart = Apart(transport=Unreliable())
    with apart.held(apart.mailbox()) as failures:
        events = apart.run()
    assert any(isinstance(e, Released) for e in events)
    assert len(failures) == len(apart.transport.tried) > 3


class Swallowing(MemoryTransport):
    """Takes the key holder's answer to the first sum and never delivers it."""

    swallowed = ""

    def publish(self, channel: str, message: bytes) -> str:
        if "/holder/answers/" in channel and not self.swallowed and b"\x00\x00\x00\x07release" in message:
            self.swallowed = channel
            return ""
        return super().publish(channel, message)


def test_a_release_whose_answer_was_lost_stands_in_the_record() -> None:
    """The round is broken off; the key holder is asked what it said, and the next round goes on from there."""
    apart = Apart(transport=Swallowing(), patience_s=1.0)
    with apart.held(apart.mailbox()):
        with pytest.raises(TransportError, match="did not answer 'open'"):
            apart.run()
        assert apart.transport.swallowed
        assert len(list(released_sums(apart.node.transcript.rounds[0]))) == 1
        assert any(isinstance(e, Released) for e in carry(apart.node.run(1), apart.members))
    check_release(apart.node.transcript)


def test_strangers_on_the_link_are_passed_over() -> None:
    """Asks and answers by others, of other numbers, or that are garbage stand in the channels first."""
    apart = Apart()
    stranger = SigningKey.generate()
    for number in range(8):
        ask = Writer("zkfed/v1/holder-ask").u64(number).text("settle").list([b""]).finish()
        answer = Writer("zkfed/v1/holder-answer").bytes(bytes(32)).text("").text("").list([b"x"]).finish()
        for message in (b"", b"\x80\x04.", stranger.sign(ASK, ask).encode(), stranger.sign("ask", ask).encode()):
            apart.transport.publish(f"{apart.name}/holder/asks/{number}", message)
        for key in (stranger, apart.key):  # the key holder's own answer to another ask
            apart.transport.publish(f"{apart.name}/holder/answers/{number}", key.sign(ANSWER, answer).encode())
    with apart.held(apart.mailbox()):
        events = apart.run()
    assert any(isinstance(e, Released) for e in events)


class Meddling(MemoryTransport):
    """Before the key holder can, somebody answers each ask of the node, and writes it under the next number too."""

    def __init__(self, reason: str = "no") -> None:
        super().__init__()
        self.key, self._reason = SigningKey.generate(), reason

    def publish(self, channel: str, message: bytes) -> str:
        name, _, kind, number = [*channel.split("/"), "", "", ""][:4]
        if kind == "asks":
            about = _ask_digest(Signed.decode(message, ASK, limit=1 << 26).body)
            answer = Writer("zkfed/v1/holder-answer").bytes(about).text("policy").text(self._reason).list([]).finish()
            forged = self.key.sign(ANSWER, answer).encode()
            super().publish(f"{name}/holder/answers/{number}", forged)
            super().publish(f"{name}/holder/asks/{int(number) + 1}", message)
        return super().publish(channel, message)


def test_a_stranger_who_answers_first_or_replays_asks_changes_nothing() -> None:
    apart = Apart(transport=Meddling(), patience_s=15.0)
    with apart.held(apart.mailbox()):
        events = apart.run()
    assert any(isinstance(e, Released) for e in events)


def test_an_ask_of_another_party_is_not_answered() -> None:
    """Else whoever writes into the link settles rounds, or has sums opened."""
    apart = Apart()
    mailbox, stranger = apart.mailbox(), SigningKey.generate()
    ask = Writer("zkfed/v1/holder-ask").u64(0).text("end").list([]).finish()
    apart.transport.publish(f"{apart.name}/holder/asks/0", stranger.sign(ASK, ask).encode())
    assert mailbox.poll() == ""
    assert not mailbox.is_over


def test_an_answer_with_too_few_or_too_many_parts_is_refused() -> None:
    """A key holder of another version, or one that breaks off."""
    apart = Apart()
    mailbox = apart.mailbox()
    honest = mailbox._handle
    mailbox._handle = lambda kind, parts: honest(kind, parts)[:-1]  # type: ignore[method-assign]
    with apart.held(mailbox), pytest.raises(PolicyError, match="answered 'offer' with 1 parts, expected 2"):
        apart.run()


def test_what_a_key_holder_says_of_its_refusal_is_escaped_and_cut() -> None:
    transport = Meddling("\x1b[31m" * 200)
    apart = Apart(transport=transport)
    transport.key = apart.key
    with pytest.raises(PolicyError, match="the key holder refuses") as caught:
        apart.run()
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_agreement_under_another_epsilon_is_refused() -> None:
    """The same keys are pinned: only the operator's own policy tells."""
    apart = Apart()
    with apart.held(apart.mailbox()):
        apart.run()
    transcript = apart.node.transcript
    louder = replace(transcript.agreement, policy=replace(apart.node.policy, epsilon=5.0))
    mailbox = apart.mailbox(transport=MemoryTransport())
    with pytest.raises(PolicyError, match="started for"):
        mailbox._agree(Transcript(louder, transcript.base).head)
    mailbox._agree(Transcript(transcript.agreement, transcript.base).head)


def test_a_node_of_another_policy_keys_or_agreement_is_refused() -> None:
    apart = Apart()
    with pytest.raises(PolicyError, match="pins another key"):
        apart.mailbox(key=SigningKey.generate())
    with apart.held(apart.mailbox()):
        apart.run()
    head = apart.node.transcript.head
    other = Apart()
    with other.held(other.mailbox()), pytest.raises(PolicyError, match="started for"):
        other.node._remote.agree(head)  # type: ignore[union-attr]
    fresh = make_keys(ingredients("S2", 3)[0])
    apart = Apart()
    mailbox = apart.mailbox(keys=fresh)
    with apart.held(mailbox), pytest.raises(PolicyError, match="whose setup is it"):
        apart.run()
    assert mailbox._holder is None


def test_one_agreement_is_followed_and_no_other() -> None:
    """A second agreement, with one more device enrolled, is refused, and the first goes on."""
    apart = Apart()
    mailbox = apart.mailbox()
    with apart.held(mailbox):
        apart.run()
        transcript = apart.node.transcript
        sybil = replace(transcript.agreement, enrolled=tuple(sorted([*transcript.agreement.enrolled, bytes(32)])))
        remote = apart.node._remote
        assert remote is not None
        with pytest.raises(PolicyError, match="another one than this key holder takes part in"):
            remote.agree(Transcript(sybil, transcript.base).head)
        remote.agree(transcript.head)  # the same again changes nothing
        assert any(isinstance(e, Released) for e in carry(apart.node.run(1), apart.members))


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("offer", (bytes(8),) * 3), ("offer", (b"",) * 3), ("countersign", (b"",)), ("reveal", (b"",)),
        ("open", (b"",) * 3), ("settle", (b"",)), ("settle", (bytes(8), b"")), ("settle", (b"\xff" * 8, b"")),
        ("piece", (bytes(7) + b"\1", b"x")), ("piece", (b"x",)), ("agree", (b"",)), ("agree", ()),
        ("os.system", (b"true",)),
    ],
)  # fmt: skip
def test_asks_that_are_none_get_a_typed_answer_and_change_nothing(kind: str, parts: tuple[bytes, ...]) -> None:
    """Before an agreement and after one; the honest rounds go on."""
    apart = Apart()
    mailbox = apart.mailbox()
    with apart.held(mailbox):
        remote = apart.node._remote
        assert remote is not None
        with pytest.raises(PolicyError, match="the key holder refuses"):
            remote._ask(kind, *parts)
        apart.run()
        with pytest.raises(PolicyError, match="the key holder refuses"):
            remote._ask(kind, *parts)
        assert any(isinstance(e, Released) for e in carry(apart.node.run(1), apart.members))


def test_a_record_without_the_key_holders_word_is_not_settled() -> None:
    """A node that hides a release, shows another one, or doubles it stops there: no further round is offered."""
    cohort = Cohort()
    opened = cohort.ready()
    cohort.open(opened)
    hidden = replace(opened.attempt, outcome=b"")
    before = cohort.holder.base
    for attempts in ((hidden,), (), (opened.attempt, opened.attempt), (replace(opened.attempt, outcome=b"x"),)):
        with pytest.raises(IntegrityError, match="exactly the 1 outcomes"):
            cohort.holder.settle(RoundRecord(cohort.adder.commits, attempts))
    assert cohort.holder.base is before
    with pytest.raises(PolicyError, match="round 1 is open"):
        cohort.holder.offer(2, 1)
    cohort.close([opened])
    cohort.honest_round()


def test_a_round_that_breaks_off_between_the_parties_is_on_record() -> None:
    """The link fails once the sum was opened: the release stands in the record, and the next round runs."""

    class Breaks(MemoryTransport):
        is_broken = False

        def publish(self, channel: str, message: bytes) -> str:
            if channel.endswith("/outcome") and not self.is_broken:
                self.is_broken = True
                raise TransportError("lost")
            return super().publish(channel, message)

    policy, keys, shards, benchmark, _ = ingredients("S2", 3)
    federation = Federation(policy, shards, transport=Breaks(), benchmark=benchmark, options=Options(keys=keys))
    with pytest.raises(TransportError, match="lost"):
        list(federation.run(1))
    assert len(federation.transcript.rounds) == 1
    assert any(isinstance(e, Released) for e in federation.run(1))
    check_release(federation.transcript)


def test_the_journal_of_decryptions_is_the_key_holders(tmp_path: Path) -> None:
    apart = Apart()
    with apart.held(apart.mailbox(journal=tmp_path / "journal")):
        apart.run(2)
    assert len((tmp_path / "journal").read_text().split()) == 2
