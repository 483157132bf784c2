"""The parties of a round, each alone: softmax 64 x 10, CKKS."""

from __future__ import annotations

from typing import Any

import numpy as np

from benches.conftest import Parties
from zkfed.layers.polis import Adder


def test_seal(benchmark: Any, parties: Parties) -> None:
    """Commit, prove, encrypt and sign one update."""
    device = parties.devices[0]

    def seal() -> None:
        device.commit(parties.announcement, parties.update, base=parties.base, previous=bytes(32))
        benchmark.extra_info["sealed_bytes"] = len(device.seal(parties.announcement, parties.encryption_key))

    def forget() -> None:
        # A device commits and seals once a round; asked again, it would only repeat its message.
        device._round = None

    benchmark.pedantic(seal, setup=forget, rounds=7, warmup_rounds=1)


def test_check(benchmark: Any, parties: Parties) -> None:
    """The adders' checks of one sealed update, HPKE and framing included."""
    device = parties.devices[1]
    parties.commit(device)
    sealed = device.seal(parties.announcement, parties.encryption_key)
    adder: Adder = parties.adder
    attempt = adder._attempts[parties.announced.digest]

    def forget() -> tuple[tuple[bytes], dict[str, Any]]:
        attempt.seals.clear()
        attempt.ciphertexts.clear()
        attempt.sent.clear()
        return (sealed,), {}

    def check(data: bytes) -> None:
        verdict = adder.receive_sealed(data)
        if not verdict.is_accepted:
            raise RuntimeError(str(verdict))

    benchmark.pedantic(check, setup=forget, rounds=20, warmup_rounds=1)


def test_opening_check(benchmark: Any, parties: Parties) -> None:
    """Sum C_i + C_G + C_K = Com(S; R) for 24 clients: the gate and anybody's check."""
    agreement = parties.agreement
    generator = np.random.default_rng(1)  # values to commit to; nothing secret
    rows = [generator.integers(-(1 << 15), 1 << 15, 650) for _ in range(26)]
    encoded = [agreement.backend.encode(agreement.generators.commit(row, 5)) for row in rows]
    total = np.sum(rows, axis=0)

    def check() -> None:
        agreement.generators.open(agreement.sum_commitments(encoded), total, 5 * 26)

    benchmark.pedantic(check, rounds=20, warmup_rounds=1)
