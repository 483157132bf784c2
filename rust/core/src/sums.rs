//! The one hot loop: sums of many groups of affine points with shared inversions.
//!
//! A group is summed as a tree: level 1 adds neighbours, level 2 adds results at distance 2, and
//! so on; every level of every group is one batch, whose denominators share inversions:
//! 5 products and 1 square an addition, instead of 8 and 2 in XYZZ. Buckets of a Pippenger
//! window, rows and columns of its reduction, and digits of a fixed-base comb are all groups.
//! A tree has no conflicts (two additions into one bucket within a batch), however uneven the
//! groups are, so no queue and no second kind of bucket is needed.
//!
//! Where the CPU has AVX-512 IFMA, eight additions go side by side (lanes.rs). Measured on one such
//! core, a proof of 65,536 squarings, CPU seconds of two threads: 1.35 without and 0.70 with it on
//! BN254, 2.4 and 1.17 on BLS12-381.
//!
//! Source: Montgomery's trick; batch-affine buckets as in gnark-crypto and constantine, which
//! queue instead.

use crate::arith::Coordinate;
use crate::point::Point;

/// Additions that share one inversion.
const BATCH: usize = 1024;

/// From so many additions on, eight go at a time, where the CPU can.
const WIDE: usize = 16;

/// Refers to a point of a source: position, and whether its negative is meant.
#[derive(Clone, Copy)]
pub struct Term(u32);

impl Term {
    /// `position` is below 2^31.
    #[inline(always)]
    pub fn new(position: usize, is_negative: bool) -> Self {
        Term((position as u32) << 1 | u32::from(is_negative))
    }

    #[inline(always)]
    fn load<F: Coordinate>(self, source: Source<'_, F>) -> Point<F> {
        source.point((self.0 >> 1) as usize).signed(self.0 & 1 == 1)
    }
}

/// The points that terms refer to: those of `low`, then those of `high`, as if they were one
/// slice. A proof sums over two parts of a key together, and nothing is copied.
#[derive(Clone, Copy)]
pub struct Source<'a, F> {
    pub low: &'a [Point<F>],
    pub high: &'a [Point<F>],
}

impl<'a, F> Source<'a, F> {
    pub fn of(low: &'a [Point<F>]) -> Self {
        Source { low, high: &[] }
    }

    pub fn len(&self) -> usize {
        self.low.len() + self.high.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    pub fn point(&self, i: usize) -> &'a Point<F> {
        if i < self.low.len() {
            &self.low[i]
        } else {
            &self.high[i - self.low.len()]
        }
    }
}

/// Buffers that a thread keeps from one call to the next.
pub struct Scratch<F: Coordinate> {
    work: Vec<Point<F>>,
    pairs: Vec<(u32, u32)>,
    active: Vec<(u32, u32)>,
    lanes: Lanes<F>,
}

impl<F: Coordinate> Default for Scratch<F> {
    fn default() -> Self {
        Scratch { work: Vec::new(), pairs: Vec::new(), active: Vec::new(), lanes: Lanes::default() }
    }
}

/// Returns the sum of each group; an empty group's sum is the identity.
///
/// `terms` are the groups one after the other; `ends[g]` is where group g stops.
pub fn sum_groups<F: Coordinate>(
    scratch: &mut Scratch<F>,
    source: Source<'_, F>,
    terms: &[Term],
    ends: &[u32],
) -> Vec<Point<F>> {
    let mut out = Vec::with_capacity(ends.len());
    scratch.sum_all(source, terms, ends, &mut out);
    out
}

