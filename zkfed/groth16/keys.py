"""Proving and verifying keys, their strict files, and the keys that are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Backend, Points, use
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded, StoreFault
from zkfed.r1cs.system import Layout

__all__ = ["DEVELOPMENT", "ProvingKey", "VerifyingKey", "refuse"]

DEVELOPMENT = "development"
"""The origin of a key whose trapdoors one process has known."""
KEY_BYTES_MAX = 1 << 32


@dataclass(frozen=True)
class VerifyingKey:
    """One circuit's verifying key.

    Attributes:
        layout: The circuit.
        origin: "development", or the digest of a ceremony transcript in hex.
        alpha: alpha G1.
        beta: beta G2.
        delta: delta G2; gamma is the generator, as in snarkjs.
        ic: K_0 and K_j of the public inputs, G1.
        sigma: sigma_k G2 of each unlinked segment.
        kappa: kappa_i = k_i G2, two for each link: the segment's row, the external row.
    """

    layout: Layout
    origin: str
    alpha: Points
    beta: Points
    delta: Points
    ic: Points
    sigma: Points
    kappa: Points
    backend: Backend = field(repr=False)

    def encode(self) -> bytes:
        """Returns the canonical bytes."""
        e = self.backend.encode
        w = Writer("zkfed/v1/verifying-key").bytes(self.layout.encode()).text(self.origin)
        for points in (self.alpha, self.beta, self.delta, self.ic, self.sigma, self.kappa):
            w.bytes(e(points))
        return w.finish()

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the encoding: points, counts, segment layout and stage schedule."""
        return digest("zkfed/v1/verifying-key-digest", self.encode())

    @cached_property
    def checked(self) -> VerifyingKey:
        """This key; raises KeyRefused if it is on the list of refused keys. Checked once."""
        refuse(self)
        return self

    @classmethod
    def decode(cls, data: bytes, backend: Backend | None = None) -> VerifyingKey:
        """Reads and checks a verifying key.

        Raises:
            DecodeError: Not the canonical encoding of one.
            KeyRefused: It is on the list of refused keys.
        """
        r = Reader(data, "zkfed/v1/verifying-key", limit=1 << 26)
        layout = Layout.decode(r.bytes(limit=1 << 20))
        backend = backend or use(layout.curve)
        if backend.curve != layout.curve:
            raise KeyRefused(f"a key on {layout.curve.name} for a backend on {backend.curve.name}")
        origin = r.text(limit=64)
        g1, g2 = layout.curve.point_bytes("G1"), layout.curve.point_bytes("G2")
        counts = ("G1", 1), ("G2", 1), ("G2", 1), ("G1", layout.public_count), ("G2", len(layout.unlinked)), (
            "G2", 2 * len(layout.links),
        )  # fmt: skip
        points = []
        for group, count in counts:
            raw = r.bytes(exact=count * (g1 if group == "G1" else g2))
            points.append(_decode_or_refuse(backend, group, raw, count))
        r.finish()
        alpha, beta, delta, ic, sigma, kappa = points
        key = cls(layout, origin, alpha, beta, delta, ic, sigma, kappa, backend)
        refuse(key)
        return key

    def save(self, path: Path) -> None:
        """Writes the key to a file, atomically; raises KeyRefused rather than export a bad one."""
        _write(path, self.checked.encode())

    @classmethod
    def load(cls, path: Path, backend: Backend | None = None) -> VerifyingKey:
        """Reads a key from a file; raises as `decode`."""
        return cls.decode(_read(path), backend)


