"""The encrypted mode of a statistic: a round in which every client sends a bounded vector (S4).

    released_k = sum_i v_ik + e_G,k + e_K,k

It is the round of protocol.md section 7 as it is: proofs, commitments, encryption under the key of one
attempt, the opening equation before anything leaves the key holder, a transcript that anybody checks.
All parties run in this process here: whoever reads its memory reads every answer. A deployment runs
`Device`, `Adder` and `KeyHolder` apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.counts import CountBounds, Counts
from zkfed.errors import PolicyError
from zkfed.groth16.keys import ProvingKey
from zkfed.layers.agreement import Agreement
from zkfed.layers.transcript import Transcript, released_sums
from zkfed.orchestrator.events import Event, Refused, Released
from zkfed.orchestrator.federation import Federation
from zkfed.orchestrator.options import Options
from zkfed.policy import CLIENTS_MAX, RoundPolicy
from zkfed.ports import Transport
from zkfed.statements.improvement import Benchmark
from zkfed.updates.update import Verdict

__all__ = ["CountRelease", "check_keys", "count_encrypted", "count_policy"]


@dataclass(frozen=True)
class CountRelease:
    """The noised sum of everybody's vectors, and what shows that it is one.

    Attributes:
        sums: int64, shape (K,); with the adders' and the key holder's noise.
        people: Whose vectors are in it.
        sigma: Of each of the two noises.
        refused: Whose are not, and why.
        transcript: For `check_release`.
        seconds: Of each stage: "commit" and "seal" (devices), "check", "add", "open".
    """

    sums: npt.NDArray[np.int64]
    people: int
    sigma: float
    refused: tuple[Verdict, ...]
    transcript: Transcript = field(repr=False)
    seconds: dict[str, float] = field(compare=False)


def count_policy(
    bounds: CountBounds, question: bytes, *, people: int, loss: tuple[float, float], min_clients: int
) -> RoundPolicy:
    """Returns the policy of one statistic.

    Args:
        bounds: Everybody's vector satisfies them.
        question: Names what is counted, 32 bytes.
        people: How many may answer.
        loss: (epsilon, delta) of the release; one attempt, so a failed one is asked anew and charged anew.
        min_clients: The fewest vectors that are summed and opened.

    Raises:
        PolicyError: Something is out of range; more than 2^14 people are among it.
    """
    if not 2 <= people <= CLIENTS_MAX:
        raise PolicyError(f"{people} people in one encrypted sum, expected 2 to {CLIENTS_MAX}")
    statement = Counts(bounds, question)
    return RoundPolicy(
        statement=statement, clip_norm=statement.clip_norm, epsilon=loss[0], delta=loss[1], min_clients=min_clients,
        max_clients=people, attempts=1, epsilon_max=1000.0,
    )  # fmt: skip


def check_keys(policy: RoundPolicy, keys: Sequence[ProvingKey]) -> None:
    """Refuses keys of S4 and N that the parties of a policy would refuse, before anything is charged.

    Raises:
        KeyRefused: A key is for another circuit, or a development key and the policy is for production.
        PolicyError: There are not two keys.
    """
    if len(keys) != 2:
        raise PolicyError(f"{len(keys)} keys, expected two: of S4 and of N")
    pinned = policy.pinned(adder_key=bytes(32), holder_key=bytes(31) + b"\1")
    Agreement(pinned, Benchmark.none(policy.model), (), keys[0].verifying, keys[1].verifying)


def count_encrypted(
    policy: RoundPolicy,
    vectors: Sequence[npt.NDArray[Any]],
    *,
    transport: Transport,
    options: Options | None = None,
    watch: Callable[[Event], None] | None = None,
) -> CountRelease:
    """Runs one statistic with all parties in this process.

    The ledger is the caller's: charge `policy.epsilon` before.

    Args:
        policy: From `count_policy`, without pinned keys.
        vectors: One for each device, K whole numbers.
        transport: Moves the messages.
        options: Keys to use again, or devices that do something else.
        watch: Gets what happens.

    Raises:
        PolicyError: Fewer vectors than `min_clients` were valid, or the sum did not open: nothing was released.
    """
    start = time.perf_counter()
    federation = Federation(policy, vectors, transport=transport, options=options)
    seconds = {"setup": time.perf_counter() - start}
    released, reason, refused = None, "nothing was released", list[Verdict]()
    for event in federation.run(rounds=1):
        if watch is not None:
            watch(event)
        if isinstance(event, Refused):
            refused.append(event.verdict)
        if isinstance(event, Released):
            released = event
        reason = str(event)
    if released is None:
        raise PolicyError(reason)
    record = federation.transcript.rounds[-1]
    ((sums, people),) = list(released_sums(record))
    return CountRelease(
        sums, people, federation.agreement.noise_scale.sigma, tuple(refused), federation.transcript,
        seconds | released.seconds,
    )  # fmt: skip