impl<F: Coordinate> Scratch<F> {
    /// Appends the sums of the groups that end at `ends` to `out`.
    fn sum_all(&mut self, source: Source<'_, F>, terms: &[Term], ends: &[u32], out: &mut Vec<Point<F>>) {
        let Scratch { work, pairs, active, lanes } = self;
        work.clear();
        work.extend(terms.iter().map(|t| t.load(source)));
        active.clear();
        let mut start = 0;
        for &end in ends {
            if end - start > 1 {
                active.push((start, end));
            }
            start = end;
        }
        let mut stride = 1;
        while !active.is_empty() {
            pairs.clear();
            for &(start, end) in active.iter() {
                let mut at = start;
                while at + stride < end {
                    pairs.push((at, at + stride));
                    at += 2 * stride;
                }
            }
            for batch in pairs.chunks(BATCH) {
                lanes.add_batch(work, batch);
            }
            stride *= 2;
            active.retain(|&(start, end)| end - start > stride);
        }
        let mut start = 0;
        out.extend(ends.iter().map(|&end| {
            let sum = if end > start { work[start as usize] } else { Point::IDENTITY };
            start = end;
            sum
        }));
    }
}

/// The denominators of a batch and their prefix products.
struct Lanes<F: Coordinate> {
    denominators: Vec<F>,
    prefixes: Vec<F>,
    wide: F::Batch,
    special: Vec<(u32, u32)>,
}

impl<F: Coordinate> Default for Lanes<F> {
    fn default() -> Self {
        Lanes { denominators: vec![], prefixes: vec![], wide: F::Batch::default(), special: vec![] }
    }
}

impl<F: Coordinate> Lanes<F> {
    /// Adds the second point of each pair to the first, in place; pairs share no point.
    fn add_batch(&mut self, work: &mut [Point<F>], pairs: &[(u32, u32)]) {
        let mut special = std::mem::take(&mut self.special);
        special.clear();
        if pairs.len() >= WIDE && F::add_wide(&mut self.wide, work, pairs, &mut special) {
            if !special.is_empty() {
                self.add_pairs(work, &special);
            }
        } else {
            self.add_pairs(work, pairs);
        }
        self.special = special;
    }

    /// Adds the second point of each pair to the first, in place; pairs share no point.
    fn add_pairs(&mut self, work: &mut [Point<F>], pairs: &[(u32, u32)]) {
        self.denominators.clear();
        self.prefixes.clear();
        let mut running = F::ONE;
        for &(a, b) in pairs {
            let d = denominator(&work[a as usize], &work[b as usize]);
            self.prefixes.push(running);
            running = running.times(&d);
            self.denominators.push(d);
        }
        // No factor is 0, so the product has an inverse.
        let mut inverse = running.inverse().unwrap_or(F::ONE);
        for (i, &(a, b)) in pairs.iter().enumerate().rev() {
            let own = inverse.times(&self.prefixes[i]);
            inverse = inverse.times(&self.denominators[i]);
            work[a as usize] = finish(&work[a as usize], &work[b as usize], &own);
        }
    }
}

/// Returns what the slope of an addition is divided by; 1 where there is no slope. Never 0.
#[inline(always)]
fn denominator<F: Coordinate>(p: &Point<F>, q: &Point<F>) -> F {
    let d = q.x.minus(&p.x);
    // Points of which one is the identity have a d that is not 0, unless x = 0, and do not use it.
    if !d.is_zero() {
        d
    } else if p.y == q.y && !p.y.is_zero() {
        p.y.double()
    } else {
        F::ONE
    }
}

