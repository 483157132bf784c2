"""`zkfed serve`: a community node over HTTP; the key holder is in this process, or runs `zkfed hold`."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkfed.cli.arguments import make_folder, seconds, whole
from zkfed.cli.output import HOLDS, Output
from zkfed.errors import DecodeError, PolicyError, ZkfedError

if TYPE_CHECKING:
    from zkfed.groth16.keys import ProvingKey
    from zkfed.orchestrator.node import Node
    from zkfed.policy import RoundPolicy

__all__ = ["add_parser", "describe_policy", "load_keys", "may_answer", "run"]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser(
        "serve", help="run a community node over HTTP, for devices that `zkfed join`"
    )
    added.add_argument(
        "--benchmark", type=Path, required=True, help="public rows: CSV with the label last, or NPZ of X, y"
    )
    added.add_argument("--classes", type=whole(1, 4096), required=True, help="1 for regression")
    added.add_argument("--devices", type=whole(2, 16384), required=True, help="wait for so many, then begin")
    added.add_argument("--rounds", type=whole(1, 1_000_000), default=1)
    added.add_argument("--at-least", default="1%", help="improvement that every update proves")
    added.add_argument("--clip", type=float, default=1.0, help="norm bound of an update")
    added.add_argument("--epsilon", type=float, default=2.0, help="per attempt")
    added.add_argument("--delta", type=float, default=1e-6)
    added.add_argument("--epsilon-max", type=float, default=10.0, help="over all rounds")
    added.add_argument("--keys", type=Path, help="folder of `zkfed keys setup`; without it, fresh development keys")
    added.add_argument("--allow", type=Path, help="file of public keys that may enrol, one hexadecimal line each")
    added.add_argument("--holder", help="public key of a key holder that runs `zkfed hold`; without it, this process")
    added.add_argument("--store", type=Path, help="folder for the messages; memory without it")
    added.add_argument("--out", type=Path, help="folder for the transcript")
    added.add_argument("--host", default="127.0.0.1")
    added.add_argument("--port", type=whole(0, 65535), default=8790, help="0 takes a free one")
    added.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="files; without them there is no TLS")
    added.add_argument("--window", type=seconds, default=600.0, help="seconds that a device has for one answer")
    added.add_argument("--linger", type=seconds, default=2.0, help="seconds that the records stay up at the end")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Serves one federation to its end."""
    from zkfed.adapters.filesystem import FilesystemTransport
    from zkfed.adapters.http_node import HttpNode, serving
    from zkfed.adapters.memory import MemoryTransport
    from zkfed.cli.connection import read_digest
    from zkfed.cli.rows import check_labels, read_rows
    from zkfed.orchestrator.holding import HolderLink
    from zkfed.orchestrator.key_parts import publish_keys
    from zkfed.orchestrator.mailbox import NodeMailbox
    from zkfed.orchestrator.node import Node
    from zkfed.orchestrator.options import Options, make_keys
    from zkfed.orchestrator.room import channel_bytes_needed
    from zkfed.policy import Improvement, LinearModel, RoundPolicy
    from zkfed.ports import CHANNEL_BYTES_MAX
    from zkfed.renderers.following import follow, renderer

    holder = (
        None if options.holder is None else read_digest(options.holder, "--holder, which `zkfed keys sign` printed")
    )
    benchmark = read_rows(options.benchmark)
    make_folder(options.out)
    model = LinearModel(features=benchmark[0].shape[1], classes=options.classes)
    policy = RoundPolicy(
        statement=Improvement(model=model, rows=len(benchmark[0]), at_least=options.at_least), clip_norm=options.clip,
        epsilon=options.epsilon, delta=options.delta, min_clients=2, max_clients=max(64, options.devices),
        epsilon_max=options.epsilon_max,
    )  # fmt: skip
    check_labels(options.benchmark, model, benchmark)
    keys = make_keys(policy) if options.keys is None else load_keys(options.keys)
    room = max(CHANNEL_BYTES_MAX, channel_bytes_needed(policy, options.devices))
    store = (
        MemoryTransport(channel_bytes_max=room)
        if options.store is None
        else FilesystemTransport(options.store, channel_bytes_max=room)
    )
    link = None if holder is None else HolderLink(holder, store, patience_s=options.window)
    node = Node(policy, benchmark, options=Options(keys=keys), allowed=_allowed(options.allow), holder=link)
    mailbox = NodeMailbox(node, store, devices=options.devices, window_s=options.window)
    publish_keys(store, node.policy, keys, node.sign)

    def may_write(channel: str, key: bytes | None) -> bool:
        return mailbox.takes(channel) and key is not None and may_answer(node, channel, key)

    http = HttpNode(store, may_write=may_write, key_bytes_max=mailbox.room)
    with serving(http, host=options.host, port=options.port, tls=options.tls) as url:
        reached = _from_elsewhere(url, options.host)
        if reached != url:
            output.say(f"{options.host} is every address of this machine: for THIS-MACHINE write one that others reach")
        output.say(f"node up at {url}; {options.devices} devices may join, each with")
        output.say(f"  zkfed join {reached} --federation {node.policy.digest.hex()} --data ROWS.csv")
        if link is None:
            output.say("adders and key holder share this process: who reads its memory reads every update")
        else:
            output.say("and the key holder, who decrypts nothing but noised sums, joins with")
            output.say(f"  zkfed hold {reached} --federation {node.policy.digest.hex()} --key FILE")
        try:
            for _ in follow(mailbox.run(options.rounds), renderer("auto", stream=output.err)):
                pass
        finally:
            _save(node, options.out)  # rounds that were released are on record, however the next one ends
            time.sleep(options.linger)  # devices hear that the node goes, fetch the last records, and check them
    output.result(
        f"{len(node.transcript.rounds)} rounds on record\n{node.guarantee()}",
        {"url": url, "federation": node.policy.digest.hex(), "rounds": len(node.transcript.rounds)},
    )
    return HOLDS


