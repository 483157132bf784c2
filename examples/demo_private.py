"""The private demo: clients prove something about rows of their own that nobody else ever sees.

    python -m examples.demo_private --out build/private

Each client registers some of its rows, trains on others, commits to its update, and proves that the
update improves registered rows which a beacon drew only then. Cheats try to choose, repeat, relabel
or learn those rows. Writes report.json, demo.png and transcript/, which a fresh process re-checks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from examples.account import Account
from examples.cohort import PRESETS, Cohort, Preset, load_cohort
from examples.demo import check_in_fresh_process
from examples.private_cheats import REGISTRATION_CHEATS, ROUND_CHEATS
from examples.screen import Screen, console, print_account
from zkfed.adapters.memory import MemoryTransport
from zkfed.algebra.backend import backends
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.local import LocalFederation
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.events import Refused
from zkfed.orchestrator.federation import Options, make_keys
from zkfed.orchestrator.parties import Registrant
from zkfed.policy import Improvement, LinearModel, Registration, RoundPolicy

CHEATS = (*ROUND_CHEATS, *REGISTRATION_CHEATS)

LIMITS = (
    "a client chooses what it registers, and may train on it: what S1 says is about those rows",
    "one row under fresh blinders counts as many: only equal commitments are seen",
    "labels that are wrong inside the histogram bound are not seen",
    "nothing says that rows are real, or that a key is one person",
    "S1 earns nothing without S2: only a public benchmark says that an update helps others",
    "acceptance is a bit without noise about private rows, so it is counted and capped",
)


@dataclass(frozen=True)
class Own:
    """What a preset of the private demo adds: M, n and the most rows of a class."""

    preset: Preset
    registered: int
    drawn: int
    class_rows_max: int


OWN = {
    "standard": Own(
        replace(
            PRESETS["standard"], name="private", title="handwritten digits, 46 clients, own rows", devices=46,
            rounds=3, schedule=("3%", "2%", "1%"), cheat_rounds=((),) * len(CHEATS), skew=2.0, epsilon=3.0,
            benchmark_rows=97, test_rows=300,
        ),
        registered=20, drawn=5, class_rows_max=12,
    ),
    "small": Own(
        replace(
            PRESETS["small"], name="private-small", title="breast cancer, 10 clients, own rows", devices=10,
            rounds=1, schedule=("1%",), cheat_rounds=((),) * len(CHEATS), min_clients=3, benchmark_rows=69,
        ),
        registered=16, drawn=4, class_rows_max=15,
    ),
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo and returns an exit code."""
    parser = argparse.ArgumentParser(description="One federation about private rows, with cheats.")
    parser.add_argument("--preset", choices=sorted(OWN), default="standard")
    parser.add_argument("--out", type=Path, default=Path("build/private"))
    options = parser.parse_args(arguments)
    run(OWN[options.preset], options.out)
    return 0


def policy_of(own: Own, cohort: Cohort) -> RoundPolicy:
    """Returns the policy of a preset: S1 on `drawn` of `registered` rows."""
    preset = own.preset
    statement = Improvement(
        LinearModel(features=cohort.features, classes=cohort.classes), own.drawn, at_least=preset.schedule[0],
        registration=Registration(own.registered, class_rows_max=own.class_rows_max),
    )  # fmt: skip
    return RoundPolicy(
        statement=statement, clip_norm=preset.clip_norm, epsilon=preset.epsilon, delta=preset.delta,
        min_clients=preset.min_clients, max_clients=max(64, 2 * preset.devices), schedule=preset.schedule,
        groups=preset.groups, server_rate=preset.server_rate, acceptance_bits_max=8,
    )  # fmt: skip


def split(shard: Shard, registered: int) -> Shard:
    """Returns a shard whose first rows are registered and whose other rows are trained on."""
    x, y = shard.features, shard.labels
    return Shard(x[registered:], y[registered:], Shard(x[:registered], y[:registered]))


