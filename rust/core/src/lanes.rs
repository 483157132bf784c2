//! Batches of affine additions, eight at a time, where the CPU has AVX-512 IFMA.
//!
//! The additions are those of sums.rs, the arithmetic is that of ifma.rs. Each lane has its own chain
//! of products, so that eight inversions, which are one, serve a batch.

use std::arch::x86_64::*;

use crate::ifma::{is_zero, load, minus, one, select, store, times, Constants, Element, Prime, V};
use crate::point::Point;

/// Additions side by side.
pub const LANES: usize = 8;

/// Buffers of a batch: the denominators and their prefix products.
pub struct Batch<const L: usize, const D: usize> {
    denominators: Vec<Element<L, D>>,
    prefixes: Vec<Element<L, D>>,
}

impl<const L: usize, const D: usize> Default for Batch<L, D> {
    fn default() -> Self {
        Batch { denominators: Vec::new(), prefixes: Vec::new() }
    }
}

impl<const L: usize, const D: usize> Batch<L, D> {
    /// Adds the second point of each pair to the first, in place, but for pairs without a plain
    /// slope, which are appended to `special` untouched. Pairs share no point.
    ///
    /// `invert` replaces each of `LANES` elements, in memory's form, by its inverse.
    ///
    /// # Safety
    ///
    /// The CPU has AVX-512 F and IFMA (`is_available`); all pairs lie within `work`; F is D
    /// coefficients of `prime.words` words.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub unsafe fn add_pairs<F>(
        &mut self,
        prime: &Prime<L>,
        work: &mut [Point<F>],
        pairs: &[(u32, u32)],
        special: &mut Vec<(u32, u32)>,
        invert: impl FnOnce(&mut [F; LANES]),
    ) where
        F: Copy,
    {
        let c = Constants::load(prime);
        let base = work.as_mut_ptr().cast::<u64>();
        let stride = std::mem::size_of::<Point<F>>() / 8;
        self.denominators.clear();
        self.prefixes.clear();
        let mut running = one(&c);
        for chunk in pairs.chunks(LANES) {
            let (p, q) = offsets(chunk, stride);
            // SAFETY: the offsets are of points of `work`.
            let (px, qx) = unsafe { (load::<L, D>(&c, base, p, 0), load::<L, D>(&c, base, q, 0)) };
            let d = minus(&c, &qx, &px);
            // An identity has x = 0; so may another point, which then goes the slow way too.
            let odd = is_zero(&d) | is_zero(&px) | is_zero(&qx);
            for (lane, &pair) in chunk.iter().enumerate() {
                if odd >> lane & 1 == 1 {
                    special.push(pair);
                }
            }
            let d = select(odd, &d, &one(&c));
            self.prefixes.push(running);
            running = times(&c, &running, &d);
            self.denominators.push(d);
        }
        let mut inverse = inverted(&c, &running, invert);
        for (i, chunk) in pairs.chunks(LANES).enumerate().rev() {
            let (p, q) = offsets(chunk, stride);
            let y = D * c.words;
            // SAFETY: the offsets are of points of `work`.
            let (px, qx) = unsafe { (load::<L, D>(&c, base, p, 0), load::<L, D>(&c, base, q, 0)) };
            // SAFETY: as above.
            let (py, qy) = unsafe { (load::<L, D>(&c, base, p, y), load::<L, D>(&c, base, q, y)) };
            let own = times(&c, &inverse, &self.prefixes[i]);
            inverse = times(&c, &inverse, &self.denominators[i]);
            let slope = times(&c, &own, &minus(&c, &qy, &py));
            let x = minus(&c, &minus(&c, &times(&c, &slope, &slope), &px), &qx);
            let y3 = minus(&c, &times(&c, &slope, &minus(&c, &px, &x)), &py);
            let odd = is_zero(&minus(&c, &qx, &px)) | is_zero(&px) | is_zero(&qx);
            let mask = !odd & (0xff >> (LANES - chunk.len())) as u8;
            // SAFETY: as above; lanes without a pair or a slope are masked out.
            unsafe { store::<L, D>(&c, base, p, 0, mask, &x) };
            // SAFETY: as above.
            unsafe { store::<L, D>(&c, base, p, y, mask, &y3) };
        }
    }
}

/// Returns where the points of the pairs start, in words; lanes without a pair repeat the first.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn offsets(pairs: &[(u32, u32)], stride: usize) -> (V, V) {
    let (mut p, mut q) = ([0i64; LANES], [0i64; LANES]);
    for lane in 0..LANES {
        let (a, b) = pairs[if lane < pairs.len() { lane } else { 0 }];
        (p[lane], q[lane]) = ((a as usize * stride) as i64, (b as usize * stride) as i64);
    }
    let set = |v: [i64; LANES]| _mm512_set_epi64(v[7], v[6], v[5], v[4], v[3], v[2], v[1], v[0]);
    (set(p), set(q))
}

/// Returns the inverse of each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn inverted<F: Copy, const L: usize, const D: usize>(
    c: &Constants<L>,
    a: &Element<L, D>,
    invert: impl FnOnce(&mut [F; LANES]),
) -> Element<L, D> {
    // A lane after the other, as memory has elements.
    let size = D * c.words;
    let mut memory = [0u64; LANES * 16];
    // Small numbers: the product of the low halves is the product.
    let lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    let offset = _mm512_mul_epu32(lane, _mm512_set1_epi64(size as i64));
    // SAFETY: lane i has `size` words from i size on, and D is at most 2, words at most 8.
    unsafe { store::<L, D>(c, memory.as_mut_ptr(), offset, 0, 0xff, a) };
    // SAFETY: F is `size` words (the caller of `add_pairs` says so), plain integers in memory.
    let elements = unsafe { &mut *memory.as_mut_ptr().cast::<[F; LANES]>() };
    invert(elements);
    // SAFETY: as for `store`.
    unsafe { load::<L, D>(c, memory.as_ptr(), offset, 0) }
}
