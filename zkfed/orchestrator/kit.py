"""What the hosts of one federation hold alike, as a folder of files, and the key that each device has alone.

A framework that starts its processes from a configuration names this folder in it, and nothing else: a
kit holds a policy, proving keys and a public benchmark, and nothing secret. Whoever runs a device checks
the kit before the first round, or makes it anew from the same policy; a node's word does not replace it.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.errors import DecodeError, PolicyError, StoreFault
from zkfed.files import map_file, replace_file
from zkfed.groth16.keys import ProvingKey
from zkfed.orchestrator.holding import HolderLink
from zkfed.orchestrator.member import Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.proving import proving_in
from zkfed.policy import RoundPolicy
from zkfed.ports import Executor
from zkfed.updates.key_file import KeyExists, create_key, load_key
from zkfed.updates.signing import SigningKey

__all__ = ["open_identity", "open_node", "open_provers", "write_kit"]

_ARRAYS = ("features", "labels", "base")
ARRAY_BYTES_MAX = 1 << 30
_KEYS = ("statement", "noise", "registration")


def write_kit(
    folder: str | Path,
    policy: RoundPolicy,
    keys: tuple[ProvingKey, ...],
    *,
    benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
    base: npt.NDArray[np.int64] | None = None,
) -> None:
    """Writes a kit; all of it is public, and whoever can change it decides what devices agree to.

    Args:
        folder: It is created; a kit that is there is replaced.
        policy: Without pinned keys, or with them.
        keys: Proving keys of the statement, of N and, for S1, of the registration.
        benchmark: (X, y) of statement S2; None for the others.
        base: W0 of round 1, integers at scale 2^f; None is all zeros.

    Raises:
        KeyRefused: A proving key is not fit to be written.
        StoreFault: A file cannot be written.
    """
    root = Path(folder)
    features, labels = benchmark or (None, None)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name, array in zip(_ARRAYS, (features, labels, base), strict=True):
            (root / f"{name}.npy").unlink(missing_ok=True)
            if array is not None:
                np.save(root / f"{name}.npy", array, allow_pickle=False)
    except OSError as error:
        raise StoreFault(f"{root.name} cannot be written: {error.strerror}") from None
    for name, key in zip(_KEYS, keys, strict=False):
        key.save(root / f"{name}.key")
    replace_file(root / "policy.bin", [policy.encode()])


def open_provers(folder: str | Path, *, executor: Executor | None = None) -> Provers:
    """Opens a kit on a device.

    Args:
        folder: What `write_kit` wrote.
        executor: Proves in processes of this device, which see its updates and rows; None is this process.

    Raises:
        StoreFault: A file cannot be read.
        DecodeError, PolicyError, KeyRefused: It does not hold what its name says.
        LimitExceeded: A file is larger than any such file may be.
    """
    policy, paths = _policy_and_key_files(Path(folder))
    # A device makes no noise: of N it needs the verifying key, and most of a key's time is its points.
    keys = [ProvingKey.load_verifying(p) if p.stem == "noise" else ProvingKey.load(p) for p in paths]
    return Provers(policy, keys, proving=None if executor is None else proving_in(executor, folder))


def open_node(
    folder: str | Path,
    *,
    exchanges: int = 2,
    allowed: Collection[bytes] | None = None,
    holder: HolderLink | None = None,
) -> Node:
    """Opens a kit on the server; see `Node`. Raises as `open_provers`, and PolicyError as `Node`."""
    root = Path(folder)
    policy, paths = _policy_and_key_files(root)
    keys = tuple(ProvingKey.load(path) for path in paths)
    features, labels, base = (_array(root / f"{name}.npy") for name in _ARRAYS)
    benchmark = None if features is None or labels is None else (features, labels)
    options = Options(keys=keys, base=base, exchanges=exchanges)
    return Node(policy, benchmark, options=options, allowed=allowed, holder=holder)


def open_identity(path: Path) -> SigningKey:
    """Returns a device's signing key; at first use it is made, in a file that its owner alone can read.

    Raises:
        StoreFault: The file cannot be read or written, or others may read it.
        DecodeError, LimitExceeded: It holds no key.
    """
    with contextlib.suppress(KeyExists):
        return create_key(path)
    return load_key(path)


def _policy_and_key_files(root: Path) -> tuple[RoundPolicy, list[Path]]:
    if not (root / "policy.bin").exists():
        raise StoreFault(f"{root.name} is no kit: expected a folder with a file policy.bin, as `write_kit` makes it")
    policy = RoundPolicy.decode(bytes(map_file(root / "policy.bin", 1 << 16)))
    count = 3 if policy.statement.kind == "S1" else 2
    return policy, [root / f"{name}.key" for name in _KEYS[:count]]


def _array(path: Path) -> npt.NDArray[Any] | None:
    """Returns an array of a kit, None where it has none."""
    if not path.exists():
        return None
    data = map_file(path, ARRAY_BYTES_MAX)
    if bytes(data[:4]) == b"PK\x03\x04":
        raise PolicyError(f"{path.name} holds several arrays, expected one")
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
        # NumPy makes room for what a header says before it looks whether so much is there.
        if kind.hasobject or math.prod(shape) * kind.itemsize != len(data) - file.tell():
            raise ValueError("objects, or another size")
        file.seek(0)
        loaded: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, OverflowError):
        raise DecodeError(f"{path.name} is no NumPy array without objects, or is cut") from None
    return loaded
