"""Runs the example of a perceptron on private rows, with few units and rows: registration to verdict."""

from __future__ import annotations

import pytest

from examples.private_mlp import main, statement_of
from zkfed.statements.evaluation import evaluation_circuit


def test_the_example_proves_and_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--hidden", "4", "--rows", "10"]) == 0
    said = capsys.readouterr().out
    assert "registering 40 rows" in said
    assert "the cross-entropy loss on 10 rows, drawn from 40 registered ones, falls by at least 10 %" in said


def test_the_example_is_of_the_stated_size() -> None:
    statement = statement_of(128, 100)
    assert statement.model.parameters == 101_770
    # Below 2^19: the next domain would cost twice the transforms.
    assert 400_000 < evaluation_circuit(statement, "S1").constraint_count < 1 << 19
