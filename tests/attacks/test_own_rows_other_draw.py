"""Attack: prove S1 about rows of one's own choice, or of another draw, instead of the beacon's.

A client that may choose picks the rows on which its update looks best. Adders and auditors draw the
rows themselves from b, the client's key and C_D, so such a proof is about another statement, however
true it is. A repeated attempt keeps the rows: a failure buys no second draw (protocol-review H5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.layers.own_rows import DRAWN, REGISTERED, OwnCohort
from tests.layers.parties import OtherPlaintext, signed
from zkfed.errors import PolicyError, ProofInvalid
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify
from zkfed.layers.agreement import draw_groups
from zkfed.layers.beacon import open_beacon
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.layers.intake import Work
from zkfed.statements.draw import draw_rows
from zkfed.statements.own_data import OwnTerms
from zkfed.updates.messages import Announcement, Failure, Seal
from zkfed.updates.sealed import SealedUpdate


class OtherRows(Device):
    """Follows the protocol, but proves about the rows that `choose` names."""

    choose: Callable[[OtherRows, bytes, tuple[int, ...]], tuple[int, ...]]

    def accept_beacon(self, reveals: Sequence[bytes]) -> None:
        super().accept_beacon(reveals)
        beacon = open_beacon(self.agreement.policy, self._current().first, reveals).value
        self.prove_about(type(self).choose(self, beacon, self._current().terms.drawn.indices))

    def prove_about(self, rows: tuple[int, ...]) -> None:
        current, agreement = self._current(), self.agreement
        drawn = agreement.registry.drawn(self.public_key, rows, current.terms.drawn.beacon)
        current.terms = OwnTerms.of(agreement.policy.statement, current.base, drawn)
        current.rows, current.proof = self._rows.take(rows), b""


def not_drawn(device: OtherRows, beacon: bytes, drawn: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in range(REGISTERED) if i not in drawn)[:DRAWN]


def in_another_order(device: OtherRows, beacon: bytes, drawn: tuple[int, ...]) -> tuple[int, ...]:
    return drawn[::-1]


def of_another_client(device: OtherRows, beacon: bytes, drawn: tuple[int, ...]) -> tuple[int, ...]:
    other = next(k for k in device.agreement.enrolled if k != device.public_key)
    commitment = device.agreement.backend.encode(device._current().point)
    return draw_rows(beacon, other, commitment=commitment, count=DRAWN, registered=REGISTERED)


def of_another_commitment(device: OtherRows, beacon: bytes, drawn: tuple[int, ...]) -> tuple[int, ...]:
    commitment = bytes(len(device.agreement.backend.encode(device._current().point)))
    return draw_rows(beacon, device.public_key, commitment=commitment, count=DRAWN, registered=REGISTERED)


def of_another_beacon(device: OtherRows, beacon: bytes, drawn: tuple[int, ...]) -> tuple[int, ...]:
    commitment = device.agreement.backend.encode(device._current().point)
    return draw_rows(bytes(32), device.public_key, commitment=commitment, count=DRAWN, registered=REGISTERED)


CHOICES = [not_drawn, in_another_order, of_another_client, of_another_commitment, of_another_beacon]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_true_proof_about_other_rows_is_refused(choice: Any) -> None:
    cohort = OwnCohort(kinds=[type("Chosen", (OtherRows,), {"choose": choice})])
    opened = cohort.start()
    device = cohort.devices[0]
    current = device._current()
    honest = cohort.agreement.own_terms(
        cohort.base, current.terms.drawn.beacon, client=device.public_key,
        commitment=cohort.agreement.backend.encode(current.point),
    )  # fmt: skip
    assert current.terms.drawn.indices != honest.drawn.indices
    message = device.seal(opened.announcement, opened.key)
    # The proof holds for the rows that the client chose: nothing but the draw stands against it.
    agreement = cohort.agreement
    proof = Proof.decode(agreement.backend, agreement.improvement.layout, current.proof)
    verify(agreement.improvement, agreement.improvement_instance(
        current.terms, current.first, device.public_key, current.point), proof)  # fmt: skip
    verdict = cohort.adder.receive_sealed(message)
    assert (verdict.is_accepted, verdict.code) == (False, "proof-invalid")
    assert verdict.client == device.public_key.hex()
    assert verdict.reason.endswith("the proof does not hold for this commitment and the rows that the beacon drew")
    for other in cohort.devices[1:]:
        assert cohort.adder.receive_sealed(other.seal(opened.announcement, opened.key)).is_accepted


def test_adders_that_let_such_a_proof_pass_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = OwnCohort(kinds=[type("Chosen", (OtherRows,), {"choose": not_drawn})])
    opened = cohort.start()
    monkeypatch.setattr(cohort.adder, "_work", Work(verify=lambda *_: None))  # adders that do not check
    cohort.seal_all(opened)
    monkeypatch.undo()
    cohort.add(opened)
    cohort.open(opened)
    cohort.close([opened])
    with pytest.raises(ProofInvalid, match=cohort.devices[0].public_key.hex()[:16]):
        check_release(cohort.transcript)


class SecondDraw(OtherRows, OtherPlaintext):
    """Has the first attempt fail by a false ciphertext, to be judged on other rows in the next one."""

    def accept_beacon(self, reveals: Sequence[bytes]) -> None:
        Device.accept_beacon(self, reveals)


def test_a_failed_attempt_buys_no_second_draw() -> None:
    cohort = OwnCohort(devices=4, kinds=[SecondDraw])
    first = cohort.ready()
    failure = Failure.decode(signed(cohort.open(first)).body)
    cheat = cohort.devices[0]
    cheat.is_honest = True
    cheat.prove_about(not_drawn(cheat, b"", cheat._current().terms.drawn.indices))
    groups = draw_groups(failure.nonce, first.members, smallest=2, groups=3)
    group = next(i for i, members in enumerate(groups) if cheat._current().commit.digest in members)
    opened = cohort.announce(2, group, groups[group])
    message = cheat.seal(opened.announcement, opened.key)
    verdict = cohort.adder.receive_sealed(message)
    assert (verdict.is_accepted, verdict.code) == (False, "proof-invalid")
    true = Seal.decode(signed(first.seals[first.members.index(cheat._current().commit.digest)]).body)
    update = SealedUpdate.decode(message)
    signed_again = cohort.device_keys[0].sign("seal", replace(update.seal, proof=true.proof).encode())
    assert cohort.adder.receive_sealed(SealedUpdate(signed_again, update.outer).encode()).is_accepted


def test_a_repeated_attempt_cannot_announce_another_beacon() -> None:
    cohort = OwnCohort(devices=4, kinds=[OtherPlaintext])
    first = cohort.ready()
    failure = Failure.decode(signed(cohort.open(first)).body)
    groups = draw_groups(failure.nonce, first.members, smallest=2, groups=3)
    draft, _ = cohort.offer_and_draft(2, 0, groups[0])
    body = replace(Announcement.decode(signed(draft).body), adder_beacon=bytes(32))
    again = cohort.adder_key.sign("announcement", body.encode()).encode()
    with pytest.raises(PolicyError, match="beacon nonces"):
        cohort.holder.countersign(again)
    cohort.holder.countersign(draft)
