//! The two curves: arkworks' groups, with what the core adds.

use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::Affine;
use ark_ec::{AffineRepr, CurveConfig};
use ark_ff::PrimeField;

use crate::arith::{to_blst, to_blst2, Coordinate};
use crate::comb::Comb;
use crate::encoding::Flags;
use crate::error::{value, Result};
use crate::hashing;
use crate::ntt::Domains;
use crate::pairing;
use crate::point::Point;

/// One group of a curve.
pub trait Group: GLVConfig<BaseField: Coordinate> {
    /// "G1" or "G2", for texts.
    const NAME: &'static str;
    const FLAGS: Flags;

    /// Returns the tables of this group's generator.
    fn comb() -> &'static Comb<Self::BaseField>;

    /// Returns whether a point of the curve is in the r-torsion; the identity is.
    fn is_in_subgroup(point: &Point<Self::BaseField>) -> bool {
        Self::is_in_correct_subgroup_assuming_on_curve(&to_ark::<Self>(point))
    }

    /// Returns the generator.
    fn base() -> Point<Self::BaseField> {
        from_ark::<Self>(&Self::GENERATOR)
    }
}

/// One curve: its groups, its pairing and its hash.
pub trait Curve: Sized + 'static {
    type Scalar: PrimeField<BigInt = ark_ff::BigInt<4>>;
    type First: Group<ScalarField = Self::Scalar>;
    type Second: Group<ScalarField = Self::Scalar>;

    /// Returns whether prod_i e(P_i, Q_i) = 1; no point is the identity.
    fn is_product_one(pairs: &[Pair<Self>]) -> bool;

    /// Hashes a message to G1; the domain has 1 to 255 bytes.
    fn hash(message: &[u8], domain: &[u8]) -> Result<Point<BaseOf<Self::First>>>;

    /// Returns the domains of the scalar field.
    fn domains() -> &'static Domains<Self::Scalar>;
}

/// A point of G1 and one of G2.
pub type Pair<C> = (Point<BaseOf<<C as Curve>::First>>, Point<BaseOf<<C as Curve>::Second>>);
/// The field of a group's coordinates.
pub type BaseOf<G> = <G as CurveConfig>::BaseField;
/// The field of a group's scalars.
pub type ScalarOf<G> = <G as CurveConfig>::ScalarField;

pub fn to_ark<G: Group>(p: &Point<G::BaseField>) -> Affine<G> {
    if p.is_identity() {
        Affine::identity()
    } else {
        Affine::new_unchecked(p.x, p.y)
    }
}

pub fn from_ark<G: Group>(p: &Affine<G>) -> Point<G::BaseField> {
    p.xy().map_or(Point::IDENTITY, |(x, y)| Point { x, y })
}

/// Returns whether prod_i e(P_i, Q_i) = 1.
///
/// Errors: `Value` if the lengths differ.
pub fn is_pairing_product_one<C: Curve>(
    left: &[Point<BaseOf<C::First>>],
    right: &[Point<BaseOf<C::Second>>],
) -> Result<bool> {
    if left.len() != right.len() {
        return value(format!("{} points of G1 and {} of G2: expected one length", left.len(), right.len()));
    }
    let pairs = left.iter().copied().zip(right.iter().copied());
    let pairs: Vec<_> = pairs.filter(|(p, q)| !p.is_identity() && !q.is_identity()).collect();
    Ok(C::is_product_one(&pairs))
}

macro_rules! group {
    ($config:ty, $name:literal, $flags:expr $(, $is_in_subgroup:expr)?) => {
        impl Group for $config {
            const NAME: &'static str = $name;
            const FLAGS: Flags = $flags;

            fn comb() -> &'static Comb<Self::BaseField> {
                static COMB: Comb<BaseOf<$config>> = Comb::new();
                &COMB
            }

            $(fn is_in_subgroup(point: &Point<Self::BaseField>) -> bool {
                $is_in_subgroup(point)
            })?
        }
    };
}

const BLS_FLAGS: Flags = Flags { bits: 3, smaller: 0b100, larger: 0b101, infinity: 0b110 };
const BN_FLAGS: Flags = Flags { bits: 2, smaller: 0b10, larger: 0b11, infinity: 0b01 };

group!(ark_bls12_381::g1::Config, "G1", BLS_FLAGS, is_in_bls1);
group!(ark_bls12_381::g2::Config, "G2", BLS_FLAGS, is_in_bls2);
group!(ark_bn254::g1::Config, "G1", BN_FLAGS);
group!(ark_bn254::g2::Config, "G2", BN_FLAGS);

fn is_in_bls1(point: &Point<ark_bls12_381::Fq>) -> bool {
    let affine = blst::blst_p1_affine { x: to_blst(&point.x), y: to_blst(&point.y) };
    // SAFETY: reads 96 bytes of an initialised value on this stack and keeps no pointer. 29 us; arkworks
    // takes 32, and on G2 44 where blst takes 36.
    unsafe { blst::blst_p1_affine_in_g1(&affine) }
}

fn is_in_bls2(point: &Point<ark_bls12_381::Fq2>) -> bool {
    let affine = blst::blst_p2_affine { x: to_blst2(&point.x), y: to_blst2(&point.y) };
    // SAFETY: as in `is_in_bls1`, with 192 bytes.
    unsafe { blst::blst_p2_affine_in_g2(&affine) }
}

/// BLS12-381.
pub struct Bls12381;

impl Curve for Bls12381 {
    type Scalar = ark_bls12_381::Fr;
    type First = ark_bls12_381::g1::Config;
    type Second = ark_bls12_381::g2::Config;

    fn is_product_one(pairs: &[Pair<Self>]) -> bool {
        pairing::of_bls12_381(pairs)
    }

    fn hash(message: &[u8], domain: &[u8]) -> Result<Point<BaseOf<Self::First>>> {
        hashing::to_bls12_381(message, domain)
    }

    fn domains() -> &'static Domains<Self::Scalar> {
        static DOMAINS: Domains<ark_bls12_381::Fr> = Domains::new();
        &DOMAINS
    }
}

/// BN254.
pub struct Bn254;

impl Curve for Bn254 {
    type Scalar = ark_bn254::Fr;
    type First = ark_bn254::g1::Config;
    type Second = ark_bn254::g2::Config;

    fn is_product_one(pairs: &[Pair<Self>]) -> bool {
        pairing::of_bn254(pairs)
    }

    fn hash(message: &[u8], domain: &[u8]) -> Result<Point<BaseOf<Self::First>>> {
        hashing::to_bn254(message, domain)
    }

    fn domains() -> &'static Domains<Self::Scalar> {
        static DOMAINS: Domains<ark_bn254::Fr> = Domains::new();
        &DOMAINS
    }
}
