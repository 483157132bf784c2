"""What a site of the NVFlare tests runs: least squares on its own rows, from the model that came."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import nvflare.client as flare

from zkfed.orchestrator.client import Shard, proximal_least_squares
from zkfed.policy import RoundPolicy


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    model = RoundPolicy.decode((folder / "kit" / "policy.bin").read_bytes()).model
    flare.init()
    rows = np.load(folder / f"{flare.get_site_name()}.npz")
    shard = Shard(rows["x"], rows["y"])
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        base = np.asarray(received.params["numpy_key"], np.float64)
        weights = proximal_least_squares(model, base, shard, 0)
        flare.send(flare.FLModel(params={"numpy_key": weights}, metrics={"loss": 0.25}))


if __name__ == "__main__":
    main()
