"""Nodes and members that meet over a transport: numbered asks, signed replies.

    NAME/policy        the pinned policy; NAME is the start of its digest, which members know beforehand
    NAME/asks/K        the K-th ask, signed by the adders, K = 0, 1, ...
    NAME/own/K/CLIENT  what comes with it for one client alone
    NAME/answers/K     the replies, each signed by its client over the ask's digest
    NAME/records       every round's record, for anybody who checks (`zkfed.orchestrator.records`)

The last ask has no request: the node goes.

Whoever can write into the transport can add messages; those are not signed by whom they must be and
are passed over. Whoever runs it can withhold messages: then the node goes on without a client after
its window, and a round with too few clients is abandoned; nothing is released.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, TransportError, ZkfedError, excerpt
from zkfed.orchestrator.calls import Ask, Fault, Replies, asked_kind, drive
from zkfed.orchestrator.events import Event, Progress
from zkfed.orchestrator.exchange import WAIT_S, federation_name
from zkfed.orchestrator.member import Member
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.notes import fault_of
from zkfed.orchestrator.records import Publisher
from zkfed.orchestrator.room import answer_bytes_max, check_channel_room
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport, wait_for
from zkfed.updates.messages import MESSAGE_BYTES_MAX
from zkfed.updates.signing import Signed, SigningKey

__all__ = ["MemberMailbox", "NodeMailbox", "federation_name", "fetch_policy"]

HOLDER_ANSWER_BYTES_MAX = 1 << 25
STAGES = {"enrol": "enrol", "register": "register", "join": "commit", "round": "commit", "look": "beacon"}


def fetch_policy(transport: Transport, policy_digest: bytes) -> RoundPolicy:
    """Returns the pinned policy with a digest that the caller knows from elsewhere.

    Raises:
        TransportError: No such policy is there.
    """
    for message in transport.fetch(f"{policy_digest.hex()[:32]}/policy"):
        try:
            policy = RoundPolicy.decode(message)
        except ZkfedError:
            continue
        if policy.digest == policy_digest:
            return policy
    raise TransportError(
        f"no policy with the digest {policy_digest.hex()} is there: is the node up, and the digest right?"
    )


@dataclass(frozen=True)
class _Reply:
    """What a member answers to an ask: a message, or why there is none."""

    ask: bytes
    message: bytes = field(repr=False)
    code: str = ""
    reason: str = ""

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/reply").bytes(self.ask).bytes(self.message)
        return w.text(self.code).text(self.reason).finish()

    @classmethod
    def decode(cls, data: bytes) -> _Reply:
        r = Reader(data, "zkfed/v1/reply", MESSAGE_BYTES_MAX)
        out = cls(r.bytes(exact=32), r.bytes(), r.text(limit=64), r.text(limit=1024))
        r.finish()
        return out


def _number_in(channel: str, start: str) -> int | None:
    """Returns the number that a channel's name ends with after a start, None for other names."""
    number = channel.removeprefix(start)
    is_number = number.isascii() and number.isdigit() and len(number) < 10 and number == str(int(number))
    return int(number) if channel.startswith(start) and is_number else None


def _ask_digest(body: bytes) -> bytes:
    return digest("zkfed/v1/posted-ask-digest", body)


