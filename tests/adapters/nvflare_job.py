"""Starts the tests' job in NVFlare's simulator, in a process of its own: NVFlare changes `sys.argv` and signals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tests.adapters.nvflare_cheats import Cheats
from zkfed.adapters.nvflare import ZkfedAggregator, prove_results
from zkfed.policy import RoundPolicy

SITES = 7


def main(folder: Path) -> None:
    from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
    from nvflare.recipe import SimEnv

    kit = str(folder / "kit")
    model = RoundPolicy.decode((folder / "kit" / "policy.bin").read_bytes()).model
    recipe = NumpyFedAvgRecipe(
        name="zkfed-test",
        model=np.zeros(model.shape).tolist(),
        min_clients=SITES,
        num_rounds=2,  # one to enrol, one to release
        train_script=str(Path(__file__).with_name("nvflare_site.py")),
        train_args=f"--folder {folder}",
        aggregator=ZkfedAggregator(kit),
    )
    prove_results(recipe, kit, prove=Cheats(kit))
    recipe._job.set_app_packages(["zkfed", "tests"])
    recipe.run(SimEnv(num_clients=SITES, workspace_root=str(folder / "work")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
