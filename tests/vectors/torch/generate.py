"""Makes models.json anew, and checks that the real modules are imported as the recorded ones are.

    python -m tests.vectors.torch.generate            in an environment that has torch

torch is no requirement of zkfed or of its tests: it is some gigabytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.test_importing_torch import sequential, state_of
from zkfed.errors import ModelRefused
from zkfed.importing import ImportedModel, import_model

torch.manual_seed(5)
FILE = Path(__file__).resolve().parent / "models.json"


class Named(nn.Module):
    """A module with a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns the logits of two classes."""
        return self.out(torch.relu(self.fc2(torch.relu(self.fc1(rows)))))


MODELS: dict[str, tuple[Any, int]] = {
    "linear": (nn.Sequential(nn.Linear(4, 3)), 4),
    "no bias": (nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)), 4),
    "nested": (
        nn.Sequential(
            nn.Flatten(), nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout()), nn.Linear(5, 4), nn.ReLU(),
            nn.Identity(), nn.Linear(4, 3),
        ),
        6,
    ),
    "named": (Named(), 4),
    "one output": (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)), 4),
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "convolution": nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3)),
    "batch norm": nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 3)),
    "layer norm": nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 3)),
    "recurrent": nn.Sequential(nn.LSTM(4, 3)),
    "tanh": nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)),
    "no activation": nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3)),
    "softmax": nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)),
    "last relu": nn.Sequential(nn.Linear(4, 3), nn.ReLU()),
    "empty": nn.Sequential(),
}


def recorded(module: Any) -> dict[str, Any]:
    """Returns the children's classes by name, and the state_dict, as plain data."""
    state = {key: tensor.tolist() for key, tensor in module.state_dict().items()}
    return {"children": children_of(module), "state": state}


def children_of(module: Any) -> list[Any]:
    """Returns (name, module of the class, class, children) of each child."""
    return [[n, type(c).__module__, type(c).__name__, children_of(c)] for n, c in module.named_children()]


def attempt(source: Any) -> str:
    """Returns the text with which a source is refused."""
    try:
        return f"imported as {import_model(source).model}"
    except ModelRefused as refusal:
        return str(refusal)


def check(source: Any, expected: ImportedModel) -> None:
    """Raises if a source is imported as something else."""
    got = import_model(source, classes=expected.model.classes)
    if got.model != expected.model or not np.array_equal(got.weights, expected.weights):
        raise SystemExit(f"{got.source}: {got.model} instead of {expected.model}")


def main() -> None:
    """Writes the file, then reads it back beside the modules."""
    out: dict[str, Any] = {"torch": torch.__version__, "models": {}, "refused": {}}
    for name, (module, features) in MODELS.items():
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        rows = torch.rand(8, features) * 2 - 1
        logits = module.eval()(rows).tolist()
        out["models"][name] = recorded(module) | {"rows": rows.tolist(), "logits": logits}
    for name, module in REFUSED.items():
        out["refused"][name] = recorded(module)
    FILE.write_text(json.dumps(out, separators=(",", ":")) + "\n", encoding="utf-8")

    for name, (module, _features) in MODELS.items():
        plain = {key: np.array(value) for key, value in out["models"][name]["state"].items()}
        expected = import_model(plain, classes=1 if name == "one output" else None)
        check(module.state_dict(), expected)
        check(module.double().state_dict(), expected)
        if name != "named":
            check(module, expected)
    for name, module in REFUSED.items():
        # The tests' stand-ins are refused with the same words as the real ones.
        entry = out["refused"][name]
        for real, stand_in in ((module, sequential(entry)), (module.state_dict(), state_of(entry))):
            if attempt(real) != attempt(stand_in):
                raise SystemExit(f"{name}: {attempt(real)}; the stand-in: {attempt(stand_in)}")
    half = nn.Linear(4, 3).bfloat16()
    check(half, import_model([(half.weight.double().detach().numpy().T, half.bias.double().detach().numpy())]))
    for source in (Named(), nn.Linear(2, 3, device="meta"), nn.Linear(2, 3, dtype=torch.complex64), nn.LazyLinear(3)):
        if attempt(source).startswith("imported"):
            raise SystemExit(f"{source} was imported")


if __name__ == "__main__":
    main()