def _from_elsewhere(url: str, host: str) -> str:
    """Returns a node's URL for people elsewhere, with a word in the place of an address that stands for all."""
    with contextlib.suppress(ValueError):  # a name
        if ipaddress.ip_address(host).is_unspecified:
            return url.replace(f"[{host}]" if ":" in host else host, "THIS-MACHINE", 1)
    return url


def _save(node: Node, folder: Path | None) -> None:
    with contextlib.suppress(PolicyError):  # there is no record before the enrolment
        if folder is not None and node.transcript.rounds:
            node.transcript.save(folder)


def may_answer(node: Node, channel: str, key: bytes) -> bool:
    """Returns whether a key may write: the key holder its answers; a device those of who may enrol, then of who has."""
    from zkfed.orchestrator.exchange import federation_name

    name = federation_name(node.policy)
    if channel.startswith(f"{name}/holder/answers/"):
        return key == node.policy.holder_key
    if not channel.startswith(f"{name}/answers/"):
        return False
    with contextlib.suppress(ZkfedError):
        return key in node.agreement.enrolled
    return node.may_enrol(key)


def load_keys(folder: Path) -> tuple[ProvingKey, ...]:
    """Returns the keys in a folder of `zkfed keys setup`; raises as `ProvingKey.load`."""
    from zkfed.groth16.keys import ProvingKey

    return ProvingKey.load(folder / "statement.key"), ProvingKey.load(folder / "noise.key")


def _allowed(path: Path | None) -> frozenset[bytes] | None:
    from zkfed.files import map_file

    if path is None:
        return None
    try:
        keys = [bytes.fromhex(line) for line in bytes(map_file(path, 1 << 26)).decode("ascii").split()]
    except ValueError:
        raise DecodeError(f"{path.name}: expected one public key, 64 hexadecimal digits, a line") from None
    if any(len(key) != 32 for key in keys):
        raise DecodeError(f"{path.name}: a public key has 64 hexadecimal digits")
    return frozenset(keys)


def describe_policy(policy: RoundPolicy) -> str:
    """Returns what a device agrees to, in a few lines."""
    share, spent = policy.millionths(1) / 1e4, f"at most {policy.epsilon_max:g} in all"
    return (
        f"{policy.statement.kind}: {policy.improvement.model}, {policy.improvement.rows} public rows\n"
        f"every update improves by at least {share:g} %, its norm is at most {policy.clip_norm:g}\n"
        f"epsilon {policy.epsilon:g} an attempt, {policy.attempts} attempts a round, {spent}, delta {policy.delta:g}; "
        f"sums of at least {policy.min_clients} devices"
    )
