//! Arithmetic in the base fields with AVX-512 IFMA: eight elements side by side.
//!
//! An element of Fq is L limbs of 52 bits, each limb a vector of eight lanes; `vpmadd52` multiplies
//! and adds them. Memory keeps the Montgomery form with R = 2^(64 W): a product here divides by
//! 2^(52 L), so one factor is shifted up by s = 52 L - 64 W bits, and nothing is ever converted:
//!
//! ```text
//! (2^s a) b 2^(-52 L) = a b 2^(-64 W)  (mod q)
//! ```
//!
//! With a, b < 2 q the factor 2^s a is below 2^(s+1) q, and the product before its one subtraction
//! below 2^(s+2) q^2 / 2^(52 L) + q, which is below 2 q if 2^(s+2) q < 2^(52 L): `Prime::new` checks
//! that when it is compiled. Fq2 has u^2 = -1 on both curves.
//!
//! Source: Gueron and Krasnov 2016, "Accelerating big integer arithmetic using Intel IFMA
//! extensions".

use std::arch::x86_64::*;
use std::sync::OnceLock;

/// A vector of eight lanes.
pub type V = __m512i;
/// D coefficients of L limbs, eight lanes each.
pub type Element<const L: usize, const D: usize> = [[V; L]; D];

const MASK: u64 = (1 << 52) - 1;
/// The prime of one curve: limbs of 52 bits, -1/q modulo 2^52, R modulo q, words of 64 bits.
pub struct Prime<const L: usize> {
    q: [u64; L],
    minus_inverse: u64,
    one: [u64; L],
    words: usize,
    shift: u32,
}

impl<const L: usize> Prime<L> {
    /// `q` and `one` (the 1 of the Montgomery form) in words of 64 bits.
    pub const fn new<const W: usize>(q: &[u64; W], one: &[u64; W]) -> Self {
        // Newton's iteration doubles the bits of 1/q modulo 2^64 that are right.
        let (mut inverse, mut i) = (1u64, 0);
        while i < 6 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(q[0].wrapping_mul(inverse)));
            i += 1;
        }
        let minus_inverse = inverse.wrapping_neg() & MASK;
        let bits = 64 * W - q[W - 1].leading_zeros() as usize;
        assert!(bits + (52 * L - 64 * W) + 2 <= 52 * L, "a product may reach 2 q");
        Prime {
            q: split_words(q),
            minus_inverse,
            one: split_words(one),
            words: W,
            shift: (52 * L - 64 * W) as u32,
        }
    }
}

const fn split_words<const W: usize, const L: usize>(words: &[u64; W]) -> [u64; L] {
    let (mut out, mut j) = ([0; L], 0);
    while j < L {
        let (k, off) = (52 * j / 64, 52 * j % 64);
        if k < W {
            out[j] = words[k] >> off;
            if off > 12 && k + 1 < W {
                out[j] |= words[k + 1] << (64 - off);
            }
            out[j] &= MASK;
        }
        j += 1;
    }
    out
}

/// Returns whether this CPU has what this file needs; ZKFED_LANES=0 says no, to compare.
pub fn is_available() -> bool {
    static IS_AVAILABLE: OnceLock<bool> = OnceLock::new();
    *IS_AVAILABLE.get_or_init(|| {
        let is_off = std::env::var_os("ZKFED_LANES").is_some_and(|value| value == "0");
        !is_off && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
    })
}

/// Returns the coordinate that starts `at` words into each point.
///
/// # Safety
///
/// `base` plus each offset plus `at` is a coordinate of D coefficients.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub unsafe fn load<const L: usize, const D: usize>(
    c: &Constants<L>,
    base: *const u64,
    offset: V,
    at: usize,
) -> Element<L, D> {
    let mut out = [[_mm512_setzero_si512(); L]; D];
    for (d, element) in out.iter_mut().enumerate() {
        let mut words = [_mm512_setzero_si512(); 8];
        for (k, word) in words.iter_mut().enumerate().take(c.words) {
            // SAFETY: the caller's.
            *word = unsafe { _mm512_i64gather_epi64::<8>(offset, base.add(at + d * c.words + k).cast()) };
        }
        for (j, limb) in element.iter_mut().enumerate() {
            let (k, off) = (52 * j / 64, 52 * j % 64);
            let mut v = _mm512_srl_epi64(words[k], count(off));
            if off > 12 && k + 1 < c.words {
                v = _mm512_or_si512(v, _mm512_sll_epi64(words[k + 1], count(64 - off)));
            }
            *limb = _mm512_and_si512(v, c.mask);
        }
    }
    out
}

