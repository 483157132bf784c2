//! Measures what opening a key costs: `cargo run --release --example keys`.
//!
//! A point's compressed decoding, the check of one point by an endomorphism, and the check of a
//! vector by random subsets, from which the numbers in torsion.rs were chosen. One thread, its CPU time
//! where the system tells it (Linux).

use std::hint::black_box;
use std::time::Instant;

use ark_ff::{BigInt, Field, PrimeField};
use zkfed_core::curve::{Bls12381, Bn254, Curve, Group};
use zkfed_core::scalars::{order, Limbs};
use zkfed_core::tasks::Run;
use zkfed_core::{affine, encoding, torsion};

/// Returns this thread's CPU time in nanoseconds, or the wall's.
fn now(start: Instant) -> f64 {
    let cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let cpu = cpu.and_then(|text| text.split(' ').next().and_then(|first| first.parse().ok()));
    cpu.unwrap_or(start.elapsed().as_nanos() as f64)
}

/// Returns the best of five, in microseconds a point.
fn best(count: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    // The system counts in milliseconds.
    let repeats = (0.03 / start.elapsed().as_secs_f64()).ceil() as usize;
    let once = |_| {
        let before = now(start);
        (0..repeats).for_each(|_| work());
        now(start) - before
    };
    (0..5).map(once).fold(f64::MAX, f64::min) / 1e3 / count as f64 / repeats as f64
}

fn measure<G: Group>(name: &str)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let run = Run::on(1);
    let mut state = G::ScalarField::from(7u64);
    let mut next = |_| {
        state = state.square() + G::ScalarField::from(3u64);
        state.into_bigint().0
    };
    let scalars: Vec<Limbs> = (0..1 << 16).map(&mut next).collect();
    let order = order::<G::ScalarField>();
    let all = G::comb().multiply(G::base(), &scalars, &order, run).unwrap_or_default();
    let few = &all[..1024];
    let one_by_one = best(few.len(), || assert!(few.iter().all(G::is_in_subgroup)));
    let bytes = encoding::encode_points::<G>(few, run).unwrap_or_default();
    let compressed =
        best(few.len(), || drop(black_box(encoding::decode_points::<G>(&bytes, few.len(), run))));
    println!("{name}: compressed {compressed:.1} us, one subgroup check {one_by_one:.1} us");
    for log in [8, 9, 10, 12, 14, 15, 16] {
        let points = &all[..1 << log];
        let in_torsion = best(points.len(), || assert!(torsion::check::<G>(points, run).is_ok()));
        let whole = best(points.len(), || assert!(affine::check::<G>(points, run).is_ok()));
        println!("{name} 2^{log}: subgroup {in_torsion:.2} us, whole affine check {whole:.3} us a point");
    }
}

fn main() {
    measure::<<Bls12381 as Curve>::First>("bls12-381 G1");
    measure::<<Bls12381 as Curve>::Second>("bls12-381 G2");
    measure::<<Bn254 as Curve>::First>("bn254 G1");
    measure::<<Bn254 as Curve>::Second>("bn254 G2");
}
