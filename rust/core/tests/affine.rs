//! Shows that affine vectors are read as they were written, and that a point which is no point of
//! the group is found wherever it hides: not canonical, off the curve, the identity, of small
//! order, one alone or two whose errors cancel.

use ark_ec::short_weierstrass::Affine;
use ark_ec::{AffineRepr, CurveConfig, CurveGroup};
use ark_ff::{BigInt, PrimeField, Zero};
use proptest::prelude::*;
use zkfed_core::affine::{check, encode, point_bytes, read, view};
use zkfed_core::curve::{from_ark, to_ark, Bls12381, Bn254, Curve, Group};
use zkfed_core::point::Point;
use zkfed_core::scalars::{order, Limbs};
use zkfed_core::tasks::Run;
use zkfed_core::torsion;

type Bls1 = <Bls12381 as Curve>::First;
type Bls2 = <Bls12381 as Curve>::Second;
type Bn1 = <Bn254 as Curve>::First;
type Bn2 = <Bn254 as Curve>::Second;
type Of<G> = Point<<G as CurveConfig>::BaseField>;

fn honest<G: Group>(count: usize) -> Vec<Of<G>>
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let scalars: Vec<Limbs> = (1..=count as u64).map(|i| [i, i * i, 0, 0]).collect();
    G::comb().multiply(G::base(), &scalars, &order::<G::ScalarField>(), Run::on(2)).unwrap()
}

/// Yields the errors of points of the curve that are outside the r-torsion: r P.
fn errors<G: Group>() -> impl Iterator<Item = Affine<G>> {
    let lift = |x: u64| Affine::<G>::get_point_from_x_unchecked(x.into(), false);
    let outside = (1..).filter_map(lift).map(|p| p.mul_bigint(G::ScalarField::MODULUS));
    outside.map(|p| p.into_affine()).filter(|p| !p.is_zero())
}

/// Returns a point whose order is the prime `l`, a divisor of the cofactor.
fn error_of_order<G: Group>(l: u64) -> Affine<G> {
    let divided = |limbs: &[u64]| -> Option<Vec<u64>> {
        let (mut rest, mut out) = (0u128, limbs.to_vec());
        for limb in out.iter_mut().rev() {
            let high = rest << 64 | u128::from(*limb);
            (*limb, rest) = ((high / u128::from(l)) as u64, high % u128::from(l));
        }
        (rest == 0).then_some(out)
    };
    let mut without_l = G::COFACTOR.to_vec();
    while let Some(smaller) = divided(&without_l) {
        without_l = smaller;
    }
    let mut candidates = errors::<G>().map(|p| p.mul_bigint(&without_l).into_affine());
    let mut point = candidates.find(|p| !p.is_zero()).unwrap();
    loop {
        let next = point.mul_bigint([l]).into_affine();
        if next.is_zero() {
            return point;
        }
        point = next;
    }
}

fn shifted<G: Group>(point: &Of<G>, by: Affine<G>) -> Of<G> {
    from_ark::<G>(&(to_ark::<G>(point) + by).into_affine())
}

fn is_refused<G: Group>(points: &[Of<G>]) -> bool {
    check::<G>(points, Run::on(2)).is_err()
}

fn finds<G: Group>(errors: &[Affine<G>], lengths: &[usize])
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    for &n in lengths {
        let points = honest::<G>(n);
        assert!(!is_refused::<G>(&points));
        for (k, &e) in errors.iter().enumerate() {
            let (i, j) = ((k * 7919 + n / 2) % n, (k * 104729 + n - 1) % n);
            let mut wrong = points.clone();
            wrong[i] = shifted::<G>(&points[i], e);
            assert!(is_refused::<G>(&wrong), "{} of {n}, error {k}", G::NAME);
            if i != j {
                wrong[j] = shifted::<G>(&points[j], -e);
                assert!(is_refused::<G>(&wrong), "{} of {n}, two errors {k} that cancel", G::NAME);
            }
            let all: Vec<_> =
                if n <= 2000 { points.iter().map(|p| shifted::<G>(p, e)).collect() } else { vec![] };
            assert!(all.is_empty() || is_refused::<G>(&all), "{} of {n}, error {k} everywhere", G::NAME);
        }
    }
}

const LENGTHS: [usize; 5] = [1, 2, 511, 512, 3000];

