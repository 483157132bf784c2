"""Adders and key holder in one process, devices in another, and between them a folder of files.

Nothing else is shared, so all that a party needs has to be in the bytes: both processes come to the same
model and to the same record, which a third one, this, checks. So do those of a statistic (S4).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.layers.counts import count_keys, count_policy
from tests.layers.parties import ROWS, make_policy, proving_keys
from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.layers.agreement import Agreement
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import RoundRecord, Transcript
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.statements.improvement import Benchmark
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import model_digest

DEVICES, ROUNDS = 3, 2


def set_up(setup: Path, kind: str) -> Transcript:
    """Writes what both processes know, and to each its own signing seeds."""
    seeds = [secrets.token_bytes(32) for _ in range(DEVICES + 2)]
    keys = [SigningKey(s).public for s in seeds]
    if kind == "S4":
        policy, (improvement, noise) = count_policy(), count_keys()
        benchmark = Benchmark.none(policy.model)
    else:
        policy, (improvement, noise) = make_policy(), proving_keys()
        benchmark = Benchmark.of(policy.model, *synthetic_cohort(policy.model, DEVICES, ROWS)[1])
    agreement = Agreement(
        policy.pinned(adder_key=keys[0], holder_key=keys[1]),
        benchmark,
        tuple(sorted(keys[2:])),
        improvement.verifying,
        noise.verifying,
    )
    transcript = Transcript(agreement, np.zeros(policy.model.shape, np.int64))
    transcript.save(setup / "public")
    improvement.save(setup / "improvement")
    noise.save(setup / "noise")
    (setup / "centre").write_bytes(b"".join(seeds[:2]))
    (setup / "devices").write_bytes(b"".join(seeds[2:]))
    return transcript


@pytest.mark.parametrize("kind", ["S2", "S4"])
def test_two_processes_over_a_drop_folder(kind: str, tmp_path: Path) -> None:
    transcript = set_up(tmp_path, kind)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.layers.two_processes", role, tmp_path, tmp_path / "drop", str(ROUNDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for role in ("centre", "devices")
    ]
    done = [p.communicate(timeout=120) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], [err for _, err in done]
    last = [out.splitlines()[-1] for out, _ in done]
    assert last[0] == last[1]
    model, record = last[0].split()
    assert len(model) == len(record) == 64
    # A third party reads the records from the folder and comes to the same.
    drop = FilesystemTransport(tmp_path / "drop")
    for number in range(1, ROUNDS + 1):
        transcript.rounds.append(RoundRecord.decode(drop.fetch(f"round-{number}/record")[0]))
    check_release(transcript)
    assert transcript.rounds[-1].digest.hex() == record
    assert model_digest(list(transcript.models())[-1]).hex() == model
    # A round moves the model, a statistic none.
    assert (model != model_digest(transcript.base).hex()) == (kind == "S2")
    # The journal of the key holder names one decryption a round.
    assert len((tmp_path / "journal").read_text().split()) == ROUNDS
