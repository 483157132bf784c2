"""Sites that do something else than `ZkfedProve`: a class of the tests that a job can name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

from zkfed.adapters.nvflare import ZkfedProve
from zkfed.orchestrator.calls import Answer
from zkfed.orchestrator.kit import open_identity
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import SigningKey


class Cheats(ZkfedProve):
    """Honest on site-1 and site-2; every other site has a way of its own to get round the proof."""

    def process(self, shareable: Any, fl_ctx: Any) -> Any:
        site = fl_ctx.get_identity_name()
        if not self._is_enrolled(fl_ctx):
            return super().process(shareable, fl_ctx)
        if site == "site-4":
            return Shareable({"weights": [1e9]})  # no DXO
        if site == "site-5":  # a training that diverged
            shareable = DXO(DataKind.WEIGHTS, data={"numpy_key": np.full((3, 1), np.nan)}).to_shareable()
        if site == "site-7":  # says that its training failed, where nobody makes a refusal of it
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        if site == "site-6":  # NVFlare's own FedAvg, without our filter
            return shareable
        return super().process(shareable, fl_ctx)

    def _is_enrolled(self, fl_ctx: Any) -> bool:
        return b"ask-round" in fl_ctx.get_prop("zkfed_request")[:32]

    def _answer(self, shareable: Any, fl_ctx: Any) -> bytes:
        answer = super()._answer(shareable, fl_ctx)
        if fl_ctx.get_identity_name() == "site-3" and self._is_enrolled(fl_ctx):
            workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
            return forged(answer, open_identity(Path(workspace.get_root_dir()) / "zkfed-identity"))
        return answer


def forged(message: bytes, key: SigningKey) -> bytes:
    """Returns an answer whose proof has A and C in each other's place, signed anew by its own site."""
    answer = Answer.decode(message)
    update = SealedUpdate.decode(answer.sealed)
    proof, point = update.seal.proof, 48
    c = 3 * point
    swapped = proof[c : c + point] + proof[point:c] + proof[:point] + proof[c + point :]
    signed = key.sign("seal", replace(update.seal, proof=swapped).encode())
    return Answer(answer.commit, SealedUpdate(signed, update.outer).encode()).encode()
