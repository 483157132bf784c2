"""Works of zkfed on a Dask cluster.

Dask's own messages are pickled: whoever can reach its scheduler runs code on the workers and here.
Its ports belong into a network of the adders alone, with TLS, and devices never reach them.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from zkfed.errors import TransportError, ZkfedError
from zkfed.orchestrator.works import perform

try:
    import distributed
except ImportError:
    raise TransportError("the Dask adapter needs distributed: pip install 'zkfed[dask]'") from None

__all__ = ["DaskExecutor"]


class DaskExecutor:
    """Workers of a `distributed.Client` that the host has opened, and closes.

    A batch whose worker is lost is given to another one by the scheduler, as often as its setting
    `distributed.scheduler.allowed-failures` says.

    Args:
        client: Connected, synchronous.
        ahead: Batches that are with the cluster at a time; bounds memory here and there.
        timeout_s: How long one batch may take, with its repetitions.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(self, client: Any, *, ahead: int = 16, timeout_s: float = 600.0) -> None:
        if ahead < 1 or timeout_s <= 0:
            raise ValueError(f"{ahead} batches ahead and {timeout_s} s, expected at least 1 and more than 0")
        self._client, self._ahead, self._timeout_s = client, ahead, timeout_s

    def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the answers; see `zkfed.ports.Executor`.

        Raises:
            TransportError: A batch lost more workers than the cluster allows, took too long, or the
                cluster cannot be reached.
        """
        source, call, number = iter(payloads), uuid.uuid4().hex, 0
        waiting = deque[Any]()
        try:
            while True:
                while len(waiting) < self._ahead and (payload := next(source, None)) is not None:
                    # A name of its own for each batch: a cluster answers a name that it knows from memory.
                    key = f"zkfed-{work}-{call}-{number}"
                    waiting.append(self._guarded(self._client.submit, perform, work, payload, key=key, pure=False))
                    number += 1
                if not waiting:
                    return
                answer = self._guarded(waiting[0].result, timeout=self._timeout_s)
                waiting.popleft().release()
                if not isinstance(answer, bytes):
                    raise TransportError(f"the cluster answered a {type(answer).__name__}, expected bytes")
                yield answer
        finally:
            for future in waiting:
                future.release()

    def _guarded(self, call: Any, *args: Any, **options: Any) -> Any:
        try:
            return call(*args, **options)
        except ZkfedError:
            raise
        except distributed.KilledWorker:
            raise TransportError("a batch lost more workers than the cluster allows; see its workers' logs") from None
        except Exception as error:  # noqa: BLE001 - a cluster raises whatever its workers raised
            raise TransportError(f"the Dask cluster failed with {type(error).__name__}") from None
