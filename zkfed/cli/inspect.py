"""`zkfed inspect FILE`: says what a file or folder of zkfed is, without its secrets and without trusting it."""

from __future__ import annotations

import argparse
import hashlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zkfed.cli.output import HOLDS, Output
from zkfed.encoding import decode_json
from zkfed.errors import DecodeError, StoreFault, ZkfedError, excerpt

__all__ = ["add_parser", "as_data", "describe", "in_lines", "run"]

FILE_BYTES_MAX = 1 << 32
READ_BYTES_MAX = 1 << 27
TEXT_BYTES_MAX = 1 << 22
Facts = dict[str, Any]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("inspect", help="say what a file of zkfed is; no secrets")
    added.add_argument("file", type=Path)
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Prints kind, size, digest and public fields."""
    what = describe(options.file)
    output.result(in_lines(what), as_data(what))
    return HOLDS


def as_data(facts: Facts) -> Facts:
    """Returns facts for the envelope, whose names have no spaces."""
    return {name.replace(" ", "_"): value for name, value in facts.items()}


def in_lines(facts: Facts) -> str:
    """Returns facts for people, one a line, the values below each other."""
    width = max(map(len, facts)) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in facts.items())


def describe(path: Path) -> Facts:
    """Returns what is public of a file or folder that zkfed wrote.

    Raises:
        DecodeError: It is none, or not whole.
        StoreFault: It cannot be read.
        LimitExceeded: It is larger than any such file.
    """
    if path.is_dir():
        return _folder(path)
    found = _file(path)
    if "secret" in found:
        found.pop("sha256", None)  # of little that can be guessed, a digest tells whether the guess is right
    return found


def _file(path: Path) -> Facts:
    from zkfed.files import map_file

    data = map_file(path, FILE_BYTES_MAX)
    facts: Facts = {"kind": "", "bytes": len(data)}
    if len(data) <= READ_BYTES_MAX:
        facts["sha256"] = hashlib.sha256(data).hexdigest()
    head = bytes(data[:68])
    if head.startswith(b"SQLite format 3\0"):
        return facts | _ledger(path)
    if head.startswith(b"zkfed device store 1\n"):
        return facts | {"kind": "device store", "secret": "encrypted observations of one person; not shown"}
    tag = _tag(head)
    if head[:4] in CONTAINERS:
        return facts | _container(path, head[:4])
    if _tag(head[4:]) == "zkfed/v2/proving-key":  # behind the length of its header
        return facts | _proving_key(path)
    if tag in SECRET:
        return facts | {"kind": SECRET[tag], "secret": "not shown"} | _public_half(tag, path)
    if len(data) > READ_BYTES_MAX:
        raise DecodeError(f"a {tag or 'file'} of {len(data)} bytes: larger than any of its kind")
    if tag in READERS:
        return facts | READERS[tag](bytes(data))
    if _tag(head[4:]) == "zkfed/v1/consent":
        return facts | _consents(path)
    if tag.startswith("zkfed/"):
        _check_items(tag, data)
        return facts | {"kind": tag, "note": "whole; what it says is not checked"}
    if (read := _text(bytes(data))) is not None:
        return facts | read
    # What a file of text begins with may be somebody's row.
    what = "is text" if not {*head} - {9, 10, 13, *range(32, 127)} else f"begins with {head[:8].hex()}"
    what = what if data else "is empty"
    raise DecodeError(f"no file of zkfed: it {what}")


def _check_items(tag: str, data: memoryview) -> None:
    """Refuses a message that was cut off or goes on: every one is a row of items behind their lengths."""
    at = 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    if at != len(data):
        raise DecodeError(f"{tag}: {len(data)} bytes, which end inside an item: the file was cut off or changed")


def _container(path: Path, magic: bytes) -> Facts:
    """Says what a file of constraints or of a witness is, as snarkjs reads and writes them too."""
    from zkfed.interop.container import read_sections

    kind, version = CONTAINERS[magic]
    sections = read_sections(path, (magic, version), ())
    return {"kind": kind, "sections": len(sections)} | ({"secret": "not shown"} if magic == b"wtns" else {})


def _text(data: bytes) -> Facts | None:
    """Says what a file of text is: a journal of decryptions, or a key or proof for snarkjs; None is neither."""
    if re.fullmatch(rb"(?:[0-9a-f]{64}\n)+", data):
        return {"kind": "journal of decryptions", "decryptions": data.count(b"\n")}
    if not data.startswith(b"{"):
        return None
    try:
        value = decode_json(data[: TEXT_BYTES_MAX + 1])
    except DecodeError:
        return None
    kind = next((SNARKJS[name] for name in SNARKJS if name in value), None)
    return None if kind is None else {"kind": kind, "protocol": excerpt(str(value.get("protocol")), 32)}


def _consents(path: Path) -> Facts:
    """Says how many entries a book of consents has and when; what a person allowed is the person's."""
    from zkfed.device.consent import ConsentBook

    book = ConsentBook(path, version=1)
    return {"kind": "book of consents", "entries": sum(1 for _ in book), "head": book.head.hex(), "secret": "not shown"}


