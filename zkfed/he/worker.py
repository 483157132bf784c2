"""A throw-away process in which ciphertexts from outside meet the library.

Framing leaves a sender no byte but coefficients below the modulus, so the library's loader has
nothing to trip over; this process is for the flaw that nobody knows yet. One serves a whole
batch, since starting the library costs about 0.1 s. It gets a public key and ciphertexts over a
pipe, never a secret, and lives under limits that it sets before it reads the first byte:

    memory (address space)    processor time    wall time (the parent ends it)
    no file or socket can be opened any more; no core dump; nothing of the environment

A crash or a broken limit is `SandboxViolation` here, and this process goes on. It is no
system-call filter: run the adders in a container as well. New processes are forbidden too, which
the system does not enforce for root. Windows has no such limits, macOS none on memory; what
remains there are the separate process and the wall time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO

from zkfed.encoding import Reader, Writer, item
from zkfed.errors import (
    CiphertextRefused,
    DecodeError,
    LimitExceeded,
    SandboxUnavailable,
    SandboxViolation,
    ZkfedError,
    excerpt,
)

__all__ = ["Limits", "Receive", "run", "serve"]

Receive = Callable[[], bytes]
"""Reads the next message of the batch, in the worker."""

_READY = b"R"
_MEMORY, _FAILED = "memory", "failed"
_REPLY = "zkfed/v1/worker-reply"
_REPLY_OVERHEAD = 4096
_ERRORS: dict[str, type[ZkfedError]] = {e.code: e for e in (CiphertextRefused, DecodeError, LimitExceeded)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker process may use.

    Attributes:
        memory_bytes: Of address space; Python and the library take about 110 MiB of it.
        cpu_s: Processor seconds, whole.
        wall_s: Seconds until the parent ends it.
    """

    memory_bytes: int
    cpu_s: int
    wall_s: float

    @classmethod
    def for_batch(cls, messages: int, message_bytes: int) -> Limits:
        """Returns limits several times above what adding that many messages takes."""
        megabytes = messages * message_bytes >> 20
        return cls((1 << 30) + 16 * message_bytes, 30 + megabytes // 20, 60.0 + megabytes / 5)


# -- the parent ------------------------------------------------------------------------------------


def run(messages: Iterable[bytes], *, reply_bytes_max: int, limits: Limits, module: str = "zkfed.he.worker") -> bytes:
    """Sends a batch to a new worker process and returns its answer.

    Args:
        messages: What the module's handler receives, in order; read one by one.
        reply_bytes_max: A longer answer is not read.
        limits: See `Limits`.
        module: Run as `python -m module`; it calls `serve`.

    Raises:
        CiphertextRefused, DecodeError: The worker refuses a message.
        SandboxViolation: It crashed, or broke a limit, or answered something else.
        SandboxUnavailable: It could not be started.
    """
    command = [sys.executable, "-P", "-B", "-m", module, str(limits.memory_bytes), str(limits.cpu_s)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=_environment(), start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise SandboxUnavailable(f"the worker process could not be started: {error.strerror}") from None
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _end(process)

    timer = threading.Timer(limits.wall_s, expire)
    timer.daemon = True
    most = reply_bytes_max + _REPLY_OVERHEAD
    with process:
        timer.start()
        try:
            greeting, reply = _converse(process, messages, most)
            if len(reply) < most and greeting in (_READY, b""):
                process.wait()  # its own exit code says more than the signal that ends it
        finally:
            timer.cancel()
            _end(process)
    if expired.is_set():
        raise SandboxViolation(f"the worker process took longer than {limits.wall_s:g} s and was ended")
    if not greeting:
        raise SandboxUnavailable(
            f"the worker process did not start (exit code {process.returncode}): is `tenseal` installed for "
            f"this Python, and are {limits.memory_bytes >> 20} MiB of address space enough?"
        )
    return _payload(reply, process.returncode)


def _environment() -> dict[str, str]:
    """Returns what the worker needs: where modules are, and one thread. No token, no proxy."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _converse(process: subprocess.Popen[bytes], messages: Iterable[bytes], most: int) -> tuple[bytes, bytes]:
    """Returns the worker's first byte, none if it did not come up, and at most `most` bytes of answer."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        return b"", b""
    greeting = stdout.read(1)
    if greeting != _READY:
        return greeting, b""
    # A worker that refuses or dies early closes its end; what it said is still to be read.
    with contextlib.suppress(OSError):
        for message in messages:
            stdin.write(item(message))
    with contextlib.suppress(OSError):
        stdin.close()
    return greeting, stdout.read(most)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a worker and whatever it started, if anything is left of them."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _payload(reply: bytes, exit_code: int) -> bytes:
    if not reply:
        cause = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        raise SandboxViolation(f"the worker process died by {cause} while it read the ciphertexts")
    try:
        r = Reader(reply, _REPLY)
        code, payload = r.text(limit=64), r.bytes()
        r.finish()
    except DecodeError:
        raise SandboxViolation("the worker process answered something else than a result or an error") from None
    if code == "ok":
        return payload
    if code in _ERRORS:
        raise _ERRORS[code](excerpt(payload))
    if code == _MEMORY:
        raise SandboxViolation("the worker process ran out of the memory that it may use")
    raise SandboxViolation("the worker process failed")


# -- the worker ------------------------------------------------------------------------------------


def serve(handle: Callable[[Receive], bytes]) -> None:
    """Runs one batch in a worker process: limits, then messages, then one answer.

    Everything that `handle` needs is imported before: afterwards no file can be opened.

    Args:
        handle: Takes a function that returns the next message; returns the answer.
    """
    answer = os.fdopen(os.dup(1), "wb")
    # The library prints warnings; they must not come between the bytes of the answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(memory_bytes=int(sys.argv[1]), cpu_s=int(sys.argv[2]))
    answer.write(_READY)
    answer.flush()
    code, payload = "ok", b""
    try:
        payload = handle(lambda: _receive(sys.stdin.buffer))
    except ZkfedError as error:
        code, payload = error.code, str(error).encode()
    except MemoryError:
        code = _MEMORY
    except Exception:  # noqa: BLE001 - whatever it is, the parent gets a typed error
        code = _FAILED
    answer.write(Writer(_REPLY).text(code).bytes(payload).finish())
    answer.flush()


def _receive(stream: IO[bytes]) -> bytes:
    size = int.from_bytes(stream.read(4), "big")
    data = stream.read(size)
    if len(data) != size:
        raise DecodeError(f"the batch ends inside a message of {size} bytes")
    return data


def _limit(*, memory_bytes: int, cpu_s: int) -> None:
    """Takes from this process what adding does not need; open pipes go on."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        "RLIMIT_AS": memory_bytes, "RLIMIT_CPU": cpu_s, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": 0,
    }  # fmt: skip
    for name, most in limits.items():
        # Some systems have a limit and refuse to set it; the others still hold.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _main() -> None:
    from zkfed.he import aggregate, loading

    loading.preload()
    serve(aggregate.add_here)


if __name__ == "__main__":
    _main()
