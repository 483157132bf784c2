"""Review: a policy for which no noise exists is refused as a policy, by everybody who reads one.

Such a policy may stand in a transcript that anybody sends; it must not end the check in a crash.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.layers.parties import Cohort
from zkfed.encoding import digest
from zkfed.errors import PolicyError
from zkfed.layers.transcript import Transcript

NO_NOISE = [
    pytest.param({"epsilon": 5e-324}, id="smallest-float"),
    pytest.param({"epsilon": 1e-17}, id="below-the-resolution"),
    pytest.param({"epsilon": 1e-9}, id="tiny"),
    pytest.param({"clip_norm": 2.0**15}, id="wide-clip"),
]


@pytest.mark.parametrize("change", NO_NOISE)
def test_a_policy_without_a_noise_makes_no_agreement(change: Any) -> None:
    agreement = Cohort().agreement
    with pytest.raises(PolicyError, match="no noise fits"):
        replace(agreement, policy=replace(agreement.policy, **change))


@pytest.mark.parametrize("change", NO_NOISE)
def test_a_transcript_with_such_a_policy_is_refused_with_a_type(change: Any, tmp_path: Path) -> None:
    transcript = Cohort().transcript
    transcript.save(tmp_path)
    policy = replace(transcript.agreement.policy, **change).encode()
    index = tmp_path / "index"
    old = digest("zkfed/v1/object", transcript.agreement.policy.encode())
    new = digest("zkfed/v1/object", policy)
    (tmp_path / "objects" / new.hex()).write_bytes(policy)
    index.write_bytes(index.read_bytes().replace(old, new))
    with pytest.raises(PolicyError, match="no noise fits"):
        Transcript.load(tmp_path)
