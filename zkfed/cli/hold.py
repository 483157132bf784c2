"""`zkfed hold`: the key holder of a federation that a node serves with `--holder`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zkfed.cli.arguments import make_folder
from zkfed.cli.connection import add_connection, check_still_there, connected, patient
from zkfed.cli.output import HOLDS, Output, Usage

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("hold", help="be the key holder of a node's federation")
    add_connection(added)
    added.add_argument(
        "--key", type=Path, required=True, help="signing key of `zkfed keys sign`, whose public half the node has"
    )
    added.add_argument(
        "--keys", type=Path, help="folder of `zkfed keys setup`; without it, the node's development keys"
    )
    added.add_argument("--journal", type=Path, help="where each decryption is recorded; beside the key without it")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Answers the node until it goes."""
    from zkfed.cli.serve import load_keys
    from zkfed.orchestrator.holding import HolderMailbox
    from zkfed.orchestrator.key_parts import fetch_keys
    from zkfed.updates.key_file import load_key

    journal, asked = options.journal or options.key.with_suffix(".journal"), dict[str, int]()
    if journal == options.key:
        raise Usage("--journal: expected another file than --key, such as holder.journal")
    make_folder(journal.parent)  # found out when the first sum is to be opened, it would end the federation
    with connected(options, lambda: load_key(options.key), output) as (transport, policy, key):
        keys = fetch_keys(transport, policy) if options.keys is None else load_keys(options.keys)
        mailbox = HolderMailbox(policy, key, keys, transport, journal=journal)
        output.say(f"key holder {key.public.hex()}; stopping it ends the federation")
        while not mailbox.is_over:
            kind = patient(mailbox.poll, options.wait, output.say)
            if kind:
                asked[kind] = asked.get(kind, 0) + 1
                output.say(f"answered: {kind}")
            else:
                patient(mailbox.wait, options.wait, output.say)
                patient(lambda: check_still_there(transport, policy), options.wait, output.say)
    output.result(
        f"{asked.get('settle', 0)} rounds settled, {asked.get('open', 0)} sums opened",
        {"rounds": asked.get("settle", 0), "opened": asked.get("open", 0), "policy": policy.digest.hex()},
    )
    return HOLDS
