"""Proving and verifying keys, their strict files, and the keys that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Backend, Group, Points, use
from zkfed.algebra.curve import Curve
from zkfed.encoding import Reader, Writer, digest, item
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded
from zkfed.files import map_file, replace_file
from zkfed.r1cs.system import Layout

__all__ = ["DEVELOPMENT", "ProvingKey", "VerifyingKey", "refuse"]

DEVELOPMENT = "development"
"""The origin of a key whose trapdoors one process has known."""
KEY_BYTES_MAX = 1 << 32
_TAG = "zkfed/v2/proving-key"
_HEADER_BYTES_MAX = 1 << 28
_POINTS_MAX = 1 << 28
"""The largest domain of BN254, the curve with the smaller one."""
_ALIGNMENT = 64


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
        counts: list[tuple[Group, int]] = [("G1", 1), ("G2", 1), ("G2", 1), ("G1", layout.public_count)]
        counts += [("G2", len(layout.unlinked)), ("G2", 2 * len(layout.links))]
        points = []
        for group, count in counts:
            raw = r.bytes(exact=count * (g1 if group == "G1" else g2))
            points.append(_decode_or_refuse(backend.decode, group, raw, count))
        r.finish()
        alpha, beta, delta, ic, sigma, kappa = points
        key = cls(layout, origin, alpha, beta, delta, ic, sigma, kappa, backend)
        refuse(key)
        return key

    def save(self, path: Path) -> None:
        """Writes the key to a file, whole or not at all; raises KeyRefused rather than export a bad one."""
        replace_file(path, [self.checked.encode()])

    @classmethod
    def load(cls, path: Path, backend: Backend | None = None) -> VerifyingKey:
        """Reads a key from a file; raises as `decode`, but KeyRefused for every file that is no key."""
        try:
            return cls.decode(bytes(map_file(path, KEY_BYTES_MAX)), backend)
        except LimitExceeded:
            raise
        except DecodeError as error:
            raise KeyRefused(f"{path.name}: {error}") from None


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

    def _pieces(self) -> Iterator[bytes]:
        backend = self.verifying.backend
        is_idle = backend.is_identity(self.k)
        w = Writer(_TAG).u64(len(self.k)).u64(len(self.h)).bytes(self.verifying.encode())
        for wires in (self.a_wires, self.b_wires, np.flatnonzero(is_idle)):
            w.bytes(wires.astype(">u4").tobytes())
        header = item(w.finish())
        yield from (header, bytes(-len(header) % _ALIGNMENT))
        k = backend.take(self.k, np.flatnonzero(~is_idle)) if is_idle.any() else self.k
        for points in self._parts():
            section = backend.encode_affine(k if points is self.k else points)
            yield from (section, bytes(-len(section) % _ALIGNMENT))

    def encode(self) -> bytes:
        """Returns the canonical bytes: a header and sections, each padded to 64 bytes with 0.

        header      item(tag | number of k | number of h | verifying key | a_wires | b_wires | idle)
        sections    beta_g1, delta_g1, a, b1, b2, k, h, bases, pok, link: `Backend.encode_affine`

        No section holds the identity. A private wire that stands in no row has it in `k`; `idle`
        names these, counted from the first private wire, and their points are left out.
        """
        return b"".join(self._pieces())

    @classmethod
    def decode(cls, data: bytes | memoryview, backend: Backend | None = None) -> ProvingKey:
        """Reads a proving key; the equations between its points are checked by `Prover`.

        Sizes are checked before points, and every point is checked: canonical, on the curve, in
        the r-torsion, not the identity. The native backend does not copy points in read-only
        memory.

        Raises:
            LimitExceeded: It is larger than a key may be, or announces more points.
            KeyRefused: Not the canonical encoding of a key, such as one that was cut off; its
                verifying key is refused; or its parts do not fit together.
        """
        if not isinstance(data, bytes | memoryview):
            raise KeyRefused(f"proving key: expected bytes, got {type(data).__name__}")
        try:
            return cls._decode(memoryview(data).cast("B"), backend)
        except LimitExceeded:
            raise
        except DecodeError as error:
            raise KeyRefused(f"proving key: {error}") from None

    @classmethod
    def _decode(cls, data: memoryview, backend: Backend | None) -> ProvingKey:
        start, r = _header(data)
        k_count, h_count = r.u64(_POINTS_MAX), r.u64(_POINTS_MAX)
        if h_count & (h_count - 1):
            raise DecodeError(f"a domain of {h_count} points is no power of two")
        verifying = VerifyingKey.decode(r.bytes(limit=1 << 26), backend)
        backend, layout = verifying.backend, verifying.layout
        a_wires, b_wires, idle = _decode_wires(r), _decode_wires(r), _decode_wires(r)
        r.finish()
        if len(idle) and idle[-1] >= k_count:
            raise DecodeError(f"the idle wire {idle[-1]} of {k_count} private ones")
        sizes = {s.name: s.stop - s.start for s in layout.segments}
        counts = [1, 1, len(a_wires), len(b_wires), len(b_wires), k_count - len(idle), h_count, *sizes.values()]
        counts += [sizes[s.name] for s in layout.unlinked] + [sizes[link.segment] + 1 for link in layout.links]
        shape: list[tuple[Group, int]] = [("G2" if i == 4 else "G1", count) for i, count in enumerate(counts)]
        parts = [
            _decode_or_refuse(backend.decode_affine, group, section, count)
            for (group, count), section in zip(shape, _sections(layout.curve, data, start, shape), strict=True)
        ]
        n, u = 7 + len(sizes), len(layout.unlinked)
        b1, b2, k, h = parts[3:7]
        if len(idle):
            k = _with_identities(backend, k, idle)
        bases, pok, link = tuple(parts[7:n]), tuple(parts[n : n + u]), tuple(parts[n + u :])
        return cls(verifying, parts[0], parts[1], a_wires, parts[2], b_wires, b1, b2, k, h, bases, pok, link)

    def save(self, path: Path) -> None:
        """Writes the key to a file, whole or not at all; raises KeyRefused rather than export a bad one."""
        refuse(self.verifying)
        replace_file(path, self._pieces())

    @classmethod
    def load(cls, path: Path, backend: Backend | None = None) -> ProvingKey:
        """Opens a key file, checked once; raises as `decode`, and StoreFault for the disk's faults.

        The native backend maps the file into memory and leaves the points there. The file is
        replaced by `save` and never rewritten, so a key that is open stays what was checked. Keep
        the file where only its user can write: who changes it while it is mapped changes points
        that were checked. The prover's check of its own proofs still stands between a wrong
        proof and the world, but its check of the bases, which zero-knowledge rests on, is over.
        Where others can write, decode a copy: `ProvingKey.decode(path.read_bytes())`.
        """
        return cls.decode(map_file(path, KEY_BYTES_MAX), backend)

    @staticmethod
    def load_verifying(path: Path, backend: Backend | None = None) -> VerifyingKey:
        """Reads the verifying key out of a proving key's file; of the rest nothing is read or checked.

        Raises:
            StoreFault: The file cannot be read.
            LimitExceeded: It is larger than a key may be.
            KeyRefused: Its header is none, or the verifying key is refused.
        """
        try:
            _, r = _header(map_file(path, KEY_BYTES_MAX))
            for _ in ("k", "h"):
                r.u64(_POINTS_MAX)
            return VerifyingKey.decode(r.bytes(limit=1 << 26), backend)
        except LimitExceeded:
            raise
        except DecodeError as error:
            raise KeyRefused(f"{path.name}: {error}") from None


def _header(data: memoryview) -> tuple[int, Reader]:
    """Returns where a proving key's sections start, and a reader of what stands before them."""
    if len(data) > KEY_BYTES_MAX:
        raise LimitExceeded(f"{len(data)} bytes, at most {KEY_BYTES_MAX} are accepted")
    start = 4 + int.from_bytes(data[:4], "big")
    if start - 4 > _HEADER_BYTES_MAX:
        raise LimitExceeded(f"a header of {start - 4} bytes, at most {_HEADER_BYTES_MAX} are accepted")
    if start > len(data):
        raise DecodeError(f"a header of {start - 4} bytes, {len(data)} bytes in all")
    return start, Reader(bytes(data[4:start]), _TAG, limit=_HEADER_BYTES_MAX)


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


