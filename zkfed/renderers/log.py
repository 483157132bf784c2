"""Events as records of the standard `logging`, under the logger "zkfed". No record holds a secret.

    logging.basicConfig(level=logging.INFO)
    for event in follow(federation.run(rounds=3), renderer("log")): ...

Each record carries the event's fields as `record.zkfed`, for handlers that write JSON. The library sets no
handler and no level: the host's configuration decides.
"""

from __future__ import annotations

import logging

from zkfed.orchestrator import events
from zkfed.renderers.fields import fields_of
from zkfed.renderers.stream import visible

__all__ = ["LOGGER", "LogRenderer", "level_of"]

LOGGER = logging.getLogger("zkfed")
# Without a handler Python would write warnings to standard error, unasked.
LOGGER.addHandler(logging.NullHandler())
LEVELS: dict[type, int] = {
    events.Progress: logging.DEBUG,
    events.Refused: logging.WARNING,
    events.AttemptFailed: logging.WARNING,
    events.RoundAbandoned: logging.ERROR,
}


def level_of(event: events.Event) -> int:
    """Returns DEBUG for progress, WARNING for what was turned down, ERROR for a lost round, INFO for the rest."""
    return LEVELS.get(type(event), logging.INFO)


class LogRenderer:
    """Turns events into log records.

    Args:
        logger: Where to; None for the logger "zkfed".
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else LOGGER

    def show(self, event: events.Event) -> None:
        """Logs one event; its text is escaped, so that no client writes a line of its own into the log."""
        level = level_of(event)
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", visible(str(event)), extra={"zkfed": fields_of(event)})

    def close(self) -> None:
        """Does nothing."""
