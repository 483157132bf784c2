"""Shows that each message of a round, its signature and a sealed update have one encoding each.

Changed in any byte, cut, extended, of another kind or under another key, a signed message is
refused with DecodeError or SignatureInvalid and nothing else.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, LimitExceeded, SignatureInvalid
from zkfed.updates import messages
from zkfed.updates.messages import (
    ATTEMPTS_MAX,
    MEMBERS_MAX,
    Aggregate,
    Announcement,
    Commit,
    Failure,
    Message,
    Offer,
    Receipt,
    Release,
    Reveal,
    Seal,
)
from zkfed.updates.sealed import PUBLIC_BYTES_MAX, SealedUpdate
from zkfed.updates.signing import Signed, SigningKey, kind_of, verify_signature

KINDS: list[type[Message]] = [Offer, Announcement, Commit, Receipt, Reveal, Seal, Aggregate, Release, Failure]
LIMIT = 1 << 16
SEED = bytes(range(32))
KEY, OTHER = SigningKey(SEED), SigningKey(SEED[::-1])

DIGESTS = st.binary(min_size=32, max_size=32)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "digest": DIGESTS,
    "bytes": st.binary(max_size=60),
    "digests": st.lists(DIGESTS, max_size=4, unique=True).map(lambda x: tuple(sorted(x))),
    "number": st.integers(0, 2**64 - 1),
    "text": st.text(max_size=12),
}


def bodies(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Returns a strategy of valid bodies of one kind."""

    def build(values: dict[str, Any], attempt: int, round_number: int) -> Message:
        if kind is Announcement:
            values |= {"attempt": attempt, "round": round_number}
            if attempt == 1:
                values |= {"first": bytes(32), "members": ()}
            else:
                first = bytes([values["first"][0] | 1]) + values["first"][1:]  # zeros stand for none
                values |= {"first": first, "members": values["members"] or (b"m" * 32,)}
        return kind(**values)

    values = st.fixed_dictionaries({name: VALUES[k] for name, k in kind.fields})
    return st.builds(build, values, st.integers(1, ATTEMPTS_MAX), st.integers(1, 2**64 - 1))


ANY_BODY = st.sampled_from(KINDS).flatmap(bodies)


def example(kind: type[Message]) -> Message:
    """Returns a body with a value of its own in every field."""
    sample = {"bytes": b"\x07bytes", "digests": (b"\x01" * 32, b"\x02" * 32), "number": 2, "text": "S2"}
    return kind(**{n: bytes([i + 1]) * 32 if k == "digest" else sample[k] for i, (n, k) in enumerate(kind.fields)})


# -- bodies ------------------------------------------------------------------------------------------


def test_every_message_is_shown_here() -> None:
    assert {kind.__name__ for kind in KINDS} == set(messages.__all__)
    assert len({kind.tag for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fields_on_the_wire_are_the_fields_of_the_class(kind: Any) -> None:
    assert [name for name, _ in kind.fields] == [f.name for f in fields(kind)]
    assert {k for _, k in kind.fields} <= set(VALUES)


@given(ANY_BODY)
def test_a_body_is_read_as_it_was_written(body: Message) -> None:
    assert type(body).decode(body.encode()) == body


@given(ANY_BODY, st.data())
def test_a_mutated_body_is_refused_or_is_another_body(body: Message, data: st.DataObject) -> None:
    encoded = bytearray(body.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        encoded[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        other = type(body).decode(bytes(encoded))
    except DecodeError:
        return
    assert other.encode() == encoded


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_or_extended_body_is_refused(kind: type[Message]) -> None:
    encoded = example(kind).encode()
    assert kind.decode(encoded) == example(kind)
    for size in range(len(encoded)):
        with pytest.raises(DecodeError):
            kind.decode(encoded[:size])
    with pytest.raises(DecodeError, match="1 bytes too many"):
        kind.decode(encoded + b"\0")


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_of_another_kind_is_refused(kind: type[Message]) -> None:
    for other in KINDS:
        if other is not kind:
            with pytest.raises(DecodeError, match=f"expected a message {kind.tag}, got"):
                kind.decode(example(other).encode())


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in KINDS for n, f in k.fields if f == "digest"])
def test_a_digest_has_32_bytes(kind: type[Message], name: str) -> None:
    for size in (0, 31, 33):
        body: Any = example(kind)
        with pytest.raises(DecodeError, match=f"an item of {size} bytes where 32 are expected"):
            kind.decode(replace(body, **{name: bytes(size)}).encode())


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in KINDS for n, f in k.fields if f == "number"])
@pytest.mark.parametrize("value", [True, 1.0, "1", -1, 2**64, None])
def test_a_number_is_an_int_of_64_bits(kind: type[Message], name: str, value: Any) -> None:
    body: Any = example(kind)
    with pytest.raises(ValueError, match="u64 takes an int"):
        replace(body, **{name: value}).encode()


