"""What many devices would cost the adders: arithmetic from measured unit costs, not a measurement.

    python -m benches.cluster_cost build/bench-raw.json [--devices 1000000] [--cores 64]

reads the `us_per_update` of benches/bench_executors.py. A sum holds at most the policy's max_clients,
so this many devices are many sums, each with its own adders' process that reads and decides.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def unit_costs(report: dict[str, Any]) -> dict[str, float]:
    """Returns microseconds an update by benchmark, such as "test_check[here]"."""
    rows = ((b["name"], b["extra_info"].get("us_per_update")) for b in report["benchmarks"])
    return {name: float(cost) for name, cost in rows if cost is not None}


def core_hours(microseconds: float, devices: int) -> float:
    """Returns core hours for one round of `devices`, at `microseconds` each on one core."""
    return microseconds * devices / 3.6e9


def table(costs: dict[str, float], devices: int, cores: int) -> str:
    """Returns the arithmetic as lines of a table: core hours a round, and minutes on so many cores."""
    parts = {
        "read": costs["test_read"], "check": costs["test_check[here]"], "add": costs["test_add[here]"],
    }  # fmt: skip
    parts["all"] = sum(parts.values())
    lines = [
        f"| work | us an update | core hours, {devices} devices | minutes on {cores} busy cores |",
        "|---|---|---|---|",
    ]
    for name, cost in parts.items():
        hours = core_hours(cost, devices)
        lines.append(f"| {name} | {cost:.0f} | {hours:.2f} | {hours * 60 / cores:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=64)
    asked = parser.parse_args()
    print("Arithmetic from unit costs, not a measurement; every core as fast as the measured one.")
    print(table(unit_costs(json.loads(asked.report.read_text("utf-8"))), asked.devices, asked.cores))


if __name__ == "__main__":
    main()