#[test]
fn points_outside_the_subgroup_are_found_in_g1_of_bls12_381() {
    let small = [3, 11, 10177].map(error_of_order::<Bls1>);
    let three = Affine::<Bls1>::new_unchecked(0u64.into(), 2u64.into());
    assert!((three + three + three).is_zero());
    let errors = [&small[..], &[three, errors::<Bls1>().next().unwrap()]].concat();
    finds::<Bls1>(&errors, &LENGTHS);
    // Two and three blocks.
    finds::<Bls1>(&errors[..2], &[(1 << 15) + 1, (1 << 16) + 5]);
}

#[test]
fn points_outside_the_subgroup_are_found_in_g2() {
    let small = [13, 23, 2713].map(error_of_order::<Bls2>);
    finds::<Bls2>(&[&small[..], &[errors::<Bls2>().next().unwrap()]].concat(), &LENGTHS);
    let small = [10069].map(error_of_order::<Bn2>);
    finds::<Bn2>(&[&small[..], &[errors::<Bn2>().next().unwrap()]].concat(), &LENGTHS);
    finds::<Bn2>(&small, &[(1 << 15) + 1]);
}

#[test]
fn every_point_of_the_curve_is_in_g1_of_bn254() {
    let lift = |x: u64| Affine::<Bn1>::get_point_from_x_unchecked(x.into(), true);
    let points: Vec<_> = (1..40).filter_map(lift).map(|p| from_ark::<Bn1>(&p)).collect();
    assert!(points.len() > 10 && !is_refused::<Bn1>(&points));
}

#[test]
fn the_identity_is_in_every_subgroup_but_in_no_key() {
    for n in [5, 2000] {
        let mut points = honest::<Bls1>(n);
        points[n / 2] = Point::IDENTITY;
        assert!(torsion::check::<Bls1>(&points, Run::on(1)).is_ok());
        assert!(is_refused::<Bls1>(&points));
        assert!(encode::<Bls1>(&points)[n / 2 * 96..][..96].iter().all(|byte| *byte == 0));
    }
}

fn round_trip<G: Group>(count: usize)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let (points, size) = (honest::<G>(count), point_bytes::<G>());
    let bytes = encode::<G>(&points);
    assert_eq!(bytes.len(), count * size);
    assert_eq!(read::<G>(&bytes, count).unwrap(), points);
    for shift in 0..8 {
        let moved = [&vec![0; shift][..], &bytes].concat();
        if let Some(seen) = view::<G>(&moved[shift..], count).unwrap() {
            assert_eq!(seen, points);
        }
    }
    // Words are aligned wherever points are; an odd address never is.
    let words = vec![0u64; bytes.len() / 8 + 1];
    let raw: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let odd = usize::from((raw.as_ptr() as usize).is_multiple_of(2));
    assert!(view::<G>(&raw[odd..][..count * size], count).unwrap().is_none());
    for wrong in [0, count - 1, count + 1, usize::MAX, usize::MAX / size + 2] {
        assert!(read::<G>(&bytes, wrong).is_err() && view::<G>(&bytes, wrong).is_err());
    }
}

#[test]
fn vectors_are_read_as_they_were_written() {
    round_trip::<Bls1>(9);
    round_trip::<Bls2>(9);
    round_trip::<Bn1>(9);
    round_trip::<Bn2>(9);
}

fn flip<G: Group>(at: usize, bit: u8)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let mut bytes = encode::<G>(&honest::<G>(3));
    let at = at % bytes.len();
    bytes[at] ^= 1 << bit;
    let points = read::<G>(&bytes, 3).unwrap();
    // y and -y differ in more than a bit, so no other point of the curve is so near.
    assert!(is_refused::<G>(&points));
    assert_eq!(encode::<G>(&points), bytes);
}

proptest! {
    #[test]
    fn a_flipped_bit_is_refused(at in 0usize..576, bit in 0u8..8) {
        flip::<Bls1>(at, bit);
        flip::<Bls2>(at, bit);
        flip::<Bn1>(at, bit);
        flip::<Bn2>(at, bit);
    }
}

#[test]
fn a_coordinate_of_q_or_more_is_refused() {
    let mut bytes = encode::<Bn1>(&honest::<Bn1>(1));
    let q = <Bn1 as CurveConfig>::BaseField::MODULUS;
    let mut carry = 0;
    for (limb, part) in q.0.iter().zip(bytes.chunks_exact_mut(8)) {
        let sum = u128::from(u64::from_le_bytes(part.try_into().unwrap())) + u128::from(*limb) + carry;
        part.copy_from_slice(&(sum as u64).to_le_bytes());
        carry = sum >> 64;
    }
    // The same x modulo q, in more than its one form.
    let error = check::<Bn1>(&read::<Bn1>(&bytes, 1).unwrap(), Run::on(1)).unwrap_err();
    assert!(error.to_string().contains("not below q"), "{error}");
}
