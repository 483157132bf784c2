"""Peak memory of this process, for one phase after the other (Linux)."""

from __future__ import annotations

import gc
from pathlib import Path

__all__ = ["now", "peak", "reset_peak"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _field(name: str) -> int:
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) * 1024


def now() -> int:
    """Returns the resident bytes."""
    gc.collect()
    return _field("VmRSS:")


def peak() -> int:
    """Returns the most resident bytes since `reset_peak`."""
    return _field("VmHWM:")


def reset_peak() -> None:
    """Makes `peak` forget what was before."""
    gc.collect()
    _CLEAR.write_text("5")