class NodeMailbox:
    """Carries a node's asks over a transport.

    Args:
        node: The node.
        transport: Where its members are.
        devices: The enrolment ends as soon as so many have answered.
        window_s: How long an ask waits for those that have not answered; reading what came takes as long at most.
        poll_s: How often the transport is looked at.

    Raises:
        LimitExceeded: The answers of so many devices do not fit into one of the transport's channels.
        TransportError: The policy could not be published.
    """

    def __init__(
        self, node: Node, transport: Transport, *, devices: int, window_s: float = 600.0, poll_s: float = 0.05
    ) -> None:
        self.node, self.transport, self.name = node, transport, federation_name(node.policy)
        self._devices, self._window_s, self._poll_s = devices, window_s, poll_s
        self._number = 0
        self._rooms = list[int]()
        check_channel_room(node.policy, devices, transport)
        transport.publish(f"{self.name}/policy", node.policy.encode())

    def run(self, rounds: int) -> Iterator[Event]:
        """Enrols, runs rounds, publishes their records, and tells the members that it goes.

        Raises:
            PolicyError, BudgetExceeded: See `Node.enrol` and `Rounds.run`.
            TransportError: The transport failed for longer than its own patience.
        """
        records = Publisher(self.transport, self.name)
        try:
            yield from drive(self.node.enrol(), self._carry)
            for _ in range(rounds):
                yield from drive(self.node.run(1), self._carry)
                records.publish(self.node.transcript.rounds[-1])
        finally:
            try:
                self._post(b"", ())
            finally:
                self.node.end()  # the key holder may be reached where the devices are not

    def takes(self, channel: str) -> bool:
        """Returns whether a channel is for answers to an ask that was posted, or that is posted just now.

        A host that lets devices and key holder write nowhere else has no more channels to keep than there were asks.
        """
        asked = _number_in(channel, f"{self.name}/answers/")
        if asked is not None:
            return asked <= self._number
        asked = _number_in(channel, f"{self.name}/holder/answers/")
        return asked is not None and asked < self.node.asked_holder

    def room(self, channel: str) -> int:
        """Returns how many bytes one key may put into a channel that `takes` answers; honest ones need half."""
        asked = _number_in(channel, f"{self.name}/answers/")
        if asked is None:
            return HOLDER_ANSWER_BYTES_MAX
        return self._rooms[asked] if asked < len(self._rooms) else 0

    def _post(self, request: bytes, clients: tuple[str, ...], room: int = 0) -> bytes:
        self._rooms.append(room)
        body = Writer("zkfed/v1/posted-ask").u64(self._number).bytes(request)
        encoded = body.list([bytes.fromhex(c) for c in clients]).finish()
        self.transport.publish(f"{self.name}/asks/{self._number}", self.node.sign("ask", encoded).encode())
        self._number += 1
        return _ask_digest(encoded)

    def _carry(self, ask: Ask) -> Generator[Event, None, Replies]:
        for client, own in ask.own.items():
            self.transport.publish(f"{self.name}/own/{self._number}/{client[:32]}", own)
        channel = f"{self.name}/answers/{self._number}"
        posted = self._post(ask.request, ask.clients, answer_bytes_max(self.node.policy, ask.kind))
        total, give_up_s = len(ask.clients) or self._devices, time.monotonic() + self._window_s
        replies, seen = dict[str, _Reply](), 0
        while len(replies) < total and time.monotonic() < give_up_s:
            messages = self.transport.fetch(channel, start=seen)
            seen += len(messages)
            for message in messages:
                if time.monotonic() > give_up_s + self._window_s:
                    break  # a flood of strangers' messages, each with a signature to check, ends with the window, too
                client, reply = self._open(message, posted, ask)
                if reply is not None and client not in replies:
                    replies[client] = reply
                    stage = STAGES.get(ask.kind, ask.kind)
                    yield Progress(ask.round, stage, len(replies), total, ask.attempt, ask.group)
            if not messages:
                left_s = max(0.0, min(WAIT_S, give_up_s - time.monotonic()))
                pause = functools.partial(time.sleep, self._poll_s)
                wait_for(self.transport, channel, start=seen, timeout_s=left_s, pause=pause)
        faults = [Fault(c, excerpt(r.code), excerpt(r.reason)) for c, r in replies.items() if r.code]
        if ask.kind == "seal":
            faults += [Fault(c, "no-answer", "no answer within the window") for c in ask.clients if c not in replies]
        return Replies(tuple(r.message for r in replies.values() if r.message), tuple(faults))

    def _open(self, message: bytes, posted: bytes, ask: Ask) -> tuple[str, _Reply | None]:
        """Returns who replied, and what; nothing for what is no reply of an asked client to this ask."""
        try:
            signed = Signed.decode(message, "reply", limit=MESSAGE_BYTES_MAX)
            client = signed.signer.hex()
            # Neither a stranger nor a replay takes a device's place: what they wrote is passed over.
            if client not in ask.clients if ask.clients else not self.node.may_enrol(signed.signer):
                return client, None
            reply = _Reply.decode(signed.body)
        except ZkfedError:
            return "unknown", None
        return client, reply if reply.ask == posted else None


