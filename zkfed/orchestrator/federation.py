"""Runs a whole federation in one process, round after round, over a transport.

Every message crosses the transport as bytes; the parties share nothing but the agreement.
They all run in this process here: whoever reads its memory reads everything. `Node` and `Member`
are the same parties for processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.encoding import Reader
from zkfed.orchestrator.calls import Answer, Ask, Fault, Replies, drive
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.events import Event, Progress, Refused, RegistrationClosed
from zkfed.orchestrator.exchange import ask
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.parties import Parties, gather
from zkfed.orchestrator.rounds import SAT_OUT, Rounds
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport
from zkfed.updates.update import decode_ints

__all__ = ["Federation", "Options", "make_keys"]

STAGES = {"join": "commit", "round": "commit", "look": "beacon", "seal": "seal"}


class Federation:
    """Devices, adders and key holder of one federation.

    Args:
        policy: Without pinned keys; this makes fresh ones and pins them.
        devices: How many, with synthetic rows from one linear teacher; or one `Shard` each; for counts
            (S4) one vector each.
        transport: Moves the messages.
        benchmark: (X, y) of statement S2; required with shards, synthetic otherwise. None for S1,
            whose rows are the clients' own: `Shard.registered`, or the shard itself.
        options: See `Options`.

    Raises:
        PolicyError: Fewer devices than the policy's min_clients have come (for S1: have registered
            rows), no benchmark for S2, or one for S1.
    """

    def __init__(
        self,
        policy: RoundPolicy,
        devices: int | Sequence[Shard] | Sequence[npt.NDArray[np.int64]] = 24,
        *,
        transport: Transport,
        benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
        options: Options | None = None,
    ) -> None:
        options = options or Options()
        shards, public = gather(policy, devices, benchmark)
        self.transport = transport
        parties = Parties.of(policy, shards, public, transport=transport, options=options)
        self.agreement, self.clients, self.registrations = parties.agreement, parties.clients, parties.registrations
        self._numbers = {c.device.public_key.hex(): index for index, c in enumerate(self.clients)}
        self._adder, self._holder, self.setup_seconds = parties.adder, parties.holder, parties.seconds
        self._rounds = Rounds(parties.adder, parties.holder, transport=transport, options=options)
        self.transcript, self.spending = self._rounds.transcript, self._rounds.spending
        self.sealed_bytes = 0
        self._workers = options.workers
        self._heard: dict[str, int] = {}

    @property
    def base(self) -> npt.NDArray[np.int64]:
        """The latest model, integers at scale 2^f."""
        return self._rounds.base

    @base.setter
    def base(self, value: npt.NDArray[np.int64]) -> None:
        self._rounds.base = value

    @property
    def model(self) -> npt.NDArray[np.float64]:
        """The weights of the latest release, as floats."""
        return self._rounds.model

    def guarantee(self) -> str:
        """Returns the privacy guarantee of everything released so far, in one paragraph."""
        return self._rounds.guarantee()

    def index_of(self, client: str) -> int | None:
        """Returns the number of the device with a key (hex), None if there is none."""
        return self._numbers.get(client)

    def run(self, rounds: int) -> Iterator[Event]:
        """Runs rounds and yields what happens; stop iterating to stop the federation.

        Raises:
            BudgetExceeded: The privacy budget does not cover another round.
        """
        if self.registrations and not self.transcript.rounds:
            refused = [v for v in self.registrations if not v.is_accepted]
            yield RegistrationClosed(0, len(self.registrations) - len(refused), len(refused))
            yield from (Refused(0, verdict) for verdict in refused)
        yield from drive(self._rounds.run(rounds), self._answer)

    def _answer(self, asked: Ask) -> Generator[Event, None, Replies]:
        """Asks the devices in threads and returns all that is in the channel afterwards."""
        clients = [self.clients[i] for i in sorted(self._numbers[c] for c in asked.clients)]
        call, channel = self._call(asked), asked.channel
        faults = []
        for done, (client, message, fault) in enumerate(
            ask(clients, call, lambda message: self.transport.publish(channel, message), workers=self._workers), 1
        ):
            key = client.device.public_key.hex()
            if fault is not None:
                faults.append(Fault(key, *fault))
            elif not message and asked.kind in ("join", "round"):
                faults.append(Fault(key, SAT_OUT, ""))
            elif not message and asked.kind == "seal":
                faults.append(Fault(key, "device-failed", "the device sent nothing"))
            elif asked.kind == "seal":
                self.sealed_bytes = len(message)
            yield Progress(asked.round, STAGES[asked.kind], done, len(clients), asked.attempt, asked.group)
        messages = self.transport.fetch(channel)
        heard, self._heard[channel] = self._heard.get(channel, 0), len(messages)
        return Replies(messages[heard:], tuple(faults))

    def _call(self, asked: Ask) -> Callable[[Client], bytes]:
        """Returns what one device does for an ask."""
        parts = asked.parts
        announcement, key = parts.get("announcement", b""), parts.get("encryption_key", b"")

        def join(client: Client) -> bytes:
            return client.join(
                announcement, base=decode_ints(parts["base"]).reshape(self.base.shape),
                previous=parts["previous"], round_number=asked.round,
            )  # fmt: skip

        def at_once(client: Client) -> bytes:
            commit = join(client)
            return Answer(commit, client.seal(announcement, key)).encode() if commit else b""

        def look(client: Client) -> bytes:
            receive(client)
            client.accept_beacon(tuple(Reader(parts["reveals"], "zkfed/v1/reveals").list(2)))
            return b""

        def seal(client: Client) -> bytes:
            receive(client)
            return client.seal(announcement, key)

        def receive(client: Client) -> None:
            receipt = asked.own.get(client.device.public_key.hex())
            if receipt is not None:
                client.accept_receipt(receipt)

        return {"join": join, "round": at_once, "look": look, "seal": seal}[asked.kind]
