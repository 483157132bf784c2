//! Multiplication in the base fields, chosen by measurement.
//!
//! Measured on one core of an AMD EPYC (nanoseconds, dependent chain):
//!
//! | field            | arkworks 0.6 | arkworks with `asm` | blst | halo2curves `asm` |
//! |------------------|--------------|---------------------|------|-------------------|
//! | BLS12-381 Fq     | 27 to 32     | 27                  | 22.5 | -                 |
//! | BLS12-381 Fq2    | 99 to 102    | 99                  | 75   | -                 |
//! | BN254 Fq         | 13.4         | 13.4                | -    | 13.0              |
//! | BN254 Fq2        | 49           | 47                  | -    | -                 |
//!
//! So BN254 is arkworks as it is, and BLS12-381 multiplies with blst, which looks for MULX and
//! ADX at run time. Both hold elements in Montgomery form with R = 2^384, fully reduced.

use ark_ff::{AdditiveGroup, BigInt, Field, Fp, PrimeField};
use std::marker::PhantomData;

use crate::affine::Raw;
use crate::point::Point;
#[cfg(target_arch = "x86_64")]
use crate::{ifma, lanes};

type BlsFq = ark_bls12_381::Fq;
type BlsFq2 = ark_bls12_381::Fq2;

/// A field of coordinates: arkworks' arithmetic, with the fastest product that was measured.
pub trait Coordinate: Field + Raw {
    /// Returns the product.
    #[inline(always)]
    fn times(&self, other: &Self) -> Self {
        *self * other
    }

    /// Returns the square.
    #[inline(always)]
    fn squared(&self) -> Self {
        self.square()
    }

    /// Returns a square root, or None.
    fn root(&self) -> Option<Self> {
        self.sqrt()
    }

    /// Returns the difference, without a branch: that of arkworks' goes either way at random, and
    /// a wrong guess costs more than the subtraction.
    fn minus(&self, other: &Self) -> Self;

    /// Returns the negative if asked to, without a branch.
    fn negated_if(&self, is_negative: bool) -> Self;

    /// Buffers of `add_wide`.
    type Batch: Default;

    /// Adds the second point of each pair to the first, eight pairs at a time; pairs without a
    /// plain slope are appended to `special` instead. Returns false, and does nothing, if this CPU
    /// cannot (ifma.rs).
    fn add_wide(
        batch: &mut Self::Batch,
        work: &mut [Point<Self>],
        pairs: &[(u32, u32)],
        special: &mut Vec<(u32, u32)>,
    ) -> bool;
}

macro_rules! wide {
    ($prime:ty, $limbs:literal, $degree:literal) => {
        #[cfg(target_arch = "x86_64")]
        type Batch = lanes::Batch<$limbs, $degree>;
        #[cfg(not(target_arch = "x86_64"))]
        type Batch = ();

        #[cfg(target_arch = "x86_64")]
        fn add_wide(
            batch: &mut Self::Batch,
            work: &mut [Point<Self>],
            pairs: &[(u32, u32)],
            special: &mut Vec<(u32, u32)>,
        ) -> bool {
            static PRIME: ifma::Prime<$limbs> =
                ifma::Prime::new(&<$prime as PrimeField>::MODULUS.0, &<$prime as Field>::ONE.0 .0);
            let last = pairs.iter().map(|&(a, b)| a.max(b) as usize).max();
            let is_inside = last.is_some_and(|last| last < work.len());
            if !is_inside || !ifma::is_available() {
                return false;
            }
            // SAFETY: the CPU was asked, the pairs are within `work`, and a coordinate has as many
            // words as its type (affine.rs checks the layout when it is compiled). An addition
            // takes half the time or less (see sums.rs).
            unsafe { batch.add_pairs(&PRIME, work, pairs, special, |all| invert_all(all)) };
            true
        }

        #[cfg(not(target_arch = "x86_64"))]
        fn add_wide(_: &mut (), _: &mut [Point<Self>], _: &[(u32, u32)], _: &mut Vec<(u32, u32)>) -> bool {
            false
        }
    };
}

/// Returns a - b modulo p, for a and b below p.
#[inline(always)]
fn difference<const N: usize>(a: &[u64; N], b: &[u64; N], p: &[u64; N]) -> [u64; N] {
    let (mut out, mut borrow) = ([0; N], 0u64);
    for i in 0..N {
        let d = u128::from(a[i]).wrapping_sub(u128::from(b[i])).wrapping_sub(u128::from(borrow));
        (out[i], borrow) = (d as u64, (d >> 64) as u64 & 1);
    }
    let (mask, mut carry) = (borrow.wrapping_neg(), 0u64);
    for i in 0..N {
        let sum = u128::from(out[i]) + u128::from(p[i] & mask) + u128::from(carry);
        (out[i], carry) = (sum as u64, (sum >> 64) as u64);
    }
    out
}

