//! Scalars chosen by the fuzzer: sums, multiples and combs equal arkworks' double-and-add.
//!
//! The first byte says which group and how many threads, the next one how often the terms are
//! repeated (windows start above 32 terms). A term is a multiple of the generator below 16, and a
//! scalar as 2^shift times a 32-bit number, with a sign: every size class, equal and opposite
//! points and the identity.

#![no_main]

use ark_ec::short_weierstrass::Projective;
use ark_ec::CurveGroup;
use ark_ff::{BigInt, PrimeField};
use libfuzzer_sys::fuzz_target;
use zkfed_core::curve::{from_ark, to_ark, Bls12381, Bn254, Curve, Group};
use zkfed_core::msm::msm;
use zkfed_core::scalars::{order, Limbs};
use zkfed_core::tasks::Run;
use zkfed_core::vector;

const TERMS_MAX: usize = 24;

fn scalar<S: PrimeField>(bytes: &[u8]) -> S {
    let number = S::from(u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]));
    let value = number * S::from(2u64).pow([u64::from(bytes[0])]);
    if bytes[5] >> 4 & 1 == 1 {
        -value
    } else {
        value
    }
}

fn check<G: Group>(data: &[u8], repeats: usize, threads: usize)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let terms: Vec<(u64, G::ScalarField)> =
        data.chunks_exact(6).take(TERMS_MAX).map(|b| (u64::from(b[5] & 15), scalar(b))).collect();
    let small: Vec<Projective<G>> = (0u64..16).map(|k| G::GENERATOR * G::ScalarField::from(k)).collect();
    let base = |k: u64| from_ark::<G>(&small[k as usize].into_affine());
    let points: Vec<_> = terms.iter().map(|(k, _)| base(*k)).collect();
    let scalars: Vec<Limbs> = terms.iter().map(|(_, s)| s.into_bigint().0).collect();
    let run = Run::on(threads);

    let in_exponent = |(k, s): &(u64, G::ScalarField)| G::ScalarField::from(*k) * s;
    let total: G::ScalarField = terms.iter().map(in_exponent).sum();
    let expected = (G::GENERATOR * (total * G::ScalarField::from(repeats as u64))).into_affine();
    let sum = msm::<G>(&points.repeat(repeats), &scalars.repeat(repeats), run).unwrap();
    assert_eq!(to_ark::<G>(&sum), expected);

    let scaled = vector::scale::<G>(&points, &scalars, run).unwrap();
    let combed = G::comb().multiply(G::base(), &scalars, &order::<G::ScalarField>(), run).unwrap();
    let added = vector::add(&scaled, &combed, run).unwrap();
    for (i, term) in terms.iter().enumerate() {
        let of_base = G::GENERATOR * term.1;
        let of_point = G::GENERATOR * in_exponent(term);
        assert_eq!(to_ark::<G>(&scaled[i]), of_point.into_affine());
        assert_eq!(to_ark::<G>(&combed[i]), of_base.into_affine());
        assert_eq!(to_ark::<G>(&added[i]), (of_point + of_base).into_affine());
    }
}

fuzz_target!(|data: &[u8]| {
    let [kind, repeats, data @ ..] = data else { return };
    let (repeats, threads) = (usize::from(*repeats) + 1, 1 + usize::from(kind >> 2 & 1));
    match kind % 4 {
        0 => check::<<Bls12381 as Curve>::First>(data, repeats, threads),
        1 => check::<<Bls12381 as Curve>::Second>(data, repeats, threads),
        2 => check::<<Bn254 as Curve>::First>(data, repeats, threads),
        _ => check::<<Bn254 as Curve>::Second>(data, repeats, threads),
    }
});
