//! Whether points of the curve are in the r-torsion: a long vector at once.
//!
//! A curve of this kind has h r points, r prime and no divisor of h, so a point is P = T + E, T
//! in the r-torsion and E, its error, of an order that divides h. A point is to be refused if
//! E != 0. One check by an endomorphism costs as much as 50 to 200 additions, so a long vector is
//! thrown into B buckets, each point into one that the operating system's randomness names, and
//! only the B sums are checked.
//!
//! If E_j != 0 for some j, a round accepts with probability at most 1/B. Fix the buckets of all
//! other points, and let S_b be the sum of their errors in bucket b. With j in bucket c the round
//! accepts only if S_c + E_j = 0 and S_b = 0 for all other b. Then S_c = -E_j != 0, so c is the
//! only bucket of which this can be true: 1 choice of B, whatever the others are, whatever the
//! order of E_j is (3 is the smallest, in G1 of BLS12-381) and however the errors were chosen, as
//! long as that was before the buckets. 128 / log2(B) independent rounds leave 2^-128.
//!
//! One random linear combination cannot do this: errors of order 3 cancel once in three times.
//!
//! Source: Bellare, Garay and Rabin, "Fast Batch Verification for Modular Exponentiation and
//! Digital Signatures", 1998, section 3 (buckets); Koshelev, El Housni and Fotiadis, "Batch
//! subgroup membership testing on pairing-friendly curves" (the problem, and another way). The
//! argument above is ours.

use ark_ec::CurveConfig;

use crate::curve::Group;
use crate::error::{value, Error, Result};
use crate::point::Point;
use crate::sums::{sum_groups, Scratch, Term};
use crate::tasks::Run;

const SECURITY_BITS: usize = 128;
/// A shorter vector is checked point by point (`examples/keys.rs` measures).
const SHORT: usize = 1024;
/// From this length on a round has 256 buckets, below 16: a check of a sum costs much there.
const LONG: usize = 1 << 15;
/// Points of one round, so that its memory does not grow with the vector.
const BLOCK: usize = 1 << 16;
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
    let bits = if blocks[0].len() < LONG { 4 } else { 8 };
    let rounds = SECURITY_BITS / bits;
    verdict::<G>(run.each(blocks.len() * rounds, Scratch::default, |scratch, i| {
        round::<G>(blocks[i / rounds], 1 << bits, scratch)
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

/// Returns whether the sums of all buckets are in the r-torsion; there are 2 to 256.
fn round<G: Group>(
    points: &[Point<G::BaseField>],
    buckets: usize,
    scratch: &mut Scratch<G::BaseField>,
) -> Result<bool> {
    let mut bucket = vec![0u8; points.len()];
    if let Err(error) = getrandom::fill(&mut bucket) {
        return value(format!("the operating system gives no randomness: {error}"));
    }
    // The number of buckets is a power of two, so each is as likely as another.
    bucket.iter_mut().for_each(|b| *b &= (buckets - 1) as u8);
    let mut ends = vec![0u32; buckets];
    bucket.iter().for_each(|&b| ends[usize::from(b)] += 1);
    let mut next = vec![0; buckets];
    let mut total = 0;
    for (start, end) in next.iter_mut().zip(&mut ends) {
        *start = total as usize;
        total += *end;
        *end = total;
    }
    let mut terms = vec![Term::new(0, false); points.len()];
    for (i, &b) in bucket.iter().enumerate() {
        let at = &mut next[usize::from(b)];
        terms[*at] = Term::new(i, false);
        *at += 1;
    }
    Ok(sum_groups(scratch, points, &terms, &ends).iter().all(G::is_in_subgroup))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bls12381, Curve};

    type First = <Bls12381 as Curve>::First;

    #[test]
    fn a_round_misses_two_errors_that_cancel_once_for_each_bucket_and_no_more() {
        // (0, 2) has order 3.
        let (wrong, mut scratch) = (Point { x: 0u64.into(), y: 2u64.into() }, Scratch::default());
        let points = [wrong, First::base(), wrong.negated()];
        let missed = (0..4000).filter(|_| round::<First>(&points, 16, &mut scratch).unwrap()).count();
        // The mean is 250, the standard deviation 15.
        assert!((130..370).contains(&missed), "{missed} of 4000");
        assert!((0..100).all(|_| !round::<First>(&points[..2], 16, &mut scratch).unwrap()));
    }
}
