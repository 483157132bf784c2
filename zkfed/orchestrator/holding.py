"""The key holder in a process of its own: it and the node meet over a transport.

    NAME/holder/asks/K      the node's K-th ask, signed by the adders, K = 0, 1, ...
    NAME/holder/answers/K   the answer, signed by the key holder over the ask's digest

NAME is `federation_name`. Nothing that crosses is secret: offers, announcements, openings and releases are
public, and the one ciphertext is a noised sum under a key that the key holder alone has. As long as
adders and key holder do not work together, neither of them can read a single update.

A key holder that stops ends the federation: the keys of open attempts live in its memory only.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded, PolicyError, TransportError, ZkfedError, excerpt
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.layers.holder import KeyHolder
from zkfed.layers.transcript import RoundRecord, Transcript
from zkfed.orchestrator.exchange import WAIT_S, federation_name
from zkfed.orchestrator.records import PIECE_BYTES, RECORD_BYTES_MAX
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport, wait_for
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.messages import MESSAGE_BYTES_MAX
from zkfed.updates.signing import Signed, SigningKey

__all__ = ["Holder", "HolderLink", "HolderMailbox", "RemoteHolder"]

ASK, ANSWER = "holder-ask", "holder-answer"
_ASK_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
_PARTS_MAX = 1 << 15
_REASON_CHARACTERS = 200


class Holder(Protocol):
    """What the rounds want from a key holder, wherever it is; see `zkfed.layers.holder.KeyHolder`."""

    def offer(self, round_number: int, attempt: int, group: int = 0) -> tuple[bytes, bytes]: ...
    def countersign(self, announcement: bytes) -> bytes: ...
    def reveal(self, adder_reveal: bytes, commits: tuple[bytes, ...]) -> bytes: ...
    def open(self, aggregation: bytes, ciphertext: bytes, commits: tuple[bytes, ...], *, first: bytes) -> bytes: ...
    def said(self, announcement: bytes) -> bytes: ...
    def settle(self, record: RoundRecord) -> None: ...


@dataclass(frozen=True)
class HolderLink:
    """Where a node finds its key holder.

    Attributes:
        public_key: The key holder's, 32 bytes; the policy pins it.
        transport: Between the two; anybody may read it.
        patience_s: How long one answer may take.
        poll_s: How often a transport is looked at that cannot wait.
    """

    public_key: bytes
    transport: Transport
    patience_s: float = 60.0
    poll_s: float = 0.05


class RemoteHolder:
    """The key holder as its node sees it: every call is an ask over the link.

    Args:
        link: Where it is.
        policy: With both keys pinned.
        sign: Signs as the adders.

    Raises (from every call):
        PolicyError: The key holder refuses.
        TransportError: It did not answer in time, or the link failed.
    """

    def __init__(self, link: HolderLink, policy: RoundPolicy, sign: Callable[[str, bytes], Signed]) -> None:
        self._link, self._sign, self._name, self._number = link, sign, federation_name(policy), 0
        self._unsent: tuple[str, bytes] | None = None

    @property
    def asked(self) -> int:
        """How many asks have got a number."""
        return self._number

    def agree(self, head: bytes) -> None:
        """Hands over the agreement, once, before round 1."""
        self._ask("agree", head)

    def offer(self, round_number: int, attempt: int, group: int = 0) -> tuple[bytes, bytes]:
        """See `KeyHolder.offer`."""
        offer, key = self._ask("offer", *(_u64(n) for n in (round_number, attempt, group)), count=2)
        return offer, key

    def countersign(self, announcement: bytes) -> bytes:
        """See `KeyHolder.countersign`."""
        return self._ask("countersign", announcement, count=1)[0]

    def reveal(self, adder_reveal: bytes, commits: tuple[bytes, ...]) -> bytes:
        """See `KeyHolder.reveal`."""
        return self._ask("reveal", adder_reveal, *commits, count=1)[0]

    def open(self, aggregation: bytes, ciphertext: bytes, commits: tuple[bytes, ...], *, first: bytes) -> bytes:
        """See `KeyHolder.open`."""
        return self._ask("open", aggregation, ciphertext, first, *commits, count=1)[0]

    def said(self, announcement: bytes) -> bytes:
        """See `KeyHolder.said`."""
        return self._ask("said", announcement, count=1)[0]

    def settle(self, record: RoundRecord) -> None:
        """See `KeyHolder.settle`; a record that is longer than one message is sent in pieces before."""
        encoded, at = record.encode(), 0
        while len(encoded) - at > PIECE_BYTES:
            self._ask("piece", _u64(at), encoded[at : at + PIECE_BYTES])
            at += PIECE_BYTES
        self._ask("settle", _u64(at), encoded[at:])

    def end(self) -> None:
        """Tells the key holder that the node goes; nobody waits for an answer."""
        self._post("end", ())

    def _post(self, kind: str, parts: Sequence[bytes]) -> bytes:
        body = Writer("zkfed/v1/holder-ask").u64(self._number).text(kind).list(parts).finish()
        self._send_unsent()
        self._unsent = f"{self._name}/holder/asks/{self._number}", self._sign(ASK, body).encode()
        self._number += 1
        self._send_unsent()
        return _ask_digest(body)

    def _send_unsent(self) -> None:
        """Sends the ask that waits. One whose sending failed may have come: its number is never given to another."""
        if self._unsent is not None:
            try:
                self._link.transport.publish(*self._unsent)
            except LimitExceeded:
                self._number -= 1  # no transport takes it: nobody has this number
                self._unsent = None
                raise
            self._unsent = None

    def _ask(self, kind: str, *parts: bytes, count: int = 0) -> list[bytes]:
        link, posted = self._link, self._post(kind, parts)
        channel = f"{self._name}/holder/answers/{self._number - 1}"
        give_up_s, seen = time.monotonic() + link.patience_s, 0
        while True:
            messages = link.transport.fetch(channel, start=seen)
            seen += len(messages)
            for message in messages:
                answer = self._open(message, posted)
                if answer is not None:
                    return _checked(kind, answer, count)
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                raise TransportError(
                    f"the key holder did not answer {kind!r} within {link.patience_s:g} s: is it up, under the key "
                    f"{link.public_key.hex()[:16]}...?"
                )
            if not messages:
                pause = functools.partial(time.sleep, min(link.poll_s, left_s))
                wait_for(link.transport, channel, start=seen, timeout_s=min(WAIT_S, left_s), pause=pause)

    def _open(self, message: bytes, posted: bytes) -> tuple[str, str, list[bytes]] | None:
        """Returns (code, reason, parts) of the key holder's answer to this ask, None of anything else."""
        try:
            signed = Signed.decode(message, ANSWER, limit=_ASK_BYTES_MAX)
            r = Reader(signed.body, "zkfed/v1/holder-answer", _ASK_BYTES_MAX)
            about, code, reason, parts = r.bytes(exact=32), r.text(limit=64), r.text(limit=1024), r.list(2)
            r.finish()
        except ZkfedError:
            return None
        is_it = signed.signer == self._link.public_key and about == posted
        return (code, reason, parts) if is_it else None


