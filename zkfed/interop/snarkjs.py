"""`verification_key.json`, `proof.json` and `public.json` as snarkjs reads and writes them.

For circuits without segments and challenges: snarkjs knows Groth16 alone, and checks

    e(A, B) = e(alpha, beta) e(IC_0 + sum_j x_j IC_j, gamma) e(C, delta)

which is equation 1 of zkfed for gamma = G2, the only gamma that snarkjs makes. Numbers are
decimal strings; a point is [x, y, "1"], in G2 with [c0, c1] for each coordinate.

Unlike snarkjs, `read_*` refuses coordinates that are not below q, points outside the r-torsion,
and keys under which anything can be proven (delta = G2, which no contribution has changed).
A contribution chain is not verified here: a key that was read counts as a development key.

Source: iden3/snarkjs, src/groth16_verify.js and src/zkey_export_verificationkey.js.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from zkfed.algebra.backend import Backend, Group, Points, use
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import to_limbs
from zkfed.algebra.points import encode_affine, parse_affine
from zkfed.encoding import decode_json
from zkfed.errors import DecodeError, KeyRefused, excerpt
from zkfed.files import map_file, replace_file
from zkfed.groth16.challenge import Challenger
from zkfed.groth16.keys import DEVELOPMENT, VerifyingKey, refuse
from zkfed.groth16.proof import Instance, Proof
from zkfed.r1cs.system import Input, Layout

__all__ = [
    "read_proof",
    "read_public",
    "read_verification_key",
    "write_proof",
    "write_public",
    "write_verification_key",
]

PROOF_BYTES_MAX = 1 << 14
KEY_BYTES_MAX = 1 << 20
"""Of a key whose circuit is not given; enough for 5,000 public inputs."""
NAMES = {BN254.name: "bn128", BLS12_381.name: "bls12381"}
CURVE_OF = {"bn128": BN254, "bls12381": BLS12_381}
UNKNOWN_CIRCUIT = bytes(32)
"""The circuit digest of a key that came without its circuit."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,127}")


def write_verification_key(key: VerifyingKey, path: str | Path) -> None:
    """Writes `verification_key.json`, all or nothing.

    Raises:
        KeyRefused: The key is on the list of refused keys.
        ValueError: Its circuit has segments or challenges.
        StoreFault: The file cannot be written.
    """
    _check_plain_groth16(key.layout)
    backend = key.checked.backend
    one = backend.generator("G2", to_limbs([1]))
    entry: dict[str, Any] = _head(key.layout.curve) | {"nPublic": key.layout.public_count - 1}
    for name, points in (
        ("vk_alpha_1", key.alpha), ("vk_beta_2", key.beta), ("vk_gamma_2", one), ("vk_delta_2", key.delta),
    ):  # fmt: skip
        entry[name] = _as_json(backend, points)[0]
    entry["IC"] = _as_json(backend, key.ic)
    _write(path, entry)


def read_verification_key(path: str | Path, layout: Layout | None = None) -> VerifyingKey:
    """Reads `verification_key.json`.

    Args:
        path: The file.
        layout: The circuit's, if it is known (`read_r1cs(...).layout`); else a plain one is
            made up, whose circuit digest is 32 zero bytes.

    Raises:
        DecodeError: Not such a key, or for another curve or number of public inputs than
            `layout`, or a point is not canonical or off the curve.
        KeyRefused: gamma is not the generator, or the key is on the list of refused keys.
        ValueError: `layout` has segments or challenges.
        StoreFault: The file cannot be read.
    """
    path = Path(path)
    entry = _read(path, dict, KEY_BYTES_MAX if layout is None else PROOF_BYTES_MAX + 512 * layout.public_count)
    curve = _check_head(path.name, entry)
    ic = _member(path.name, entry, "IC", list)
    count = _member(path.name, entry, "nPublic", int)
    if not 0 <= count == len(ic) - 1:
        raise DecodeError(f"{path.name}: {len(ic)} points IC for {count} public inputs")
    layout = layout or _unknown_layout(curve, count)
    _check_plain_groth16(layout)
    if layout.curve != curve or layout.public_count != count + 1:
        raise DecodeError(f"{path.name}: {count} inputs on {curve.name}, not those of {layout.name}")
    backend = use(curve)
    alpha = _point(backend, "G1", entry, ("vk_alpha_1", path.name))
    beta, gamma, delta = (_point(backend, "G2", entry, (f"vk_{n}_2", path.name)) for n in ("beta", "gamma", "delta"))
    if not backend.is_equal(gamma, backend.generator("G2", to_limbs([1]))).all():
        raise KeyRefused(f"{path.name}: gamma is not the generator of G2, as snarkjs makes it")
    ic, none = _points(backend, "G1", ic, (path.name, "IC")), backend.concat("G2", [])
    key = VerifyingKey(layout, DEVELOPMENT, alpha, beta, delta, ic, none, none, backend=backend)
    refuse(key)
    return key


