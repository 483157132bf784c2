"""The two pairing curves, as constants.

BLS12-381 is the default (about 120 bits of security). BN254 (alt_bn128) exists for circom,
snarkjs and EVM interoperability only (about 100 bits). Both have groups G1 and G2 of prime
order r and a pairing into GT.

Source: draft-irtf-cfrg-pairing-friendly-curves-11 (BLS12-381); EIP-196 and EIP-197 (BN254).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BLS12_381", "BN254", "CURVES", "Curve"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One pairing curve.

    Attributes:
        name: "bls12-381" or "bn254"; enters every digest.
        order: r, the prime order of G1, G2 and GT and the modulus of the scalar field.
        base_modulus: q, the modulus of the base field of G1.
        coordinate_bytes: Bytes of one base field element.
        two_adicity: The largest s with 2^s | r - 1.
        generator: A generator of the multiplicative group of the scalar field.
        security_bits: Estimated, after tower number field sieve attacks.
    """

    name: str
    order: int
    base_modulus: int
    coordinate_bytes: int
    two_adicity: int
    generator: int
    security_bits: int

    def root_of_unity(self, size: int) -> int:
        """Returns a primitive `size`-th root of unity of the scalar field.

        Raises:
            ValueError: `size` is not a power of two up to 2^two_adicity.
        """
        if size < 1 or size & (size - 1) or size > 1 << self.two_adicity:
            raise ValueError(f"domain size {size}: expected a power of two up to 2^{self.two_adicity}")
        return pow(self.generator, (self.order - 1) // size, self.order)

    def point_bytes(self, group: str) -> int:
        """Returns the size of one compressed point of "G1" or "G2"."""
        return self.coordinate_bytes * (1 if group == "G1" else 2)


BLS12_381 = Curve(
    name="bls12-381",
    order=0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001,
    base_modulus=int(
        "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
        16,
    ),
    coordinate_bytes=48,
    two_adicity=32,
    generator=7,
    security_bits=120,
)

BN254 = Curve(
    name="bn254",
    order=0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001,
    base_modulus=0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47,
    coordinate_bytes=32,
    two_adicity=28,
    generator=5,
    security_bits=100,
)

CURVES = {curve.name: curve for curve in (BLS12_381, BN254)}
