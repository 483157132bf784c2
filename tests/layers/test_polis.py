"""The adders take what is signed, enrolled, proven and new; a refusal is a verdict and changes nothing.

After each refusal what the adders remember is compared with before, and in the end the honest message
of the same client is accepted: nobody can burn somebody else's place.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.adder_messages import refused, rewritten, sealed_with, turned_down
from tests.layers.parties import (
    DEADLINE_S,
    NOW_S,
    Cohort,
    Opened,
    fingerprint,
    make_policy,
    signed,
)
from zkfed.encoding import Writer
from zkfed.errors import (
    DecodeError,
    NotAuthorised,
    PolicyError,
    Replay,
    SignatureInvalid,
    ZkfedError,
)
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.sealing import SealingKey, open_sealed
from zkfed.updates.messages import Commit, Receipt, Seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import SigningKey


@pytest.fixture(scope="module")
def open_round() -> tuple[Cohort, Opened, list[bytes]]:
    """An open attempt of four clients, the first of which has sealed; the sealed updates of all."""
    cohort = Cohort(devices=4)
    opened = cohort.start()
    sealed = [d.seal(opened.announcement, opened.key) for d in cohort.devices]
    assert cohort.adder.receive_sealed(sealed[0]).is_accepted
    return cohort, opened, sealed


# -- commits ------------------------------------------------------------------------------------


def test_commits_that_are_refused() -> None:
    cohort = Cohort()
    draft, _ = cohort.offer_and_draft()
    refused(cohort, lambda: cohort.adder.receive_commit(b"", now_s=NOW_S), PolicyError, "no round is announced")
    opened = Opened(cohort.holder.countersign(draft), b"")
    cohort.adder.open_attempt(opened.announcement)
    first, second = cohort.commit(0, opened), cohort.commit(1, opened)
    receive = cohort.adder.receive_commit
    body = signed(first).body
    key = cohort.device_keys[0]

    def commit(signer: SigningKey, **changes: Any) -> bytes:
        return signer.sign("commit", replace(Commit.decode(body), **changes).encode()).encode()

    broken = first[:-1] + bytes([first[-1] ^ 1])
    bad_point = b"\xff" * len(Commit.decode(body).commitment)
    for message, error, text in (
        (commit(SigningKey.generate()), NotAuthorised, "not enrolled"),
        (commit(cohort.adder_key), NotAuthorised, "not enrolled"),
        (commit(key, announcement=bytes(32)), Replay, "another round"),
        (commit(key, kinds="S1"), DecodeError, "other statements"),
        (commit(key, commitment=bad_point), DecodeError, None),
        (commit(key, commitment=b""), DecodeError, None),
        (key.sign("seal", body).encode(), DecodeError, "signed commit"),
        (broken, SignatureInvalid, None),
        (first[:-1], DecodeError, None),
        (b"\0\0\0\1x", DecodeError, None),
    ):
        refused(cohort, lambda m=message: receive(m, now_s=NOW_S), error, text)  # type: ignore[misc]
    refused(cohort, lambda: receive(first, now_s=DEADLINE_S + 1), PolicyError, "deadline")
    receipt = signed(receive(first, now_s=DEADLINE_S))
    assert (receipt.kind, receipt.signer) == ("receipt", cohort.adder_key.public)
    assert Receipt.decode(receipt.body).commit == signed(first).digest
    # Only now that the first stands can others repeat it or take it back.
    copied = commit(cohort.device_keys[1])
    refused(cohort, lambda: receive(copied, now_s=NOW_S), Replay, "copied commitment")
    changed = commit(key, commitment=Commit.decode(signed(second).body).commitment)
    refused(cohort, lambda: receive(changed, now_s=NOW_S), Replay, "another update")
    receive(second, now_s=NOW_S)
    before = fingerprint(cohort.adder)
    receive(first, now_s=NOW_S)  # a message that came twice
    assert fingerprint(cohort.adder) == before
    assert cohort.adder.commits == tuple(sorted((first, second), key=lambda c: signed(c).digest))


def test_no_more_commits_than_the_policy_allows() -> None:
    cohort = Cohort(make_policy(max_clients=2))
    opened = cohort.announce()
    for index in (0, 1):
        cohort.send_commit(index, opened)
    third = cohort.commit(2, opened)
    refused(cohort, lambda: cohort.adder.receive_commit(third, now_s=NOW_S), PolicyError, "has its 2 clients")


# -- sealed updates -----------------------------------------------------------------------------


def test_sealed_updates_that_are_refused(open_round: tuple[Cohort, Opened, list[bytes]]) -> None:
    cohort, _, sealed = open_round
    zero, one = SealedUpdate.decode(sealed[0]), SealedUpdate.decode(sealed[1])
    stranger = SigningKey.generate()
    for message, code, text in (
        (rewritten(cohort, sealed[1], stranger), "not-authorised", "this client did not make"),
        (rewritten(cohort, sealed[1], cohort.device_keys[2]), "not-authorised", "this client did not make"),
        (rewritten(cohort, sealed[1], commit=bytes(32)), "not-authorised", "this client did not make"),
        (rewritten(cohort, sealed[1], commit=zero.seal.commit), "not-authorised", "this client did not make"),
        (rewritten(cohort, sealed[1], announcement=bytes(32)), "replay", "not open"),
        (rewritten(cohort, sealed[1], encryption_key=bytes(32)), "policy", "another key"),
        (rewritten(cohort, sealed[1], ciphertext=zero.seal.ciphertext), "replay", "same ciphertext"),
        (rewritten(cohort, sealed[1], ciphertext=bytes(32)), "ciphertext-refused", "not the one that the client"),
        (rewritten(cohort, sealed[1], outer=zero.outer), "ciphertext-refused", "does not open"),
        (rewritten(cohort, sealed[1], outer=b""), "ciphertext-refused", "0 bytes"),
        (rewritten(cohort, sealed[1], outer=one.outer[:-1]), "ciphertext-refused", "does not open"),
        (rewritten(cohort, sealed[1], proof=zero.seal.proof), "proof-invalid", "does not hold"),
        (rewritten(cohort, sealed[1], proof=one.seal.proof[:-1]), "decode", ""),
        (rewritten(cohort, sealed[1], proof=b"\xff" * len(one.seal.proof)), "decode", ""),
        (sealed[0], "replay", "sealed this attempt already"),
    ):
        turned_down(cohort, message, code, text)
    assert cohort.adder.receive_sealed(sealed[1]).is_accepted


def test_ciphertexts_in_another_wrapping_or_of_another_form(open_round: tuple[Cohort, Opened, list[bytes]]) -> None:
    cohort, opened, sealed = open_round
    update = SealedUpdate.decode(sealed[2])
    content = open_sealed(cohort.adder._sealing, update.outer, info=opened.announced.digest, aad=update.seal.commit)
    for where in ({"to": SealingKey.generate().public}, {"info": bytes(32)}, {"aad": bytes(32)}):
        turned_down(
            cohort, sealed_with(cohort, opened, sealed[2], content, **where), "ciphertext-refused", "does not open"
        )
    key = PublicKey.from_bytes(opened.key, cohort.agreement.encryption)
    short = encrypt(key, cohort.agreement.plaintext.pack(cohort.update(0).integers[:-1], 1)).to_bytes()
    for other in (short, content[:-1], content + b"\0", b"", b"\x0a\x01\x03", secrets.token_bytes(len(content))):
        turned_down(cohort, sealed_with(cohort, opened, sealed[2], other), "decode")
    # A ciphertext under another encryption key looks the same: the opening equation decides, not the adders.
    stranger = SecretKey.generate(cohort.agreement.encryption).public
    foreign = encrypt(stranger, cohort.agreement.plaintext.pack(cohort.update(0).integers, 1))
    assert len(foreign.to_bytes()) == len(content)
    # And the honest content in an honest wrapping is taken, so it was the wrapping above.
    assert cohort.adder.receive_sealed(sealed_with(cohort, opened, sealed[2], content)).is_accepted


def test_neither_a_bad_signature_nor_a_bad_proof_burns_the_nullifier(
    open_round: tuple[Cohort, Opened, list[bytes]],
) -> None:
    cohort, _, sealed = open_round
    count = len(cohort.adder._nullifiers)
    update = SealedUpdate.decode(sealed[3])
    broken = bytearray(update.signed.encode())
    broken[-1] ^= 1
    unsigned = Writer("zkfed/v1/sealed-update").bytes(bytes(broken)).bytes(update.outer).finish()
    turned_down(cohort, unsigned, "signature-invalid")
    stolen = rewritten(cohort, sealed[3], proof=SealedUpdate.decode(sealed[0]).seal.proof)
    turned_down(cohort, stolen, "proof-invalid")
    assert len(cohort.adder._nullifiers) == count
    assert cohort.adder.receive_sealed(sealed[3]).is_accepted
    assert len(cohort.adder._nullifiers) == count + 1
    turned_down(cohort, sealed[3], "replay")


@pytest.fixture(scope="module")
def attacked() -> tuple[Cohort, Opened, list[bytes]]:
    cohort = Cohort()
    opened = cohort.start()
    return cohort, opened, [d.seal(opened.announcement, opened.key) for d in cohort.devices]


def boundaries(data: bytes, start: int = 0) -> list[int]:
    """Returns where the items of a message begin and end."""
    out, at = [start], start
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        out += [at + 4, at + 4 + size]
        at += 4 + size
    return out


def test_a_message_that_is_cut_at_any_boundary(attacked: tuple[Cohort, Opened, list[bytes]]) -> None:
    cohort, _, sealed = attacked
    message = sealed[0]
    public = message.index(b"zkfed/v1/signed") - 4
    cuts = {c for c in (*boundaries(message), *boundaries(message[: public + 1500], public)) if c < len(message)}
    assert len(cuts) > 10
    for cut in sorted({c + d for c in cuts for d in (-1, 0, 1)} - {-1, len(message)}):
        turned_down(cohort, message[:cut], "decode")
    turned_down(cohort, message + b"\0", "decode")


def test_a_thousand_messages_of_garbage(attacked: tuple[Cohort, Opened, list[bytes]]) -> None:
    cohort, opened, sealed = attacked
    before = fingerprint(cohort.adder)
    for i in range(1000):
        garbage = secrets.token_bytes(secrets.randbelow(3000))
        garbage = [garbage, sealed[0][: 4 + i] + garbage, sealed[0][:2000] + garbage, b""][i % 4]
        assert not cohort.adder.receive_sealed(garbage).is_accepted
        with pytest.raises(ZkfedError):
            cohort.adder.receive_commit(garbage, now_s=NOW_S)
    assert fingerprint(cohort.adder) == before
    assert all(cohort.adder.receive_sealed(s).is_accepted for s in sealed)
    cohort.add(opened)
    assert signed(cohort.open(opened)).kind == "release"


@pytest.fixture(scope="module")
def fuzzed() -> tuple[Cohort, bytes]:
    cohort = Cohort()
    opened = cohort.start()
    return cohort, cohort.devices[0].seal(opened.announcement, opened.key)


@settings(max_examples=150)
@given(st.data())
def test_no_changed_byte_is_accepted(fuzzed: tuple[Cohort, bytes], data: st.DataObject) -> None:
    cohort, message = fuzzed
    # Half of the changes in the public part, which is a hundredth of the message.
    last = data.draw(st.sampled_from([1500, len(message) - 1]))
    at = data.draw(st.integers(0, last))
    changed = bytearray(message)
    changed[at] ^= data.draw(st.integers(1, 255))
    before = fingerprint(cohort.adder)
    verdict = cohort.adder.receive_sealed(bytes(changed))
    assert not verdict.is_accepted
    assert verdict.code in {"decode", "limit-exceeded", "signature-invalid", "ciphertext-refused"}
    assert fingerprint(cohort.adder) == before


def test_a_value_that_is_not_bytes_is_a_verdict(attacked: tuple[Cohort, Opened, list[bytes]]) -> None:
    for value in (None, 5, "text", bytearray(b"x")):
        assert attacked[0].adder.receive_sealed(value).code == "decode"  # type: ignore[arg-type]


def test_a_seal_body_names_one_commit_and_one_attempt(attacked: tuple[Cohort, Opened, list[bytes]]) -> None:
    cohort, opened, sealed = attacked
    bodies = [SealedUpdate.decode(s).seal for s in sealed]
    assert {b.announcement for b in bodies} == {opened.announced.digest}
    assert {b.commit for b in bodies} == set(cohort.commits)
    assert all(Seal.decode(b.encode()) == b for b in bodies)
