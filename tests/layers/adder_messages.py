"""What tests of the adders share: refusals that change nothing, and sealed updates that were rewritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.layers.parties import (
    Cohort,
    Opened,
    fingerprint,
)
from zkfed.encoding import digest
from zkfed.errors import (
    ZkfedError,
)
from zkfed.he.sealing import SealingPublicKey, seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import SigningKey


def refused(cohort: Cohort, call: Callable[[], Any], error: type[ZkfedError], text: str | None = None) -> None:
    before = fingerprint(cohort.adder)
    with pytest.raises(error, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert fingerprint(cohort.adder) == before


def turned_down(cohort: Cohort, message: bytes, code: str, text: str = "") -> None:
    before = fingerprint(cohort.adder)
    verdict = cohort.adder.receive_sealed(message)
    assert (verdict.is_accepted, verdict.code) == (False, code), verdict
    assert text in verdict.reason
    assert len(verdict.reason) < 500
    assert fingerprint(cohort.adder) == before


def rewritten(cohort: Cohort, message: bytes, key: SigningKey | None = None, **changes: Any) -> bytes:
    """Changes a sealed update and signs it again, by its client unless another key is given."""
    update = SealedUpdate.decode(message)
    outer = changes.pop("outer", update.outer)
    signer = key or next(k for k in cohort.device_keys if k.public == update.signed.signer)
    body = replace(update.seal, **changes)
    return SealedUpdate(signer.sign("seal", body.encode()), outer).encode()


def sealed_with(cohort: Cohort, opened: Opened, message: bytes, content: bytes, **where: Any) -> bytes:
    """Puts another content, in another wrapping, into a client's sealed update."""
    body = SealedUpdate.decode(message).seal
    to = where.get("to", SealingPublicKey.from_bytes(opened.announced.body.sealing_key))
    outer = seal(to, content, info=where.get("info", opened.announced.digest), aad=where.get("aad", body.commit))
    return rewritten(cohort, message, ciphertext=digest("zkfed/v1/ciphertext", content), outer=outer)