class HolderMailbox:
    """A key holder that answers its node's asks over a transport.

    Args:
        policy: With both keys pinned; the operator has read it. No other is followed.
        key: The key holder's signing key.
        keys: Of the statement and of N; statement and noise of the agreement must be theirs.
        transport: Where the node is.
        journal: Where each decryption is recorded before it happens; None keeps that in memory only.

    Raises:
        PolicyError: The policy pins another key holder.
        KeyRefused: A key is for another circuit.
    """

    def __init__(
        self, policy: RoundPolicy, key: SigningKey, keys: Sequence[ProvingKey], transport: Transport,
        *, journal: Path | None = None,
    ) -> None:  # fmt: skip
        if key.public != policy.holder_key:
            raise PolicyError(
                f"the policy pins another key holder, {policy.holder_key.hex()}, and this one is {key.public.hex()}: "
                "the node is to be started with this one's public key"
            )
        self.policy, self.transport, self._key, self._journal = policy, transport, key, journal
        self._pinned = [k.verifying.digest for k in keys[:2]]
        self._noise = Prover(keys[1], noise_circuit(policy.model.parameters, policy.curve))
        self._name, self._number, self._seen = federation_name(policy), 0, 0
        self._unsent: tuple[str, bytes] | None = None
        self._head, self._pieces = b"", bytearray()
        self._holder: KeyHolder | None = None
        self.is_over = False

    def __repr__(self) -> str:
        return f"HolderMailbox({self._key.public.hex()[:16]}..., secrets hidden)"

    def poll(self) -> str:
        """Answers the next ask if there is one; returns its kind, "" if nothing was to do.

        Raises:
            TransportError: The transport failed; the next call sends the answer that was lost.
        """
        self._send_unsent()
        found = self._next()
        if found is None:
            return ""
        asked, kind, parts = found
        number, self._number, self._seen = self._number, self._number + 1, 0
        if kind == "end":
            self.is_over = True
            return kind
        code, reason, answer = "", "", list[bytes]()
        try:
            answer = self._handle(kind, parts)
        except ZkfedError as error:
            code, reason = error.code, str(error)
        except Exception as error:  # noqa: BLE001 - the node gets an answer, whatever broke; its text may hold secrets
            code, reason = "holder-failed", f"the key holder's process raised {type(error).__name__}"
        w = Writer("zkfed/v1/holder-answer").bytes(asked).text(code).text(excerpt(reason, _REASON_CHARACTERS))
        signed = self._key.sign(ANSWER, w.list(answer).finish())
        self._unsent = f"{self._name}/holder/answers/{number}", signed.encode()
        self._send_unsent()
        return kind

    def wait(self, pause_s: float = 0.05) -> None:
        """Waits for the next ask: as long as the transport can wait for it, else for `pause_s` seconds.

        Returns at once if the node has gone: nobody asks again.
        """
        if self.is_over:
            return
        channel, pause = f"{self._name}/holder/asks/{self._number}", functools.partial(time.sleep, pause_s)
        wait_for(self.transport, channel, start=self._seen, timeout_s=WAIT_S, pause=pause)

    def _send_unsent(self) -> None:
        if self._unsent is not None:
            self.transport.publish(*self._unsent)
            self._unsent = None

    def _next(self) -> tuple[bytes, str, list[bytes]] | None:
        """Returns (digest, kind, parts) of the ask with the next number, if the adders signed it.

        What strangers wrote is read once: else they keep this party busy for as long as the node is silent.
        """
        for message in self.transport.fetch(f"{self._name}/holder/asks/{self._number}", start=self._seen):
            self._seen += 1
            try:
                signed = Signed.decode(message, ASK, limit=_ASK_BYTES_MAX)
                if signed.signer != self.policy.adder_key:
                    continue
                r = Reader(signed.body, "zkfed/v1/holder-ask", _ASK_BYTES_MAX)
                if r.u64() != self._number:
                    continue
                kind, parts = r.text(limit=32), r.list(_PARTS_MAX)
                r.finish()
            except ZkfedError:
                continue  # a stranger's
            return _ask_digest(signed.body), kind, parts
        return None

    def _handle(self, kind: str, parts: list[bytes]) -> list[bytes]:
        if kind == "agree" and len(parts) == 1:
            self._agree(parts[0])
            return []
        holder = self._holder
        if holder is None:
            raise PolicyError("no agreement was handed over yet")
        if kind == "offer" and [len(p) for p in parts] == [8, 8, 8]:
            return list(holder.offer(*(int.from_bytes(p, "big") for p in parts)))
        if kind == "countersign" and len(parts) == 1:
            return [holder.countersign(parts[0])]
        if kind == "reveal" and parts:
            return [holder.reveal(parts[0], tuple(parts[1:]))]
        if kind == "open" and len(parts) > 2:
            return [holder.open(parts[0], parts[1], tuple(parts[3:]), first=parts[2])]
        if kind == "said" and len(parts) == 1:
            return [holder.said(parts[0])]
        if kind in ("piece", "settle") and [len(p) for p in parts[:1]] == [8] and len(parts) == 2:
            self._take_piece(int.from_bytes(parts[0], "big"), parts[1])
            if kind == "settle":
                record = bytes(self._pieces)
                self._pieces.clear()
                holder.settle(RoundRecord.decode(record))
            return []
        raise DecodeError(f"an ask {excerpt(kind)!r} with {len(parts)} parts is none that a key holder knows")

    def _take_piece(self, at: int, piece: bytes) -> None:
        """Puts a piece of a record behind those that came; one at 0 begins another record."""
        del self._pieces[at:]
        if len(self._pieces) != at or at + len(piece) > RECORD_BYTES_MAX:
            self._pieces.clear()
            raise LimitExceeded(
                f"a piece of {len(piece)} bytes at {at} of a record; pieces come in order, and at most "
                f"{RECORD_BYTES_MAX} bytes are taken"
            )
        self._pieces += piece

    def _agree(self, head: bytes) -> None:
        """Takes the agreement; once one is taken, no other is followed."""
        if self._head:
            if head != self._head:
                raise PolicyError("the agreement is another one than this key holder takes part in")
            return
        if Transcript.policy_of_head(head).encode() != self.policy.encode():
            raise PolicyError("the agreement's policy is not the one that this key holder was started for")
        transcript = Transcript.of_head(head)
        agreement = transcript.agreement
        if [agreement.improvement.digest, agreement.noise.digest] != self._pinned:
            raise KeyRefused("the node's verifying keys are not those of this key holder: whose setup is it?")
        self._holder = KeyHolder(agreement, self._key, self._noise, base=transcript.base, journal=self._journal)
        self._head = head


def _ask_digest(body: bytes) -> bytes:
    return digest("zkfed/v1/holder-ask-digest", body)


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _checked(kind: str, answer: tuple[str, str, list[bytes]], count: int) -> list[bytes]:
    code, reason, parts = answer
    if code:
        raise PolicyError(f"the key holder refuses {kind!r}: {excerpt(reason)} ({excerpt(code)})")
    if len(parts) != count:
        raise PolicyError(f"the key holder answered {kind!r} with {len(parts)} parts, expected {count}")
    return parts
