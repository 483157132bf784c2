//! Measures sums and products side by side: `cargo run --release --example speed`.
//!
//! Times are of this thread's CPU where the system tells them (Linux), so that other work on the
//! machine counts less. A term needs about 6 products for each of its windows.

use std::hint::black_box;
use std::time::Instant;

use ark_ff::{BigInt, Field, PrimeField};
use zkfed_core::arith::Coordinate;
use zkfed_core::curve::{Bls12381, Bn254, Curve, Group};
use zkfed_core::msm::msm;
use zkfed_core::scalars::{order, Limbs};
use zkfed_core::tasks::Run;

/// Returns this thread's CPU time in nanoseconds, or the wall's.
fn now(start: Instant) -> f64 {
    let cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let cpu = cpu.and_then(|text| text.split(' ').next().and_then(|first| first.parse().ok()));
    cpu.unwrap_or(start.elapsed().as_nanos() as f64)
}

/// Returns the best of seven, in nanoseconds.
fn best(mut work: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        let before = now(start);
        work();
        now(start) - before
    };
    (0..7).map(once).fold(f64::MAX, f64::min)
}

fn measure<G: Group>(name: &str, log: u32)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let n = 1usize << log;
    let mut state = G::ScalarField::from(7u64);
    let mut next = || {
        state = state.square() + G::ScalarField::from(3u64);
        state.into_bigint().0
    };
    let scalars: Vec<Limbs> = (0..n).map(|_| next()).collect();
    let order = order::<G::ScalarField>();
    let run = Run::on(1);
    let comb = best(|| drop(black_box(G::comb().multiply(G::base(), &scalars, &order, run))));
    let points = G::comb().multiply(G::base(), &scalars, &order, run).unwrap_or_default();
    let sum = best(|| drop(black_box(msm::<G>(&points, &scalars, run))));
    let (mut a, b) = (points[0].x, points[1].x);
    let product = best(|| (0..100_000).for_each(|_| a = a.times(&b))) / 1e5;
    black_box(a);
    println!(
        "{name} 2^{log}: sum {:.1} ms, comb {:.2} us a point, product {product:.1} ns, sum / term {:.0} products",
        sum / 1e6,
        comb / 1e3 / n as f64,
        sum / n as f64 / product,
    );
}

fn main() {
    for log in [10, 12, 14, 16] {
        measure::<<Bn254 as Curve>::First>("bn254 G1", log);
        measure::<<Bls12381 as Curve>::First>("bls12-381 G1", log);
        measure::<<Bn254 as Curve>::Second>("bn254 G2", log);
        measure::<<Bls12381 as Curve>::Second>("bls12-381 G2", log);
    }
}
