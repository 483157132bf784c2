"""`zkfed join`: one device of a federation that a node serves over HTTP."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkfed.cli.arguments import make_folder
from zkfed.cli.connection import add_connection, connected, patient
from zkfed.cli.output import HOLDS, Output
from zkfed.errors import DecodeError, StoreFault, TransportError

if TYPE_CHECKING:
    from zkfed.layers.transcript import RoundRecord, Transcript
    from zkfed.orchestrator.mailbox import MemberMailbox
    from zkfed.orchestrator.member import Member
    from zkfed.policy import RoundPolicy
    from zkfed.ports import Transport
    from zkfed.updates.signing import SigningKey

__all__ = ["add_parser", "run"]

SEAL_BYTES_MAX = 1 << 16


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("join", help="take part in a federation that a node serves")
    add_connection(added)
    added.add_argument("--data", type=Path, required=True, help="own rows: CSV with the label last, or NPZ of X, y")
    added.add_argument("--model", type=Path, help="NPZ with coef and intercept of a trained scikit-learn model")
    added.add_argument("--key", type=Path, help="signing key of `zkfed keys sign`; made there if it is not there")
    added.add_argument("--state", type=Path, help="where to keep what must survive a restart; secret")
    added.add_argument("--out", type=Path, help="folder for the transcript")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Takes part until the node goes, then checks the whole record."""
    from zkfed.layers.bridge import check_release
    from zkfed.orchestrator.mailbox import MemberMailbox

    make_folder(options.out)
    if options.state is not None:
        make_folder(options.state.parent)  # found out in the middle of a round, it would end it
    with connected(options, lambda: _key(options.key), output) as (transport, policy, key):
        member = _member(options, policy, transport, key)
        mailbox = MemberMailbox(member, transport, policy=policy, key=key, keep=_keeper(options.state))
        output.say(f"this device is {key.public.hex()}; waiting for the node")
        _take_part(mailbox, output, options.wait)
        transcript = _record(mailbox, transport)
    check_release(transcript)
    if options.out is not None:
        transcript.save(options.out)
    rounds, counted = len(transcript.rounds), sum(_is_in(record, key.public) for record in transcript.rounds)
    output.result(
        f"holds: {rounds} rounds, checked by this device; its own update is in {counted} of them",
        {"rounds": rounds, "counted": counted, "public_key": key.public.hex(), "policy": policy.digest.hex()},
    )
    return HOLDS


def _take_part(mailbox: MemberMailbox, output: Output, wait_s: float) -> None:
    while not mailbox.is_over:
        kind = patient(mailbox.poll, wait_s, output.say)
        if kind:
            output.say(f"answered: {kind}")
        elif not mailbox.is_over:
            patient(mailbox.wait, wait_s, output.say)


def _key(path: Path | None) -> SigningKey:
    """Returns the signing key in a file, which is made if it is not there; a fresh one without a file."""
    from zkfed.updates.key_file import create_key, load_key
    from zkfed.updates.signing import SigningKey

    if path is None:
        return SigningKey.generate()
    return load_key(path) if path.exists() else create_key(path)


def _member(options: argparse.Namespace, policy: RoundPolicy, transport: Transport, key: SigningKey) -> Member:
    from zkfed.cli.rows import check_labels, read_model, read_rows
    from zkfed.orchestrator.client import Shard, Train, proximal_least_squares
    from zkfed.orchestrator.key_parts import fetch_keys
    from zkfed.orchestrator.member import Member, Provers

    features, labels = read_rows(options.data)
    if features.shape[1] != policy.improvement.model.features:
        raise DecodeError(
            f"{options.data.name} has {features.shape[1]} features, the federation {policy.improvement.model.features}"
        )
    check_labels(options.data, policy.improvement.model, (features, labels))
    train: Train = proximal_least_squares
    if options.model is not None:
        weights = read_model(options.model, policy.model.shape)
        train = lambda *_: weights  # noqa: E731 - a model that is trained already
    state = b""
    if options.state is not None and options.state.exists():
        state = _read_state(options.state)
    provers = Provers(policy, fetch_keys(transport, policy))
    return Member(provers, Shard(features, labels), key=key, train=train, state=state)


def _read_state(path: Path) -> bytes:
    from zkfed.files import map_file

    if path.stat().st_mode & 0o077:
        raise StoreFault(f"{path.name} may be read by others, and holds secrets: chmod 600 it")
    return bytes(map_file(path, 1 << 30))


def _keeper(path: Path | None) -> Any:
    from zkfed.files import replace_file

    return None if path is None else lambda state: replace_file(path, [state], mode=0o600)


def _is_in(record: RoundRecord, key: bytes) -> bool:
    """Returns whether a device's update is in a released sum of a round that was checked."""
    from zkfed.layers.transcript import outcome_of
    from zkfed.updates.signing import Signed

    released = (attempt for attempt in record.attempts if outcome_of(attempt)[0] == "release")
    return any(
        Signed.decode(s, "seal", limit=SEAL_BYTES_MAX).signer == key for attempt in released for s in attempt.seals
    )


def _record(mailbox: MemberMailbox, transport: Transport) -> Transcript:
    """Returns the public record, from the agreement that this device is in and the records that the node published."""
    from zkfed.layers.transcript import Transcript
    from zkfed.orchestrator.records import fetch_records

    if not mailbox.member.head:
        raise TransportError("the node went before this device took part in a round")
    transcript = Transcript.of_head(mailbox.member.head)
    transcript.rounds.extend(fetch_records(transport, mailbox.name))
    return transcript
