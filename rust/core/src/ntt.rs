//! Transforms over the scalar field, and the quotient of Groth16 on a coset.
//!
//! The inverse transform goes from natural to bit-reversed order and the forward one back, so
//! nothing is ever permuted. Both recurse: halves that fit a cache stay in it, and on two
//! threads each half is one thread's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ark_ff::{BigInt, Field, PrimeField};

use crate::error::{value, Result};
use crate::scalars::{parse, Limbs};
use crate::tasks::Run;

/// A domain of n-th roots of unity: w = g^((r-1)/n), layers of powers, factors of the coset.
pub struct Domain<S> {
    /// Layer with blocks of half-length m starts at m - 1 and holds w_{2m}^j for j < m.
    forward: Vec<S>,
    inverse: Vec<S>,
    /// g^j / n, at the bit-reversed place of j.
    coset: Vec<S>,
}

impl<S: PrimeField> Domain<S> {
    /// Errors: `Value` unless `size` is a power of two for which there is a root.
    pub fn new(size: usize) -> Result<Self> {
        let log = size.trailing_zeros();
        if size == 0 || !size.is_power_of_two() || log > S::TWO_ADICITY {
            return value(format!("domain size {size}: expected a power of two up to 2^{}", S::TWO_ADICITY));
        }
        // TWO_ADIC_ROOT_OF_UNITY = g^((r-1)/2^s); the same g as zkfed's `Curve.generator`.
        let mut root = S::TWO_ADIC_ROOT_OF_UNITY;
        for _ in log..S::TWO_ADICITY {
            root.square_in_place();
        }
        let scale = S::from(size as u64).inverse().unwrap_or(S::ONE);
        let mut coset = vec![S::ZERO; size];
        let mut power = scale;
        for j in 0..size {
            let place = if log == 0 { 0 } else { j.reverse_bits() >> (usize::BITS - log) };
            coset[place] = power;
            power *= S::GENERATOR;
        }
        let back = root.inverse().unwrap_or(S::ONE);
        Ok(Domain { forward: layers(root, size), inverse: layers(back, size), coset })
    }

    pub fn size(&self) -> usize {
        self.coset.len()
    }

    /// Returns w^j for j in 0 .. n.
    pub fn roots(&self) -> impl Iterator<Item = S> + '_ {
        // The last layer holds the first half; w^(n/2) = -1. A domain of one point is {1}.
        let half = &self.forward[(self.size() / 2).max(1) - 1..];
        let first = half.iter().copied();
        first.clone().chain(first.map(|w| -w)).take(self.size())
    }

    /// Returns A B - C on the coset g H from the values of A, B, C on H, without 1 / Z.
    ///
    /// Errors: `Interrupted`.
    pub fn quotient(&self, sides: [Vec<S>; 3], run: Run<'_>) -> Result<Vec<S>> {
        let [mut a, mut b, mut c] = sides;
        for side in [&mut a, &mut b, &mut c] {
            to_coefficients(side, &self.inverse, run);
            side.iter_mut().zip(&self.coset).for_each(|(v, f)| *v *= f);
            to_values(side, &self.forward, run);
            run.check()?;
        }
        for ((a, b), c) in a.iter_mut().zip(&b).zip(&c) {
            *a = *a * b - c;
        }
        Ok(a)
    }
}

fn layers<S: Field>(root: S, size: usize) -> Vec<S> {
    let mut out = vec![S::ONE; size.max(2) - 1];
    let mut m = size / 2;
    let mut w = root;
    while m > 0 {
        let mut power = S::ONE;
        for slot in &mut out[m - 1..2 * m - 1] {
            *slot = power;
            power *= w;
        }
        w.square_in_place();
        m /= 2;
    }
    out
}

/// Below this length, a second thread costs more than it brings.
const SHORT: usize = 1 << 10;

/// From this length on, a transform looks whether it is to stop before it starts.
const LOOK: usize = 1 << 14;

/// Returns whether there is nothing to do: one value, or somebody asked to stop.
fn is_over<S>(values: &[S], run: Run<'_>) -> bool {
    values.len() < 2 || values.len() >= LOOK && run.check().is_err()
}

/// Natural to bit-reversed order: (x, y) -> (x + y, (x - y) w), then both halves.
fn to_coefficients<S: Field>(values: &mut [S], layers: &[S], run: Run<'_>) {
    if is_over(values, run) {
        return;
    }
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    let step = |low: &mut [S], high: &mut [S], w: &[S]| {
        for ((x, y), w) in low.iter_mut().zip(high).zip(w) {
            let difference = *x - *y;
            *x += *y;
            *y = difference * w;
        }
    };
    both(low, high, &layers[half - 1..2 * half - 1], run, step);
    halves(low, high, run, |part, run| to_coefficients(part, layers, run));
}

/// Bit-reversed to natural order: both halves, then (x, y) -> (x + y w, x - y w).
fn to_values<S: Field>(values: &mut [S], layers: &[S], run: Run<'_>) {
    if is_over(values, run) {
        return;
    }
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    halves(low, high, run, |part, run| to_values(part, layers, run));
    let step = |low: &mut [S], high: &mut [S], w: &[S]| {
        for ((x, y), w) in low.iter_mut().zip(high).zip(w) {
            let product = *y * w;
            *y = *x - product;
            *x += product;
        }
    };
    both(low, high, &layers[half - 1..2 * half - 1], run, step);
}

