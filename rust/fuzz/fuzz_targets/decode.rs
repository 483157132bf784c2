//! Bytes that claim to be points, compressed or affine: refused, or canonical points of the group.
//!
//! The first byte says which group and which form, and whether the rest are the bytes themselves or
//! changes to those of two honest points, which chance would not find. What is accepted is encoded anew to the same
//! bytes and is in the subgroup by a multiplication with r, which the core never does.

#![no_main]

use ark_ec::scalar_mul::double_and_add_affine;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInt, Field, PrimeField, Zero};
use libfuzzer_sys::fuzz_target;
use zkfed_core::affine;
use zkfed_core::curve::{from_ark, to_ark, Bls12381, Bn254, Curve, Group};
use zkfed_core::encoding::{decode_points, encode_points, point_bytes};
use zkfed_core::point::Point;
use zkfed_core::tasks::Run;

fn is_point<G: Group>(point: &Point<G::BaseField>) -> bool {
    let point = to_ark::<G>(point);
    !point.is_zero()
        && point.is_on_curve()
        && double_and_add_affine(&point, G::ScalarField::characteristic()).is_zero()
}

fn compressed<G: Group>(data: &[u8]) {
    let count = data.len() / point_bytes::<G>();
    if let Ok(points) = decode_points::<G>(data, count, Run::on(1)) {
        assert!(points.iter().all(is_point::<G>));
        assert_eq!(encode_points::<G>(&points, Run::on(1)).as_deref(), Ok(data));
    }
    assert!(decode_points::<G>(data, count + 1, Run::on(1)).is_err());
}

fn uncompressed<G: Group>(data: &[u8])
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let count = data.len() / affine::point_bytes::<G>();
    let Ok(points) = affine::read::<G>(data, count) else { return };
    if let Ok(Some(seen)) = affine::view::<G>(data, count) {
        // By limbs: what is not canonical has no other equality.
        assert_eq!(affine::encode::<G>(seen), affine::encode::<G>(&points));
    }
    if affine::check::<G>(&points, Run::on(1)).is_ok() {
        assert!(points.iter().all(is_point::<G>));
        assert_eq!(affine::encode::<G>(&points), data);
    }
}

/// Applies changes of three bytes, position and difference, to the encodings of k G and (k + 1) G.
fn changed<G: Group>(changes: &[u8], encode: impl Fn(&[Point<G::BaseField>]) -> Vec<u8>) -> Vec<u8> {
    let k = u64::from(changes.first().copied().unwrap_or(0)) + 1;
    let multiple = |k: u64| from_ark::<G>(&(G::GENERATOR * G::ScalarField::from(k)).into_affine());
    let mut bytes = encode(&[multiple(k), multiple(k + 1)]);
    for change in changes.get(1..).unwrap_or(&[]).chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    bytes
}

fn of_group<G: Group>(kind: u8, data: &[u8])
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    match kind {
        0 => compressed::<G>(data),
        1 => uncompressed::<G>(data),
        2 => compressed::<G>(&changed::<G>(data, |points| encode_points::<G>(points, Run::on(1)).unwrap())),
        _ => uncompressed::<G>(&changed::<G>(data, affine::encode::<G>)),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => of_group::<<Bls12381 as Curve>::First>(kind >> 2 & 3, data),
        1 => of_group::<<Bls12381 as Curve>::Second>(kind >> 2 & 3, data),
        2 => of_group::<<Bn254 as Curve>::First>(kind >> 2 & 3, data),
        _ => of_group::<<Bn254 as Curve>::Second>(kind >> 2 & 3, data),
    }
});
