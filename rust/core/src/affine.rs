//! Uncompressed points, as a key file holds them: the memory of a `Point`, without a square root.
//!
//! x then y, for G2 c0 before c1; a coefficient c is c R mod q (Montgomery form, R = 2^256 on
//! BN254 and 2^384 on BLS12-381), lowest byte first. So a file that is mapped into memory is a
//! vector of points as it lies, once `check` has accepted it. Source: the sections of .zkey
//! files (iden3) have the same form.

use std::marker::PhantomData;
use std::mem::{align_of, offset_of, size_of};

use ark_ff::{BigInt, Field, Fp, MontBackend, MontConfig, QuadExtConfig, QuadExtField};

use crate::curve::Group;
use crate::error::{decode, Result};
use crate::point::Point;
use crate::tasks::Run;
use crate::torsion;

/// Points that one task reads or checks.
const CHUNK: usize = 1024;

/// A field element, by its limbs in Montgomery form.
pub trait Raw: Sized {
    /// Returns what the bytes say, which need not be canonical.
    fn read(bytes: &[u8]) -> Self;

    /// Appends the bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Returns whether every coefficient is below q.
    fn is_canonical(&self) -> bool;
}

impl<P: MontConfig<N>, const N: usize> Raw for Fp<MontBackend<P, N>, N> {
    fn read(bytes: &[u8]) -> Self {
        let mut limbs = [0; N];
        for (limb, part) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = part.iter().rev().fold(0, |high, byte| high << 8 | u64::from(*byte));
        }
        Fp(BigInt(limbs), PhantomData)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0 .0.iter().for_each(|limb| out.extend_from_slice(&limb.to_le_bytes()));
    }

    fn is_canonical(&self) -> bool {
        self.0 < P::MODULUS
    }
}

impl<P: QuadExtConfig<BaseField: Raw>> Raw for QuadExtField<P> {
    fn read(bytes: &[u8]) -> Self {
        let (c0, c1) = bytes.split_at(bytes.len() / 2);
        QuadExtField { c0: Raw::read(c0), c1: Raw::read(c1) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.c0.write(out);
        self.c1.write(out);
    }

    fn is_canonical(&self) -> bool {
        self.c0.is_canonical() && self.c1.is_canonical()
    }
}

/// Returns the size of one point.
pub const fn point_bytes<G: Group>() -> usize {
    size_of::<Point<G::BaseField>>()
}

/// Returns the points, one after the other.
pub fn encode<G: Group>(points: &[Point<G::BaseField>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * point_bytes::<G>());
    for point in points {
        point.x.write(&mut out);
        point.y.write(&mut out);
    }
    out
}

/// Returns `count` points in memory of their own, unchecked: `check` them.
///
/// Errors: `Decode` if there are not exactly the bytes of so many points.
pub fn read<G: Group>(data: &[u8], count: usize) -> Result<Vec<Point<G::BaseField>>> {
    check_length::<G>(data, count)?;
    let read = |point: &[u8]| {
        let (x, y) = point.split_at(point_bytes::<G>() / 2);
        Point { x: Raw::read(x), y: Raw::read(y) }
    };
    Ok(data.chunks_exact(point_bytes::<G>()).map(read).collect())
}

/// Returns `count` points where they lie, unchecked: `check` them; or None where that cannot be:
/// on a machine whose bytes have the other order, or if the bytes are not aligned.
///
/// Errors: `Decode` if there are not exactly the bytes of so many points.
pub fn view<G: Group>(data: &[u8], count: usize) -> Result<Option<&[Point<G::BaseField>]>> {
    check_length::<G>(data, count)?;
    if cfg!(target_endian = "big") || data.as_ptr().align_offset(align_of::<Point<G::BaseField>>()) != 0 {
        return Ok(None);
    }
    // SAFETY: the length is that of `count` points and the address is aligned (above); a point is
    // its limbs and nothing else (`layout!` below), and any bits are limbs. It saves the copy of a
    // key: at 65k constraints 40 MB and the time to page them in.
    Ok(Some(unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), count) }))
}

fn check_length<G: Group>(data: &[u8], count: usize) -> Result<()> {
    if count.checked_mul(point_bytes::<G>()) != Some(data.len()) {
        let expected = count as u128 * point_bytes::<G>() as u128;
        return decode(format!(
            "{} bytes for {count} affine {} points, expected {expected}",
            data.len(),
            G::NAME
        ));
    }
    Ok(())
}

/// Checks that every point is canonical, on the curve, in the r-torsion and not the identity.
///
/// Errors: `Decode`, named after the first point that is not on the curve; `Value` if the
/// operating system gives no randomness.
pub fn check<G: Group>(points: &[Point<G::BaseField>], run: Run<'_>) -> Result<()> {
    let chunks: Vec<_> = points.chunks(CHUNK).collect();
    let checked = run.each(chunks.len(), || (), |(), i| chunks[i].iter().try_for_each(check_point::<G>))?;
    checked.into_iter().collect::<Result<()>>()?;
    torsion::check::<G>(points, run)
}

fn check_point<G: Group>(point: &Point<G::BaseField>) -> Result<()> {
    let Point { x, y } = point;
    if !x.is_canonical() || !y.is_canonical() {
        return decode(format!("a coordinate of a {} point is not below q", G::NAME));
    }
    if point.is_identity() {
        return decode(format!("a {} point is the identity", G::NAME));
    }
    if y.square() != x.square() * x + G::COEFF_B {
        return Err(torsion::outside::<G>());
    }
    Ok(())
}

/// Checks, when this is compiled, that a point in memory is what `encode` writes on a machine
/// with the lowest byte first: the limbs of x and y in Montgomery form, without a gap.
macro_rules! layout {
    ($curve:ident, $limbs:literal, $one:literal) => {
        const _: () = {
            use $curve::{Fq, Fq2};
            assert!(size_of::<Fq>() == 8 * $limbs && align_of::<Fq>() <= 8);
            assert!(size_of::<Fq2>() == 16 * $limbs && align_of::<Fq2>() <= 8);
            assert!(offset_of!(Fq2, c0) == 0 && offset_of!(Fq2, c1) == 8 * $limbs);
            assert!(size_of::<Point<Fq>>() == 16 * $limbs && offset_of!(Point<Fq>, y) == 8 * $limbs);
            assert!(size_of::<Point<Fq2>>() == 32 * $limbs && offset_of!(Point<Fq2>, y) == 16 * $limbs);
            // The lowest limb of R mod q: 1 is held as R.
            assert!(<Fq as Field>::ONE.0 .0[0] == $one);
        };
    };
}

layout!(ark_bls12_381, 6, 0x760900000002fffd);
layout!(ark_bn254, 4, 0xd35d438dc58f0d9d);
