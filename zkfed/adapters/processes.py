"""Works of zkfed in this process, and in other processes of this machine."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Self

from zkfed.errors import TransportError
from zkfed.orchestrator.works import perform

__all__ = ["ProcessExecutor", "SerialExecutor"]


class SerialExecutor:
    """Does every work here, one after the other."""

    def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the answers; see `zkfed.ports.Executor`."""
        return (perform(work, payload) for payload in payloads)


class ProcessExecutor:
    """Fresh interpreters of this machine; the default of whoever wants more than one core.

    Args:
        workers: Processes; None takes one for each CPU.
        retries: How often in one call the pool is made anew after a process was lost.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, workers: int | None = None, *, retries: int = 2) -> None:
        self._workers = os.cpu_count() or 1 if workers is None else workers
        if self._workers < 1 or retries < 0:
            raise ValueError(f"{workers} workers and {retries} retries, expected at least 1 and 0")
        self._retries = retries
        self._pool: ProcessPoolExecutor | None = None
        self._closes = 0
        self._lock = threading.Lock()  # of `_pool`: devices in threads share one executor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes, and calls that still run; a later call starts new ones."""
        with self._lock:
            pool, self._pool, self._closes = self._pool, None, self._closes + 1
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the answers; see `zkfed.ports.Executor`.

        Raises:
            TransportError: Processes were lost more than `retries` times, or the executor was closed meanwhile.
        """
        source, lost, closes = iter(payloads), 0, self._closes
        waiting = deque[tuple[bytes, "Future[bytes] | None"]]()
        while True:
            # A few ahead of what runs: the memory of payloads is bounded.
            while len(waiting) < 2 * self._workers and (payload := next(source, None)) is not None:
                waiting.append((payload, None))
            if not waiting:
                return
            if self._closes != closes:
                raise TransportError(f"the executor was closed during {work!r}")  # nobody would end a new pool
            pool = self._started()
            try:
                for place, (payload, future) in enumerate(waiting):
                    if future is None:
                        waiting[place] = payload, _submit(pool, work, payload)
                first = waiting[0][1]
                answer = first.result() if first is not None else b""
            except (BrokenProcessPool, CancelledError):
                lost += 1
                self._discard(pool)
                if lost > self._retries:
                    raise TransportError(
                        f"worker processes were lost {lost} times during {work!r}; see whether memory ran out"
                    ) from None
                # What was answered before the loss stays; the rest is done again.
                waiting = deque((p, f if f is not None and _is_answered(f) else None) for p, f in waiting)
                continue
            waiting.popleft()
            yield answer

    def _started(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))
            return self._pool

    def _discard(self, broken: ProcessPoolExecutor) -> None:
        """Ends a pool that lost a process, unless another thread has put a new one in its place."""
        with self._lock:
            if self._pool is not broken:
                return
            self._pool = None
        with contextlib.suppress(OSError):  # it may close its own pipes at this moment
            broken.shutdown(wait=True, cancel_futures=True)


def _is_answered(future: Future[bytes]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _submit(pool: ProcessPoolExecutor, work: str, payload: bytes) -> Future[bytes]:
    try:
        return pool.submit(perform, work, payload)
    except (OSError, RuntimeError):
        # A pool that breaks while another thread submits fails with whatever was closed first.
        raise BrokenProcessPool("the pool broke or was shut down") from None
