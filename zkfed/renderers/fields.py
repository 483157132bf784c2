"""What an event holds, under names that stay the same across versions.

{"event": "refused", "round": 1, "client": "ab12...", "is_accepted": false, "code": "decode", ...}
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from zkfed.orchestrator.events import Event
from zkfed.updates.update import Verdict

__all__ = ["SCHEMA_VERSION", "fields_of", "kind_of_event"]

SCHEMA_VERSION = 1
"""Rises if a field changes its meaning or goes; new fields and new events may come without that."""
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def kind_of_event(event: Event) -> str:
    """Returns the stable name of an event, such as "round-started"."""
    return _WORD.sub("-", type(event).__name__).lower()


def fields_of(event: Event) -> dict[str, Any]:
    """Returns an event's name and fields as plain JSON values.

    A verdict's fields stand beside the others. A value of a type that is not known here is told by the
    name of its type alone: an event of somebody else's may hold anything. NaN and infinity become None.
    """
    out: dict[str, Any] = {"event": kind_of_event(event)}
    for entry in fields(event):
        value = getattr(event, entry.name)
        if isinstance(value, Verdict):
            out |= {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        else:
            out[entry.name] = _plain(value)
    return out


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return type(value).__name__
