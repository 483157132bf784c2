//! Strict compressed encodings: the same bytes as zkfed/algebra/points.py, and the same refusals.
//!
//! Big-endian x, the last coefficient first, under flag bits that say which root y is.

use ark_ff::{BigInteger, Field, PrimeField, Zero};

use crate::arith::Coordinate;
use crate::curve::Group;
use crate::error::{decode, Result};
use crate::point::Point;
use crate::tasks::Run;
use crate::torsion::{self, outside};

/// The flag bits of one format, as values of the top `bits` bits of the first byte.
pub struct Flags {
    pub bits: u32,
    pub smaller: u8,
    pub larger: u8,
    pub infinity: u8,
}

/// Points that one task decodes or encodes.
const CHUNK: usize = 64;

type Base<G> = <<G as ark_ec::CurveConfig>::BaseField as Field>::BasePrimeField;

/// Returns the size of one coordinate's coefficient.
fn coefficient_bytes<G: Group>() -> usize {
    Base::<G>::MODULUS_BIT_SIZE.div_ceil(8) as usize
}

/// Returns the size of one compressed point.
pub fn point_bytes<G: Group>() -> usize {
    coefficient_bytes::<G>() * <G::BaseField as Field>::extension_degree() as usize
}

/// Decodes `count` points; each is on the curve, in the r-torsion and not the identity.
///
/// Errors: `Decode`; `Value` if the operating system gives no randomness.
pub fn decode_points<G: Group>(data: &[u8], count: usize, run: Run<'_>) -> Result<Vec<Point<G::BaseField>>> {
    let size = point_bytes::<G>();
    if count.checked_mul(size) != Some(data.len()) {
        let expected = count as u128 * size as u128;
        return decode(format!("{} bytes for {count} {} points, expected {expected}", data.len(), G::NAME));
    }
    let chunks: Vec<&[u8]> = data.chunks(size * CHUNK).collect();
    let parts = run.each(
        chunks.len(),
        || (),
        |(), i| chunks[i].chunks_exact(size).map(decode_point::<G>).collect::<Result<Vec<_>>>(),
    )?;
    let points = parts.into_iter().collect::<Result<Vec<_>>>()?.concat();
    torsion::check::<G>(&points, run)?;
    Ok(points)
}

/// Returns a point of the curve, which need not be in the r-torsion.
fn decode_point<G: Group>(encoded: &[u8]) -> Result<Point<G::BaseField>> {
    let (flags, name) = (&G::FLAGS, G::NAME);
    let shift = 8 - flags.bits;
    let found = encoded[0] >> shift;
    if found != flags.smaller && found != flags.larger {
        let is_identity = found & flags.infinity == flags.infinity;
        let kind = if is_identity { "the identity, or has its flag set" } else { "not compressed" };
        return decode(format!(
            "a {name} point is {kind}; expected a compressed point other than the identity"
        ));
    }
    let mut cleared = encoded.to_vec();
    cleared[0] &= (1 << shift) - 1;
    let mut coefficients = vec![];
    for part in cleared.chunks_exact(coefficient_bytes::<G>()).rev() {
        let Some(c) = read_coefficient::<Base<G>>(part) else {
            return decode(format!("a coordinate of a {name} point is not below q"));
        };
        coefficients.push(c);
    }
    let x = G::BaseField::from_base_prime_field_elems(coefficients).ok_or_else(outside::<G>)?;
    let mut y = (x.square() * x + G::COEFF_B).root().ok_or_else(outside::<G>)?;
    if is_larger(&y) != (found == flags.larger) {
        y = -y;
    }
    // y = 0 has one root only, and is of order 2, hence outside the subgroup.
    if y.is_zero() {
        return Err(outside::<G>());
    }
    Ok(Point { x, y })
}

/// Returns the coefficient, or None if it is not below q.
fn read_coefficient<B: PrimeField>(bytes: &[u8]) -> Option<B> {
    let bits: Vec<bool> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1 == 1)).collect();
    let number = B::BigInt::from_bits_be(&bits);
    // The room above q is at most 3 bits, so no bit was lost.
    B::from_bigint(number)
}

/// Returns the encodings, one after the other.
pub fn encode_points<G: Group>(points: &[Point<G::BaseField>], run: Run<'_>) -> Result<Vec<u8>> {
    let chunks: Vec<_> = points.chunks(CHUNK).collect();
    let parts = run.each(
        chunks.len(),
        || (),
        |(), i| {
            let mut out = Vec::with_capacity(CHUNK * point_bytes::<G>());
            chunks[i].iter().for_each(|p| encode_point::<G>(p, &mut out));
            out
        },
    )?;
    Ok(parts.concat())
}

fn encode_point<G: Group>(point: &Point<G::BaseField>, out: &mut Vec<u8>) {
    let (flags, start) = (&G::FLAGS, out.len());
    if point.is_identity() {
        out.resize(start + point_bytes::<G>(), 0);
        out[start] = flags.infinity << (8 - flags.bits);
        return;
    }
    let coefficients: Vec<Base<G>> = point.x.to_base_prime_field_elements().collect();
    for c in coefficients.iter().rev() {
        let bytes = c.into_bigint().to_bytes_be();
        out.extend_from_slice(&bytes[bytes.len() - coefficient_bytes::<G>()..]);
    }
    let flag = if is_larger(&point.y) { flags.larger } else { flags.smaller };
    out[start] |= flag << (8 - flags.bits);
}

/// Returns whether y is larger than -y, by its last coefficient that is not 0.
fn is_larger<F: Field>(y: &F) -> bool {
    let coefficients: Vec<F::BasePrimeField> = y.to_base_prime_field_elements().collect();
    let half = F::BasePrimeField::MODULUS_MINUS_ONE_DIV_TWO;
    coefficients.iter().rev().find(|c| !c.is_zero()).is_some_and(|c| c.into_bigint() > half)
}