def _tag(head: bytes) -> str:
    size = int.from_bytes(head[:4], "big")
    raw = head[4 : 4 + size]
    is_whole = len(head) > 4 and 0 < size <= 64 and len(raw) == size
    return raw.decode("ascii") if is_whole and raw.isascii() and raw.decode("ascii").isprintable() else ""


def _folder(path: Path) -> Facts:
    from zkfed.layers.transcript import Transcript

    if not (path / "index").exists():
        raise StoreFault("the folder holds no transcript, no file `index` is in it: name one of its files")
    transcript = Transcript.load(path)
    policy = transcript.agreement.policy
    return {
        "kind": "transcript", "statement": policy.statement.kind, "rounds": len(transcript.rounds),
        "devices": len(transcript.agreement.enrolled), "policy": policy.digest.hex(),
        "adders": policy.adder_key.hex(), "key holder": policy.holder_key.hex(),
        "note": "read, not checked: `zkfed check` checks it",
    }  # fmt: skip


def _ledger(path: Path) -> Facts:
    # What a process that still runs, or was killed, has written last stands beside the file, in NAME-wal.
    is_whole = not path.with_name(f"{path.name}-wal").exists()
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' * is_whole}", uri=True)
        try:
            names = [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 20")]
            ours = [n for n in names if isinstance(n, str) and n.isidentifier()]
            rows = {n: connection.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0] for n in ours}  # noqa: S608
        finally:
            connection.close()
    except (sqlite3.Error, ValueError):
        raise DecodeError("an SQLite file that cannot be read as a ledger") from None
    if not {"header", "entry", "answer"} <= rows.keys():
        raise DecodeError("an SQLite file, but no ledger of zkfed")
    counted = ", ".join(f"{count} {name}" for name, count in sorted(rows.items()))
    return {"kind": "privacy ledger", "rows": counted, "note": "its chain is checked when a Ledger opens it"}


def _proving_key(path: Path) -> Facts:
    from zkfed.groth16.keys import ProvingKey

    key = ProvingKey.load(path)
    return {"kind": "proving key"} | _of_verifying(key.verifying)


def _of_verifying(key: Any) -> Facts:
    layout = key.layout
    return {"circuit": layout.name, "curve": layout.curve.name, "origin": key.origin, "digest": key.digest.hex()}


def _verifying_key(data: bytes) -> Facts:
    from zkfed.groth16.keys import VerifyingKey

    return {"kind": "verifying key"} | _of_verifying(VerifyingKey.decode(data))


def _policy(data: bytes) -> Facts:
    from zkfed.policy import RoundPolicy

    policy = RoundPolicy.decode(data)
    return {
        "kind": "policy", "statement": policy.statement.kind, "digest": policy.digest.hex(),
        "clip norm": policy.clip_norm, "epsilon": policy.epsilon, "delta": policy.delta,
        "min clients": policy.min_clients, "attempts": policy.attempts, "setup": policy.setup,
        "adders": policy.adder_key.hex() or "not pinned", "key holder": policy.holder_key.hex() or "not pinned",
    }  # fmt: skip


def _signed(data: bytes) -> Facts:
    from zkfed.updates.signing import Signed, kind_of

    kind = kind_of(data)
    signed = Signed.decode(data, kind, limit=READ_BYTES_MAX)
    return {"kind": f"signed {excerpt(kind, 64)}", "signer": signed.signer.hex(), "body bytes": len(signed.body)}


def _sealed(data: bytes) -> Facts:
    from zkfed.updates.sealed import SealedUpdate

    update = SealedUpdate.decode(data)
    return {
        "kind": "sealed update", "signer": update.signed.signer.hex(), "commit": update.seal.commit.hex(),
        "proof bytes": len(update.seal.proof), "ciphertext bytes": len(update.outer),
    }  # fmt: skip


def _claim(data: bytes) -> Facts:
    from zkfed.statements.keys import Claim

    return {"kind": "claim", "says": str(Claim.decode(data))}


def _round(data: bytes) -> Facts:
    from zkfed.layers.transcript import RoundRecord

    record = RoundRecord.decode(data)
    return {
        "kind": "record of a round", "digest": record.digest.hex(), "commits": len(record.commits),
        "attempts": len(record.attempts),
    }  # fmt: skip


def _public_half(tag: str, path: Path) -> Facts:
    if tag != "zkfed/v1/signing-key":
        return {}
    from zkfed.updates.key_file import load_key

    try:
        return {"public key": load_key(path).public.hex()}
    except ZkfedError as error:
        return {"warning": str(error)}


CONTAINERS = {b"r1cs": ("constraints of a circuit (r1cs)", 1), b"wtns": ("witness of a circuit (wtns)", 2)}
SNARKJS = {"vk_alpha_1": "verifying key (snarkjs)", "pi_a": "proof (snarkjs)"}
SECRET = {
    "zkfed/v1/signing-key": "signing key of a device", "zkfed/v1/member": "state of a device",
    "zkfed/v1/device-round": "state of a device's round",
}  # fmt: skip
READERS: dict[str, Callable[[bytes], Facts]] = {
    "zkfed/v1/verifying-key": _verifying_key, "zkfed/v1/policy": _policy, "zkfed/v1/signed": _signed,
    "zkfed/v1/sealed-update": _sealed, "zkfed/v1/claim": _claim, "zkfed/v1/round-record": _round,
}  # fmt: skip
