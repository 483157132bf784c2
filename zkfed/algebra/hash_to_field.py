"""Hashing to the scalar field: RFC 9380 sections 5.2 and 5.3.1 with SHA-256.

hash_to_field(msg, count) = expand_message_xmd(msg, domain, 48 count) in parts of 48 bytes,
each reduced modulo r: uniform up to 2^-128
"""

from __future__ import annotations

import hashlib

__all__ = ["expand_message_xmd", "hash_to_field"]

_BLOCK = 64
_DIGEST = 32
_PART = 48


def expand_message_xmd(message: bytes, domain: bytes, length: int) -> bytes:
    """Returns `length` uniform bytes.

    Raises:
        ValueError: More than 255 blocks, or an empty domain.

    Source: RFC 9380 section 5.3.1; a domain above 255 bytes by section 5.3.3.
    """
    blocks = -(-length // _DIGEST)
    if blocks > 255 or length > 65535 or not domain:
        raise ValueError(f"expand_message_xmd: {length} bytes are too many, or the domain is empty")
    if len(domain) > 255:
        domain = hashlib.sha256(b"H2C-OVERSIZE-DST-" + domain).digest()
    suffix = domain + bytes([len(domain)])
    first = hashlib.sha256(bytes(_BLOCK) + message + length.to_bytes(2, "big") + b"\0" + suffix).digest()
    out = [hashlib.sha256(first + b"\1" + suffix).digest()]
    for i in range(2, blocks + 1):
        mixed = bytes(x ^ y for x, y in zip(first, out[-1], strict=True))
        out.append(hashlib.sha256(mixed + bytes([i]) + suffix).digest())
    return b"".join(out)[:length]


def hash_to_field(domain: bytes, message: bytes, count: int, order: int) -> list[int]:
    """Returns `count` independent elements of [0, order).

    Args:
        domain: Names the use; at least 1 byte.
        message: What is hashed.
        count: How many.
        order: At most 256 bits, so that 48 bytes leave a bias below 2^-128.
    """
    data = expand_message_xmd(message, domain, count * _PART)
    return [int.from_bytes(data[i : i + _PART], "big") % order for i in range(0, len(data), _PART)]
