"""`zkfed hold`: the key holder of a federation that a node serves with `--holder`."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path
from typing import Any

from zkfed.cli.output import HOLDS, USAGE, Output

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("hold", help="be the key holder of a node's federation")
    added.add_argument("url")
    added.add_argument("--federation", required=True, help="64 hexadecimal digits, as the node printed them")
    added.add_argument(
        "--key", type=Path, required=True, help="signing key of `zkfed keys sign`, whose public half the node has"
    )
    added.add_argument(
        "--keys", type=Path, help="folder of `zkfed keys setup`; without it, the node's development keys"
    )
    added.add_argument("--journal", type=Path, help="where each decryption is recorded; beside the key without it")
    added.add_argument("--ca", type=Path, help="certificates to trust, in place of the system's")
    added.add_argument("--wait", type=float, default=60.0, help="seconds to wait for a node that is not up yet")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Answers the node until it goes."""
    from zkfed.adapters.http import HttpTransport
    from zkfed.cli.join import read_hex, wait_for_policy
    from zkfed.cli.serve import describe_policy, load_keys
    from zkfed.orchestrator.exchange import federation_name
    from zkfed.orchestrator.holding import HolderMailbox
    from zkfed.orchestrator.key_parts import fetch_keys
    from zkfed.updates.key_file import load_key

    digest = read_hex(options.federation)
    if len(digest) != 32:
        output.say("--federation takes the 64 hexadecimal digits that the node printed")
        return USAGE
    key, journal = load_key(options.key), options.journal or options.key.with_suffix(".journal")
    tls = None if options.ca is None else ssl.create_default_context(cafile=options.ca)
    transport = HttpTransport(options.url, key=key, tls=tls, timeout_s=min(30.0, max(options.wait, 1.0)))
    asked = dict[str, int]()
    try:
        policy = wait_for_policy(transport, digest, options.wait)
        output.say(describe_policy(policy))
        keys = fetch_keys(transport, federation_name(policy)) if options.keys is None else load_keys(options.keys)
        mailbox = HolderMailbox(policy, key, keys, transport, journal=journal)
        output.say(f"key holder {key.public.hex()}; stopping it ends the federation")
        while not mailbox.is_over:
            kind = mailbox.poll()
            if kind:
                asked[kind] = asked.get(kind, 0) + 1
                output.say(f"answered: {kind}")
            else:
                mailbox.wait()
    finally:
        transport.close()
    output.result(
        f"{asked.get('settle', 0)} rounds settled, {asked.get('open', 0)} sums opened",
        {"rounds": asked.get("settle", 0), "opened": asked.get("open", 0), "policy": policy.digest.hex()},
    )
    return HOLDS
