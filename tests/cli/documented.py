"""What the page on the command line says about the data of each command."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "command-line.md"


def fields_of(command: str) -> set[str]:
    """Returns the names in the row of a command, such as "keys sign"."""
    (row,) = re.findall(rf"^\| `{command}` \| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row))
