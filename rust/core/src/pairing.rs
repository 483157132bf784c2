//! Products of pairings, with one final exponentiation each.
//!
//! On BLS12-381 by blst, which is faster than arkworks there; on BN254 by arkworks.

use ark_ec::pairing::Pairing;
use ark_ff::One;

use crate::arith::{to_blst, to_blst2};
use crate::curve::{to_ark, Bls12381, Bn254, Curve, Pair};

/// Returns whether the product is 1; no point is the identity.
pub fn of_bls12_381(pairs: &[Pair<Bls12381>]) -> bool {
    if pairs.is_empty() {
        return true;
    }
    let first: Vec<_> =
        pairs.iter().map(|(p, _)| blst::blst_p1_affine { x: to_blst(&p.x), y: to_blst(&p.y) }).collect();
    let second: Vec<_> =
        pairs.iter().map(|(_, q)| blst::blst_p2_affine { x: to_blst2(&q.x), y: to_blst2(&q.y) }).collect();
    blst::blst_fp12::miller_loop_n(&second, &first).final_exp() == blst::blst_fp12::default()
}

/// Returns whether the product is 1; no point is the identity.
pub fn of_bn254(pairs: &[Pair<Bn254>]) -> bool {
    let first = pairs.iter().map(|(p, _)| to_ark::<<Bn254 as Curve>::First>(p));
    let second = pairs.iter().map(|(_, q)| to_ark::<<Bn254 as Curve>::Second>(q));
    ark_bn254::Bn254::multi_pairing(first, second).0.is_one()
}