@dataclass(frozen=True)
class ProvingKey:
    """One circuit's proving key; every point is multiplied by a wire of the witness.

    Attributes:
        verifying: The verifying key.
        beta_g1: beta G1.
        delta_g1: delta G1.
        a_wires: The wires i with a non-zero u_i, and `a` = u_i(tau) G1 for them.
        b_wires: The wires i with a non-zero v_i, and `b1`, `b2` = v_i(tau) in G1 and G2.
        k: K_i/delta of the private wires.
        h: For each point of the coset, L_i(tau) Z(tau) / (Z(g) delta).
        bases: K_i of each segment's wires, mask last.
        pok: sigma_k K_i of each unlinked segment's wires.
        link: P_c of each link's wires, mask and blinder.
    """

    verifying: VerifyingKey
    beta_g1: Points
    delta_g1: Points
    a_wires: npt.NDArray[np.int64]
    a: Points
    b_wires: npt.NDArray[np.int64]
    b1: Points
    b2: Points
    k: Points
    h: Points
    bases: tuple[Points, ...]
    pok: tuple[Points, ...]
    link: tuple[Points, ...]

    def _parts(self) -> list[Points]:
        singles = [self.beta_g1, self.delta_g1, self.a, self.b1, self.b2, self.k, self.h]
        return [*singles, *self.bases, *self.pok, *self.link]

    def encode(self) -> bytes:
        """Returns the canonical bytes."""
        w = Writer("zkfed/v1/proving-key").bytes(self.verifying.encode())
        w.bytes(self.a_wires.astype(">u4").tobytes()).bytes(self.b_wires.astype(">u4").tobytes())
        for points in self._parts():
            w.bytes(self.verifying.backend.encode(points))
        return w.finish()

    @classmethod
    def decode(cls, data: bytes, backend: Backend | None = None) -> ProvingKey:
        """Reads a proving key; the equations between its points are checked by `Prover`.

        Raises:
            DecodeError: Not the canonical encoding of one.
            KeyRefused: Its verifying key is refused, or its parts do not fit together.
        """
        r = Reader(data, "zkfed/v1/proving-key", limit=KEY_BYTES_MAX)
        verifying = VerifyingKey.decode(r.bytes(limit=1 << 26), backend)
        backend, layout = verifying.backend, verifying.layout
        a_wires, b_wires = _decode_wires(r), _decode_wires(r)
        groups: list[Any] = ["G1", "G1", "G1", "G1", "G2", "G1", "G1"]
        groups += ["G1"] * (len(layout.segments) + len(layout.unlinked) + len(layout.links))
        sizes = [s.stop - s.start for s in layout.segments]
        expected: list[int | None] = [1, 1, len(a_wires), len(b_wires), len(b_wires), None, None, *sizes]
        expected += [s.stop - s.start for s in layout.unlinked]
        by_name = {s.name: s.stop - s.start for s in layout.segments}
        expected += [by_name[link.segment] + 1 for link in layout.links]
        parts = []
        for group, count in zip(groups, expected, strict=True):
            size = layout.curve.point_bytes(group)
            raw = r.bytes() if count is None else r.bytes(exact=count * size)
            if len(raw) % size:
                raise DecodeError(f"proving key: {len(raw)} bytes are no whole number of points")
            parts.append(_decode_or_refuse(backend, group, raw, len(raw) // size))
        r.finish()
        if len(parts[6]) & (len(parts[6]) - 1):
            raise KeyRefused(f"proving key: a domain of {len(parts[6])} points is no power of two")
        n, u = 7 + len(sizes), len(layout.unlinked)
        b1, b2, k, h = parts[3:7]
        bases, pok, link = tuple(parts[7:n]), tuple(parts[n : n + u]), tuple(parts[n + u :])
        return cls(verifying, parts[0], parts[1], a_wires, parts[2], b_wires, b1, b2, k, h, bases, pok, link)

    def save(self, path: Path) -> None:
        """Writes the key to a file, atomically; raises KeyRefused rather than export a bad one."""
        refuse(self.verifying)
        _write(path, self.encode())

    @classmethod
    def load(cls, path: Path, backend: Backend | None = None) -> ProvingKey:
        """Reads a key from a file; raises as `decode`."""
        return cls.decode(_read(path), backend)


def refuse(key: VerifyingKey) -> None:
    """Refuses verifying keys under which anything could be proven.

    Raises:
        KeyRefused: alpha, beta, delta, a sigma or a kappa is the identity; delta, a sigma
            or a kappa is plus or minus the generator, or equal up to sign to another of
            them; a public input's point is the identity;
            or two links share generators. The starting key of a ceremony (sigma = 1,
            kappa = 0) is one of these.
    """
    backend = key.backend
    uses = [link.use for link in key.layout.links]
    if len(set(uses)) != len(uses):
        # One blinder generator in two rows is a column that no common witness needs.
        raise KeyRefused(f"{key.layout.name}: two links share the generators of one use")
    if backend.is_identity(key.ic).any():
        raise KeyRefused(f"{key.layout.name}: the point of a public input is the identity")
    trapdoors = backend.concat("G2", [key.delta, key.sigma, key.kappa])
    names = ["delta"] + [f"sigma[{i}]" for i in range(len(key.sigma))] + [f"kappa[{i}]" for i in range(len(key.kappa))]
    if any(backend.is_identity(points).any() for points in (key.alpha, key.beta, trapdoors)):
        raise KeyRefused(f"{key.layout.name}: a trapdoor's point is the identity")
    one = backend.generator("G2", np.array([[1, 0, 0, 0]], dtype=np.uint64))
    known = {backend.encode(one): "the generator", backend.encode(backend.negate(one)): "minus the generator"}
    size = key.layout.curve.point_bytes("G2")
    plain, negated = backend.encode(trapdoors), backend.encode(backend.negate(trapdoors))
    for i, name in enumerate(names):
        for encoded in (plain[i * size : (i + 1) * size], negated[i * size : (i + 1) * size]):
            if encoded in known:
                raise KeyRefused(f"{key.layout.name}: {name} equals {known[encoded]} up to sign")
        known[plain[i * size : (i + 1) * size]] = name


def _decode_or_refuse(backend: Backend, group: Any, raw: bytes, count: int) -> Points:
    try:
        return backend.decode(group, raw, count)
    except LimitExceeded:
        raise
    except DecodeError as error:
        # A key with the identity or a point outside the subgroup is refused as a key.
        raise KeyRefused(f"key: {error}") from None


def _decode_wires(r: Reader) -> npt.NDArray[np.int64]:
    raw = r.bytes(limit=1 << 30)
    if len(raw) % 4:
        raise DecodeError(f"proving key: {len(raw)} bytes of wire numbers")
    wires = np.frombuffer(raw, dtype=">u4").astype(np.int64)
    if len(wires) and (np.diff(wires) <= 0).any():
        raise DecodeError("proving key: wire numbers do not ascend")
    return wires


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise StoreFault(f"the key file {path.name} cannot be written: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > KEY_BYTES_MAX:
            raise LimitExceeded(f"key file of {size} bytes, at most {KEY_BYTES_MAX} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise StoreFault(f"the key file {path.name} cannot be read: {error.strerror}") from None
