"""`python -m zkfed` is the command `zkfed`; see zkfed/cli."""

from __future__ import annotations

import sys

from zkfed.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
