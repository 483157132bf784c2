"""Other differential-privacy libraries beside ours, for the same questions: `make bench-statistics`.

    library_*.py    how each library's documentation tells to ask: a histogram, unknown labels, a sum
    probes.py       what a careless caller does to it, as programs whose outcome is recorded
    measure.py      error at equal epsilon, and time
    install.py      a virtual environment for each peer, or why it is absent
    table.py        the result as JSON and as the tables in docs/benchmarks.md

Every library runs in an interpreter of its own. Nothing here is part of the package.
"""