def _decode_or_refuse(
    decode: Callable[[Group, Any, int], Points], group: Group, raw: bytes | memoryview, count: int
) -> Points:
    try:
        return decode(group, raw, count)
    except DecodeError as error:
        # A key with the identity or a point outside the subgroup is refused as a key.
        raise KeyRefused(f"key: {error}") from None


def _sections(curve: Curve, data: memoryview, start: int, shape: Sequence[tuple[Group, int]]) -> list[memoryview]:
    """Returns the bytes of each section; there are exactly those, and padding of 0."""
    sections, gaps, stop = [], [], start
    for group, count in shape:
        begin = stop + -stop % _ALIGNMENT
        gaps.append(data[stop:begin])
        stop = begin + 2 * curve.point_bytes(group) * count
        sections.append(data[begin:stop])
    end = stop + -stop % _ALIGNMENT
    if len(data) != end:
        raise DecodeError(f"{len(data)} bytes, where the header announces {end}")
    if any(any(gap) for gap in [*gaps, data[stop:]]):
        raise DecodeError("padding that is not 0")
    return sections


def _with_identities(backend: Backend, points: Points, at: npt.NDArray[np.int64]) -> Points:
    """Returns the points with the identity between them, so that it stands at the positions `at`."""
    every = backend.concat("G1", [points, backend.generator("G1", np.zeros((1, 4), dtype=np.uint64))])
    index = np.full(len(points) + len(at), len(points), dtype=np.intp)
    index[np.delete(np.arange(len(index)), at)] = np.arange(len(points))
    return backend.take(every, index)


def _decode_wires(r: Reader) -> npt.NDArray[np.int64]:
    raw = r.bytes()
    if len(raw) % 4:
        raise DecodeError(f"{len(raw)} bytes of wire numbers")
    wires = np.frombuffer(raw, dtype=">u4").astype(np.int64)
    if len(wires) and (np.diff(wires) <= 0).any():
        raise DecodeError("wire numbers do not ascend")
    return wires
