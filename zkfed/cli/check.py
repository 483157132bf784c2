"""`zkfed check FOLDER`: re-checks a transcript; signatures, proofs, sums, models."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkfed.cli.output import HOLDS, Output
from zkfed.errors import StoreFault

if TYPE_CHECKING:
    from zkfed.layers.transcript import Transcript

__all__ = ["add_parser", "run"]

SHOWN_COUNTS = 16


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser(
        "check", help="re-check a transcript: signatures, proofs, sums, models"
    )
    added.add_argument("folder", type=Path)
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Loads a transcript, checks all of it, and says what it is about."""
    from zkfed.layers.certificate import certificates
    from zkfed.layers.transcript import Transcript

    start = time.perf_counter()
    if options.folder.exists() and not (options.folder / "index").exists():
        raise StoreFault(
            f"{options.folder.name or options.folder} is no transcript: expected a folder with a file `index`, as "
            "`Transcript.save` and `--out` write it"
        )
    transcript = Transcript.load(options.folder)
    found = certificates(transcript)
    seconds, policy, agreement = time.perf_counter() - start, transcript.agreement.policy, transcript.agreement
    last = transcript.rounds[-1].digest.hex() if transcript.rounds else ""
    lines = [
        f"holds: {len(transcript.rounds)} rounds, checked in {seconds:.1f} s",
        f"policy      {policy.digest.hex()}",
        f"adders      {policy.adder_key.hex()}",
        f"key holder  {policy.holder_key.hex()}",
        f"proof keys  {agreement.improvement.digest.hex()} ({agreement.improvement.origin})",
        f"last round  {last or 'none: the record is empty'}",
        *_own_rows(transcript),
        *_counts(transcript),
        *(str(c) for c in found if policy.statement.kind != "S4"),
        "Compare these with the ones you know: a record says nothing about who made it,",
        "nor that no round was cut off at its end.",
    ]
    data = {
        "rounds": len(transcript.rounds), "statement": policy.statement.kind, "policy": policy.digest.hex(),
        "adders": policy.adder_key.hex(), "key_holder": policy.holder_key.hex(),
        "proof_keys": agreement.improvement.digest.hex(), "origin": agreement.improvement.origin,
        "last_round": last, "certificates": [str(c) for c in found],
    }  # fmt: skip
    output.result("\n".join(lines), data)
    return HOLDS


def _own_rows(transcript: Transcript) -> Iterator[str]:
    """Yields who has registered rows, and who stopped a round by not opening its beacon (S1)."""
    from zkfed.layers.agreement import Announced
    from zkfed.layers.beacon import fault_of_beacon

    registry, policy = transcript.agreement.registry, transcript.agreement.policy
    if registry is None:
        return
    yield f"own rows    {policy.improvement.rows} drawn of {registry.terms.rows}, {len(list(registry))} clients"
    yield f"registry    {registry.root.hex()}"
    for number, record in enumerate(transcript.rounds, 1):
        fault = fault_of_beacon(policy, Announced.decode(record.attempts[0].announced), record.reveals)
        if fault:
            yield f"round {number}: nothing was summed: {fault}"


def _counts(transcript: Transcript) -> Iterator[str]:
    """Yields what was asked and what was released of a statistic (S4)."""
    from zkfed.counts import Counts
    from zkfed.layers.transcript import released_sums

    policy, scale = transcript.agreement.policy, transcript.agreement.noise_scale
    if not isinstance(policy.statement, Counts):
        return
    yield f"question    {policy.statement.question.hex()}"
    yield f"bounds      {policy.statement.bounds}"
    yield f"noise       of two parties, sigma {scale.sigma:.6g} each; one of them is charged:"
    yield f"            epsilon {scale.epsilon:.4g} at delta {scale.delta:.1g}"
    for number, record in enumerate(transcript.rounds, 1):
        for sums, people in released_sums(record):
            more = " ..." if len(sums) > SHOWN_COUNTS else ""
            yield f"round {number}: of {people} people: {' '.join(map(str, sums[:SHOWN_COUNTS]))}{more}"
