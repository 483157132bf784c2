"""Makes the files of this folder anew, with circom and snarkjs from npm.

    python -m tests.vectors.circom.generate [scratch folder, default build/snarkjs]

The .r1cs and .wtns are the same in every run; key and proof are new.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.interop.with_snarkjs import Tools

HERE = Path(__file__).resolve().parent
INPUTS = {
    "range_dot": {"x": [1, 2, 3, 4], "w": [255, 0, 7, 9]},
    "mimc": {"message": 1234567890, "key": 42},
}
JSON = ("verification_key.json", "verification_key_0.json", "proof.json", "public.json")


def main(folder: Path) -> None:
    """Compiles and solves both circuits, and proves the first one with snarkjs."""
    tools = Tools(folder)
    for name, inputs in INPUTS.items():
        shutil.copy(tools.compile(HERE / f"{name}.circom"), HERE)
        shutil.copy(tools.witness(name, inputs), HERE)
    tools.prove("range_dot")
    for name in JSON:
        shutil.copy(folder / name, HERE)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/snarkjs"))
