"""The main demo: a federation on real data, with cheats, from training to the public check.

    python -m examples.demo --preset standard --out build/demo

Writes report.json, demo.png and transcript/, which `python -m zkfed check` re-checks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from examples.account import Account
from examples.cheats import CHEATS, Cheat
from examples.cohort import PRESETS, Cohort, Preset, load_cohort
from examples.default_epsilon import default_epsilon_line
from examples.screen import Screen, print_account
from zkfed.adapters.memory import MemoryTransport
from zkfed.algebra.backend import backends
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.local import LocalFederation
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.federation import Options, make_keys
from zkfed.policy import Improvement, LinearModel, RoundPolicy


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo and returns an exit code."""
    parser = argparse.ArgumentParser(description="One federation on real data, with cheats.")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="standard")
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    options = parser.parse_args(arguments)
    run(PRESETS[options.preset], options.out)
    return 0


def policy_of(preset: Preset, cohort: Cohort) -> RoundPolicy:
    """Returns the policy of a preset."""
    model = LinearModel(features=cohort.features, classes=cohort.classes)
    statement = Improvement(model=model, rows=len(cohort.benchmark[0]), at_least=preset.schedule[0])
    return RoundPolicy(
        statement=statement,
        clip_norm=preset.clip_norm,
        epsilon=preset.epsilon,
        delta=preset.delta,
        min_clients=preset.min_clients,
        max_clients=max(64, 2 * preset.devices),
        schedule=preset.schedule,
        groups=preset.groups,
        server_rate=preset.server_rate,
    )


def run(preset: Preset, out: Path) -> dict[str, object]:
    """Runs one preset and writes its three results into `out`."""
    start = time.perf_counter()
    cohort = load_cohort(preset)
    policy = policy_of(preset, cohort)
    with Screen() as screen:
        screen.say(f"backend {next(b.name for b in backends() if b.is_chosen)}; {preset.title}")
        began = time.perf_counter()
        keys = make_keys(policy)
        account = Account(policy, cohort, preset)
        account.seconds["setup"] = time.perf_counter() - began
        transport = MemoryTransport()

        def make_client(index: int, device: Device, shard: Shard) -> Client:
            honest = account.watch(Client(device, shard, cohort.train))
            first = preset.devices - len(CHEATS)
            if index < first:
                return honest
            kind: type[Cheat] = CHEATS[index - first]
            cheat = kind(honest, transport, preset.cheat_rounds[index - first])
            account.names[device.public_key.hex()] = (index, kind.name)
            return cheat

        federation = LocalFederation(
            policy, cohort.shards, benchmark=cohort.benchmark, transport=transport,
            options=Options(make_client=make_client, keys=keys),
        )  # fmt: skip
        for event in federation.run(rounds=preset.rounds):
            screen.show(event)
            account.note(event, federation)
        began = time.perf_counter()
        screen.say("checking the whole transcript, as anybody can ...")
        check_release(federation.transcript)
        account.seconds["audit"] = time.perf_counter() - began
    folder = out / "transcript"
    shutil.rmtree(folder, ignore_errors=True)
    federation.transcript.save(folder)
    check_in_fresh_process(folder)
    released = account.accuracies[-1]["released"]
    account.default_epsilon = default_epsilon_line(preset, cohort, released)
    account.seconds["total"] = time.perf_counter() - start
    report = account.report(federation)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    from examples.picture import draw

    draw(report, account, out / "demo.png")
    print_account(report, account, out)
    return report


def check_in_fresh_process(folder: Path) -> None:
    """Runs `python -m zkfed check` on the transcript and fails if it does not hold."""
    command = [sys.executable, "-m", "zkfed", "check", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the transcript does not hold: {done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
