"""Shows that the example app is made as `flwr run` loads it, and that a round of it is released."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")
pytest.importorskip("sklearn", reason="pip install scikit-learn")

from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from tests.adapters.flower_grid import HereGrid
from zkfed import check_release
from zkfed.layers.transcript import Transcript

APP = Path(__file__).resolve().parents[2] / "examples" / "flower_app"
MODULES = ("task", "client_app", "server_app")


@pytest.fixture
def components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The app's components by their references in its pyproject.toml."""
    monkeypatch.setenv("ZKFED_KIT", str(tmp_path / "kit"))
    monkeypatch.syspath_prepend(str(APP))
    names = tomllib.loads((APP / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]["app"]["components"]
    found = {}
    for kind, reference in names.items():
        module, _, name = reference.partition(":")
        found[kind] = getattr(importlib.import_module(module), name)
    yield found
    for module in MODULES:
        sys.modules.pop(module, None)


def test_the_app_runs_from_its_references(components: dict[str, Any], tmp_path: Path) -> None:
    """Four devices, one round: all are accepted, the record holds, and a model is released."""
    client, server = components["clientapp"], components["serverapp"]
    assert isinstance(client, ClientApp)
    assert isinstance(server, ServerApp)
    task = sys.modules["task"]
    task.write()
    grid = HereGrid([client] * task.DEVICES)
    run = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={"num-server-rounds": 1})
    server(grid, run)
    assert not any(reply.has_error() for reply in grid.seen)
    check_release(Transcript.load(tmp_path / "kit" / "record"))
    weights = np.load(tmp_path / "kit" / "model.npy")
    assert weights.shape == task.policy().model.shape
    assert np.isfinite(weights).all()
    assert weights.any()
