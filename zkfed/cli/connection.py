"""What every party that comes to a node over HTTP says on its command line, and how it comes there."""

from __future__ import annotations

import argparse
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from zkfed.cli.arguments import seconds
from zkfed.cli.output import Output, Usage
from zkfed.errors import LimitExceeded, StoreFault, TransportError

if TYPE_CHECKING:
    from zkfed.adapters.http import HttpTransport
    from zkfed.policy import RoundPolicy
    from zkfed.ports import Transport
    from zkfed.updates.signing import SigningKey

__all__ = ["add_connection", "check_still_there", "connected", "patient", "read_digest"]

T = TypeVar("T")
PAUSE_S = 0.5
FIRST_S = 5.0


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Adds the node's URL, the federation, certificates and patience."""
    parser.add_argument("url")
    parser.add_argument("--federation", required=True, help="64 hexadecimal digits, as the node printed them")
    parser.add_argument("--ca", type=Path, help="certificates to trust, in place of the system's")
    parser.add_argument("--wait", type=seconds, default=60.0, help="seconds to wait for a node that does not answer")


def read_digest(text: str, what: str) -> bytes:
    """Returns the 32 bytes of 64 hexadecimal digits; raises Usage, which says what they are."""
    with contextlib.suppress(ValueError):
        if len(found := bytes.fromhex(text)) == 32:
            return found
    raise Usage(f"{what}: expected 64 hexadecimal digits")


@contextlib.contextmanager
def connected(
    options: argparse.Namespace, open_key: Callable[[], SigningKey], output: Output
) -> Iterator[tuple[HttpTransport, RoundPolicy, SigningKey]]:
    """Yields a connection, the federation's policy once its node is up, and this party's key.

    Args:
        options: With what `add_connection` added, and the file of the signing key, if there is one.
        open_key: Called once nothing else is wrong with the options: it may make a key.
        output: Gets the policy, for people.

    Raises:
        Usage: The federation is no digest.
        StoreFault: The certificates cannot be read, or another process is this party already.
        TransportError: The node is not up within the patience, or has no such federation.
    """
    from zkfed.adapters.http import HttpTransport
    from zkfed.cli.serve import describe_policy
    from zkfed.files import alone
    from zkfed.orchestrator.mailbox import fetch_policy

    digest = read_digest(options.federation, "--federation, which the node printed")
    tls, timeout_s = _trusted(options.ca), max(options.wait, 1.0)
    with contextlib.ExitStack() as stack:
        # Whether the node is up is known, and told, long before a large answer would have to be there.
        first = HttpTransport(options.url, tls=tls, timeout_s=min(FIRST_S, timeout_s))
        stack.callback(first.close)
        key = open_key()
        if options.key is not None:
            stack.enter_context(alone(options.key))
        policy = patient(lambda: fetch_policy(first, digest), options.wait, output.say)
        output.say(describe_policy(policy))
        transport = HttpTransport(options.url, key=key, tls=tls, timeout_s=min(30.0, timeout_s))
        stack.callback(transport.close)
        yield transport, policy, key


def check_still_there(transport: Transport, policy: RoundPolicy) -> None:
    """Raises TransportError if a node that answers has the federation no longer, such as after it was restarted."""
    from zkfed.orchestrator.exchange import federation_name

    if not transport.fetch(f"{federation_name(policy)}/policy"):
        raise TransportError(
            "the node answers, but knows this federation no longer: one that was restarted has other keys; ask its "
            "owner for the new digest"
        )


def patient(call: Callable[[], T], wait_s: float, say: Callable[[str], None]) -> T:
    """Returns what a call returns; one that fails for now is made again for `wait_s` seconds, and told.

    A channel that is full is such a failure: whoever runs the node can make room.
    """
    give_up_s, is_told = time.monotonic() + wait_s, False
    while True:
        try:
            return call()
        except (TransportError, LimitExceeded) as fault:
            if time.monotonic() >= give_up_s:
                raise
            if not is_told:
                say(f"{fault}; trying for {wait_s:g} s")
                is_told = True
            time.sleep(PAUSE_S)


def _trusted(path: Path | None) -> ssl.SSLContext | None:
    try:
        return None if path is None else ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError):
        raise StoreFault(f"{path.name if path else ''} holds no certificates that can be read") from None
