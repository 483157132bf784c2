"""Turns pytest-benchmark's JSON into build/bench.json: medians, targets, ratios to peers.

python -m benches.summary build/bench-raw.json build/bench.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Issue "One federated round on real data", section Reach; seconds, bytes, constraints.
TARGETS = {
    "prove_s": 1.5, "verify_s": 0.015, "proof_bytes": 500, "constraints": 5000, "seal_s": 2.0, "check_s": 0.020,
    "opening_check_s": 0.060, "import_s": 0.3, "build_and_witness_share": 0.25,
}  # fmt: skip
# Issue "Every statement", section Reach: seconds, bytes, and 1.1 times the rows of design/proving.md's table.
STATEMENT_TARGETS: dict[str, dict[str, float]] = {
    "logistic d=30 n=100, log-loss": {"prove_s": 0.3, "constraints": 3162 * 1.1},
    "softmax 64x10 n=200, squared": {"prove_s": 0.8, "constraints": 15544 * 1.1},
    "softmax 64x10 n=200, cross-entropy": {"constraints": 49994 * 1.1},
    "MLP 64-32-10 n=200, squared": {"constraints": 105796 * 1.1},
    "MLP 784-128-10 n=100, squared": {
        "prove_s": 12.0, "verify_s": 0.015, "peak_bytes": 2e9, "constraints": 581004 * 1.1,
    },
    "registration of 1,000 rows, d=64": {"prove_s": 5.0},
}  # fmt: skip
# Issue "Cohort statistics", section Reach: seconds; of half-widths, the largest |measured / printed - 1|.
STATISTIC_TARGETS = {
    "histogram_s": 0.5, "thousand_releases_s": 5.0, "half_width_error": 0.05, "encrypted_histogram_s": 20.0,
}  # fmt: skip
# Issue "Hosts and transports", section Reach: a round over a host beside memory; seconds beside 1,000 idle connections.
HOST_TARGETS = {"http_ratio": 1.3, "nats_ratio": 1.3, "mqtt_ratio": 1.3, "flower_ratio": 1.5, "beside_idle_s": 2.0}
HOST_TARGETS_LEAST = {"uploads_per_s": 50.0}
RATIOS = {
    "msm 4096 full, ours / bare wheel": ("test_msm_4096_zkfed[full]", "test_msm_4096_bare_wheel[full]"),
    "msm 4096 16-bit, ours / bare wheel": ("test_msm_4096_zkfed[16-bit]", "test_msm_4096_bare_wheel[16-bit]"),
    "msm 4096 signed, ours / bare wheel": (
        "test_msm_4096_zkfed[signed-16-bit]", "test_msm_4096_bare_wheel[signed-16-bit]",
    ),
}  # fmt: skip


def statements(medians: dict[str, float], info: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns what was measured of each statement about registered rows (benches/bench_statements.py)."""
    out: dict[str, dict[str, float]] = {}
    for test, median in medians.items():
        if test.startswith("test_prove_own["):
            name = test.removeprefix("test_prove_own[").removesuffix("]")
            out[name] = {"prove_s": median, "verify_s": medians[f"test_verify_own[{name}]"], **info[test]}
            out[name]["build_circuit_s"] = medians[f"test_build_own_circuit[{name}]"]
            out[name]["proof_bytes"] = info[f"test_verify_own[{name}]"]["proof_bytes"]
    registration = "test_register_1000_rows_of_64_features"
    if registration in medians:
        out["registration of 1,000 rows, d=64"] = {"prove_s": medians[registration], **info[registration]}
    return out


