"""`zkfed doctor`: what is here, what is missing, and the command that gets it."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkfed.cli.output import HOLDS, MISSING, Output

if TYPE_CHECKING:
    from zkfed.algebra.backend import BackendStatus

__all__ = ["add_parser", "run"]

NEEDED = ("cryptography", "numpy", "opendp", "py-arkworks-bls12381", "py_ecc", "tenseal")
EXTRAS = {
    "http": ("httpx", "starlette", "uvicorn"), "nats": ("nats-py",), "mqtt": ("aiomqtt",), "flower": ("flwr",),
    "nvflare": ("nvflare",), "dask": ("distributed",), "plot": ("matplotlib",), "demo": ("scikit-learn", "rich"),
    "otel": ("opentelemetry-api",),
}  # fmt: skip
SERVERS = {"nats-server": "apt-get install nats-server", "mosquitto": "apt-get install mosquitto"}
CPU_FLAGS = ("avx2", "bmi2", "adx", "avx512f", "avx512ifma")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command."""
    added: argparse.ArgumentParser = commands.add_parser("doctor", help="say what is here and what is missing")
    added.add_argument("--keys", type=Path, default=[], nargs="*", help="key files to open and check")
    return added


def run(options: argparse.Namespace, output: Output) -> int:
    """Looks at Python, packages, backend, CPU, key files and servers; exit code 3 if a needed one is missing."""
    from zkfed import __version__

    needed = {name: _version(name) for name in NEEDED}
    extras = {name: {p: _version(p) for p in packages} for name, packages in EXTRAS.items()}
    chosen = _chosen()
    flags = _cpu_flags()
    servers = {name: _found(name) for name in SERVERS}
    names = [path.name for path in options.keys]
    keys = {p.name if names.count(p.name) == 1 else str(p): _key(p) for p in options.keys}
    system = f"{platform.system()} {platform.machine()}"
    lines = [f"zkfed       {__version__}, Python {platform.python_version()} on {system}"]
    lines += [f"backend     {b.name} for {', '.join(b.curves)}: {b.reason}" for b in chosen]
    lines.append(f"processor   {' '.join(flags) or 'unknown features'}")
    lines += [f"needed      {name} {v or 'MISSING'}" for name, v in needed.items()]
    for name, packages in extras.items():
        have = " ".join(f"{p} {v}" for p, v in packages.items() if v)
        how = "" if all(packages.values()) else f"  get it: pip install 'zkfed[{name}]'"
        lines.append(f"extra       {name:8} {have}{how}")
    lines += [f"server      {n:12} {'found' if f else f'not found; get it: {SERVERS[n]}'}" for n, f in servers.items()]
    lines += [f"key file    {name}: {what}" for name, what in keys.items()]
    missing = [name for name, version in needed.items() if not version]
    if missing:
        lines.append(f"missing     {' '.join(missing)}  get it: pip install --force-reinstall zkfed")
    data = {
        "version": __version__, "python": platform.python_version(), "needed": needed, "extras": extras,
        "backends": [b.name for b in chosen], "cpu": flags, "servers": servers, "keys": keys, "missing": missing,
    }  # fmt: skip
    output.result("\n".join(lines), data)
    return MISSING if missing or any(what.startswith("refused") for what in keys.values()) else HOLDS


def _chosen() -> list[BackendStatus]:
    try:
        from zkfed.algebra.backend import backends
    except ImportError:  # a needed package is missing, which is what is told below
        return []
    return [b for b in backends() if b.is_chosen]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _found(server: str) -> bool:
    return bool(shutil.which(server) or shutil.which(server, path="/usr/sbin:/usr/local/sbin:/sbin"))


def _cpu_flags() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("ascii", errors="replace")
    except OSError:
        return []
    line = next((row for row in text.splitlines() if row.startswith("flags")), "")
    present = set(line.split())
    return [flag for flag in CPU_FLAGS if flag in present]


def _key(path: Path) -> str:
    from zkfed.cli.inspect import describe
    from zkfed.errors import ZkfedError
    from zkfed.groth16.keys import ProvingKey

    try:
        key = ProvingKey.load(path)
    except ZkfedError as error:
        with contextlib.suppress(ZkfedError):
            if (kind := describe(path)["kind"]) != "proving key":
                return f"refused ({error.code}): it is a {kind}, expected a proving key"
        return f"refused ({error.code}): {error}"
    layout = key.verifying.layout
    return f"{layout.name}, {key.verifying.origin}, digest {key.verifying.digest.hex()[:16]}..."
