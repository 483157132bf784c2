"""Review: a transcript of a few megabytes does not make its auditor build a circuit of terabytes.

The verifying key of a huge model is small, and to see whether it belongs to the policy the
auditor builds the policy's circuit: about 7 KB a parameter. The policy below is canonical and
consistent; it names 268 million parameters.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.layers.parties import Cohort
from zkfed.encoding import Writer, digest
from zkfed.errors import LimitExceeded
from zkfed.layers.transcript import Transcript
from zkfed.policy import Improvement, LinearModel
from zkfed.updates.update import encode_ints


@pytest.mark.parametrize(("features", "classes"), [(65536, 4096), (65536, 1), (2048, 1), (1000, 66)])
def test_a_huge_model_is_refused_before_its_circuit_is_built(tmp_path: Path, features: int, classes: int) -> None:
    transcript = Cohort().transcript
    model = LinearModel(features, classes)
    policy = replace(transcript.agreement.policy, statement=Improvement(model, rows=1))
    row = np.zeros(model.inputs, np.int64)
    row[-1] = 127
    rows = Writer("zkfed/v1/benchmark").u64(1).bytes(encode_ints(row)).bytes(bytes(8 * model.outputs)).finish()
    head = transcript._head()
    head.update(policy=policy.encode(), benchmark=rows)
    (tmp_path / "objects").mkdir()
    names = [digest("zkfed/v1/object", data) for data in head.values()]
    for name, data in zip(names, head.values(), strict=True):
        (tmp_path / "objects" / name.hex()).write_bytes(data)
    (tmp_path / "index").write_bytes(Writer("zkfed/v1/transcript").list(names).finish())
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="parameters_max"):
            Transcript.load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_the_limit_is_the_callers(tmp_path: Path) -> None:
    Cohort().transcript.save(tmp_path)  # 4 x 3 weights
    with pytest.raises(LimitExceeded):
        Transcript.load(tmp_path, parameters_max=11)
    assert Transcript.load(tmp_path, parameters_max=12).rounds == []
