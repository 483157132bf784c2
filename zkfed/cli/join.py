"""`zkfed join`: one device of a federation that a node serves over HTTP."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkfed.cli.arguments import make_folder
from zkfed.cli.connection import add_connection, check_still_there, connected, patient
from zkfed.cli.output import HOLDS, Output, Usage
from zkfed.errors import DecodeError, StoreFault, TransportError

if TYPE_CHECKING:
    from zkfed.adapters.http import HttpTransport
    from zkfed.cli.rows import Rows
    from zkfed.layers.transcript import RoundRecord, Transcript
    from zkfed.orchestrator.mailbox import MemberMailbox
    from zkfed.orchestrator.member import Member, Provers
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
    from zkfed.orchestrator.key_parts import fetch_keys
    from zkfed.orchestrator.mailbox import MemberMailbox
    from zkfed.orchestrator.member import Provers

    make_folder(options.out)
    if options.state is not None:
        if options.key is None:
            raise Usage("--state: expected --key too, a file: a state belongs to one signing key")
        make_folder(options.state.parent)  # found out in the middle of a round, it would end it
    with _connected(options, output) as (transport, policy, key, rows):
        provers = Provers(policy, fetch_keys(transport, policy))
        member = _member(options, provers, rows, key)
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


@contextlib.contextmanager
def _connected(
    options: argparse.Namespace, output: Output
) -> Iterator[tuple[HttpTransport, RoundPolicy, SigningKey, Rows]]:
    """Yields what `connected` does, and this device's rows: a wrong file is found before anybody waits for a node."""
    from zkfed.cli.rows import read_rows

    rows: list[Rows] = []

    def open_key() -> SigningKey:
        rows.append(read_rows(options.data))
        return _key(options.key)

    with connected(options, open_key, output) as (transport, policy, key):
        yield transport, policy, key, rows[0]


def _take_part(mailbox: MemberMailbox, output: Output, wait_s: float) -> None:
    is_told = False
    while not mailbox.is_over:
        kind = patient(mailbox.poll, wait_s, output.say)
        if kind:
            output.say(f"answered: {kind}" + (f", with {mailbox.fault}" if mailbox.fault else ""))
        elif not mailbox.is_over:
            if mailbox.is_late and not is_told:
                output.say("the node has begun without this device; unless it was restarted, it is in no round")
                is_told = True
            patient(mailbox.wait, wait_s, output.say)
            patient(lambda: check_still_there(mailbox.transport, mailbox.policy), wait_s, output.say)


def _key(path: Path | None) -> SigningKey:
    """Returns the signing key in a file, which is made if it is not there; a fresh one without a file."""
    from zkfed.updates.key_file import create_key, load_key
    from zkfed.updates.signing import SigningKey

    if path is None:
        return SigningKey.generate()
    return load_key(path) if path.exists() else create_key(path)


def _member(options: argparse.Namespace, provers: Provers, rows: Rows, key: SigningKey) -> Member:
    from zkfed.cli.rows import check_labels, read_model
    from zkfed.orchestrator.client import Shard, Train, proximal_least_squares
    from zkfed.orchestrator.member import Member

    policy, (features, labels) = provers.policy, rows
    if features.shape[1] != policy.improvement.model.features:
        raise DecodeError(
            f"{options.data.name} has {features.shape[1]} features, the federation {policy.improvement.model.features}"
        )
    check_labels(options.data, policy.improvement.model, rows)
    train: Train = proximal_least_squares
    if options.model is not None:
        weights = read_model(options.model, policy.model.shape)
        train = lambda *_: weights  # noqa: E731 - a model that is trained already
    state = b""
    if options.state is not None and options.state.exists():
        state = _read_state(options.state)
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
