"""Key generation by one party who knows every trapdoor: for development only.

    symbol      paper       here
    tau, alpha, beta, delta [Groth16] 3.2, with gamma = 1 as in snarkjs and gnark
    u_i v_i w_i A, B, C     column polynomials of wire i, evaluated at tau
    K_i         beta u_i + alpha v_i + w_i
    sigma_k     [BSB22] 4   one for each segment outside the link
    k_i         [KW15]      one for each row of each link
    L_i         Lagrange polynomials over the domain H, |H| = n

Whoever runs this can forge every proof of the key; its origin says so and policies for
production refuse it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np

from zkfed.algebra.backend import Backend, Points, use
from zkfed.algebra.field import Limbs, from_limbs, to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.groth16.assembly import Trapdoors, key_scalars
from zkfed.groth16.keys import DEVELOPMENT, ProvingKey, VerifyingKey, refuse
from zkfed.r1cs.system import LinkSpec, System

__all__ = ["development_keys"]


def development_keys(system: System, backend: Backend | None = None) -> ProvingKey:
    """Returns fresh keys for a circuit, marked as development keys.

    Raises:
        ValueError: The backend is for another curve.
    """
    order = system.curve.order
    return _setup(system, backend or use(system.curve), lambda: secrets.randbelow(order - 2) + 2)


def _setup(system: System, backend: Backend, rand: Callable[[], int]) -> ProvingKey:
    """The twin of `development_keys` that takes its randomness, for tests and vectors."""
    curve, layout = system.curve, system.layout
    if backend.curve != curve:
        raise ValueError(f"a circuit on {curve.name} and a backend on {backend.curve.name}")
    r, n = curve.order, system.domain_size
    tau, alpha, beta, delta = rand(), rand(), rand(), rand()
    sigma = [rand() for _ in layout.unlinked]
    k = [rand() for _ in range(2 * len(layout.links))]

    scalars = key_scalars(system, backend, n, Trapdoors(tau, alpha, beta, delta))

    def g1(limbs: Limbs) -> Points:
        return backend.generator("G1", limbs)

    def g2(scalars: list[int]) -> Points:
        return backend.generator("G2", to_limbs(scalars))

    a_wires, b_wires = np.flatnonzero(scalars.u.any(axis=1)), np.flatnonzero(scalars.v.any(axis=1))
    public, private = layout.public_count, system.private_start
    bases = {s.name: g1(scalars.k[s.start : s.stop]) for s in layout.segments}
    single = g1(to_limbs([alpha, beta, delta]))
    first = [backend.take(single, np.array([i])) for i in range(3)]
    verifying = VerifyingKey(
        layout, DEVELOPMENT, first[0], g2([beta]), g2([delta]), g1(scalars.k[:public]), g2(sigma), g2(k),
        backend=backend,
    )  # fmt: skip
    refuse(verifying)
    pok = [
        g1(to_limbs((from_limbs(scalars.k[s.start : s.stop]) * sigma_k % r).tolist()))
        for s, sigma_k in zip(layout.unlinked, sigma, strict=True)
    ]
    link = [
        _link_columns(backend, spec, bases[spec.segment], k[2 * i : 2 * i + 2]) for i, spec in enumerate(layout.links)
    ]
    return ProvingKey(
        verifying, first[1], first[2], a_wires, g1(scalars.u[a_wires]), b_wires, g1(scalars.v[b_wires]),
        backend.generator("G2", scalars.v[b_wires]), g1(scalars.k[private:]), g1(scalars.h),
        tuple(bases.values()), tuple(pok), tuple(link),
    )  # fmt: skip


def external_columns(backend: Backend, spec: LinkSpec, count: int) -> tuple[Points, Points]:
    """Returns the external row of a link: a point for each wire, and the blinder's generator."""
    if spec.lanes not in (1, LANES) or spec.lane_bits != LANE_BITS:
        raise ValueError(
            f"a link of {spec.lanes} lanes of {spec.lane_bits} bits, expected {LANES} lanes or one, of {LANE_BITS} bits"
        )
    g = generators(backend, spec.use, count, spec.lanes)
    return g.coordinates(), g.blinder


def _link_columns(backend: Backend, spec: LinkSpec, basis: Points, k: list[int]) -> Points:
    """Returns P_c = k_1 M_1c + k_2 M_2c for each wire, the mask (row 1) and the blinder (row 2).

    Row 1 is the segment's basis, row 2 the transparent generators. The discrete logarithms
    of row 2 are unknown, so P is computed in the group. k_1 M_1c and k_2 M_2c are never
    published apart, where a column has both (protocol-review H3).
    """
    count = len(basis) - 1
    wires, blinder = external_columns(backend, spec, count)
    inside = backend.scale(basis, to_limbs([k[0]]))
    outside = backend.scale(backend.concat("G1", [wires, blinder]), to_limbs([k[1]]))
    head = np.arange(count)
    return backend.concat(
        "G1",
        [
            backend.add(backend.take(inside, head), backend.take(outside, head)),
            backend.take(inside, np.array([count])),
            backend.take(outside, np.array([count])),
        ],
    )
