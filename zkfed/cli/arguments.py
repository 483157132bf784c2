"""What options may be, checked before anything is begun."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path

from zkfed.errors import StoreFault

__all__ = ["make_folder", "seconds", "whole"]


def whole(least: int, most: int) -> Callable[[str], int]:
    """Returns a reader of whole numbers within bounds, for argparse."""

    def read(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}")
        return found

    return read


def seconds(text: str) -> float:
    """Returns a duration of at most a year, for argparse."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 366 * 86400:  # NaN is not
        raise argparse.ArgumentTypeError("expected seconds, 0 or more")
    return found


def make_folder(path: Path | None) -> None:
    """Makes a folder for what a command will write, if it is given and not there: early, not after hours of work.

    Raises:
        StoreFault: It cannot be made or written.
    """
    if path is None:
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFault(f"the folder {path.name} cannot be made: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreFault(f"the folder {path.name} cannot be written: Permission denied")