@dataclass
class Cast:
    """Who takes part: the last clients cheat, and the very last ones while they register."""

    account: Account
    cohort: Cohort
    transport: MemoryTransport
    registrations: list[dict[str, Any]] = field(default_factory=list)

    def cheat(self, index: int) -> Any:
        """Returns the kind of cheat with a client's number, None for an honest one."""
        first = self.account.preset.devices - len(CHEATS)
        return None if index < first else CHEATS[index - first]

    def registrant(self, index: int, honest: Registrant) -> Registrant:
        kind = self.cheat(index)
        if kind is not None:
            self.account.names[honest.key.public.hex()] = (index, kind.name)
        return kind(honest) if kind in REGISTRATION_CHEATS else honest

    def client(self, index: int, device: Device, shard: Shard) -> Client:
        honest = self.account.watch(Client(device, shard, self.cohort.train))
        kind = self.cheat(index)
        return honest if kind is None else kind(honest, self.transport)

    def refused(self, event: Refused) -> None:
        """Notes a registration that was turned down."""
        index, cheat = self.account.names.get(event.verdict.client, (None, None))
        if index is not None:
            self.account.unregistered.add(index)
        self.registrations.append(
            {"client": index, "cheat": cheat, "code": event.verdict.code, "reason": event.verdict.reason}
        )


def run(own: Own, out: Path) -> dict[str, Any]:
    """Runs one preset and writes its three results into `out`."""
    start, preset = time.perf_counter(), own.preset
    cohort = load_cohort(preset)
    cohort = replace(cohort, shards=[split(s, own.registered) for s in cohort.shards])
    policy = policy_of(own, cohort)
    with Screen() as screen:
        screen.say(f"backend {next(b.name for b in backends() if b.is_chosen)}; {preset.title}")
        screen.say(f"each client registers {own.registered} rows and trains on {len(cohort.shards[0].labels)} others")
        began = time.perf_counter()
        keys = make_keys(policy)
        account = Account(policy, cohort, preset)
        account.seconds["setup"] = time.perf_counter() - began
        cast = Cast(account, cohort, MemoryTransport())
        federation = LocalFederation(
            policy, cohort.shards, transport=cast.transport,
            options=Options(make_client=cast.client, make_registrant=cast.registrant, keys=keys),
        )  # fmt: skip
        account.seconds |= federation.setup_seconds
        for event in federation.run(rounds=preset.rounds):
            screen.show(event)
            if isinstance(event, Refused) and event.round == 0:
                cast.refused(event)
            else:
                account.note(event, federation)
        began = time.perf_counter()
        screen.say("checking the whole transcript, as anybody can ...")
        check_release(federation.transcript)
        account.seconds["audit"] = time.perf_counter() - began
    folder = out / "transcript"
    shutil.rmtree(folder, ignore_errors=True)
    federation.transcript.save(folder)
    check_in_fresh_process(folder)
    account.default_epsilon = "how many clients the default epsilon 0.1 would need: `make demo` simulates it"
    account.seconds["total"] = time.perf_counter() - start
    report = account.report(federation) | own_report(own, federation, cast)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    from examples.picture import draw

    draw(report, account, out / "demo.png")
    print_account(report, account, out)
    print_own(report)
    return report


def own_report(own: Own, federation: LocalFederation, cast: Cast) -> dict[str, Any]:
    """Returns the fields that the first demo's report does not have."""
    registry = federation.agreement.registry
    if registry is None:
        raise ValueError("the private demo is about registered rows")
    accepted = [v for v in federation.registrations if v.is_accepted]
    return {
        "registration": {
            "rows": own.registered,
            "drawn": own.drawn,
            "class_rows_max": own.class_rows_max,
            "constraints": registry.terms.circuit(registry.key.layout.curve.name).constraint_count,
            "record_bytes": len(registry.records[0]),
            "accepted": len(accepted),
            "refused": cast.registrations,
            "seconds_per_client": federation.setup_seconds["register"] / len(federation.registrations),
        },
        "acceptance_bits": federation.spending.bits,
        "acceptance_bits_max": cast.account.policy.acceptance_bits_max,
        "limits": list(LIMITS),
    }


def print_own(report: dict[str, Any]) -> None:
    """Prints what became of the registrations, and what S1 does not show."""
    r = report["registration"]
    console.rule("registered rows")
    console.print(
        f"{r['accepted']} clients registered {r['rows']} rows each ({r['constraints']} constraints, "
        f"{r['record_bytes']} bytes, {r['seconds_per_client']:.2f} s a client); {r['drawn']} were drawn a round"
    )
    for entry in r["refused"]:
        console.print(f"refused while registering ({entry['code']}), {entry['cheat']}: {entry['reason']}")
    console.print(f"acceptance bits: {report['acceptance_bits']} of {report['acceptance_bits_max']} for each client")
    console.print("Not shown by a proof about own rows:")
    for limit in report["limits"]:
        console.print(f"  - {limit}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
