//! Shows that sums, combs and multiples equal arkworks' double-and-add, and quotients Lagrange's
//! formula, in both groups of both curves, for scalars of every size class, equal points, opposite
//! points and identities.

use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ec::CurveGroup;
use ark_ff::{BigInt, FftField, Field, PrimeField, Zero};
use proptest::prelude::*;
use zkfed_core::curve::{from_ark, to_ark, Bls12381, Bn254, Curve, Group, ScalarOf};
use zkfed_core::encoding::{decode_points, encode_points, point_bytes};
use zkfed_core::msm::msm;
use zkfed_core::ntt::quotient;
use zkfed_core::point::Point;
use zkfed_core::scalars::{order, Limbs};
use zkfed_core::tasks::Run;
use zkfed_core::vector;

/// A source of numbers that needs no crate; equal seeds give equal tests.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 ^ self.0 >> 29
    }

    fn scalar<S: PrimeField>(&mut self, kind: u8) -> S {
        let small = S::from(self.next());
        match kind % 10 {
            0 => S::ZERO,
            1 => S::ONE,
            2 => -S::ONE,
            3 => S::from(self.next() >> 56),
            4 => -S::from(self.next() >> 48),
            5 => S::from(self.next() >> 32),
            6 => -small,
            7 => S::from(2u64).pow([self.next() % 254]) - S::from(self.next() % 2),
            _ => small.pow([5]) + small,
        }
    }
}

fn limbs<S: PrimeField<BigInt = BigInt<4>>>(scalars: &[S]) -> Vec<Limbs> {
    scalars.iter().map(|s| s.into_bigint().0).collect()
}

/// Multiples of the generator, among them equal ones and the identity.
fn points<G: Group>(numbers: &mut Numbers, count: usize) -> Vec<Projective<G>> {
    let base: Affine<G> = G::GENERATOR;
    (0..count)
        .map(|i| if i % 7 == 3 { base.into() } else { base * G::ScalarField::from(numbers.next() % 50) })
        .collect()
}

fn ours<G: Group>(points: &[Projective<G>]) -> Vec<Point<G::BaseField>> {
    points.iter().map(|p| from_ark::<G>(&p.into_affine())).collect()
}

fn check_sum<G: Group>(seed: u64, kinds: &[u8], threads: usize)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let mut numbers = Numbers(seed);
    let bases = points::<G>(&mut numbers, kinds.len());
    let scalars: Vec<ScalarOf<G>> = kinds.iter().map(|&k| numbers.scalar(k)).collect();
    let expected: Projective<G> = bases.iter().zip(&scalars).map(|(p, s)| *p * s).sum();
    let order = order::<ScalarOf<G>>();
    let got = msm::<G>(&ours(&bases), &limbs(&scalars), Run::on(threads)).unwrap();
    assert_eq!(to_ark::<G>(&got), expected.into_affine());
    let scaled = vector::scale::<G>(&ours(&bases), &limbs(&scalars), Run::on(threads)).unwrap();
    let combed = G::comb().multiply(G::base(), &limbs(&scalars), &order, Run::on(threads)).unwrap();
    for i in 0..kinds.len() {
        assert_eq!(to_ark::<G>(&scaled[i]), (bases[i] * scalars[i]).into_affine());
        assert_eq!(to_ark::<G>(&combed[i]), (G::GENERATOR * scalars[i]).into_affine());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_equal_double_and_add(seed in any::<u64>(), kinds in prop::collection::vec(any::<u8>(), 0..90)) {
        check_sum::<<Bls12381 as Curve>::First>(seed, &kinds, 1);
        check_sum::<<Bls12381 as Curve>::Second>(seed, &kinds, 2);
        check_sum::<<Bn254 as Curve>::First>(seed, &kinds, 2);
        check_sum::<<Bn254 as Curve>::Second>(seed, &kinds, 1);
    }

    #[test]
    fn sums_of_every_length_equal_the_sum_in_the_exponent(
        seed in any::<u64>(),
        length in prop::sample::select(LENGTHS.to_vec()),
        kinds in prop::collection::vec(any::<u8>(), 1..6),
        threads in 1usize..5,
    ) {
        check_length::<<Bls12381 as Curve>::First>(seed, length, &kinds, threads);
        check_length::<<Bls12381 as Curve>::Second>(seed, length, &kinds, threads);
        check_length::<<Bn254 as Curve>::First>(seed, length, &kinds, threads);
        check_length::<<Bn254 as Curve>::Second>(seed, length, &kinds, threads);
    }

    #[test]
    fn quotients_equal_lagrange(seed in any::<u64>(), log in 0u32..6, kinds in prop::collection::vec(any::<u8>(), 1..9), threads in 1usize..4) {
        check_quotient::<Bls12381>(seed, 1 << log, &kinds, threads);
        check_quotient::<Bn254>(seed, 1 << log, &kinds, threads);
    }

    #[test]
    fn bytes_are_canonical_or_refused(seed in any::<u64>(), changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..3)) {
        check_bytes::<<Bls12381 as Curve>::First>(seed, &changes);
        check_bytes::<<Bls12381 as Curve>::Second>(seed, &changes);
        check_bytes::<<Bn254 as Curve>::First>(seed, &changes);
        check_bytes::<<Bn254 as Curve>::Second>(seed, &changes);
    }
}

