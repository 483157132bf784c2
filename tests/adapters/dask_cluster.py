"""A Dask cluster as an operator starts it: a scheduler and workers as processes of their own.

Not `distributed.LocalCluster`: with distributed 2026.8 its end fails with an AssertionError of Dask's
own where a killed worker is just being started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_READY_S = 60.0


@contextlib.contextmanager
def cluster(workers: int, folder: Path) -> Iterator[Any]:
    """Yields a client of that many workers, each a process with a nanny that starts it again when it dies."""
    distributed = pytest.importorskip("distributed", reason="pip install 'zkfed[dask]'")
    folder.mkdir(exist_ok=True)
    where, log = folder / "scheduler.json", folder / "dask.log"
    options = ["--no-dashboard", "--scheduler-file", str(where), "--host", "127.0.0.1"]
    many = ["--nworkers", str(workers), "--nthreads", "1", "--local-directory", str(folder)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(["scheduler", "--port", "0", *options], log))
        started.append(_start(["worker", *options, *many], log))
        give_up = time.monotonic() + _READY_S
        while not where.exists():
            if started[0].poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"no Dask scheduler came up: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        with distributed.Client(scheduler_file=str(where), timeout=_READY_S) as client:
            client.wait_for_workers(workers, timeout=_READY_S)
            yield client
    finally:
        for process in reversed(started):
            _end(process)


def worker_pids(client: Any, workers: int) -> list[int]:
    """Returns the processes of the workers once that many answer; one that was killed has come up again by then."""
    give_up = time.monotonic() + _READY_S
    while time.monotonic() < give_up:
        pids = [pid for pid in client.run(os.getpid, on_error="ignore").values() if isinstance(pid, int)]
        if len(pids) == workers:
            return pids
        time.sleep(0.05)
    pytest.fail(f"{workers} Dask workers did not come up within {_READY_S:.0f} s")


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        program = [sys.executable, "-m", "dask", *command]
        return subprocess.Popen(program, stdout=file, stderr=file, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with its children; what they still have to say interests nobody."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
