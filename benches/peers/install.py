"""Builds or installs each peer under build/peers, in the versions that are pinned here.

A peer that cannot be had is not an error: it stands in the result as absent, with the reason.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benches.peers.process import Command, last_words

__all__ = ["Absent", "Peer", "install"]

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "peers"
BOTH = ("bn254", "bls12-381")


class Absent(Exception):
    """This machine cannot have the peer; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A prover that is ready to run.

    Attributes:
        name: As it stands in the table.
        version: Of the library; empty for ours.
        driver: Starts it.
        key_writer: Writes a `.zkey` from a circuit, for a peer whose own setup is not run.
        largest: It gets no circuit with more constraints, for the bench's time is limited.
    """

    name: str
    version: str
    driver: Command
    curves: tuple[str, ...] = BOTH
    key_writer: Command | None = None
    largest: int = 1 << 30


def _run(argv: list[str | Path], folder: Path, limit_s: float = 1200) -> None:
    """Runs one step of an installation; its failure makes the peer absent."""
    if shutil.which(str(argv[0])) is None:
        raise Absent(f"there is no {argv[0]} on this machine")
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"{argv[0]} took longer than {limit_s:.0f} s") from None
    if done.returncode:
        raise Absent(last_words(done.stderr or done.stdout))


def _pinned(file: str, pattern: str) -> str:
    match = re.search(pattern, (HERE / file).read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{file} pins no version")
    return match[1]


def _zkfed(backend: str, name: str, **limits: object) -> Peer:
    driver = Command((sys.executable, "-m", "benches.peers.driver_zkfed"), {"ZKFED_BACKEND": backend})
    return Peer(name, "", driver, **limits)  # type: ignore[arg-type]


def _native() -> Peer:
    if importlib.util.find_spec("zkfed_native") is None:
        raise Absent("the compiled core is not installed: `make native`")
    return _zkfed("native", "zkfed")


def _wheel() -> Peer:
    return _zkfed("arkworks", "zkfed-wheel", curves=("bls12-381",), largest=1 << 14)


def _gnark() -> Peer:
    target = BUILD / "gnark" / "driver"
    _run(["go", "build", "-trimpath", "-o", target, "."], HERE / "gnark")
    return Peer("gnark", _pinned("gnark/go.mod", r"consensys/gnark v(\S+)"), Command((str(target),)))


def _ark_driver() -> str:
    _run(["cargo", "build", "--release", "--locked", "--quiet"], HERE / "ark")
    return str(BUILD / "ark" / "release" / "ark-driver")


def _ark() -> Peer:
    version = _pinned("ark/Cargo.toml", r'ark-groth16 = \{ version = "=([^"]+)"')
    return Peer("ark-groth16", version, Command((_ark_driver(),)))


def _bellperson() -> Peer:
    _run(["cargo", "build", "--release", "--locked", "--quiet"], HERE / "bellperson")
    driver = Command((str(BUILD / "bellperson" / "release" / "bellperson-driver"),))
    version = _pinned("bellperson/Cargo.toml", r'bellperson = "=([^"]+)"')
    return Peer("bellperson", version, driver, curves=("bls12-381",), largest=1 << 16)


def _groth16py() -> Peer:
    folder = BUILD / "groth16py"
    if not (folder / "bin" / "python").exists():
        _run([sys.executable, "-m", "venv", folder], HERE)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
    _run([folder / "bin" / "python", "-m", "pip", "install", *quiet, "-r", "requirements-groth16py.txt"], HERE)
    version = _pinned("requirements-groth16py.txt", r"groth16py==(\S+)")
    driver = Command((str(folder / "bin" / "python"), str(HERE / "driver_groth16py.py")))
    return Peer("groth16py", version, driver, curves=("bn254",))


def _snarkjs() -> Peer:
    folder = BUILD / "snarkjs"
    folder.mkdir(parents=True, exist_ok=True)
    # node looks for packages beside the script, and nothing is installed into the repository.
    for name in ("package.json", "package-lock.json", "driver.mjs"):
        shutil.copy(HERE / "snarkjs" / name, folder / name)
    _run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], folder)
    try:
        writer = Command((_ark_driver(), "zkey"))
    except Absent as absent:
        raise Absent(f"the ark driver writes its keys, and cannot be built: {absent}") from None
    version = _pinned("snarkjs/package.json", r'"snarkjs": "([^"]+)"')
    driver = Command(("node", str(folder / "driver.mjs")))
    return Peer("snarkjs", version, driver, curves=("bn254",), key_writer=writer, largest=1 << 16)


INSTALLERS: dict[str, Callable[[], Peer]] = {
    "zkfed": _native,
    "zkfed-wheel": _wheel,
    "gnark": _gnark,
    "ark-groth16": _ark,
    "groth16py": _groth16py,
    "bellperson": _bellperson,
    "snarkjs": _snarkjs,
}


def install(names: list[str]) -> Iterator[tuple[str, Peer | Absent]]:
    """Yields each peer once it is ready, or why it is absent."""
    for name in names:
        try:
            yield name, INSTALLERS[name]()
        except Absent as absent:
            yield name, absent