def test_text_in_a_body_is_short() -> None:
    assert Commit.decode(Commit(bytes(32), b"", "k" * 64).encode()).kinds == "k" * 64
    with pytest.raises(LimitExceeded, match="an item of 65 bytes, at most 64"):
        Commit.decode(Commit(bytes(32), b"", "k" * 65).encode())


# -- what the kinds of fields do not say -----------------------------------------------------------

AGAIN = Announcement.decode(example(Announcement).encode())
FIRST = replace(AGAIN, attempt=1, first=bytes(32), members=())


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        pytest.param(FIRST, {"round": 0}, id="round 0"),
        pytest.param(FIRST, {"attempt": 0}, id="attempt 0"),
        pytest.param(AGAIN, {"attempt": ATTEMPTS_MAX + 1}, id="attempt 9"),
        pytest.param(FIRST, {"first": b"\1" * 32}, id="attempt 1 names a first"),
        pytest.param(FIRST, {"members": (b"\1" * 32,)}, id="attempt 1 names members"),
        pytest.param(AGAIN, {"first": bytes(32)}, id="attempt 2 without first"),
        pytest.param(AGAIN, {"members": ()}, id="attempt 2 without members"),
        pytest.param(AGAIN, {"members": AGAIN.members[::-1]}, id="members out of order"),
        pytest.param(AGAIN, {"members": AGAIN.members[:1] * 2}, id="a member twice"),
    ],
)
def test_an_announcement_that_contradicts_itself_is_refused(base: Announcement, changes: dict[str, Any]) -> None:
    assert Announcement.decode(base.encode()) == base
    with pytest.raises(DecodeError, match="announcement"):
        Announcement.decode(replace(base, **changes).encode())


def test_a_list_of_members_is_in_order_and_distinct() -> None:
    members = tuple(bytes([n]) * 32 for n in range(4))
    good = Aggregate(bytes(32), members, bytes(32))
    assert Aggregate.decode(good.encode()) == good
    for bad in (members[::-1], members[:1] * 2, (*members, members[0])):
        with pytest.raises(DecodeError, match="members are not in order or not distinct"):
            Aggregate.decode(replace(good, members=bad).encode())


def test_a_list_of_members_is_bounded() -> None:
    members = tuple(n.to_bytes(32, "big") for n in range(MEMBERS_MAX + 1))
    assert len(Aggregate.decode(Aggregate(bytes(32), members[:-1], bytes(32)).encode()).members) == MEMBERS_MAX
    with pytest.raises(LimitExceeded, match=f"the number {MEMBERS_MAX + 1}, at most {MEMBERS_MAX}"):
        Aggregate.decode(Aggregate(bytes(32), members, bytes(32)).encode())


# -- signed messages ---------------------------------------------------------------------------------

