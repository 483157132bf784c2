"""A node behind a host that asks each of its sites once a round, and knows them by names of its own.

    begin() -> request for all     take(site, answer) or fault(site, ...)     finish() -> events     end()

The host decides who is a site; this object holds each to one answer a round under one key, so that
no site is two devices. The first round enrols; each later one releases a sum, or is abandoned.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from zkfed.errors import (
    DecodeError,
    LimitExceeded,
    NotAuthorised,
    PolicyError,
    Replay,
    TransportError,
    ZkfedError,
    excerpt,
)
from zkfed.orchestrator.calls import Answer, Ask, Fault, Replies, Steps
from zkfed.orchestrator.events import Event
from zkfed.orchestrator.member import ENROL
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.notes import SITS_OUT
from zkfed.orchestrator.room import answer_bytes_max
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import Signed, kind_of

__all__ = ["AskedOnce", "answer_signer"]


class AskedOnce:
    """Drives a node round by round; threads may share it.

    Args:
        node: Before its enrolment, with `Options(exchanges=1)`.
        tell: Called with every event.

    Raises:
        PolicyError: A round of this policy needs more than one exchange.
    """

    def __init__(self, node: Node, tell: Callable[[Event], None]) -> None:
        policy = node.policy
        if policy.attempts != 1 or policy.statement.kind == "S1":
            raise PolicyError("one exchange a round: statement S2 or S4, and attempts=1 in the policy")
        self.node, self._tell = node, tell
        self._lock = threading.Lock()
        self._steps: Steps | None = None
        self._ask: Ask | None = None
        self._answers: dict[str, bytes] = {}
        self._faults: dict[str, Fault] = {}
        self._keys: dict[str, str] = {}
        self._is_enrolled = False

    @property
    def request(self) -> bytes:
        """What every site is to be asked now; b"" between rounds."""
        ask = self._ask
        return b"" if ask is None else ask.request

    def site(self, key: str) -> str:
        """Returns the host's name of the site that enrolled a key (hex); the key itself if none did."""
        return next((site for site, known in self._keys.items() if known == key), key)

    def begin(self) -> None:
        """Begins a round, unless one is open.

        Raises:
            BudgetExceeded: The privacy budget does not cover another round.
        """
        with self._lock:
            if self._ask is None:
                self._advance(self.node.run(1) if self._is_enrolled else self.node.enrol(), None)

    def take(self, site: str, answer: object) -> None:
        """Takes one site's answer; a refusal is on record, and the round goes on with the others.

        Raises:
            DecodeError, LimitExceeded, SignatureInvalid: It is no answer to the request.
            NotAuthorised: It is signed with another key than this site enrolled.
            Replay: The site has answered already.
            PolicyError: Nothing was asked.
        """
        with self._lock:
            if self._ask is None:
                raise PolicyError(f"nothing was asked, and an answer came from {excerpt(site)}")
            if site in self._answers or site in self._faults:
                raise Replay(f"{excerpt(site)} has answered this request already")
            try:
                self._answers[site] = self._checked(site, answer, self._ask.kind)
            except ZkfedError as error:
                self._faults[site] = Fault(self._keys.get(site, site), error.code, str(error))
                raise

    def fault(self, site: str, code: str, reason: str) -> None:
        """Notes that a site has no answer, in its own words.

        Raises:
            Replay: The site has answered already.
            PolicyError: Nothing was asked.
        """
        with self._lock:
            if self._ask is None:  # noted now, it would be this site's answer of the next round
                raise PolicyError(f"nothing was asked, and {excerpt(site)} says why it has no answer")
            if site in self._answers or site in self._faults:
                raise Replay(f"{excerpt(site)} has answered this request already")
            self._faults[site] = Fault(self._keys.get(site, site), excerpt(code), f"the site says {excerpt(reason)}")

    def finish(self) -> None:
        """Closes the round: what came is checked, added and released.

        Raises:
            PolicyError: Fewer sites have enrolled than the policy needs, or no round is open.
        """
        with self._lock:
            if self._steps is None or self._ask is None:
                raise PolicyError("no round is open: begin() comes first")
            replies = Replies(tuple(self._answers.values()), tuple(self._faults.values()))
            self._answers, self._faults, self._ask = {}, {}, None
            self._advance(self._steps, replies)
            self._is_enrolled = True

    def end(self) -> None:
        """Tells a key holder elsewhere that the node goes; one that cannot be reached waits on."""
        with self._lock, contextlib.suppress(TransportError):
            self.node.end()

    def _advance(self, steps: Steps, replies: Replies | None) -> None:
        self._steps = steps
        while True:
            try:
                step = steps.send(replies)
            except StopIteration:
                return
            replies = None
            if isinstance(step, Ask):
                self._ask = step
                return
            self._tell(step)

    def _checked(self, site: str, answer: object, kind: str) -> bytes:
        """Returns an answer that is well-formed and signed by its site; its proof is the node's business."""
        if not isinstance(answer, bytes):
            raise DecodeError("a result without a proof")
        limit = answer_bytes_max(self.node.policy, kind)
        if len(answer) > limit:  # all sites' answers stay here until the round is closed
            raise LimitExceeded(f"an answer of {len(answer)} bytes, at most {limit} are accepted")
        signer = answer_signer(answer, kind)
        if kind == "enrol":
            if any(key == signer and of != site for of, key in self._keys.items()):
                raise NotAuthorised("another site has enrolled this key")
            self._keys[site] = signer
        elif self._keys.get(site) != signer:
            raise NotAuthorised("the answer is signed with another key than this site enrolled")
        return answer


def answer_signer(answer: bytes, kind: str) -> str:
    """Returns the key (hex) that signed an answer to "enrol", "join", "round" or "seal".

    Raises:
        DecodeError, LimitExceeded, SignatureInvalid: It is no answer to such a request.
    """
    if kind == "enrol":
        return Signed.decode(answer, ENROL, limit=4096).signer.hex()
    if kind == "seal":
        return SealedUpdate.decode(answer).signed.signer.hex()
    try:
        if kind == "join" and kind_of(answer) == "commit":
            return Signed.decode(answer, "commit", limit=4096).signer.hex()
        commit = Answer.decode(answer).commit
    except DecodeError:
        return Signed.decode(answer, SITS_OUT, limit=4096).signer.hex()
    return Signed.decode(commit, "commit", limit=4096).signer.hex()