#[inline(always)]
fn finish<F: Coordinate>(p: &Point<F>, q: &Point<F>, inverse: &F) -> Point<F> {
    if p.is_identity() {
        return *q;
    }
    if q.is_identity() {
        return *p;
    }
    let slope = if p.x != q.x {
        q.y.minus(&p.y).times(inverse)
    } else if p.y == q.y && !p.y.is_zero() {
        let xx = p.x.squared();
        (xx.double() + xx).times(inverse)
    } else {
        return Point::IDENTITY;
    };
    let x = slope.squared().minus(&p.x).minus(&q.x);
    Point { x, y: slope.times(&p.x.minus(&x)).minus(&p.y) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{from_ark, Group};
    use crate::point::Xyzz;
    use ark_ec::short_weierstrass::SWCurveConfig;
    use ark_ec::CurveGroup;
    use ark_ff::Field;

    type Config = ark_bls12_381::g1::Config;
    type Fq = ark_bls12_381::Fq;

    fn multiples(count: usize) -> Vec<Point<Fq>> {
        let g = Config::GENERATOR;
        let mut sum = Xyzz::IDENTITY;
        let mut all = vec![];
        for _ in 0..count {
            all.push(sum);
            sum.add_affine(&Point { x: g.x, y: g.y });
        }
        Xyzz::to_affine(&all)
    }

    #[test]
    fn groups_of_every_size_with_equal_opposite_and_identity_terms() {
        let source = multiples(9000);
        let mut scratch = Scratch::default();
        for sizes in [vec![], vec![0], vec![1, 0, 2, 3, 0], vec![5000, 1, 17], (0..60).collect()] {
            let (mut terms, mut ends, mut expected) = (vec![], vec![], vec![]);
            let mut state = 1u64;
            for size in sizes {
                let mut total = 0i64;
                for _ in 0..size {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let (k, is_negative) = ((state >> 40) as usize % 4, state >> 33 & 1 == 1);
                    terms.push(Term::new(k, is_negative));
                    total += if is_negative { -(k as i64) } else { k as i64 };
                }
                ends.push(terms.len() as u32);
                expected.push(source[total.unsigned_abs() as usize].signed(total < 0));
            }
            assert_eq!(sum_groups(&mut scratch, Source::of(&source), &terms, &ends), expected);
        }
    }

    /// Eight at a time and one at a time: the same points, whatever the pairs are.
    fn wide_equals_narrow<G: Group>() {
        let base = |k: u64| from_ark::<G>(&(G::GENERATOR * G::ScalarField::from(k)).into_affine());
        // An addition is a formula in any two coordinates: the largest ones, on no curve, too.
        let most = -<G::BaseField as Field>::BasePrimeField::ONE;
        let count = G::BaseField::extension_degree() as usize;
        let largest = G::BaseField::from_base_prime_field_elems(vec![most; count]).unwrap();
        let one = G::BaseField::ONE;
        let extreme = [(largest, one), (one, largest), (-one, largest), (largest - one, -one)];
        let points: Vec<_> = (0..9)
            .map(|k| base(k * k))
            .chain([base(4).negated()])
            .chain(extreme.map(|(x, y)| Point { x, y }))
            .collect();
        let mut state = 1u64;
        for count in [1usize, 7, 8, 9, 16, 100, 1024] {
            let mut work: Vec<_> = (0..2 * count)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    points[(state >> 40) as usize % points.len()]
                })
                .collect();
            let pairs: Vec<(u32, u32)> = (0..count as u32).map(|i| (2 * i + 1, 2 * i)).collect();
            let (mut narrow, mut special) = (work.clone(), vec![]);
            let mut lanes = Lanes::default();
            lanes.add_pairs(&mut narrow, &pairs);
            if !G::BaseField::add_wide(&mut lanes.wide, &mut work, &pairs, &mut special) {
                eprintln!("not compared: this CPU has no AVX-512 IFMA");
                return;
            }
            assert!(count < 100 || special.len() > 10 && special.len() < count);
            lanes.add_pairs(&mut work, &special);
            assert!(work == narrow, "{count} pairs in {}", G::NAME);
        }
    }

    #[test]
    fn eight_at_a_time_equal_one_at_a_time() {
        wide_equals_narrow::<ark_bls12_381::g1::Config>();
        wide_equals_narrow::<ark_bls12_381::g2::Config>();
        wide_equals_narrow::<ark_bn254::g1::Config>();
        wide_equals_narrow::<ark_bn254::g2::Config>();
    }

    #[test]
    fn pairs_outside_the_work_are_refused() {
        let mut work = multiples(4);
        let mut lanes = Lanes::<Fq>::default();
        assert!(!Fq::add_wide(&mut lanes.wide, &mut work, &[(0, 4)], &mut vec![]));
        assert!(!Fq::add_wide(&mut lanes.wide, &mut work, &[], &mut vec![]));
    }
}