def write_proof(proof: Proof, backend: Backend, path: str | Path) -> None:
    """Writes `proof.json`, all or nothing.

    Raises:
        ValueError: The proof has commitments, which the format cannot hold.
        StoreFault: The file cannot be written.
    """
    if proof.d or proof.pok is not None or proof.link is not None:
        raise ValueError("a proof with committed segments is no plain Groth16 proof")
    entry: dict[str, Any] = {}
    for name, points in (("pi_a", proof.a), ("pi_b", proof.b), ("pi_c", proof.c)):
        entry[name] = _as_json(backend, points)[0]
    _write(path, entry | _head(backend.curve))


def read_proof(path: str | Path, key: VerifyingKey) -> Proof:
    """Reads `proof.json` for a key; `verify` says whether it holds.

    Raises:
        DecodeError: Not such a proof, of another curve, or a point is not canonical, off the
            curve, outside the r-torsion or the identity.
        ValueError: The key's circuit has segments or challenges.
        StoreFault: The file cannot be read.
    """
    _check_plain_groth16(key.layout)
    path = Path(path)
    entry = _read(path, dict, PROOF_BYTES_MAX)
    if _check_head(path.name, entry) != key.layout.curve:
        raise DecodeError(f"{path.name}: a proof on another curve than {key.layout.curve.name}")
    a, c = (_point(key.backend, "G1", entry, (name, path.name)) for name in ("pi_a", "pi_c"))
    return Proof(a, _point(key.backend, "G2", entry, ("pi_b", path.name)), c, (), None, None)


def write_public(key: VerifyingKey, instance: Instance, path: str | Path) -> None:
    """Writes `public.json`: every public input in order, ctx as a scalar, all or nothing.

    Raises:
        DecodeError: The instance does not fit the circuit.
        ProofInvalid: A static input is outside its range.
        ValueError: The circuit has segments or challenges.
        StoreFault: The file cannot be written.
    """
    _check_plain_groth16(key.layout)
    _write(path, [str(v) for v in Challenger(key.backend, key.layout, key.digest, instance).inputs])


def read_public(path: str | Path, key: VerifyingKey) -> Instance:
    """Reads `public.json` as the instance of a plain circuit (`Layout.is_plain`).

    Raises:
        DecodeError: Not a list of as many scalars below r as the key has inputs.
        ValueError: The circuit has a ctx, whose scalar does not give it back.
        StoreFault: The file cannot be read.
    """
    layout, path = key.layout, Path(path)
    if not layout.is_plain:
        raise ValueError(f"{layout.name}: has a ctx; build its instance from what the verifier knows")
    entry = _read(path, list, PROOF_BYTES_MAX + 128 * layout.public_count)
    values = [_number(value, layout.curve.order, path.name) for value in entry]
    if len(values) != layout.public_count - 1:
        raise DecodeError(f"{path.name}: {len(values)} public inputs, expected {layout.public_count - 1}")
    return Instance(b"", {i.name: values[i.start - 1 : i.start - 1 + i.size] for i in layout.inputs})


# -- checks ---------------------------------------------------------------------------------------