def hosts(medians: dict[str, float], info: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Returns what hosts cost beside memory (benches/bench_hosts.py)."""
    memory = medians.get("test_round_over[memory]")
    if memory is None:
        return {}
    out = {"memory_s": memory}
    rounds = {host: f"test_round_over[{host}]" for host in ("http", "nats", "mqtt")} | {
        "http_holder_apart": "test_round_over_http_with_the_key_holder_apart",
        "flower": "test_round_over_flower",
    }
    for host, test in rounds.items():
        if test in medians:
            out[f"{host}_s"] = medians[test]
            out[f"{host}_ratio"] = medians[test] / memory
    upload = "test_sealed_updates_a_second_into_an_http_node"
    if upload in medians:
        out["uploads_per_s"] = info[upload]["uploads"] / medians[upload]
    if "test_fetch_beside_a_thousand_idle_connections" in medians:
        out["beside_idle_s"] = medians["test_fetch_beside_a_thousand_idle_connections"]
    return out


def statistics(medians: dict[str, float], info: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns what was measured of cohort statistics (benches/bench_statistics.py)."""
    if "test_histogram" not in medians:
        return {}
    widths = {
        test.removeprefix("test_half_width[").removesuffix("]"): info[test]["quantile_over_half_width"]
        for test in medians
        if test.startswith("test_half_width[")
    }
    return {
        "histogram_s": medians["test_histogram"],
        "histogram_of_known_people_s": medians["test_histogram_again"],
        "thousand_releases_s": medians["test_thousand_releases"],
        "half_width_error": max(abs(ratio - 1) for ratio in widths.values()),
        "quantile_over_half_width": widths,
        **info.get("test_encrypted_histogram", {}),
    }


def summarise(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns medians by name, the named figures beside their targets, and the ratios."""
    medians = {b["name"]: b["stats"]["median"] for b in raw["benchmarks"]}
    info = {b["name"]: b.get("extra_info", {}) for b in raw["benchmarks"]}
    prove = medians["test_prove"]
    figures = {
        "prove_s": prove,
        "verify_s": medians["test_verify"],
        "proof_bytes": info["test_prove"]["proof_bytes"],
        "constraints": info["test_prove"]["constraints"],
        "seal_s": medians["test_seal"],
        "check_s": medians["test_check"],
        "opening_check_s": medians["test_opening_check"],
        "import_s": info["test_import"]["import_s"],
        "build_and_witness_share": (medians["test_build_circuit"] + medians["test_witness"]) / prove,
        "verify_one_in_a_batch_of_20_s": medians["test_verify_batch_of_20"] / 20,
        "setup_s": medians["test_setup"],
        "sealed_bytes": info["test_seal"]["sealed_bytes"],
    }
    return {
        "machine": {k: raw["machine_info"].get(k) for k in ("cpu", "machine", "python_version", "system")},
        "figures": figures,
        "targets": TARGETS,
        "statements": statements(medians, info),
        "statement_targets": STATEMENT_TARGETS,
        "statistics": statistics(medians, info),
        "statistic_targets": STATISTIC_TARGETS,
        "hosts": hosts(medians, info),
        "host_targets": HOST_TARGETS | HOST_TARGETS_LEAST,
        "ratios": {name: medians[a] / medians[b] for name, (a, b) in RATIOS.items() if a in medians and b in medians},
        "medians_s": medians,
    }


def main(source: str, target: str) -> None:
    """Writes the summary and prints it."""
    summary = summarise(json.loads(Path(source).read_text()))
    Path(target).write_text(json.dumps(summary, indent=2) + "\n")
    for name, value in summary["figures"].items():
        limit = TARGETS.get(name)
        verdict = "" if limit is None else f"   target {limit:g}   {'met' if value <= limit else 'MISSED'}"
        print(f"{name:32} {value:12.4g}{verdict}")
    for name, figures in summary["statements"].items():
        for what, limit in STATEMENT_TARGETS.get(name, {}).items():
            verdict = "met" if figures[what] <= limit else "MISSED"
            print(f"{name:36} {what:12} {figures[what]:12.4g}   target {limit:g}   {verdict}")
    for name, value in summary["statistics"].items():
        if name in STATISTIC_TARGETS:
            limit = STATISTIC_TARGETS[name]
            print(f"{name:32} {value:12.4g}   target {limit:g}   {'met' if value <= limit else 'MISSED'}")
    for name, value in summary["hosts"].items():
        limit, least = HOST_TARGETS.get(name), HOST_TARGETS_LEAST.get(name)
        if limit is not None or least is not None:
            is_met = value <= limit if limit is not None else value >= (least or 0)
            print(f"{name:32} {value:12.4g}   target {limit or least:g}   {'met' if is_met else 'MISSED'}")
    for name, value in summary["ratios"].items():
        print(f"{name:40} {value:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
