"""What tests of the key holder share: requests that the adders sign, and a holder that got a key back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import Cohort, Opened, fingerprint, signed
from zkfed.encoding import digest
from zkfed.errors import (
    ZkfedError,
)
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import SecretKey
from zkfed.layers.holder import KeyHolder, _Attempt
from zkfed.updates.messages import Aggregate


def refused(holder: KeyHolder, call: Callable[[], Any], error: type[ZkfedError], text: str | None = None) -> None:
    before = fingerprint(holder)
    with pytest.raises(error, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert fingerprint(holder) == before


def aggregation_of(cohort: Cohort, opened: Opened, **changes: Any) -> bytes:
    body = replace(Aggregate.decode(signed(opened.aggregation).body), **changes)
    return cohort.adder_key.sign("aggregation", body.encode()).encode()


def commits_of(cohort: Cohort, opened: Opened) -> tuple[bytes, ...]:
    return tuple(cohort.commits[m] for m in opened.members)


def revive(holder: KeyHolder, attempt: _Attempt, context: Any) -> KeyHolder:
    """Gives a key holder an attempt back, as restoring a snapshot of its process would."""
    secret = SecretKey(attempt.secret.params, context)
    holder._attempts[secret.public.digest] = replace(attempt, secret=secret)
    return holder


def resigned(cohort: Cohort, opened: Opened, ciphertext: bytes) -> Opened:
    """Lets the adders sign another sum."""
    opened.ciphertext = ciphertext
    opened.aggregation = aggregation_of(cohort, opened, ciphertext=digest("zkfed/v1/ciphertext", ciphertext))
    return opened


def shifted(cohort: Cohort, opened: Opened, values: Any) -> bytes:
    """Adds an encryption of `values` to the sum."""
    agreement = cohort.agreement
    key = cohort.adder._attempts[opened.announced.digest].encryption_key
    total = Ciphertext.from_bytes(opened.ciphertext, agreement.encryption, agreement.slots)
    return add(key, [total, encrypt(key, np.asarray(values, np.int64))], agreement.slots).to_bytes()


def one_coordinate(cohort: Cohort, opened: Opened) -> bytes:
    return shifted(cohort, opened, [1] + [0] * (cohort.agreement.slots - 1))