SMALL = KEY.sign("receipt", Receipt(b"\x05" * 32).encode())


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind.tag), bodies(kind))))
def test_a_signed_body_is_read_as_it_was_signed(sample: tuple[str, Message]) -> None:
    kind, body = sample
    signed = KEY.sign(kind, body.encode())
    again = Signed.decode(signed.encode(), kind, limit=LIMIT)
    assert again.encode() == signed.encode()
    assert (again.kind, again.body, again.signer, again.signature, again.digest) == (
        kind, body.encode(), KEY.public, signed.signature, signed.digest,
    )  # fmt: skip
    assert type(body).decode(again.body) == body


def test_a_message_changed_in_any_bit_is_refused() -> None:
    encoded = SMALL.encode()
    for at in range(len(encoded)):
        for bit in range(8):
            changed = bytearray(encoded)
            changed[at] ^= 1 << bit
            with pytest.raises((DecodeError, SignatureInvalid)):
                Signed.decode(bytes(changed), "receipt", limit=LIMIT)


def test_a_message_cut_or_extended_is_refused() -> None:
    encoded = SMALL.encode()
    for size in range(len(encoded)):
        with pytest.raises(DecodeError):
            Signed.decode(encoded[:size], "receipt", limit=LIMIT)
    with pytest.raises(DecodeError, match="1 bytes too many"):
        Signed.decode(encoded + b"\0", "receipt", limit=LIMIT)


@given(st.binary(min_size=1, max_size=40))
def test_another_body_under_the_signature_is_refused(body: bytes) -> None:
    other = Signed(SMALL.kind, body, SMALL.signer, SMALL.signature)
    with pytest.raises(SignatureInvalid, match="does not hold under the key"):
        Signed.decode(other.encode(), "receipt", limit=LIMIT)


def test_another_signer_or_anothers_signature_is_refused() -> None:
    by_other = OTHER.sign(SMALL.kind, SMALL.body)
    for signer, signature in ((OTHER.public, SMALL.signature), (KEY.public, by_other.signature)):
        with pytest.raises(SignatureInvalid, match=f"under the key {signer.hex()[:16]}"):
            Signed.decode(Signed(SMALL.kind, SMALL.body, signer, signature).encode(), "receipt", limit=LIMIT)


def test_another_kind_is_refused_even_with_the_label_changed() -> None:
    with pytest.raises(DecodeError, match="expected a signed seal, got another kind"):
        Signed.decode(SMALL.encode(), "seal", limit=LIMIT)
    relabelled = Signed("seal", SMALL.body, SMALL.signer, SMALL.signature)
    with pytest.raises(SignatureInvalid):
        Signed.decode(relabelled.encode(), "seal", limit=LIMIT)


def test_bytes_do_not_move_between_kind_and_body() -> None:
    signed = KEY.sign("ab", b"c")
    for kind, body in (("a", b"bc"), ("abc", b""), ("", b"abc")):
        with pytest.raises(SignatureInvalid):
            verify_signature(KEY.public, signed.signature, kind, body)
    verify_signature(KEY.public, signed.signature, "ab", b"c")


def test_a_message_above_the_limit_is_refused() -> None:
    encoded = SMALL.encode()
    assert Signed.decode(encoded, "receipt", limit=len(encoded)).body == SMALL.body
    with pytest.raises(LimitExceeded):
        Signed.decode(encoded, "receipt", limit=len(encoded) - 1)


