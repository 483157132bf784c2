"""Registration: an honest client's record is accepted, everything else is a typed error.

Shows the errors before proving, the strict encoding, and what identifies a record. Clients that
cheat are in tests/attacks/test_registration_cheats.py, the circuit in test_row_validity.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.statements.registration_samples import (
    ORDER,
    POLICY,
    ROWS,
    SIGNER,
    honest,
    prover_of,
    rows_of,
    terms_of,
)
from zkfed.commitments.rows import PrivateRows
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded, PolicyError, Replay, UnsatisfiedConstraint
from zkfed.policy import Improvement, LinearModel, Registration
from zkfed.statements.registration import (
    RegistrationRecord,
    RegistrationTerms,
    check_epoch,
    check_registration,
    register,
)

CLASSES = pytest.mark.parametrize("classes", [1, 2, 3])
X = np.linspace(-1, 1, ROWS * 3).reshape(ROWS, 3)
Y = np.arange(ROWS) % 3


@CLASSES
def test_an_honest_record_is_accepted(classes: int) -> None:
    key, record = prover_of(classes).key.verifying, honest(classes)
    points = check_registration(key, terms_of(classes), RegistrationRecord.decode(record.encode()))
    assert key.backend.encode(points) == record.commitments
    assert key.backend.encode(rows_of(classes).commit(key.backend)) != record.commitments  # other blinders


def test_two_records_of_the_same_rows_share_nothing() -> None:
    first, second = honest(), register(prover_of(), terms_of(), rows=rows_of(), signer=b"t" * 32)
    check_epoch([first, second], 48)


def test_the_terms_are_those_of_a_statement() -> None:
    statement = Improvement(LinearModel(3, 3), 2, registration=Registration(ROWS, 2, 4))
    assert RegistrationTerms.of(statement, policy=POLICY, epoch=7) == terms_of()
    with pytest.raises(PolicyError, match="nothing to register"):
        RegistrationTerms.of(Improvement(LinearModel(3, 3), 2), policy=POLICY, epoch=7)
    with pytest.raises(PolicyError, match="at least four times"):
        Improvement(LinearModel(3, 3), 3, registration=Registration(ROWS, 2, 4))


# -- quantisation ------------------------------------------------------------------------------------


def test_rows_are_quantised_without_the_bias() -> None:
    rows = terms_of().quantise(X, Y, ORDER)
    assert (rows.features == np.rint(X * 127)).all()
    assert (rows.targets == np.identity(3)[Y]).all()
    assert terms_of(2).quantise(X, Y % 2, ORDER).targets.ravel().tolist() == [-1, 1, -1, -1, 1, -1, -1, 1]
    assert terms_of(1).quantise(X, X[:, 0], ORDER).targets.ravel().tolist() == np.rint(X[:, 0] * 127).tolist()


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.where(X == 1, np.nan, X), Y),
        (np.where(X == 1, np.inf, X), Y),
        (X * 1.01, Y),
        (np.full((ROWS, 3), 128), Y),
        (X[:0], Y[:0]),
        (X.ravel(), Y),
        (X, Y[:7]),
        (X, Y[:, None]),
        (X, Y + 1),
        (X, Y - 1),
        (X, Y.astype(float)),
        (X, [None] * ROWS),
        ([["a"] * 3] * ROWS, Y),
    ],
    ids=["NaN", "infinity", "above 1", "128", "empty", "flat", "a label short", "labels in a column", "label 3",
         "label -1", "labels in floats", "no labels", "texts"],
)  # fmt: skip
def test_data_that_are_no_rows_are_refused(features: Any, labels: Any) -> None:
    with pytest.raises(DecodeError, match="rows to register"):
        terms_of().quantise(features, labels, ORDER)


@pytest.mark.parametrize("labels", [np.full(ROWS, np.nan), np.full(ROWS, 1.5), ["a"] * ROWS])
def test_regression_targets_outside_their_range_are_refused(labels: Any) -> None:
    with pytest.raises(DecodeError, match="rows to register"):
        terms_of(1).quantise(X, labels, ORDER)


@pytest.mark.parametrize("count", [7, 9, 1])
def test_fewer_or_more_rows_than_the_policy_asks_for_are_refused(count: int) -> None:
    x, y = np.resize(X, (count, 3)), np.resize(Y, count)
    with pytest.raises(PolicyError, match="exactly 8"):
        terms_of().quantise(x, y, ORDER)


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(PolicyError, match="of 3 features and 3 targets"):
        terms_of().quantise(X[:, :2], Y, ORDER)
    wide = PrivateRows.blind(np.ones((ROWS, 5), np.int64), np.ones((ROWS, 1), np.int64), ORDER)
    with pytest.raises(PolicyError):
        register(prover_of(), terms_of(), rows=wide, signer=SIGNER)


# -- before proving --------------------------------------------------------------------------------


def refused(rows: PrivateRows, classes: int = 3, **bounds: int) -> UnsatisfiedConstraint:
    with pytest.raises(UnsatisfiedConstraint) as caught:
        register(prover_of(classes), terms_of(classes, **bounds), rows=rows, signer=SIGNER)
    return caught.value


@pytest.mark.parametrize("target", [(0, 0, 0), (1, 1, 0), (0, 0, 2), (1, 1, -1)])
def test_targets_of_no_class_are_refused(target: tuple[int, ...]) -> None:
    rows = rows_of()
    rows.targets[5] = target
    error = refused(rows)
    assert (error.constraint, error.position) == ("labels", (5,))


@pytest.mark.parametrize("target", [0, 2, -2])
def test_binary_targets_of_no_class_are_refused(target: int) -> None:
    rows = rows_of(2)
    rows.targets[5] = target
    assert refused(rows, 2).constraint == "labels"


def test_a_histogram_outside_the_bounds_is_refused() -> None:
    assert (refused(rows_of(), least=3).constraint, refused(rows_of(), least=3).position) == ("class-rows-min", (2,))
    assert (refused(rows_of(), most=2).constraint, refused(rows_of(), most=2).position) == ("class-rows-max", (0,))
    assert refused(rows_of(2), 2, least=5, most=8).constraint == "class-rows-min"
    register(prover_of(), terms_of(least=2, most=3), rows=rows_of(), signer=SIGNER)


def test_two_rows_under_one_blinder_are_refused() -> None:
    """Equal commitments: the client's own generator of randomness has failed."""
    rows = rows_of()
    same = PrivateRows(rows.features[[0] * ROWS], rows.targets[[0, 1, 2, 0, 4, 5, 6, 7]], (5,) * ROWS)
    with pytest.raises(DecodeError, match="row commitments are equal"):
        register(prover_of(), terms_of(), rows=same, signer=SIGNER)


