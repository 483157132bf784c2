"""A node and members in threads that meet over a transport, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from zkfed.orchestrator.events import Event
from zkfed.orchestrator.holding import HolderMailbox
from zkfed.orchestrator.mailbox import MemberMailbox, NodeMailbox
from zkfed.orchestrator.member import Member
from zkfed.orchestrator.node import Node
from zkfed.ports import Transport

Open = Callable[[], Transport]


def close(transport: Transport) -> None:
    getattr(transport, "close", lambda: None)()


def run_over(
    node: Node,
    members: Sequence[Member],
    node_side: Transport,
    open_member: Open,
    *,
    rounds: int = 1,
    poll_s: float = 0.01,
    window_s: float = 60,
    holder: Callable[[Transport], HolderMailbox] | None = None,
    mailbox_of: type[MemberMailbox] = MemberMailbox,
) -> list[Event]:
    """Runs a federation to its end, its key holder in a thread if it is apart; raises what a thread raised."""
    mailbox = NodeMailbox(node, node_side, devices=len(members), poll_s=poll_s, window_s=window_s)
    errors = list[BaseException]()

    def take_part(member: Member) -> None:
        transport = open_member()
        try:
            own = mailbox_of(member, transport, policy=node.policy, key=member._key)
            while not own.is_over:
                if not own.poll() and not own.is_over:
                    own.wait(poll_s)
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            errors.append(error)
        finally:
            close(transport)

    def hold(holder: Callable[[Transport], HolderMailbox]) -> None:
        transport = open_member()
        try:
            own = holder(transport)
            while not own.is_over:
                if not own.poll():
                    own.wait(poll_s)
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            errors.append(error)
        finally:
            close(transport)

    threads = [threading.Thread(target=take_part, args=(member,), daemon=True) for member in members]
    if holder is not None:
        threads.append(threading.Thread(target=hold, args=(holder,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        events = list(mailbox.run(rounds))
    finally:
        for thread in threads:
            thread.join(30)
    if errors:
        raise errors[0]
    return events
