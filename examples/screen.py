"""What a person sees while the demo runs and when it has ended (rich, in the extra `demo`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from examples.account import Account
from zkfed.renderers.rich import RichRenderer

__all__ = ["Screen", "print_account"]

console = Console(width=118)


class Screen(RichRenderer):
    """Shows a bar for the stage that runs and keeps a line for everything that matters."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def print_account(report: dict[str, Any], account: Account, out: Path) -> None:
    """Prints the account of a run as tables."""
    console.rule("what happened")
    rounds = Table("round", "accepted", "refused", "attempts", "needed", "noise/signal", "accuracy", "without noise")
    for number, (row, seen) in enumerate(zip(report["rounds"], report["accuracy_by_round"], strict=True), 1):
        observed, predicted = row["noise_signal_observed"], row["noise_signal_predicted"]
        ratio = "-" if observed is None else f"{observed:.2f} (predicted {predicted:.2f})"
        rounds.add_row(
            str(number), str(row["accepted"]), str(len(row["refused"])), str(row["attempts"]),
            f"{row['at_least']:.1%}", ratio, f"{seen['released']:.1%}", f"{seen['exact']:.1%}",
        )  # fmt: skip
    console.print(rounds)
    refused = Table("round", "device", "what it did", "code", "what the others said")
    for number, row in enumerate(report["rounds"], 1):
        for entry in row["refused"]:
            refused.add_row(
                str(number), str(entry["client"]), entry["cheat"] or "honest", entry["code"], entry["reason"]
            )
    console.print(refused)
    a, s = report["accuracy"], report["seconds"]
    console.print(
        f"accuracy on held-out rows: base {a['base']:.1%}, released {a['released']:.1%}, "
        f"last sum without noise {a['exact']:.1%}; centralised {a['centralised']:.1%}, trained on the public "
        f"benchmark alone {a['benchmark_only']:.1%}"
    )
    console.print(
        f"proof: {report['constraints']} constraints, {report['proof_bytes']} bytes; sealed update "
        f"{report['ciphertext_bytes']} bytes for {report['parameters']} parameters"
    )
    stages = ", ".join(f"{name} {value:.1f}" for name, value in s.items())
    console.print(f"seconds on the {report['backend']} backend, all devices in this process: {stages}")
    share = report["honest_refused"] / max(report["honest_total"], 1)
    console.print(f"honest updates that did not reach the share: {report['honest_refused']} of "
                  f"{report['honest_total']} ({share:.1%})")  # fmt: skip
    console.rule("what it cost in privacy")
    console.print(report["guarantee"])
    console.print(report["default_epsilon"])
    console.print(
        f"written: {out}/report.json, {out}/demo.png, {out}/transcript (python -m zkfed check {out}/transcript)"
    )
