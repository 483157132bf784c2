"""zkfed: collective learning that can be checked instead of trusted.

Four sizes of entry, each usable without the next:

    a proof      Improvement, LinearModel, MLP, import_model, development_setup
    a statistic  Cohort, Who, What, How, When
    a round      RoundPolicy, LocalFederation, check_release
    a party      Device, Adder, KeyHolder, Agreement, Transcript

Everything else is reached through its package. Heavy libraries load at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zkfed.algebra.backend import backends
    from zkfed.dp.how import How
    from zkfed.dp.what import What
    from zkfed.dp.when import When
    from zkfed.dp.who import Who
    from zkfed.errors import ZkfedError
    from zkfed.importing import import_model
    from zkfed.layers.agreement import Agreement
    from zkfed.layers.bridge import check_release
    from zkfed.layers.heart import Device
    from zkfed.layers.holder import KeyHolder
    from zkfed.layers.polis import Adder
    from zkfed.layers.transcript import Transcript
    from zkfed.local import Cohort, LocalFederation
    from zkfed.model import MLP, LinearModel
    from zkfed.orchestrator.client import Client, Shard
    from zkfed.orchestrator.events import Progress
    from zkfed.policy import Improvement, Registration, RoundPolicy
    from zkfed.statements.improvement import Benchmark
    from zkfed.statements.keys import Claim, Keys, Verifier, development_setup
    from zkfed.updates.update import Verdict

__version__ = "0.1.0"

_HOME = {
    "Adder": "zkfed.layers.polis",
    "Agreement": "zkfed.layers.agreement",
    "Benchmark": "zkfed.statements.improvement",
    "Claim": "zkfed.statements.keys",
    "Client": "zkfed.orchestrator.client",
    "Cohort": "zkfed.local",
    "Device": "zkfed.layers.heart",
    "How": "zkfed.dp.how",
    "Improvement": "zkfed.policy",
    "KeyHolder": "zkfed.layers.holder",
    "Keys": "zkfed.statements.keys",
    "LinearModel": "zkfed.model",
    "LocalFederation": "zkfed.local",
    "MLP": "zkfed.model",
    "Progress": "zkfed.orchestrator.events",
    "Registration": "zkfed.policy",
    "RoundPolicy": "zkfed.policy",
    "Shard": "zkfed.orchestrator.client",
    "Transcript": "zkfed.layers.transcript",
    "Verdict": "zkfed.updates.update",
    "Verifier": "zkfed.statements.keys",
    "What": "zkfed.dp.what",
    "When": "zkfed.dp.when",
    "Who": "zkfed.dp.who",
    "ZkfedError": "zkfed.errors",
    "backends": "zkfed.algebra.backend",
    "check_release": "zkfed.layers.bridge",
    "development_setup": "zkfed.statements.keys",
    "import_model": "zkfed.importing",
}

__all__ = [
    "MLP",
    "Adder",
    "Agreement",
    "Benchmark",
    "Claim",
    "Client",
    "Cohort",
    "Device",
    "How",
    "Improvement",
    "KeyHolder",
    "Keys",
    "LinearModel",
    "LocalFederation",
    "Progress",
    "Registration",
    "RoundPolicy",
    "Shard",
    "Transcript",
    "Verdict",
    "Verifier",
    "What",
    "When",
    "Who",
    "ZkfedError",
    "backends",
    "check_release",
    "development_setup",
    "import_model",
]


def __getattr__(name: str) -> Any:
    # PEP 562: `import zkfed` stays cheap; the name's module loads when it is first used.
    if name not in _HOME:
        raise AttributeError(f"module 'zkfed' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
