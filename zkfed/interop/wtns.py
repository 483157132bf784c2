"""`.wtns` files, version 2: the full assignment of a circuit, as circom's generators write it.

    section  content
    1        n8 (u32), prime, values (u32)
    2        the value of each wire in order, below the prime, little-endian

A witness is secret: keep the file as you keep the data that it was computed from.

Source: iden3/snarkjs, src/wtns_utils.js.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from zkfed.algebra.field import Limbs, check_limbs, from_limbs
from zkfed.errors import DecodeError, LimitExceeded
from zkfed.groth16.proof import Instance
from zkfed.interop.container import FIELD_BYTES, curve_of_prime, read_sections, write_sections
from zkfed.r1cs.system import System

__all__ = ["instance_of", "read_wtns", "write_wtns"]

KIND = (b"wtns", 2)
HEADER, VALUES = 1, 2


def read_wtns(path: str | Path, system: System) -> Limbs:
    """Reads an assignment for `system`; `Prover.prove_assignment` checks that it satisfies it.

    Returns:
        z in final order, shape (wires, 4).

    Raises:
        DecodeError: Not a well-formed `.wtns`, of another curve or number of wires, or a value
            that is not below the prime.
        LimitExceeded: It announces more values than it holds.
        StoreFault: It cannot be read.
    """
    path = Path(path)
    sections = read_sections(path, KIND, (HEADER, VALUES))
    header, values = sections[HEADER], sections[VALUES]
    if len(header) != 8 + FIELD_BYTES or struct.unpack_from("<I", header)[0] != FIELD_BYTES:
        raise DecodeError(f"{path.name}: a header of {len(header)} bytes, or values of other than {FIELD_BYTES}")
    curve = curve_of_prime(bytes(header[4 : 4 + FIELD_BYTES]), path.name)
    if curve != system.curve:
        raise DecodeError(f"{path.name}: a witness on {curve.name} for {system.name} on {system.curve.name}")
    (count,) = struct.unpack_from("<I", header, 4 + FIELD_BYTES)
    if count * FIELD_BYTES > len(values):
        raise LimitExceeded(f"{path.name}: {count} values announced, their section has {len(values)} bytes")
    if count * FIELD_BYTES != len(values):
        raise DecodeError(f"{path.name}: {len(values)} bytes for {count} values")
    if count != system.wire_count:
        raise DecodeError(f"{path.name}: {count} values for the {system.wire_count} wires of {system.name}")
    limbs = np.frombuffer(values, dtype="<u8").astype(np.uint64, copy=False).reshape(-1, 4)
    try:
        check_limbs(limbs, curve.order)
    except ValueError:
        raise DecodeError(f"{path.name}: a value is not below the prime") from None
    return limbs


def instance_of(system: System, assignment: Limbs) -> Instance:
    """Returns the instance of a plain circuit (`Layout.is_plain`) that an assignment is about.

    For the prover alone: a verifier takes the public inputs from what it knows.

    Raises:
        ValueError: The circuit has a ctx, which a scalar does not give back.
    """
    if not system.layout.is_plain:
        raise ValueError(f"{system.name}: has a ctx; build its instance from what the verifier knows")
    public = from_limbs(assignment[: system.public_count]).tolist()
    return Instance(b"", {i.name: public[i.span] for i in system.inputs})


def write_wtns(assignment: Limbs, system: System, path: str | Path) -> None:
    """Writes an assignment (`Prover.assignment`) of `system`, all or nothing, for its owner alone.

    Raises:
        ValueError: It does not have a value below r for each wire.
        StoreFault: It cannot be written.
    """
    if assignment.shape != (system.wire_count, 4):
        raise ValueError(f"{system.name}: an assignment of shape {assignment.shape} for {system.wire_count} wires")
    check_limbs(assignment, system.curve.order)
    prime = system.curve.order.to_bytes(FIELD_BYTES, "little")
    header = struct.pack("<I", FIELD_BYTES) + prime + struct.pack("<I", len(assignment))
    values = np.ascontiguousarray(assignment, dtype="<u8").tobytes()
    write_sections(Path(path), KIND, {HEADER: header, VALUES: values}, mode=0o600)