/// Runs one layer, each half of its butterflies on its own thread.
fn both<S: Field>(
    low: &mut [S],
    high: &mut [S],
    w: &[S],
    run: Run<'_>,
    step: impl Fn(&mut [S], &mut [S], &[S]) + Sync,
) {
    if run.threads < 2 || low.len() < SHORT {
        return step(low, high, w);
    }
    let middle = low.len() / 2;
    let ((low_1, low_2), (high_1, high_2)) = (low.split_at_mut(middle), high.split_at_mut(middle));
    let (w_1, w_2) = w.split_at(middle);
    std::thread::scope(|scope| {
        scope.spawn(|| step(low_1, high_1, w_1));
        step(low_2, high_2, w_2);
    });
}

fn halves<S: Field>(low: &mut [S], high: &mut [S], run: Run<'_>, go: impl Fn(&mut [S], Run<'_>) + Sync) {
    let on = |threads: usize| Run { threads, ..run };
    if run.threads < 2 || low.len() < SHORT {
        go(low, on(1));
        go(high, on(1));
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| go(low, on(run.threads / 2)));
        go(high, on(run.threads - run.threads / 2));
    });
}

/// The domains that were used, at most as many as there are sizes.
pub struct Domains<S>(Mutex<Option<HashMap<usize, Arc<Domain<S>>>>>);

impl<S: PrimeField> Domains<S> {
    pub const fn new() -> Self {
        Domains(Mutex::new(None))
    }

    /// Returns the domain of that size.
    pub fn get(&self, size: usize) -> Result<Arc<Domain<S>>> {
        let mut known = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let known = known.get_or_insert_with(HashMap::new);
        if let Some(domain) = known.get(&size) {
            return Ok(domain.clone());
        }
        let domain = Arc::new(Domain::new(size)?);
        known.insert(size, domain.clone());
        Ok(domain)
    }
}

impl<S: PrimeField> Default for Domains<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the quotient's limbs from the limbs of the values of A, B and C.
pub fn quotient<S: PrimeField<BigInt = BigInt<4>>>(
    domains: &Domains<S>,
    sides: [&[u8]; 3],
    run: Run<'_>,
) -> Result<Vec<u8>> {
    let [a, b, c] = sides.map(|data| parse::<S>(data));
    let (a, b, c) = (a?, b?, c?);
    if a.len() != b.len() || a.len() != c.len() {
        return value(format!(
            "{}, {} and {} values of A, B and C: expected one number",
            a.len(),
            b.len(),
            c.len()
        ));
    }
    let domain = domains.get(a.len())?;
    // `parse` has checked that every scalar is below r, so there is no None.
    let lift = |v: Vec<Limbs>| -> Vec<S> {
        v.into_iter().map(|l| S::from_bigint(BigInt(l)).unwrap_or(S::ZERO)).collect()
    };
    let values = domain.quotient([lift(a), lift(b), lift(c)], run)?;
    let mut out = Vec::with_capacity(32 * values.len());
    for value in values {
        for limb in value.into_bigint().as_ref() {
            out.extend_from_slice(&limb.to_le_bytes());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: PrimeField>(log: u32, threads: usize) {
        let n = 1usize << log;
        let domain = Domain::<S>::new(n).unwrap();
        let mut state = S::from(3u64);
        let mut next = || {
            state = state.square() + S::from(5u64);
            state
        };
        let sides: [Vec<S>; 3] = std::array::from_fn(|_| (0..n).map(|_| next()).collect());
        let got = domain.quotient(sides.clone(), Run::on(threads)).unwrap();
        // Evaluates the interpolating polynomials by Lagrange's formula at a few coset points.
        let w = S::get_root_of_unity(n as u64).unwrap();
        for i in [0, 1, n / 2, n - 1] {
            let x = S::GENERATOR * w.pow([i as u64]);
            let z = (x.pow([n as u64]) - S::ONE) / S::from(n as u64);
            let mut at = [S::ZERO; 3];
            for j in 0..n {
                let wj = w.pow([j as u64]);
                let l = wj * z / (x - wj);
                for (sum, side) in at.iter_mut().zip(&sides) {
                    *sum += l * side[j];
                }
            }
            assert_eq!(got[i % n], at[0] * at[1] - at[2]);
        }
    }

    #[test]
    fn quotient_equals_lagrange() {
        for log in 0..6 {
            check::<ark_bls12_381::Fr>(log, 1);
            check::<ark_bn254::Fr>(log, 2);
        }
        check::<ark_bls12_381::Fr>(12, 2);
        check::<ark_bn254::Fr>(12, 3);
    }

    #[test]
    fn a_stop_is_seen() {
        let stop = std::sync::atomic::AtomicBool::new(true);
        let sides: [Vec<ark_bn254::Fr>; 3] = std::array::from_fn(|_| vec![ark_bn254::Fr::ONE; LOOK]);
        let domain = Domain::new(LOOK).unwrap();
        for threads in [1, 2] {
            let run = Run { stop: &stop, ..Run::on(threads) };
            assert_eq!(domain.quotient(sides.clone(), run), Err(crate::error::Error::Interrupted));
        }
    }

    #[test]
    fn a_domain_that_does_not_exist_is_refused() {
        for size in [0, 3, 1 << 29] {
            assert!(Domain::<ark_bn254::Fr>::new(size).is_err());
        }
    }
}
