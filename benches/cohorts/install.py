"""A Python for each library: ours has zkfed and OpenDP; the others get an environment under build/peers.

A library that cannot be had is not an error: it stands in the result as absent, with the reason.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benches.peers.install import Absent
from benches.peers.process import last_words

__all__ = ["LIBRARIES", "Absent", "Installed", "install"]

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "peers"
LIBRARIES = ("zkfed", "opendp", "diffprivlib", "pipelinedp")
PACKAGES = {"pipelinedp": "pipeline-dp"}
INSTALL_S_MAX = 900


@dataclass(frozen=True)
class Installed:
    """A Python that has the library, and the library's version; empty for ours."""

    python: str
    version: str


def install() -> Iterator[tuple[str, Installed | Absent]]:
    """Yields each library's Python, or why there is none."""
    for name in LIBRARIES:
        try:
            yield name, _python(name)
        except Absent as absent:
            yield name, absent


def _python(name: str) -> Installed:
    wanted, package = HERE / f"requirements-{name}.txt", PACKAGES.get(name, name)
    if not wanted.exists():
        return Installed(sys.executable, "" if name == "zkfed" else metadata.version(package))
    folder = BUILD / name
    python = folder / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)])
    _run([
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
        "--only-binary", ":all:", "-r", str(wanted),
    ])  # fmt: skip
    script = f"from importlib import metadata; print(metadata.version({package!r}))"
    return Installed(str(python), _run([str(python), "-c", script]).strip())


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"its installation took longer than {INSTALL_S_MAX} s") from None
    if done.returncode:
        raise Absent(last_words(done.stderr or done.stdout))
    return done.stdout
