"""circom and snarkjs from npm, in a scratch folder of their own: the oracles of these tests.

python -m tests.interop.with_snarkjs build/snarkjs     installs them and says their versions
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["PACKAGES", "Tools", "missing"]

PACKAGES = {"circom2": "0.2.23", "snarkjs": "0.7.6"}
INSTALL_S_MAX = 300
RUN_S_MAX = 300


def missing() -> str:
    """Returns why the tools cannot be had on this machine, or an empty string."""
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Tools:
    """Runs both tools on files in one folder.

    Args:
        folder: They are installed below it, unless they are there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.modules = folder, folder / "node_modules"
        folder.mkdir(parents=True, exist_ok=True)
        if self.versions() != PACKAGES:
            wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
            quiet = ["--no-save", "--no-audit", "--no-fund", "--loglevel", "error"]
            # A prefix, so that a package.json further up is not taken for ours.
            self._run(["npm", "install", "--prefix", ".", *quiet, *wanted], INSTALL_S_MAX)

    def versions(self) -> dict[str, str]:
        """Returns what is installed."""
        files = {name: self.modules / name / "package.json" for name in PACKAGES}
        return {name: json.loads(path.read_text())["version"] for name, path in files.items() if path.exists()}

    def compile(self, source: Path, prime: str = "bn128") -> Path:
        """Compiles a circuit to .r1cs beside a generator of witnesses; returns the .r1cs."""
        shutil.copy(source, self.folder)
        self._node("circom2", "cli.js", [source.name, "--r1cs", "--wasm", "--O1", "--prime", prime])
        return self.folder / f"{source.stem}.r1cs"

    def witness(self, circuit: str, inputs: dict[str, Any]) -> Path:
        """Returns the .wtns of a compiled circuit for these inputs."""
        (self.folder / "input.json").write_text(json.dumps(inputs))
        self.snarkjs("wtns", "calculate", f"{circuit}_js/{circuit}.wasm", "input.json", f"{circuit}.wtns")
        return self.folder / f"{circuit}.wtns"

    def prove(self, circuit: str, power: int = 8) -> None:
        """Has snarkjs make a key with one contribution, a proof and its public inputs.

        The randomness is written here in the open: the key is for tests.
        """
        self.snarkjs("powersoftau", "new", "bn128", str(power), "0.ptau")
        self.snarkjs("powersoftau", "contribute", "0.ptau", "1.ptau", "--name=test", "-e=not secret")
        self.snarkjs("powersoftau", "prepare", "phase2", "1.ptau", "2.ptau")
        self.snarkjs("groth16", "setup", f"{circuit}.r1cs", "2.ptau", "0.zkey")
        self.snarkjs("zkey", "contribute", "0.zkey", "1.zkey", "--name=test", "-e=not secret either")
        for zkey, name in (("0.zkey", "verification_key_0.json"), ("1.zkey", "verification_key.json")):
            self.snarkjs("zkey", "export", "verificationkey", zkey, name)
        self.snarkjs("groth16", "prove", "1.zkey", f"{circuit}.wtns", "proof.json", "public.json")

    def verify(self, key: str, public: str, proof: str) -> bool:
        """Returns whether snarkjs accepts a proof."""
        out = self.snarkjs("groth16", "verify", key, public, proof, is_checked=False)
        if "OK!" not in out and "Invalid proof" not in out:
            raise RuntimeError(f"snarkjs says neither yes nor no:\n{out}")
        return "OK!" in out

    def snarkjs(self, *arguments: str, is_checked: bool = True) -> str:
        """Runs snarkjs and returns what it printed, without colours."""
        return self._node("snarkjs", "build/cli.cjs", arguments, is_checked=is_checked)

    def _node(self, package: str, script: str, arguments: Sequence[str], *, is_checked: bool = True) -> str:
        path = str(Path("node_modules", package, script))
        return self._run(["node", path, *arguments], RUN_S_MAX, is_checked=is_checked)

    def _run(self, command: list[str], seconds: int, *, is_checked: bool = True) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False)
        out = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        if is_checked and done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{out}")
        return out


if __name__ == "__main__":
    sys.stdout.write(f"{Tools(Path(sys.argv[1])).versions()}\n")
