//! Operations on vectors of points: term by term.

use ark_ff::{BigInt, PrimeField};

use crate::arith::Coordinate;
use crate::curve::{BaseOf, Curve, Group, ScalarOf};
use crate::error::{value, Result};
use crate::point::{Point, Xyzz};
use crate::scalars::{order, signed, Limbs};
use crate::straus;
use crate::sums::{sum_groups, Scratch, Source, Term};
use crate::tasks::Run;

/// Points that one task scales.
const CHUNK: usize = 32;
/// Pairs that one task adds: some batches of inversions, and their points stay in the L2 cache.
const SUMS: usize = 1 << 12;

/// Returns s_i P_i for each i; one scalar serves all points. The points are in the r-torsion.
pub fn scale<G: Group>(
    points: &[Point<BaseOf<G>>],
    scalars: &[Limbs],
    run: Run<'_>,
) -> Result<Vec<Point<BaseOf<G>>>>
where
    ScalarOf<G>: PrimeField<BigInt = BigInt<4>>,
{
    if scalars.len() != points.len() && scalars.len() != 1 {
        return value(format!("{} points and {} scalars", points.len(), scalars.len()));
    }
    let order = order::<ScalarOf<G>>();
    let parts = run.each(
        points.len().div_ceil(CHUNK),
        || (),
        |(), chunk| {
            let range = chunk * CHUNK..((chunk + 1) * CHUNK).min(points.len());
            let of = |i: usize| straus::sum::<G>(&[(points[i], signed(&scalars[i % scalars.len()], &order))]);
            Xyzz::to_affine(&range.map(of).collect::<Vec<_>>())
        },
    )?;
    Ok(parts.concat())
}

/// Returns P_i + Q_i for each i.
pub fn add<F: Coordinate>(left: &[Point<F>], right: &[Point<F>], run: Run<'_>) -> Result<Vec<Point<F>>> {
    if left.len() != right.len() {
        return value(format!("{} and {} points: expected one length", left.len(), right.len()));
    }
    let chunks: Vec<_> = left.chunks(SUMS).zip(right.chunks(SUMS)).collect();
    let parts = run.each(chunks.len(), Scratch::default, |scratch, i| {
        let (low, high) = chunks[i];
        let n = low.len();
        let terms: Vec<Term> = (0..n).flat_map(|i| [Term::new(i, false), Term::new(i + n, false)]).collect();
        let ends: Vec<u32> = (1..=n as u32).map(|i| 2 * i).collect();
        sum_groups(scratch, Source { low, high }, &terms, &ends)
    })?;
    Ok(parts.concat())
}

/// Returns P_index[i] for each i; negative positions count from the end, as in Python.
pub fn take<F: Coordinate>(points: &[Point<F>], index: &[i64]) -> Result<Vec<Point<F>>> {
    let n = points.len() as i64;
    let mut out = Vec::with_capacity(index.len());
    for &i in index {
        let at = if i < 0 { i.checked_add(n).unwrap_or(-1) } else { i };
        match usize::try_from(at).ok().and_then(|at| points.get(at)) {
            Some(point) => out.push(*point),
            None => return value(format!("position {i} of {n} points")),
        }
    }
    Ok(out)
}

/// Reads positions from native 64-bit integers.
pub fn parse_index(data: &[u8]) -> Result<Vec<i64>> {
    if !data.len().is_multiple_of(8) {
        return value(format!("{} bytes of positions: expected a multiple of 8", data.len()));
    }
    let read = |b: &[u8]| i64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    Ok(data.chunks_exact(8).map(read).collect())
}

/// Returns, for each i, 1 if P_i = Q_i, else 0.
pub fn is_equal<F: Coordinate>(left: &[Point<F>], right: &[Point<F>]) -> Result<Vec<u8>> {
    if left.len() != right.len() {
        return value(format!("{} and {} points: expected one length", left.len(), right.len()));
    }
    Ok(left.iter().zip(right).map(|(p, q)| u8::from(p == q)).collect())
}

/// Hashes each message to G1.
pub fn hash<C: Curve>(
    messages: &[Vec<u8>],
    domain: &[u8],
    run: Run<'_>,
) -> Result<Vec<Point<BaseOf<C::First>>>> {
    let hash = |(): &mut (), i: usize| C::hash(&messages[i], domain);
    run.each(messages.len(), || (), hash)?.into_iter().collect()
}
