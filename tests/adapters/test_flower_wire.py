"""Shows that `flwr run` releases a model over real SuperLink and SuperNodes on loopback, whatever a node sends."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")
pytest.importorskip("sklearn", reason="pip install scikit-learn")

from tests.adapters.servers import free_port
from tests.layers.parties import make_policy, proving_keys
from zkfed import check_release
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.kit import write_kit
from zkfed.orchestrator.synthetic import synthetic_cohort

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not importlib.metadata.version("flwr").startswith("1.42."), reason="the options are those of flwr 1.42"
    ),
]

ROOT = Path(__file__).resolve().parents[2]
RUN_S_MAX = 300
BIN = Path(sys.executable).parent


def environment(home: Path, kit: Path) -> dict[str, str]:
    """Returns what the processes inherit: the kit's folder and this checkout, and no word to the internet."""
    own = {
        "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
        "ZKFED_KIT": str(kit), "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    return {**os.environ, **own}


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(log.read_text()[-2000:])
        time.sleep(0.1)


@contextlib.contextmanager
def federation(folder: Path, kit: Path, nodes: Sequence[str]) -> Iterator[dict[str, str]]:
    """Runs a SuperLink, and a SuperNode for each `--node-config`; yields the environment for `flwr run APP here`."""
    home = folder / "home"
    home.mkdir()
    env, port = environment(home, kit), free_port()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    link = ["flower-superlink", "--insecure", "--disable-runtime-dependency-installation", "--port", str(port)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(link, env, folder / "link.log"))
        wait_for(port, started[0], folder / "link.log")
        for number, config in enumerate(nodes):
            own = ["--port", str(free_port()), "--node-config", config]
            node = ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}", *own]
            started.append(_start(node, env, folder / f"node-{number}.log"))
        yield env
    finally:
        for process in reversed(started):  # with what it started itself, which may sleep
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(2)


def _start(command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        program = [str(BIN / command[0]), *command[1:]]
        return subprocess.Popen(program, env=env, stdout=file, stderr=file, start_new_session=True)


def flwr_run(app: Path, env: dict[str, str], *options: str) -> str:
    """Returns what `flwr run --stream` shows until the run is over."""
    command = [str(BIN / "flwr"), "run", str(app), "here", "--stream", *options]
    done = subprocess.run(command, env=env, timeout=RUN_S_MAX, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_example_as_it_is(tmp_path: Path) -> None:
    """Two nodes are released; one whose training fails and one whose host agreed to another policy are refused."""
    kit, app = tmp_path / "kit", tmp_path / "app"
    shutil.copytree(ROOT / "examples" / "flower_app", app)
    subprocess.run([sys.executable, str(app / "task.py")], env=environment(tmp_path, kit), check=True)
    write_kit(tmp_path / "other", make_policy(), proving_keys())
    nodes = ["partition-id=0", "partition-id=1", "other=1", f'partition-id=3 zkfed-kit="{tmp_path / "other"}"']
    with federation(tmp_path, kit, nodes) as env:
        said = flwr_run(app, env, "--run-config", "num-server-rounds=1")
    assert "'accepted': 2, 'refused': 2" in said, said
    transcript = Transcript.load(kit / "record")
    check_release(transcript)
    assert np.load(kit / "model.npy").any()


def test_nodes_that_cheat(tmp_path: Path) -> None:
    """A model without a proof, silence, a reply that is announced and not uploaded: refused, and two are released."""
    kit = tmp_path / "kit"
    policy = make_policy(attempts=1, epsilon=60.0, epsilon_max=1000.0)
    write_kit(kit, policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, 20)[1])
    ways = ["", "", "plain", "silent", "withheld"]
    with federation(tmp_path, kit, [f'partition-id={n} way="{way}"' for n, way in enumerate(ways)]) as env:
        said = flwr_run(ROOT / "tests" / "adapters" / "flower_wire", env)
    assert "accepted 2 refused 3, the transcript holds" in said, said
    for reason in ("records arrays, metrics", "no-answer"):
        assert reason in said, said
