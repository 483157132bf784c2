"""Rhythms from times of activity: bins of local time and of sessions; neither time nor zone leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from zkfed.dp.entries import whole_seconds
from zkfed.dp.when import When
from zkfed.errors import PolicyError, shown

__all__ = ["SESSION_GAP_S", "bins_of", "sessions_of"]

SESSION_GAP_S = 1800
"""A pause of more than half an hour ends a session."""
OFFSET_MAX_S = 14 * 3600
DAY_S, HOUR_S = 86400, 3600
THURSDAY = 3
"""The epoch began on a Thursday; weeks begin on Monday."""
_LENGTH_EDGES_S = (300, 900, 1800, 3600, 7200)
_PER_DAY_EDGES = (1, 2, 3, 5, 9)


def sessions_of(times_s: Iterable[float]) -> list[tuple[int, int]]:
    """Returns (start, end) of each session, in order: times without a pause of more than half an hour."""
    out: list[tuple[int, int]] = []
    for time in sorted(map(whole_seconds, times_s)):
        if out and time - out[-1][1] <= SESSION_GAP_S:
            out[-1] = (out[-1][0], time)
        else:
            out.append((time, time))
    return out


def bins_of(query: When, times_s: Iterable[float], *, utc_offset_s: int) -> list[int]:
    """Returns the bins of a rhythm in which a person was active, the most frequent first.

    Args:
        query: One of the rhythms that `When` knows.
        times_s: When the person was active, in seconds since the epoch.
        utc_offset_s: Of the person's clock, in (-14 h, 14 h); it does not leave this function.

    Returns:
        Bin numbers, each once; for sessions the one typical bin (the median).

    Raises:
        PolicyError: No such rhythm or offset.
        TypeError, ValueError: A time is no number of seconds.
    """
    if type(utc_offset_s) is not int or abs(utc_offset_s) > OFFSET_MAX_S:
        raise PolicyError(f"utc_offset_s is {shown(utc_offset_s)}, expected an int within {OFFSET_MAX_S}")
    times = [whole_seconds(t) for t in times_s]
    if not times:
        return []
    if query.name in ("session-length", "sessions-per-day"):
        return [_typical(query, times, utc_offset_s)]
    hours = [(t + utc_offset_s) // HOUR_S + 24 * THURSDAY for t in times]
    found = {
        "hour-of-week": [h % 168 for h in hours],
        "hour-of-day": [h % 24 for h in hours],
        "day-of-week": [h // 24 % 7 for h in hours],
    }.get(query.name)
    if found is None:
        raise PolicyError(f"{query}: a rhythm of your own has bins that only you can tell")
    return [b for b, _ in sorted(Counter(found).items(), key=lambda x: (-x[1], x[0]))]


def _typical(query: When, times: list[int], utc_offset_s: int) -> int:
    sessions = sessions_of(times)
    if query.name == "session-length":
        values = sorted(end - start for start, end in sessions)
        edges: tuple[int, ...] = _LENGTH_EDGES_S
    else:
        per_day = Counter((start + utc_offset_s) // DAY_S for start, _ in sessions)
        days = (max(per_day) - min(per_day)) + 1
        values = sorted([*per_day.values(), *[0] * (days - len(per_day))])
        edges = _PER_DAY_EDGES
    median = values[len(values) // 2]
    return sum(median >= edge for edge in edges)
