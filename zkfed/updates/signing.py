"""Ed25519 signatures over (kind, body), with one acceptance rule.

    signature over SHA-256(item("zkfed/v1/sign") | item(kind) | item(body))

The rule of protocol version 1: the public key A and R are canonical encodings of points that
are not of small order, S is below the group order (both checked here), and OpenSSL's
cofactorless equation S B = R + SHA-512(R | A | message) A holds on the bytes of R. A and R
may have a small-order component besides their prime-order one: no list can name those. Source:
RFC 8032 section 5.1.7; "Taming the many EdDSAs", eprint 2020/1244.
"""

from __future__ import annotations

from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, SignatureInvalid

__all__ = ["Signed", "SigningKey", "kind_of", "verify_signature"]

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
# y of the eight points of small order, canonical; a sign bit gives x = 0 no second form, as those are in here.
_SMALL_ORDER_Y = frozenset(
    (
        0,
        1,
        _P - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    )
)


class SigningKey:
    """An Ed25519 private key. Its repr shows only the public half."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if len(seed) != KEY_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes, expected {KEY_BYTES}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SigningKey:
        """Returns a fresh key from the operating system's randomness."""
        import secrets

        return cls(secrets.token_bytes(KEY_BYTES))

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()[:16]}..., private=hidden)"

    def sign(self, kind: str, body: bytes) -> Signed:
        """Returns the body with this key's signature."""
        return Signed(kind, body, self.public, self._key.sign(_to_sign(kind, body)))


class Signed:
    """A body under a signature that held when it was decoded."""

    __slots__ = ("body", "kind", "signature", "signer")

    def __init__(self, kind: str, body: bytes, signer: bytes, signature: bytes) -> None:
        self.kind, self.body, self.signer, self.signature = kind, body, signer, signature

    def __repr__(self) -> str:
        return f"Signed({self.kind}, {len(self.body)} bytes, by {self.signer.hex()[:16]}...)"

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/signed").text(self.kind).bytes(self.body)
        return w.bytes(self.signer).bytes(self.signature).finish()

    @property
    def digest(self) -> bytes:
        """Names the message: SHA-256 of kind, body and signer, not of the signature."""
        return digest("zkfed/v1/message", self.kind.encode(), self.body, self.signer)

    @classmethod
    def decode(cls, data: bytes, kind: str, *, limit: int) -> Signed:
        """Reads a signed message of one kind and checks its signature.

        Raises:
            DecodeError: Not canonical, or of another kind.
            LimitExceeded: Longer than `limit`.
            SignatureInvalid: The signature does not hold.
        """
        r = Reader(data, "zkfed/v1/signed", limit)
        got = r.text(limit=64)
        if got != kind:
            raise DecodeError(f"expected a signed {kind}, got another kind")
        body, signer = r.bytes(limit=limit), r.bytes(exact=KEY_BYTES)
        signature = r.bytes(exact=SIGNATURE_BYTES)
        r.finish()
        verify_signature(signer, signature, kind, body)
        return cls(kind, body, signer, signature)


def kind_of(data: bytes) -> str:
    """Returns the kind that a signed message claims to be; raises DecodeError."""
    return Reader(data, "zkfed/v1/signed").text(limit=64)


def _to_sign(kind: str, body: bytes) -> bytes:
    return digest("zkfed/v1/sign", kind.encode("ascii"), body)


def _check_point(encoded: bytes, what: str) -> None:
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= _P:
        raise SignatureInvalid(f"the signature's {what} is not canonical")
    if y in _SMALL_ORDER_Y:
        raise SignatureInvalid(f"the signature's {what} is of small order")


def check_raw(public: bytes, signature: bytes, message: bytes) -> None:
    """Checks a raw Ed25519 signature by the rule of the module.

    Raises:
        SignatureInvalid: It does not hold.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid("a public key has 32 bytes and a signature 64")
    _check_point(public, "public key")
    _check_point(signature[:32], "R")
    if int.from_bytes(signature[32:], "little") >= _ORDER:
        raise SignatureInvalid("the signature's S is not canonical")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise SignatureInvalid(f"the signature does not hold under the key {public.hex()[:16]}...") from None


def verify_signature(public: bytes, signature: bytes, kind: str, body: bytes) -> None:
    """Checks a signature over (kind, body).

    Raises:
        SignatureInvalid: It does not hold, or it breaks the acceptance rule.
    """
    check_raw(public, signature, _to_sign(kind, body))
