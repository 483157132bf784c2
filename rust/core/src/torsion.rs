//! Whether points of the curve are in the r-torsion: a long vector at once.
//!
//! A curve of this kind has h r points, r prime and no divisor of h, so a point is P = T + E, T
//! in the r-torsion and E, its error, of an order that divides h. A point is to be refused if
//! E != 0. One check by an endomorphism costs as much as 50 to 200 additions, so of a long vector
//! 128 sums are checked, each of a random subset:
//!
//!     sum_i b_ik P_i, k = 1 ... 128, with bits b_ik of the operating system's randomness
//!
//! If E_j != 0 for some j, a sum is in the r-torsion with probability at most 1/2: whatever the
//! other points and bits are, the error of the sum is S or S + E_j, as b_jk is 0 or 1, and not both
//! are 0. This holds for every order of E_j (3 is the smallest, in G1 of BLS12-381) and however the
//! errors were chosen, as long as that was before the bits. 128 independent subsets leave 2^-128.
//! One sum with random factors of 128 bits cannot do this: errors of order 3 cancel once in 3.
//!
//! t subsets are summed at once: a point falls into one of 2^t buckets, which its t bits name, and
//! the sum of a subset is that of the buckets that have its bit. So n points take n additions and
//! 2^(t+1) more for t subsets, instead of n t / 2.
//!
//! Source: Bellare, Garay and Rabin, "Fast Batch Verification for Modular Exponentiation and
//! Digital Signatures", 1998 (the random subset test and buckets, for exponentiations); Koshelev,
//! El Housni and Fotiadis, "Batch subgroup membership testing on pairing-friendly curves" (the
//! problem, and another way).

use ark_ec::CurveConfig;

use crate::arith::Coordinate;
use crate::curve::Group;
use crate::error::{value, Error, Result};
use crate::point::{Point, Xyzz};
use crate::sums::{sum_groups, Scratch, Source, Term};
use crate::tasks::Run;

/// Random subsets of each vector: a wrong one is missed with probability 2^-128.
const SUBSETS: u32 = 128;
/// A shorter vector is checked point by point (`examples/keys.rs` measures).
const SHORT: usize = 512;
/// Points whose subsets are summed together, so that memory does not grow with the vector.
const BLOCK: usize = 1 << 15;
/// Points that one task checks one by one.
const CHUNK: usize = 64;

/// The refusal of a point that is on no curve or in no subgroup: which of both is not told apart.
pub fn outside<G: Group>() -> Error {
    Error::Decode(format!("a {} point is off the curve or outside the subgroup", G::NAME))
}

/// Checks that every point is in the r-torsion; all are on the curve, the identity may be there.
///
/// Errors: `Decode` if one is not; `Value` if the operating system gives no randomness.
pub fn check<G: Group>(points: &[Point<G::BaseField>], run: Run<'_>) -> Result<()> {
    // A curve of prime order has no other points.
    if <G as CurveConfig>::COFACTOR == [1] {
        return Ok(());
    }
    if points.len() < SHORT {
        let chunks: Vec<_> = points.chunks(CHUNK).collect();
        return verdict::<G>(run.each(
            chunks.len(),
            || (),
            |(), i| Ok(chunks[i].iter().all(G::is_in_subgroup)),
        )?);
    }
    // Blocks of nearly one size: a short last one would cost as many checks as a full one.
    let blocks = points.len().div_ceil(BLOCK);
    let blocks: Vec<_> = points.chunks(points.len().div_ceil(blocks)).collect();
    // A sixteenth as many buckets as points: measured, and flat around it.
    let bits = blocks[0].len().ilog2() - 4;
    let passes = SUBSETS.div_ceil(bits) as usize;
    verdict::<G>(run.each(blocks.len() * passes, Scratch::default, |scratch, i| {
        pass::<G>(blocks[i / passes], bits, scratch)
    })?)
}

fn verdict<G: Group>(parts: Vec<Result<bool>>) -> Result<()> {
    for is_inside in parts {
        if !is_inside? {
            return Err(outside::<G>());
        }
    }
    Ok(())
}

/// Returns whether the sums of `bits` random subsets are in the r-torsion; up to 16.
fn pass<G: Group>(
    points: &[Point<G::BaseField>],
    bits: u32,
    scratch: &mut Scratch<G::BaseField>,
) -> Result<bool> {
    let mut random = vec![0u8; 2 * points.len()];
    if let Err(error) = getrandom::fill(&mut random) {
        return value(format!("the operating system gives no randomness: {error}"));
    }
    let buckets = 1usize << bits;
    let bucket =
        |i: usize| usize::from(u16::from_le_bytes([random[2 * i], random[2 * i + 1]])) & (buckets - 1);
    // The points in the order of their buckets, and where each bucket ends.
    let mut ends = vec![0u32; buckets];
    (0..points.len()).for_each(|i| ends[bucket(i)] += 1);
    let mut next = vec![0u32; buckets];
    let mut total = 0;
    for (start, end) in next.iter_mut().zip(&mut ends) {
        *start = total;
        total += *end;
        *end = total;
    }
    let mut terms = vec![Term::new(0, false); points.len()];
    for i in 0..points.len() {
        let at = &mut next[bucket(i)];
        terms[*at as usize] = Term::new(i, false);
        *at += 1;
    }
    let sums = sum_groups(scratch, Source::of(points), &terms, &ends);
    Ok(subset_sums(&sums).iter().all(G::is_in_subgroup))
}

/// Returns, for each bit of a position, the sum of the elements whose position has it.
fn subset_sums<F: Coordinate>(buckets: &[Point<F>]) -> Vec<Point<F>> {
    let mut folded: Vec<_> = buckets.iter().map(Xyzz::from_affine).collect();
    let mut sums = vec![];
    while folded.len() > 1 {
        // The upper half has the highest bit; without it, it lies on the lower half.
        let upper = folded.split_off(folded.len() / 2);
        let mut sum = Xyzz::IDENTITY;
        upper.iter().for_each(|point| sum.add(point));
        sums.push(sum);
        folded.iter_mut().zip(&upper).for_each(|(low, high)| low.add(high));
    }
    Xyzz::to_affine(&sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bls12381, Curve};

    type First = <Bls12381 as Curve>::First;

    #[test]
    fn four_subsets_miss_two_errors_that_cancel_once_in_sixteen() {
        // (0, 2) has order 3.
        let (wrong, mut scratch) = (Point { x: 0u64.into(), y: 2u64.into() }, Scratch::default());
        let points = [wrong, First::base(), wrong.negated()];
        let missed = (0..4000).filter(|_| pass::<First>(&points, 4, &mut scratch).unwrap()).count();
        // The mean is 250, the standard deviation 15.
        assert!((130..370).contains(&missed), "{missed} of 4000");
        let missed = (0..4000).filter(|_| pass::<First>(&points[..2], 4, &mut scratch).unwrap()).count();
        assert!((130..370).contains(&missed), "{missed} of 4000");
        assert!((0..100).all(|_| pass::<First>(&points[1..2], 4, &mut scratch).unwrap()));
    }
}
