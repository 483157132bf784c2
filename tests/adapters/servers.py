"""Real brokers on loopback, started and stopped by tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGES = {"nats-server": "nats-server", "mosquitto": "mosquitto"}


def binary(name: str) -> str:
    """Returns where a server is, or skips the test; where servers are required, fails it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        text = f"{name} is not installed: apt-get install {_PACKAGES[name]}"
        (pytest.fail if os.environ.get("ZKFED_SERVERS") == "required" else pytest.skip)(text)
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """One server process that can go down and come up again on the same port, with what it stored."""

    def __init__(self, name: str, folder: Path, config: str) -> None:
        self.port = free_port()
        self.folder = folder
        file = folder / f"{name}.conf"
        file.write_text(config.replace("@PORT@", str(self.port)).replace("@FOLDER@", str(folder)))
        self._command = [binary(name), "-c", str(file)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        give_up = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                pytest.fail((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextlib.contextmanager
def running(name: str, folder: Path, config: str) -> Iterator[Broker]:
    """Runs a server; @PORT@ and @FOLDER@ in its configuration are filled in."""
    folder.mkdir(exist_ok=True)
    broker = Broker(name, folder, config)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


NATS = 'listen: "127.0.0.1:@PORT@"\njetstream { store_dir: "@FOLDER@/store" }\n'
MOSQUITTO = (
    "listener @PORT@ 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
    "persistence true\npersistence_location @FOLDER@/\nautosave_interval 10\nuser root\n"
)