/// Around FEW (one chain or windows), the batch of inversions, TASK (windows that go together) and
/// MANY (the wide comb).
const LENGTHS: [usize; 16] = [0, 1, 2, 31, 32, 33, 34, 63, 64, 65, 97, 1023, 1025, 8191, 8192, 8193];

/// Equal points, opposite ones and the identity, with scalars of a few kinds.
fn check_length<G: Group>(seed: u64, length: usize, kinds: &[u8], threads: usize)
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let mut numbers = Numbers(seed);
    let index = |n: u64| {
        ScalarOf::<G>::from(n % 20) * if n & 32 == 0 { -ScalarOf::<G>::ONE } else { ScalarOf::<G>::ONE }
    };
    let indices: Vec<ScalarOf<G>> = (0..length).map(|_| index(numbers.next())).collect();
    let scalars: Vec<ScalarOf<G>> = (0..length).map(|i| numbers.scalar(kinds[i % kinds.len()])).collect();
    let (order, run) = (order::<ScalarOf<G>>(), Run::on(threads));
    let bases = G::comb().multiply(G::base(), &limbs(&indices), &order, run).unwrap();
    let in_exponent: ScalarOf<G> = indices.iter().zip(&scalars).map(|(i, s)| *i * s).sum();
    let got = msm::<G>(&bases, &limbs(&scalars), run).unwrap();
    assert_eq!(to_ark::<G>(&got), (G::GENERATOR * in_exponent).into_affine());
    // The sum of P_i + Q_i for Q_i = P_(n - 1 - i) is twice the sum, term by term.
    let backwards: Vec<_> = bases.iter().rev().copied().collect();
    for (i, sum) in vector::add(&bases, &backwards, run).unwrap().iter().enumerate().step_by(97) {
        let expected = G::GENERATOR * (indices[i] + indices[length - 1 - i]);
        assert_eq!(to_ark::<G>(sum), expected.into_affine());
    }
}

/// Interpolates A, B and C by Lagrange's formula and compares A B - C at every point of the coset.
fn check_quotient<C: Curve>(seed: u64, n: usize, kinds: &[u8], threads: usize) {
    let mut numbers = Numbers(seed);
    let sides: [Vec<C::Scalar>; 3] =
        std::array::from_fn(|_| (0..n).map(|i| numbers.scalar(kinds[i % kinds.len()])).collect());
    let bytes = |values: &Vec<C::Scalar>| -> Vec<u8> {
        limbs(values).iter().flatten().flat_map(|limb| limb.to_le_bytes()).collect()
    };
    let [a, b, c] = [0, 1, 2].map(|side: usize| bytes(&sides[side]));
    let got = quotient(C::domains(), [&a, &b, &c], Run::on(threads)).unwrap();
    let w = C::Scalar::get_root_of_unity(n as u64).unwrap();
    let expected: Vec<C::Scalar> = (0..n as u64)
        .map(|i| {
            let x = C::Scalar::GENERATOR * w.pow([i]);
            let z = (x.pow([n as u64]) - C::Scalar::ONE) / C::Scalar::from(n as u64);
            let weight = |j: usize| w.pow([j as u64]) * z / (x - w.pow([j as u64]));
            let [a, b, c] =
                [0, 1, 2].map(|s: usize| (0..n).map(|j| sides[s][j] * weight(j)).sum::<C::Scalar>());
            a * b - c
        })
        .collect();
    assert_eq!(got, bytes(&expected));
}