class MemberMailbox:
    """Answers a node's asks over a transport.

    Args:
        member: The device.
        transport: Where the node is.
        policy: The pinned policy: whose asks are answered.
        key: The device's signing key.
        keep: Called with `Member.state()` before each answer leaves: store it durably. Secret.

    Attributes:
        is_over: The node has gone.
        is_late: The node asked others, and never this device: it enrolled before this device came.
        fault: Why the last answer is a refusal, `code: text`; "" if it is none.
    """

    def __init__(
        self,
        member: Member,
        transport: Transport,
        *,
        policy: RoundPolicy,
        key: SigningKey,
        keep: Callable[[bytes], None] | None = None,
    ) -> None:
        self.member, self.transport, self.policy, self._key = member, transport, policy, key
        self.name, self._keep = federation_name(policy), keep
        self._number = 0
        self._unsent: tuple[str, bytes] | None = None
        self.is_over = self.is_late = False
        self.fault = ""

    def poll(self) -> str:
        """Answers the newest ask if there is one; returns its kind, "" if nothing was to do.

        Asks that were overtaken are passed over: their answers would come too late.

        Raises:
            TransportError: The transport failed; the next call tries again.
        """
        self._send_unsent()
        newest, number = None, self._number
        while (posted := self._posted(number)) is not None:
            newest, number = posted, number + 1
        if newest is None:
            return ""
        asked, request, clients = newest
        # An enrolment is everybody's, but not of who is enrolled already and was restarted since.
        is_mine = self.member.public_key in clients if clients else not self.member.head
        own = self._own(number - 1) if request and is_mine else b""
        self._number = number  # from here on nothing is asked of the transport but to take the answer
        self.is_over = not request
        self.is_late = bool(request and clients) and not is_mine and not self.member.head
        if not request or not is_mine:
            return ""
        try:
            message, code, reason = self.member.handle(request, own), "", ""
        except Exception as error:  # noqa: BLE001 - a device runs other people's training code
            message, (code, reason) = b"", fault_of(error)
        self.fault = f"{code}: {reason}" if code else ""
        if self._keep is not None:
            self._keep(self.member.state())
        signed = self._key.sign("reply", _Reply(asked, message, code, reason[:200]).encode())
        self._unsent = f"{self.name}/answers/{number - 1}", signed.encode()
        self._send_unsent()
        with contextlib.suppress(DecodeError):
            return asked_kind(request)
        return "unknown"

    def _send_unsent(self) -> None:
        """Publishes the answer that a failing transport did not take."""
        if self._unsent is not None:
            self.transport.publish(*self._unsent)
            self._unsent = None

    def wait(self, pause_s: float = 0.1) -> None:
        """Waits for the next ask: as long as the transport can wait for it, else for `pause_s` seconds.

        Returns at once if the node has gone: nobody asks again.
        """
        if self.is_over:
            return
        channel = f"{self.name}/asks/{self._number}"
        wait_for(self.transport, channel, start=0, timeout_s=WAIT_S, pause=functools.partial(time.sleep, pause_s))

    def _own(self, number: int) -> bytes:
        """Returns the adders' receipt that came with an ask for this device; b"" if there is none."""
        for message in self.transport.fetch(f"{self.name}/own/{number}/{self.member.public_key.hex()[:32]}"):
            with contextlib.suppress(ZkfedError):  # a stranger's
                if Signed.decode(message, "receipt", limit=4096).signer == self.policy.adder_key:
                    return message
        return b""

    def _posted(self, number: int) -> tuple[bytes, bytes, list[bytes]] | None:
        """Returns (digest, request, clients) of the ask with a number, if the adders signed it."""
        for message in self.transport.fetch(f"{self.name}/asks/{number}"):
            try:
                signed = Signed.decode(message, "ask", limit=2 * MESSAGE_BYTES_MAX)
                if signed.signer != self.policy.adder_key:
                    continue
                r = Reader(signed.body, "zkfed/v1/posted-ask", 2 * MESSAGE_BYTES_MAX)
                if r.u64() != number:
                    raise DecodeError("an ask of another number")
                request, clients = r.bytes(), r.list(1 << 14, exact=32)
                r.finish()
            except ZkfedError:
                continue
            return _ask_digest(signed.body), request, clients
        return None