macro_rules! without_branches {
    ($field:ty) => {
        #[inline(always)]
        fn minus(&self, other: &Self) -> Self {
            let modulus = <$field as PrimeField>::MODULUS.0;
            Fp(BigInt(difference(&self.0 .0, &other.0 .0, &modulus)), PhantomData)
        }

        #[inline(always)]
        fn negated_if(&self, is_negative: bool) -> Self {
            let (minus, mask) = (Self::ZERO.minus(self), u64::from(is_negative).wrapping_neg());
            let mut out = *self;
            for (limb, other) in out.0 .0.iter_mut().zip(minus.0 .0) {
                *limb ^= (*limb ^ other) & mask;
            }
            out
        }
    };
}

macro_rules! by_coefficients {
    () => {
        #[inline(always)]
        fn minus(&self, other: &Self) -> Self {
            Self::new(self.c0.minus(&other.c0), self.c1.minus(&other.c1))
        }

        #[inline(always)]
        fn negated_if(&self, is_negative: bool) -> Self {
            Self::new(self.c0.negated_if(is_negative), self.c1.negated_if(is_negative))
        }
    };
}

impl Coordinate for ark_bn254::Fq {
    without_branches!(ark_bn254::Fq);
    wide!(ark_bn254::Fq, 5, 1);
}

impl Coordinate for ark_bn254::Fq2 {
    by_coefficients!();
    wide!(ark_bn254::Fq, 5, 2);
}

#[inline(always)]
pub fn to_blst(value: &BlsFq) -> blst::blst_fp {
    blst::blst_fp { l: value.0 .0 }
}

#[inline(always)]
pub fn from_blst(value: blst::blst_fp) -> BlsFq {
    ark_ff::Fp(BigInt(value.l), PhantomData)
}

#[inline(always)]
pub fn to_blst2(value: &BlsFq2) -> blst::blst_fp2 {
    blst::blst_fp2 { fp: [to_blst(&value.c0), to_blst(&value.c1)] }
}

#[inline(always)]
fn from_blst2(value: blst::blst_fp2) -> BlsFq2 {
    BlsFq2::new(from_blst(value.fp[0]), from_blst(value.fp[1]))
}

impl Coordinate for BlsFq {
    without_branches!(BlsFq);
    wide!(BlsFq, 8, 1);

    #[inline(always)]
    fn times(&self, other: &Self) -> Self {
        let mut out = blst::blst_fp::default();
        // SAFETY: all three point to initialised blst_fp on this stack; the function reads and
        // writes 48 bytes each and keeps no pointer. It saves a fifth of every sum (see above).
        unsafe { blst::blst_fp_mul(&mut out, &to_blst(self), &to_blst(other)) };
        from_blst(out)
    }

    #[inline(always)]
    fn squared(&self) -> Self {
        let mut out = blst::blst_fp::default();
        // SAFETY: as in `times`.
        unsafe { blst::blst_fp_sqr(&mut out, &to_blst(self)) };
        from_blst(out)
    }

    fn root(&self) -> Option<Self> {
        let mut out = blst::blst_fp::default();
        // SAFETY: as in `times`. 9 us; arkworks 16.
        unsafe { blst::blst_fp_sqrt(&mut out, &to_blst(self)) }.then(|| from_blst(out))
    }
}

impl Coordinate for BlsFq2 {
    by_coefficients!();
    wide!(BlsFq, 8, 2);

    #[inline(always)]
    fn times(&self, other: &Self) -> Self {
        let mut out = blst::blst_fp2::default();
        // SAFETY: as in `times` of Fq, with 96 bytes.
        unsafe { blst::blst_fp2_mul(&mut out, &to_blst2(self), &to_blst2(other)) };
        from_blst2(out)
    }

    #[inline(always)]
    fn squared(&self) -> Self {
        let mut out = blst::blst_fp2::default();
        // SAFETY: as in `times` of Fq, with 96 bytes.
        unsafe { blst::blst_fp2_sqr(&mut out, &to_blst2(self)) };
        from_blst2(out)
    }

    fn root(&self) -> Option<Self> {
        let mut out = blst::blst_fp2::default();
        // SAFETY: as in `times` of Fq, with 96 bytes. 19 us; arkworks 52.
        unsafe { blst::blst_fp2_sqrt(&mut out, &to_blst2(self)) }.then(|| from_blst2(out))
    }
}

/// Replaces every element by its inverse with one inversion; 0 stays 0.
pub fn invert_all<F: Coordinate>(values: &mut [F]) {
    let mut prefix = Vec::with_capacity(values.len());
    let mut running = F::ONE;
    for value in values.iter() {
        prefix.push(running);
        if !value.is_zero() {
            running = running.times(value);
        }
    }
    // Only non-zero factors went in, and a field has no zero divisors.
    let mut inverse = running.inverse().unwrap_or(F::ONE);
    for (value, before) in values.iter_mut().zip(prefix).rev() {
        if !value.is_zero() {
            let own = inverse.times(&before);
            inverse = inverse.times(value);
            *value = own;
        }
    }
}
