"""What HTTP client and node say to each other besides messages: signatures of requests, pages, error bodies.

    POST /v1/CHANNEL           body: one message, application/octet-stream -> {"address": SHA-256}
    GET  /v1/CHANNEL?start=N   -> a page of messages, each behind its address
    an error                   -> {"code": "limit-exceeded", "text": "..."}, application/json

A signed request has four headers: SHA-256 of its body, which is its idempotency key; the Ed25519 key;
the time; and a signature over method, path, that SHA-256 and time. So a node knows who writes before
it takes the first byte of a body, and then holds the body to what was signed. A replay within the
time window publishes the same bytes again, which changes nothing; reading needs no signature, since
nothing on a transport is secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from zkfed.encoding import Reader, Writer, decode_json, item
from zkfed.errors import DecodeError, IntegrityError, SignatureInvalid, ZkfedError, excerpt
from zkfed.updates.signing import SigningKey, verify_signature

__all__ = [
    "BINARY",
    "ERROR_BYTES_MAX",
    "JSON",
    "PAGE_BYTES",
    "decode_error",
    "decode_page",
    "encode_page",
    "in_slices",
    "page_pieces",
    "parse_json",
    "request_signer",
    "signature_headers",
]

BINARY, JSON = "application/octet-stream", "application/json"
PAGE_BYTES = 1 << 23
"""A page ends after the message that reaches this size."""
SLICE_BYTES = 1 << 16
ERROR_BYTES_MAX = 1 << 16
CLOCK_S_MAX = 300
"""How far the clocks of a device and a node may be apart."""
_KIND = "http-request"


def _to_sign(method: str, path: str, body_digest: bytes, at_s: int) -> bytes:
    w = Writer("zkfed/v1/http-request").text(method).text(path)
    return w.bytes(body_digest).u64(at_s).finish()


def signature_headers(key: SigningKey, method: str, path: str, body: bytes, *, now_s: int) -> dict[str, str]:
    """Returns the headers that sign a request."""
    body_digest = hashlib.sha256(body).digest()
    signed = key.sign(_KIND, _to_sign(method, path, body_digest, now_s))
    return {
        "idempotency-key": body_digest.hex(), "zkfed-key": signed.signer.hex(), "zkfed-time": str(now_s),
        "zkfed-signature": signed.signature.hex(),
    }  # fmt: skip


def request_signer(headers: Mapping[str, str], method: str, path: str, *, now_s: int) -> bytes | None:
    """Returns the key that signed a request, None if it is not signed; the body must have the SHA-256 that it names.

    Raises:
        SignatureInvalid: The signature does not hold, or its time is too far from now.
    """
    values = [headers.get(f"zkfed-{name}") for name in ("key", "time", "signature")]
    if values == [None, None, None]:
        return None
    key, at, signature = (v or "" for v in values)
    if re.fullmatch("0|[1-9][0-9]{0,14}", at) is None or abs(int(at) - now_s) > CLOCK_S_MAX:
        raise SignatureInvalid(f"the request's time is not within {CLOCK_S_MAX} s of the node's: set the clock")
    if re.fullmatch("[0-9a-f]{64}", key) is None or re.fullmatch("[0-9a-f]{128}", signature) is None:
        raise SignatureInvalid("the request's key and signature are not 64 and 128 hexadecimal digits")
    named = headers.get("idempotency-key", "")
    if re.fullmatch("[0-9a-f]{64}", named) is None:
        raise SignatureInvalid("a signed request names SHA-256 of its body, 64 hexadecimal digits, in idempotency-key")
    public = bytes.fromhex(key)
    verify_signature(public, bytes.fromhex(signature), _KIND, _to_sign(method, path, bytes.fromhex(named), int(at)))
    return public


def encode_page(messages: tuple[bytes, ...]) -> bytes:
    """Returns the first messages, up to `PAGE_BYTES` or one message, as a page."""
    return b"".join(page_pieces(messages))


def page_pieces(messages: tuple[bytes, ...]) -> list[bytes]:
    """Returns the same page in pieces, among them the messages themselves, of which no copy is made."""
    pieces, size = list[bytes](), 0
    for message in messages:
        if pieces and size + len(message) > PAGE_BYTES:
            break
        pieces += [item(hashlib.sha256(message).digest()) + len(message).to_bytes(4, "big"), message]
        size += len(message)
    return [Writer("zkfed/v1/http-page").u64(len(pieces)).finish(), *pieces]


async def in_slices(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """Yields a page's bytes, about `SLICE_BYTES` at a time: a server that waits for its reader keeps no more."""
    waiting = bytearray()
    for piece in pieces:
        for at in range(0, len(piece), SLICE_BYTES):
            waiting += piece[at : at + SLICE_BYTES]
            if len(waiting) >= SLICE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting)


def decode_page(data: bytes, limit: int) -> list[bytes]:
    """Reads a page.

    Raises:
        DecodeError, LimitExceeded: Not a page, or a message above `limit` bytes.
        IntegrityError: A message is not the one of its address.
    """
    r = Reader(data, "zkfed/v1/http-page")
    parts = r.list(1 << 21, limit=max(limit, 32))
    r.finish()
    if len(parts) % 2:
        raise DecodeError("a page of messages without their addresses")
    for address, message in zip(parts[::2], parts[1::2], strict=True):
        if hashlib.sha256(message).digest() != address:
            raise IntegrityError(f"a message of {len(message)} bytes does not match its address; fetch again")
    return parts[1::2]


def parse_json(data: bytes) -> dict[str, Any]:
    """Reads a JSON object as `decode_json`.

    Raises:
        DecodeError: Not such an object.
    """
    value = decode_json(data)
    if not isinstance(value, dict):
        raise DecodeError(f"expected a JSON object, got {type(value).__name__}")
    return value


def decode_error(data: bytes) -> tuple[str, str]:
    """Returns (code, text) of an error body; the text is cut and escaped.

    Raises:
        DecodeError: Not an error body.
    """
    value = parse_json(data)
    code, text = value.get("code"), value.get("text")
    if not isinstance(code, str) or not isinstance(text, str) or len(code) > 64:
        raise DecodeError('expected {"code": ..., "text": ...}')
    return code, excerpt(text, 200)


def error_of(code: str) -> type[ZkfedError] | None:
    """Returns the class with a code, None if this version has none."""
    todo: list[type[ZkfedError]] = [ZkfedError]
    while todo:
        found = todo.pop()
        if found.code == code:
            return found
        todo += found.__subclasses__()
    return None