/// Stores a coordinate in the lanes of `mask`.
///
/// # Safety
///
/// As `load`, and no two lanes of `mask` have one offset.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub unsafe fn store<const L: usize, const D: usize>(
    c: &Constants<L>,
    base: *mut u64,
    offset: V,
    at: usize,
    mask: u8,
    value: &Element<L, D>,
) {
    for (d, element) in value.iter().enumerate() {
        for k in 0..c.words {
            let word = joined(element, k);
            // SAFETY: the caller's.
            unsafe {
                _mm512_mask_i64scatter_epi64::<8>(base.add(at + d * c.words + k).cast(), mask, offset, word)
            };
        }
    }
}

/// Returns word k of 64 bits from limbs of 52.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn joined<const L: usize>(limbs: &[V; L], k: usize) -> V {
    let (j, off) = (64 * k / 52, 64 * k % 52);
    let mut word = _mm512_srl_epi64(limbs[j], count(off));
    if j + 1 < L {
        word = _mm512_or_si512(word, _mm512_sll_epi64(limbs[j + 1], count(52 - off)));
    }
    if 104 - off < 64 && j + 2 < L {
        word = _mm512_or_si512(word, _mm512_sll_epi64(limbs[j + 2], count(104 - off)));
    }
    word
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn count(bits: usize) -> __m128i {
    _mm_cvtsi64_si128(bits as i64)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn one<const L: usize, const D: usize>(c: &Constants<L>) -> Element<L, D> {
    let mut out = [[_mm512_setzero_si512(); L]; D];
    out[0] = c.one;
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn is_zero<const L: usize, const D: usize>(a: &Element<L, D>) -> u8 {
    let mut all = _mm512_setzero_si512();
    for limb in a.iter().flatten() {
        all = _mm512_or_si512(all, *limb);
    }
    _mm512_cmpeq_epi64_mask(all, _mm512_setzero_si512())
}

/// Returns b in the lanes of `mask`, else a.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn select<const L: usize, const D: usize>(
    mask: u8,
    a: &Element<L, D>,
    b: &Element<L, D>,
) -> Element<L, D> {
    let mut out = *a;
    for (out, b) in out.iter_mut().flatten().zip(b.iter().flatten()) {
        *out = _mm512_mask_mov_epi64(*out, mask, *b);
    }
    out
}

/// Returns a - b, below q, for a and b below q.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn difference<const L: usize>(c: &Constants<L>, a: &[V; L], b: &[V; L]) -> [V; L] {
    let mut out = [_mm512_setzero_si512(); L];
    for j in 0..L {
        out[j] = _mm512_sub_epi64(a[j], b[j]);
    }
    let negative = carried(c, &mut out);
    for (out, q) in out.iter_mut().zip(&c.q) {
        *out = _mm512_mask_add_epi64(*out, negative, *out, *q);
    }
    carried(c, &mut out);
    out
}

/// Brings limbs below 2^52, the highest one apart; returns the lanes that are negative.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn carried<const L: usize>(c: &Constants<L>, limbs: &mut [V; L]) -> u8 {
    for j in 0..L - 1 {
        limbs[j + 1] = _mm512_add_epi64(limbs[j + 1], _mm512_srai_epi64::<52>(limbs[j]));
        limbs[j] = _mm512_and_si512(limbs[j], c.mask);
    }
    let negative = _mm512_cmplt_epi64_mask(limbs[L - 1], _mm512_setzero_si512());
    limbs[L - 1] = _mm512_and_si512(limbs[L - 1], c.mask);
    negative
}

