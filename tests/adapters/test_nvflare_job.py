"""Shows that an NVFlare job releases what `LocalFederation` does; no site gets round its proof or ends the job."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvflare", reason="pip install 'zkfed[nvflare]'")

from tests.adapters.test_nvflare import policy_once
from tests.layers.parties import ROWS, proving_keys
from zkfed import LocalFederation, check_release
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.kit import write_kit
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.synthetic import synthetic_cohort

ROOT = Path(__file__).resolve().parents[2]
JOB_S_MAX = 240


def simulated(folder: Path) -> Path:
    """Runs the tests' job and returns the server's folder of it.

    NVFlare's simulator looks for free ports and binds them later: where another process was faster, a site is
    lost, and the job waits for it. This is seen in its log, and the job started anew.
    """
    command, out = [sys.executable, "-m", "tests.adapters.nvflare_job", str(folder)], folder / "out.txt"
    server, give_up = folder / "work" / "zkfed-test" / "server", time.monotonic() + JOB_S_MAX
    while time.monotonic() < give_up:
        shutil.rmtree(folder / "work", ignore_errors=True)
        with out.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
        try:
            while process.poll() is None and time.monotonic() < give_up and not _has_lost_a_site(server):
                time.sleep(0.2)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode == 0:
            return server / "simulate_job"
        if not _has_lost_a_site(server):
            break
    pytest.fail(out.read_text()[-6000:])


def _has_lost_a_site(server: Path) -> bool:
    log = server / "log.txt"
    return log.exists() and "Communication error with client" in log.read_text()


def test_a_job_in_the_simulator(tmp_path: Path) -> None:
    """Two honest sites; a forged proof, no DXO, NaN, plain weights, a failure are refused, and the job ends well."""
    policy = policy_once()
    shards, benchmark = synthetic_cohort(policy.model, 7, ROWS)
    write_kit(tmp_path / "kit", policy, proving_keys(), benchmark=benchmark)
    for number, shard in enumerate(shards, 1):
        np.savez(tmp_path / f"site-{number}.npz", x=shard.features, y=shard.labels)
    run = simulated(tmp_path)
    log = (run.parent / "log.txt").read_text()
    for site, code in ((3, "proof-invalid"), (4, "no-answer"), (5, "decode"), (6, "decode"), (7, "host-failed")):
        assert re.search(rf"zkfed: site-{site}: round 1: .*refused \({code}\)", log), (site, log[-3000:])
    assert "site-6 refused, decode: a result without a proof" in log
    assert "released the sum of 2 updates, 5 refused" in log
    transcript = Transcript.load(run / "zkfed")
    check_release(transcript)

    local = LocalFederation(policy, shards[:2], benchmark=benchmark, options=Options(keys=proving_keys(), exchanges=1))
    assert any(isinstance(event, Released) for event in local.run(1))
    # Both sums carry noise of their own: their difference has twice its variance. 8 sigma in no entry of twelve.
    sigma = local.agreement.noise_scale.sigma / (1 << policy.model.fraction_bits) / 2
    released = np.load(run / "models" / "server.npy")
    assert np.abs(released - local.model).max() < 8 * 2**0.5 * sigma
    assert np.allclose(released, list(transcript.models())[-1] / (1 << policy.model.fraction_bits))
    assert released.any()
    # The package that proves is the site's own: the job brought no copy of it.
    assert not list(tmp_path.glob("work/**/custom/zkfed"))
