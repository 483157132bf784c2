"""One prover in one process, driven by lines.

A driver is a program with two modes:

    setup CIRCUIT.r1cs KEYS                   makes keys in the folder KEYS, prints {"setup_s": ...}
    serve CIRCUIT.r1cs CIRCUIT.wtns KEYS      stays and answers one JSON object a line:
        (start)   {}                          the runtime is up, nothing is loaded
        load      {"key_bytes", "vk_bytes", "proof_bytes"}    circuit, witness and key are in memory,
                                              one proof was made to warm up, and accepted
        prove     {"prove_s"}                 one proof, made in that time and then accepted
        verify    {"verify_ms"}               the median of 21 verifications of the last proof

A proof that its own verifier does not accept ends the driver with an error, and the row is void.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

__all__ = ["THREADS", "Command", "Failed", "Server", "bind"]

THREADS = 2
THREAD_LIMITS = {"GOMAXPROCS": str(THREADS), "RAYON_NUM_THREADS": str(THREADS), "PEER_THREADS": str(THREADS)}
"""For Go, for Rust's thread pool, for the snarkjs driver; besides, all are bound to two cores."""


class Failed(Exception):
    """A driver ended, or took too long; the text is its last words."""


@dataclass(frozen=True)
class Command:
    """How to start a driver: the program, and what stands in its environment beside ours."""

    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.argv, *map(str, arguments)], env=os.environ | THREAD_LIMITS | self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, *arguments: str | Path, limit_s: float) -> dict[str, Any]:
        """Runs a driver that answers once.

        Raises:
            Failed: It ended with an error or not in time.
        """
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f"took longer than {limit_s:.0f} s") from None
        if process.returncode:
            raise Failed(last_words(err))
        return dict(json.loads(out.strip() or "{}"))


class Server:
    """A driver that serves one circuit; ends with the `with` block."""

    def __init__(self, command: Command, *arguments: str | Path, limit_s: float) -> None:
        self._process = command.start(*arguments)
        self._limit_s = limit_s
        self._read()
        self.rest_mb = self._memory("VmRSS")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, line: str) -> dict[str, Any]:
        """Sends one command.

        Returns:
            The answer; for "prove" also `cpu_s`, the processor time, and `peak_mb`, the highest
            resident memory from the command to the answer (None where there is no /proc).

        Raises:
            Failed: The driver ended, or did not answer in time.
        """
        self._forget_peak()
        before = self._cpu_s()
        try:
            print(line, file=self._process.stdin, flush=True)
        except OSError:
            raise Failed(last_words(self._process.communicate()[1])) from None
        answer = self._read()
        if line == "prove":
            after = self._cpu_s()
            answer["cpu_s"] = None if before is None or after is None else after - before
            answer["peak_mb"] = self._memory("VmHWM")
        return answer

    def _read(self) -> dict[str, Any]:
        # A driver that hangs is killed, which ends the read.
        watch = threading.Timer(self._limit_s, self._process.kill)
        watch.start()
        line = self._process.stdout.readline() if self._process.stdout else ""
        watch.cancel()
        if not line:
            words = last_words(self._process.communicate()[1])
            raise Failed(f"no answer within {self._limit_s:.0f} s" if self._process.returncode == -9 else words)
        return dict(json.loads(line))

    def _memory(self, name: str) -> float | None:
        """Returns VmRSS (now) or VmHWM (peak) in MB of 10^6 bytes."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        return next(int(x.split()[1]) * 1.024e-3 for x in status.splitlines() if x.startswith(name + ":"))

    def _forget_peak(self) -> None:
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="utf-8")

    def _cpu_s(self) -> float | None:
        """Returns the processor time of all threads; children of a driver are not expected."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return None
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def bind() -> list[int]:
    """Binds this process, and all that it will start, to two cores; returns them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:THREADS]
    os.sched_setaffinity(0, cores)
    return cores


def last_words(text: str) -> str:
    """Returns the end of what a program said, on one line."""
    return " ".join(text.split())[-300:] or "it ended without a word"
