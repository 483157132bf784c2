"""How much memory a step takes at its peak, in a process whose earlier peak may have been higher.

Not `ru_maxrss`: it never sinks, and a new process begins with its parent's. What is measured against it after a
large test, or in a child of a large process, cannot fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from benches.memory import now, peak, reset_peak


@contextlib.contextmanager
def at_most(limit_bytes: int) -> Iterator[None]:
    """Fails a test whose step has more resident bytes at its peak than at its start, by that many."""
    try:
        reset_peak()
        before = now()
    except OSError as fault:
        pytest.skip(f"this system does not forget a peak of memory: {fault}")
    yield
    grown = peak() - before
    assert grown < limit_bytes, f"{grown >> 20} MiB more than at the start, expected less than {limit_bytes >> 20}"