fn check_bytes<G: Group>(seed: u64, changes: &[(u16, u8)]) {
    let mut numbers = Numbers(seed);
    let points: Vec<_> = (0..2)
        .map(|_| from_ark::<G>(&(G::GENERATOR * G::ScalarField::from(numbers.next() | 1)).into_affine()))
        .collect();
    let mut bytes = encode_points::<G>(&points, Run::on(1)).unwrap();
    assert_eq!(bytes.len(), 2 * point_bytes::<G>());
    assert_eq!(decode_points::<G>(&bytes, 2, Run::on(2)).unwrap(), points);
    for &(at, byte) in changes {
        let at = usize::from(at) % bytes.len();
        bytes[at] = byte;
    }
    if let Ok(decoded) = decode_points::<G>(&bytes, 2, Run::on(1)) {
        assert_eq!(encode_points::<G>(&decoded, Run::on(1)).unwrap(), bytes);
        assert!(decoded
            .iter()
            .all(|p| !p.is_identity() && to_ark::<G>(p).is_in_correct_subgroup_assuming_on_curve()));
    }
    assert!(decode_points::<G>(&bytes, 3, Run::on(1)).is_err());
    assert!(decode_points::<G>(&bytes, usize::MAX, Run::on(1)).is_err());
}

/// Windows, parts of windows, the wide comb and several tasks: sizes that proptest does not reach.
fn check_large<G: Group>(count: usize, kinds: [u8; 4])
where
    G::ScalarField: PrimeField<BigInt = BigInt<4>>,
{
    let mut numbers = Numbers(count as u64);
    let indices: Vec<ScalarOf<G>> = (0..count).map(|_| ScalarOf::<G>::from(numbers.next() % 1000)).collect();
    let order = order::<ScalarOf<G>>();
    let bases = G::comb().multiply(G::base(), &limbs(&indices), &order, Run::on(2)).unwrap();
    let scalars: Vec<ScalarOf<G>> = (0..count).map(|i| numbers.scalar(kinds[i % 4])).collect();
    let in_exponent: ScalarOf<G> = indices.iter().zip(&scalars).map(|(i, s)| *i * s).sum();
    for threads in [1, 2, 3] {
        let got = msm::<G>(&bases, &limbs(&scalars), Run::on(threads)).unwrap();
        assert_eq!(to_ark::<G>(&got), (G::GENERATOR * in_exponent).into_affine());
    }
}

#[test]
fn large_sums() {
    check_large::<<Bls12381 as Curve>::First>(20_000, [8, 9, 8, 4]);
    check_large::<<Bn254 as Curve>::First>(20_000, [1, 2, 3, 4]);
    check_large::<<Bn254 as Curve>::First>(140_000, [4, 4, 4, 4]);
    check_large::<<Bls12381 as Curve>::Second>(5_000, [6, 7, 5, 0]);
    check_large::<<Bn254 as Curve>::Second>(9_000, [2, 2, 2, 2]);
}

#[test]
fn pairings_are_bilinear() {
    fn check<C: Curve>() {
        let g1 = |s: u64| from_ark::<C::First>(&(C::First::GENERATOR * C::Scalar::from(s)).into_affine());
        let g2 = |s: u64| from_ark::<C::Second>(&(C::Second::GENERATOR * C::Scalar::from(s)).into_affine());
        let is_one = |l: &[_], r: &[_]| zkfed_core::curve::is_pairing_product_one::<C>(l, r).unwrap();
        assert!(is_one(&[g1(6), g1(7).negated()], &[g2(7), g2(6)]));
        assert!(!is_one(&[g1(6), g1(7).negated()], &[g2(7), g2(5)]));
        assert!(is_one(&[], &[]));
        assert!(is_one(&[Point::IDENTITY, g1(2)], &[g2(3), Point::IDENTITY]));
    }
    check::<Bls12381>();
    check::<Bn254>();
}

#[test]
fn the_products_of_blst_equal_those_of_arkworks() {
    use zkfed_core::arith::Coordinate;
    let mut x = ark_bls12_381::Fq::from(3u64);
    let mut y = ark_bls12_381::Fq2::new(x, -x);
    for _ in 0..2000 {
        let (a, b) = (x.square() + x, y.square() + y);
        assert_eq!(x.times(&a), x * a);
        assert_eq!(x.squared(), x.square());
        assert_eq!(y.times(&b), y * b);
        assert_eq!(y.squared(), y.square());
        assert!(!a.is_zero());
        (x, y) = (-a, -b);
    }
}
