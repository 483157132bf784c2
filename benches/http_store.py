"""An HTTP node in a process of its own, for benches/bench_hosts.py: `python -m benches.http_store` prints its URL."""

from __future__ import annotations

import sys

from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport

if __name__ == "__main__":
    with serving(HttpNode(MemoryTransport(), may_write=lambda channel, key: True)) as url:
        print(url, flush=True)
        sys.stdin.read()  # until the bench closes it
