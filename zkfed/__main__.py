"""`python -m zkfed check FOLDER` re-checks a transcript; `python -m zkfed backends` names the backend.

Exit codes: 0 it holds, 1 it does not (the error's code and text on stderr), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zkfed.errors import ZkfedError

if TYPE_CHECKING:
    from zkfed.layers.transcript import Transcript


SHOWN_COUNTS = 16


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m zkfed", description="Check federated learning from public data.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="re-check a transcript: signatures, proofs, sums, models")
    check.add_argument("folder", type=Path)
    commands.add_parser("backends", help="say which arithmetic backend runs, and why")
    options = parser.parse_args(arguments)
    try:
        return _check(options.folder) if options.command == "check" else _backends()
    except ZkfedError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1


def _check(folder: Path) -> int:
    from zkfed.layers.certificate import certificates
    from zkfed.layers.transcript import Transcript

    start = time.perf_counter()
    transcript = Transcript.load(folder)
    found = certificates(transcript)
    policy = transcript.agreement.policy
    print(f"holds: {len(transcript.rounds)} rounds, checked in {time.perf_counter() - start:.1f} s")
    print(f"policy      {policy.digest.hex()}")
    print(f"adders      {policy.adder_key.hex()}")
    print(f"key holder  {policy.holder_key.hex()}")
    agreement = transcript.agreement
    print(f"proof keys  {agreement.improvement.digest.hex()} ({agreement.improvement.origin})")
    last = transcript.rounds[-1].digest.hex() if transcript.rounds else "none: the record is empty"
    print(f"last round  {last}")
    _print_own_rows(transcript)
    _print_counts(transcript)
    for certificate in found if policy.statement.kind != "S4" else ():
        print(certificate)
    print("Compare these with the ones you know: a record says nothing about who made it,")
    print("nor that no round was cut off at its end.")
    return 0


def _print_own_rows(transcript: Transcript) -> None:
    """Prints who has registered rows, and who stopped a round by not opening its beacon (S1)."""
    from zkfed.layers.agreement import Announced
    from zkfed.layers.beacon import fault_of_beacon

    registry, policy = transcript.agreement.registry, transcript.agreement.policy
    if registry is None:
        return
    print(f"own rows    {policy.improvement.rows} drawn of {registry.terms.rows}, {len(list(registry))} clients")
    print(f"registry    {registry.root.hex()}")
    for number, record in enumerate(transcript.rounds, 1):
        fault = fault_of_beacon(policy, Announced.decode(record.attempts[0].announced), record.reveals)
        if fault:
            print(f"round {number}: nothing was summed: {fault}")


def _print_counts(transcript: Transcript) -> None:
    """Prints what was asked and what was released of a statistic (S4)."""
    from zkfed.counts import Counts
    from zkfed.layers.transcript import released_sums

    policy, scale = transcript.agreement.policy, transcript.agreement.noise_scale
    if not isinstance(policy.statement, Counts):
        return
    print(f"question    {policy.statement.question.hex()}")
    print(f"bounds      {policy.statement.bounds}")
    print(f"noise       of two parties, sigma {scale.sigma:.6g} each; one of them is charged:")
    print(f"            epsilon {scale.epsilon:.4g} at delta {scale.delta:.1g}")
    for number, record in enumerate(transcript.rounds, 1):
        for sums, people in released_sums(record):
            more = " ..." if len(sums) > SHOWN_COUNTS else ""
            print(f"round {number}: of {people} people: {' '.join(map(str, sums[:SHOWN_COUNTS]))}{more}")


def _backends() -> int:
    from zkfed.algebra.backend import backends

    for status in backends():
        mark = "*" if status.is_chosen else " "
        print(f"{mark} {status.name:10} {', '.join(status.curves):20} {status.reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