def _check_plain_groth16(layout: Layout) -> None:
    # Without the commitments nothing ties a challenge to what it was drawn after.
    if layout.segments or layout.stage_count:
        raise ValueError(f"{layout.name}: has segments or challenges, which snarkjs cannot verify")


def _unknown_layout(curve: Curve, count: int) -> Layout:
    shape = () if count == 1 else (count,)
    inputs = (Input("public", shape, 1, 0, False, None),) if count else ()
    return Layout("snarkjs", 1, curve, UNKNOWN_CIRCUIT, inputs, (), ())


def _head(curve: Curve) -> dict[str, Any]:
    return {"protocol": "groth16", "curve": NAMES[curve.name]}


def _check_head(name: str, entry: dict[str, Any]) -> Curve:
    protocol, curve = _member(name, entry, "protocol", str), _member(name, entry, "curve", str)
    if protocol != "groth16" or curve not in CURVE_OF:
        raise DecodeError(f"{name}: {excerpt(protocol, 32)!r} on {excerpt(curve, 32)!r}, expected groth16 on bn128")
    return CURVE_OF[curve]


# -- JSON -----------------------------------------------------------------------------------------


def _write(path: str | Path, value: Any) -> None:
    replace_file(Path(path), [json.dumps(value, indent=1).encode("ascii"), b"\n"])


def _read(path: Path, kind: type, limit: int) -> Any:
    data = bytes(map_file(path, limit))
    try:
        value = decode_json(data)
    except DecodeError:
        raise DecodeError(f"{path.name}: not JSON, nested too deeply, or a name stands twice") from None
    if type(value) is not kind:
        raise DecodeError(f"{path.name}: a {type(value).__name__}, expected a {kind.__name__}")
    return value


def _member(name: str, entry: dict[str, Any], key: str, kind: type) -> Any:
    value = entry.get(key)
    if type(value) is not kind:
        raise DecodeError(f"{name}: {key} is missing, or no {kind.__name__}")
    return value


def _number(value: Any, bound: int, name: str) -> int:
    if type(value) is not str or not _DECIMAL.fullmatch(value) or int(value) >= bound:
        raise DecodeError(f"{name}: a number is no decimal string in its canonical range")
    return int(value)


# -- points ---------------------------------------------------------------------------------------


def _as_json(backend: Backend, points: Points) -> list[list[Any]]:
    """Returns affine points as snarkjs writes them."""
    coordinates = parse_affine(backend.curve, points.group, backend.encode_affine(points), len(points))
    if points.group == "G1":
        return [[str(x), str(y), "1"] for x, y in coordinates]
    return [[[str(x0), str(x1)], [str(y0), str(y1)], ["1", "0"]] for x0, x1, y0, y1 in coordinates]


def _point(backend: Backend, group: Group, entry: dict[str, Any], where: tuple[str, str]) -> Points:
    key, name = where
    return _points(backend, group, [_member(name, entry, key, list)], (name, key))


def _points(backend: Backend, group: Group, values: Sequence[Any], where: tuple[str, str]) -> Points:
    """Decodes affine points; all coordinates canonical, all points in the r-torsion, none the identity."""
    bound, name = backend.curve.base_modulus, f"{where[0]}: {where[1]}"
    width = 1 if group == "G1" else 2
    one = ["1"] if group == "G1" else ["1", "0"]
    coordinates = []
    for value in values:
        parts = [[v] for v in value] if group == "G1" and type(value) is list else value
        if type(parts) is not list or [type(p) for p in parts] != [list] * 3 or any(len(p) != width for p in parts):
            raise DecodeError(f"{name}: no affine point of {group}")
        if parts[2] != one:
            raise DecodeError(f"{name}: the identity, or not in affine form")
        coordinates.append(tuple(_number(v, bound, name) for v in (*parts[0], *parts[1])))
    try:
        return backend.decode_affine(group, encode_affine(backend.curve, chain(*coordinates)), len(coordinates))
    except DecodeError as error:
        raise DecodeError(f"{name}: {error}") from None
