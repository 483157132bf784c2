"""One picture of a run: learning, refusals, noise, time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from examples.account import Account

__all__ = ["draw"]

# Okabe and Ito's palette: distinct for colour-blind readers.
BLUE, ORANGE, GREEN, RED, GREY, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#999999", "#56B4E9"


def draw(report: dict[str, Any], account: Account, path: Path) -> None:
    """Writes the picture to `path`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    _learning(axes[0][0], report)
    _refusals(axes[0][1], report, account)
    _noise(axes[1][0], report)
    _time(axes[1][1], report)
    a = report["accuracy"]
    figure.suptitle(
        f"{account.preset.title}: {a['base']:.0%} to {a['released']:.0%} accuracy, "
        f"(ε, δ) = ({report['epsilon_total']:.2f}, {report['delta']:.0e}) in all",
        fontsize=13,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _learning(axis: Any, report: dict[str, Any]) -> None:
    seen = report["accuracy_by_round"]
    rounds = range(len(seen) + 1)
    axis.plot(rounds, [100 * seen[0]["base"], *(100 * s["released"] for s in seen)], "o-", color=BLUE,
              label="released (noised)", linewidth=2)  # fmt: skip
    axis.plot(rounds[1:], [100 * s["exact"] for s in seen], "s", color=ORANGE, label="the same sum without noise")
    axis.axhline(100 * report["accuracy"]["centralised"], color=GREY, linestyle="--", label="centralised training")
    axis.set(xlabel="round", ylabel="accuracy on held-out rows (%)", title="What the released model learns",
             ylim=(0, 100), xticks=list(rounds))  # fmt: skip
    axis.legend(loc="lower right")
    axis.grid(alpha=0.3)


def _refusals(axis: Any, report: dict[str, Any], account: Account) -> None:
    """One cell a device and round: accepted, sat out, refused, lost with its group."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    devices, rounds = account.preset.devices, len(report["rounds"])
    grid = [[0] * rounds for _ in range(devices)]
    for column, row in enumerate(report["rounds"]):
        members = account.members[column]
        for index in range(devices):
            grid[index][column] = 0 if index in members else 3
        for entry in row["refused"]:
            if entry["client"] is not None:
                grid[entry["client"]][column] = 2 if entry["cheat"] else 1
    for index in account.unregistered:
        grid[index] = [2] * rounds
    colours = [SKY, GREY, RED, ORANGE]
    axis.imshow(grid, aspect="auto", cmap=ListedColormap(colours), vmin=0, vmax=3, interpolation="nearest")
    axis.set(xlabel="round", ylabel="device (the last ones cheat)", title="What became of each update",
             xticks=range(rounds), xticklabels=range(1, rounds + 1))  # fmt: skip
    names = ["in the released sum", "sat out: below the share", "refused by name", "lost with its group"]
    axis.legend(handles=[Patch(color=c, label=n) for c, n in zip(colours, names, strict=True)],
                loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=2, fontsize=8, frameon=False)  # fmt: skip


def _noise(axis: Any, report: dict[str, Any]) -> None:
    rows = [(i, r) for i, r in enumerate(report["rounds"], 1) if r["noise_signal_observed"] is not None]
    at = [i for i, _ in rows]
    axis.bar([i - 0.2 for i in at], [r["noise_signal_predicted"] for _, r in rows], 0.4, color=GREY, label="predicted")
    axis.bar([i + 0.2 for i in at], [r["noise_signal_observed"] for _, r in rows], 0.4, color=GREEN, label="observed")
    axis.axhline(1, color=RED, linestyle=":", label="as much noise as a full update")
    axis.set(xlabel="round", ylabel="noise / signal of the mean (units of the clip)", title="Noise", xticks=at)
    axis.legend()
    axis.grid(alpha=0.3, axis="y")


def _time(axis: Any, report: dict[str, Any]) -> None:
    stages = [(k, v) for k, v in report["seconds"].items() if k != "total"]
    names, values = [k for k, _ in stages], [v for _, v in stages]
    bars = axis.barh(names, values, color=BLUE)
    axis.bar_label(bars, fmt="%.1f s", padding=3)
    axis.invert_yaxis()
    axis.set(xlabel="seconds, all devices and rounds in one process",
             title=f"Time ({report['backend']}, {report['constraints']} constraints)")  # fmt: skip
    axis.margins(x=0.15)