@pytest.mark.parametrize(("signer", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_key_and_signature_have_their_sizes(signer: int, signature: int) -> None:
    with pytest.raises(DecodeError, match="are expected"):
        Signed.decode(Signed("receipt", b"", bytes(signer), bytes(signature)).encode(), "receipt", limit=LIMIT)


def test_the_digest_names_kind_body_and_signer_but_no_signature() -> None:
    others = [KEY.sign("seal", SMALL.body), KEY.sign("receipt", b"x"), OTHER.sign("receipt", SMALL.body), SMALL]
    assert len({s.digest for s in others}) == 4
    assert Signed(SMALL.kind, SMALL.body, SMALL.signer, bytes(64)).digest == SMALL.digest


def test_the_kind_that_is_claimed() -> None:
    assert kind_of(SMALL.encode()) == "receipt"
    for bad in (b"", SMALL.body, Writer("zkfed/v1/signed").finish(), Writer("zkfed/v1/signed").text("k" * 65).finish()):
        with pytest.raises(DecodeError):
            kind_of(bad)


# -- keys --------------------------------------------------------------------------------------------


def test_no_repr_holds_a_private_key() -> None:
    sealed = SealedUpdate(SMALL, b"secret outer bytes")
    for shown in (f"{KEY!r} {KEY}", f"{[KEY]}", f"{SMALL!r} {SMALL}", f"{sealed!r} {sealed}"):
        for secret in (SEED.hex(), SEED.hex()[:16], repr(SEED)[2:20], "secret outer"):
            assert secret not in shown
    assert KEY.public.hex()[:16] in repr(KEY)
    assert "private=hidden" in repr(KEY)
    assert not hasattr(KEY, "__dict__")


def test_keys_are_fresh_and_signatures_repeat() -> None:
    assert len({SigningKey.generate().public for _ in range(8)}) == 8
    assert KEY.sign("receipt", SMALL.body).signature == SMALL.signature
    for size in (0, 31, 33, 64):
        with pytest.raises(ValueError, match=f"a seed of {size} bytes, expected 32"):
            SigningKey(bytes(size))


def test_rfc_8032_key_of_test_1() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert SigningKey(seed).public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


# -- sealed updates ---------------------------------------------------------------------------------

SEAL = Seal(b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32, b"proof")
SEALED = SealedUpdate(KEY.sign("seal", SEAL.encode()), b"outer ciphertext")


@given(bodies(Seal), st.binary(max_size=60))
def test_a_sealed_update_is_read_as_it_was_written(seal: Message, outer: bytes) -> None:
    sealed = SealedUpdate(KEY.sign("seal", seal.encode()), outer)
    again = SealedUpdate.decode(sealed.encode())
    assert (again.seal, again.outer, again.signed.signer) == (seal, outer, KEY.public)
    assert again.encode() == sealed.encode()


def test_the_public_half_is_signed_and_the_outer_one_is_named_by_digest() -> None:
    """The outer bytes carry HPKE's own tag, and the seal names the plaintext's digest: no signature here."""
    encoded = SEALED.encode()
    outer_at = len(encoded) - len(SEALED.outer)
    for at in range(len(encoded)):
        changed = bytearray(encoded)
        changed[at] ^= 1
        if at < outer_at:
            with pytest.raises((DecodeError, SignatureInvalid)):
                SealedUpdate.decode(bytes(changed))
        else:
            again = SealedUpdate.decode(bytes(changed))
            assert (again.seal, again.outer) == (SEAL, bytes(changed[outer_at:]))


def test_a_sealed_update_cut_extended_or_of_another_kind_is_refused() -> None:
    encoded = SEALED.encode()
    for size in range(len(encoded)):
        with pytest.raises(DecodeError):
            SealedUpdate.decode(encoded[:size])
    for bad in (encoded + b"\0", SMALL.encode(), SealedUpdate(SMALL, b"").encode()):
        with pytest.raises(DecodeError):
            SealedUpdate.decode(bad)


def test_a_body_that_is_no_seal_is_refused_when_it_is_read() -> None:
    disguised = SealedUpdate(KEY.sign("seal", Receipt(bytes(32)).encode()), b"")
    with pytest.raises(DecodeError, match="expected a message zkfed/v1/seal"):
        _ = SealedUpdate.decode(disguised.encode()).seal


def test_the_public_half_is_bounded() -> None:
    wide = replace(SEAL, proof=bytes(PUBLIC_BYTES_MAX))
    with pytest.raises(LimitExceeded):
        SealedUpdate.decode(SealedUpdate(KEY.sign("seal", wide.encode()), b"").encode())


def test_a_sealed_update_is_two_items() -> None:
    r = Reader(SEALED.encode(), "zkfed/v1/sealed-update")
    assert (r.bytes(), r.bytes()) == (SEALED.signed.encode(), SEALED.outer)
    r.finish()