def test_a_key_for_another_circuit_is_refused() -> None:
    with pytest.raises(KeyRefused, match="not for the policy's registration"):
        register(prover_of(2), terms_of(), rows=rows_of(), signer=SIGNER)
    with pytest.raises(KeyRefused, match="not for the policy's registration"):
        check_registration(prover_of(2).key.verifying, terms_of(), honest())


@pytest.mark.parametrize("signer", [b"", b"s" * 31, b"s" * 33])
def test_a_client_key_has_32_bytes(signer: bytes) -> None:
    with pytest.raises(DecodeError, match="client key"):
        register(prover_of(), terms_of(), rows=rows_of(), signer=signer)
    with pytest.raises(DecodeError, match="client key"):
        check_registration(prover_of().key.verifying, terms_of(), replace(honest(), signer=signer))


# -- the record ------------------------------------------------------------------------------------


def test_a_record_has_one_encoding() -> None:
    data = honest().encode()
    assert RegistrationRecord.decode(data) == honest()
    for bad in (b"", data[:-1], data + b"\0", data[1:], b"x" + data):
        with pytest.raises(DecodeError):
            RegistrationRecord.decode(bad)
    for bad in (replace(honest(), policy=b"p"), replace(honest(), signer=b""), replace(honest(), proof=bytes(5000))):
        with pytest.raises(DecodeError):
            RegistrationRecord.decode(bad.encode())
    with pytest.raises(LimitExceeded):
        RegistrationRecord.decode(replace(honest(), commitments=bytes(1 << 23)).encode())


def test_the_digest_names_everything_but_the_proof() -> None:
    record = honest()
    others = [
        replace(record, policy=b"q" * 32), replace(record, epoch=8), replace(record, signer=b"t" * 32),
        replace(record, commitments=record.commitments[::-1]),
    ]  # fmt: skip
    assert len({r.digest for r in [record, *others]}) == 5
    assert replace(record, proof=b"").digest == record.digest


def test_a_client_registers_once_and_no_commitment_twice() -> None:
    record = honest()
    check_epoch([record, replace(record, signer=b"t" * 32, commitments=bytes(48))], 48)
    with pytest.raises(Replay, match="registered twice"):
        check_epoch([record, replace(record, commitments=bytes(48))], 48)
    one = record.commitments[48 * 3 : 48 * 4]
    with pytest.raises(Replay, match="rows that are registered already"):
        check_epoch([record, replace(record, signer=b"t" * 32, commitments=bytes(48) + one)], 48)


def test_nothing_secret_is_printed() -> None:
    assert repr(rows_of()) == "PrivateRows(8 rows, values hidden)"
    assert str(rows_of().blinders[0]) not in repr(honest())
