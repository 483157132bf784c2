"""Fits, plots and tabulates what benches/scaling.py measured."""

from __future__ import annotations

import json
import math
import statistics
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benches.peers.table import machine

__all__ = ["between_markers", "load", "pippenger", "plot", "save", "section", "slope", "write"]

Row = dict[str, Any]
BEGIN, END = "<!-- scaling:begin -->", "<!-- scaling:end -->"
TITLE = "## How it grows"
ABOUT = """Written by `make bench-scaling`; the figure of `System.estimate` stands in brackets beside
what was measured. Setup is one run, a proof the median of 5 (of 2 from 2^17 on), a verification of 21; CPU seconds are
those of all threads, and say more than wall time where neighbours compute. *dense* is a chain of squarings,
*mixed* has nine rows of bits in ten (benches/synthetic.py); *improvement* is our own statement (features x
outputs, benchmark rows), with its witness program and its sketches of public data. Memory is the peak of the
process above its size after the imports, for a proof with the key in it."""
STEP = (64, 640)
"""Features of the two improvement circuits of which one is 10 times the other."""
KINDS = {"dense": "tab:blue", "mixed": "tab:orange", "improvement": "tab:green"}


def save(rows: list[Row], root: Path) -> None:
    """Writes build/scaling.json."""
    (root / "build").mkdir(exist_ok=True)
    (root / "build" / "scaling.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def load(root: Path) -> list[Row]:
    """Reads build/scaling.json."""
    rows: list[Row] = json.loads((root / "build" / "scaling.json").read_text("utf-8"))
    return rows


def write(rows: list[Row], root: Path) -> None:
    """Writes docs/scaling.png and the section of docs/benchmarks.md."""
    plot(rows, root / "docs" / "scaling.png")
    page = root / "docs" / "benchmarks.md"
    text = page.read_text("utf-8") if page.exists() else "# Benchmarks\n"
    page.write_text(between_markers(text, section(rows)), "utf-8")


def slope(sizes: list[float], values: list[float]) -> float:
    """Returns the exponent s of the least-squares line values = c sizes^s in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def pippenger(constraints: float) -> float:
    """Returns n / log n, by which a sum over n points grows."""
    return constraints / math.log2(constraints)


def between_markers(document: str, text: str) -> str:
    """Returns the document with the text between the markers; adds them at the end if they are missing."""
    if BEGIN not in document:
        document = document.rstrip() + f"\n\n{TITLE}\n\n{BEGIN}\n{END}\n"
    head, _, rest = document.partition(BEGIN)
    return f"{head}{BEGIN}\n{text}{END}{rest.partition(END)[2]}"


# -- the table ---------------------------------------------------------------------------------------


def section(rows: list[Row]) -> str:
    """Returns the text between the markers."""
    first = rows[0]
    where = f"{machine()} {first['curve']}, {first['backend']} backend, {first['threads']} threads."
    columns = ("constraints", "setup s", "CPU s", "prove s", "CPU s", "verify ms", "setup MB", "prove MB", "key MB")
    lines = [
        textwrap.fill(f"{where} {ABOUT} {_share_of_machine(rows)}", 110),
        "",
        "![time, memory and key size against constraints](scaling.png)",
        "",
    ]
    lines += ["| circuit | " + " | ".join([*columns, "open s"]) + " |", "|---" + "|--:" * (len(columns) + 1) + "|"]
    lines += [_line(r) for kind in KINDS for r in _series(rows, kind)]
    lines += ["", *_growth(rows), "", *_ten_times(rows), "", *_accuracy(rows)]
    return "\n".join(lines) + "\n"


def _share_of_machine(rows: list[Row]) -> str:
    """Says how much of the machine this run had: CPU time of proofs over threads times wall time."""
    share = statistics.median(r["prove_cpu_s"] / (r["threads"] * r["prove_s"]) for r in rows)
    return f"In this run proofs had {share:.0%} of {rows[0]['threads']} threads; neighbours had the rest."


def _line(r: Row) -> str:
    p = r["predicted"]
    pairs = [
        (r["setup_s"], p["setup_s"], ".2f"), (r["setup_cpu_s"], p["setup_cpu_s"], ".2f"),
        (r["prove_s"], p["prove_s"], ".2f"), (r["prove_cpu_s"], p["prove_cpu_s"], ".2f"),
        (r["verify_ms"], p["verify_ms"], ".1f"), (r["setup_mb"], p["setup_mb"], ".0f"),
        (r["prove_mb"], p["prove_mb"], ".0f"), (r["key_bytes"] / 1e6, p["key_bytes"] / 1e6, ".1f"),
        (r["open_s"], None, ".2f"),
    ]  # fmt: skip
    cells = [f"{m:{form}}" + (f" ({e:{form}})" if e is not None else "") for m, e, form in pairs]
    return f"| {r['name']} | {r['constraints']:,} | " + " | ".join(cells) + " |"


def _growth(rows: list[Row]) -> list[str]:
    out = ["Fitted growth: the exponent s of n^s (and of (n / log n)^s, by which sums over n points grow):", ""]
    out += ["| | setup, CPU | prove, CPU | prove, memory | key |", "|---|--:|--:|--:|--:|"]
    for kind in KINDS:
        some = _series(rows, kind)
        if len(some) < 3:
            continue
        n = [r["constraints"] for r in some]

        def fits(of: Callable[[Row], float], n: list[float] = n, some: list[Row] = some) -> str:
            values = [of(r) for r in some]
            return f"{slope(n, values):.2f} ({slope([pippenger(v) for v in n], values):.2f})"

        cells = [fits(lambda r, what=what: r[what]) for what in ("setup_cpu_s", "prove_cpu_s", "prove_mb", "key_bytes")]  # type: ignore[misc]
        out.append(f"| {kind}, {n[0]:,} to {n[-1]:,} | " + " | ".join(cells) + " |")
    return out


def _ten_times(rows: list[Row]) -> list[str]:
    small, large = (
        next((r for r in rows if r["size"].startswith(f"{features}x10x200")), None) for features in STEP
    )  # fmt: skip
    if small is None or large is None:
        return []
    what = [
        ("parameters", "parameters", ",.0f"), ("constraints", "constraints", ",.0f"),
        ("setup, s", "setup_s", ".2f"), ("setup, CPU s", "setup_cpu_s", ".2f"),
        ("prove, s", "prove_s", ".2f"), ("prove, CPU s", "prove_cpu_s", ".2f"),
        ("verify, ms", "verify_ms", ".1f"), ("memory of a proof, MB", "prove_mb", ".0f"),
        ("proving key, MB", "key_mb", ".1f"), ("proof, bytes", "proof_bytes", ".0f"),
    ]  # fmt: skip
    out = [f"What a model with 10 times the features costs ({STEP[0]} x 10 beside {STEP[1]} x 10, 200 rows):", ""]
    out += [f"| | {STEP[0]} x 10 | {STEP[1]} x 10 | factor |", "|---|--:|--:|--:|"]
    for title, name, form in what:
        a, b = (_figure(r, name) for r in (small, large))
        out.append(f"| {title} | {a:{form}} | {b:{form}} | {b / a:.1f} |")
    return out


def _figure(r: Row, name: str) -> float:
    features, outputs = (int(v) for v in r["size"].split("x")[:2])
    return {"parameters": (features + 1) * outputs, "key_mb": r["key_bytes"] / 1e6}.get(name) or r[name]


def _accuracy(rows: list[Row]) -> list[str]:
    out = ["Predicted over measured, over all circuits; a verification's over the plain ones, because a"]
    out += ["statement's own sketches are not predicted:", "", "| | median | least | most |", "|---|--:|--:|--:|"]
    titles = {
        "setup_s": "setup, wall", "setup_cpu_s": "setup, CPU", "prove_s": "prove, wall", "prove_cpu_s": "prove, CPU",
        "verify_ms": "verify", "setup_mb": "memory of a setup", "prove_mb": "memory of a proof", "key_bytes": "key",
    }  # fmt: skip
    for name, title in titles.items():
        some = [r for r in rows if name != "verify_ms" or r["kind"] != "improvement"]
        ratios = sorted(r["predicted"][name] / r[name] for r in some)
        out.append(f"| {title} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f} |")
    return out


# -- the plot ----------------------------------------------------------------------------------------


def _series(rows: list[Row], kind: str) -> list[Row]:
    return sorted((r for r in rows if r["kind"] == kind), key=lambda r: r["constraints"])


def plot(rows: list[Row], path: Path) -> None:
    """Draws times, and memory and keys, against constraints; dashed lines are predictions."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (times, sizes) = plt.subplots(1, 2, figsize=(11, 5.2), constrained_layout=True)
    for kind, colour in KINDS.items():
        some = _series(rows, kind)
        n = [r["constraints"] for r in some]
        for name, marker in (("setup_cpu_s", "^"), ("prove_cpu_s", "o")):
            label = f"{kind}, {name.removesuffix('_cpu_s')}"
            times.plot(n, [r[name] for r in some], marker, color=colour, label=label, markersize=5)
            times.plot(n, [r["predicted"][name] for r in some], "--", color=colour, linewidth=0.9)
        times.plot(
            n, [r["verify_ms"] / 1e3 for r in some], "x", color=colour, label=f"{kind}, verify (wall)", markersize=5
        )
        sizes.plot(n, [r["prove_mb"] for r in some], "o", color=colour, label=f"{kind}, memory", markersize=5)
        sizes.plot(n, [r["predicted"]["prove_mb"] for r in some], "--", color=colour, linewidth=0.9)
        sizes.plot(n, [r["key_bytes"] / 1e6 for r in some], "s", color=colour, label=f"{kind}, key",
                   markersize=4, fillstyle="none")  # fmt: skip
    first = rows[0]
    where = f"{first['curve']}, {first['backend']} backend, {first['threads']} threads; dashed: predicted"
    for axes, unit, title in ((times, "CPU seconds of all threads", "Time"), (sizes, "MB", "Memory and key")):
        axes.set(xscale="log", yscale="log", xlabel="constraints", ylabel=unit, title=title)
        axes.set_xscale("log", base=2)
        axes.grid(visible=True, which="major", linewidth=0.4)
        axes.legend(fontsize=7.5, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)
    figure.suptitle(where, fontsize=10)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