/// Returns a, of at most 2 q, or a - q if that is not negative.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduced<const L: usize>(c: &Constants<L>, a: &[V; L]) -> [V; L] {
    let mut out = [_mm512_setzero_si512(); L];
    for j in 0..L {
        out[j] = _mm512_sub_epi64(a[j], c.q[j]);
    }
    let negative = carried(c, &mut out);
    for (out, a) in out.iter_mut().zip(a) {
        *out = _mm512_mask_mov_epi64(*out, negative, *a);
    }
    out
}

/// Returns a b / R, below q, for a and b below 2 q.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn product<const L: usize>(c: &Constants<L>, a: &[V; L], b: &[V; L]) -> [V; L] {
    let zero = _mm512_setzero_si512();
    let (up, down) = (count(c.shift as usize), count(52 - c.shift as usize));
    let mut t = [zero; L];
    let mut below = zero;
    for limb in a {
        let high = _mm512_and_si512(_mm512_sll_epi64(*limb, up), c.mask);
        let factor = _mm512_or_si512(high, below);
        below = _mm512_srl_epi64(*limb, down);
        for j in 0..L {
            t[j] = _mm512_madd52lo_epu64(t[j], factor, b[j]);
        }
        let m = _mm512_madd52lo_epu64(zero, t[0], c.minus_inverse);
        let lowest = _mm512_madd52lo_epu64(t[0], m, c.q[0]);
        for j in 1..L {
            t[j - 1] = _mm512_madd52lo_epu64(t[j], m, c.q[j]);
        }
        t[L - 1] = zero;
        t[0] = _mm512_add_epi64(t[0], _mm512_srli_epi64::<52>(lowest));
        for j in 0..L {
            t[j] = _mm512_madd52hi_epu64(t[j], factor, b[j]);
            t[j] = _mm512_madd52hi_epu64(t[j], m, c.q[j]);
        }
    }
    carried(c, &mut t);
    reduced(c, &t)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn minus<const L: usize, const D: usize>(
    c: &Constants<L>,
    a: &Element<L, D>,
    b: &Element<L, D>,
) -> Element<L, D> {
    let mut out = *a;
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = difference(c, a, b);
    }
    out
}

/// Returns the sum of the coefficients 0 and 1, below 2 q.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn folded<const L: usize, const D: usize>(c: &Constants<L>, a: &Element<L, D>) -> [V; L] {
    let mut out = [_mm512_setzero_si512(); L];
    for j in 0..L {
        out[j] = _mm512_add_epi64(a[0][j], a[1][j]);
    }
    carried(c, &mut out);
    out
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub fn times<const L: usize, const D: usize>(
    c: &Constants<L>,
    a: &Element<L, D>,
    b: &Element<L, D>,
) -> Element<L, D> {
    let mut out = *a;
    if D == 1 {
        out[0] = product(c, &a[0], &b[0]);
    } else {
        // Karatsuba: (a0 + a1)(b0 + b1) - a0 b0 - a1 b1, and u^2 = -1.
        let (low, high) = (product(c, &a[0], &b[0]), product(c, &a[1], &b[1]));
        let cross = product(c, &folded(c, a), &folded(c, b));
        out[0] = difference(c, &low, &high);
        out[1] = difference(c, &difference(c, &cross, &low), &high);
    }
    out
}

/// A prime in registers.
pub struct Constants<const L: usize> {
    q: [V; L],
    minus_inverse: V,
    one: [V; L],
    mask: V,
    pub words: usize,
    shift: u32,
}

impl<const L: usize> Constants<L> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn load(prime: &Prime<L>) -> Self {
        Constants {
            q: prime.q.map(|limb| _mm512_set1_epi64(limb as i64)),
            minus_inverse: _mm512_set1_epi64(prime.minus_inverse as i64),
            one: prime.one.map(|limb| _mm512_set1_epi64(limb as i64)),
            mask: _mm512_set1_epi64(MASK as i64),
            words: prime.words,
            shift: prime.shift,
        }
    }
}
