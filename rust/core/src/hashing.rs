//! Hashing to G1: the suite of RFC 9380 for BLS12-381, and ours of the same form for BN254.

use std::sync::OnceLock;

use ark_ff::{BigInteger, Field, One, PrimeField, Zero};
use sha2::{Digest, Sha256};

use crate::arith::from_blst;
use crate::error::{value, Result};
use crate::point::{Point, Xyzz};

type Fq = ark_bn254::Fq;

/// Errors: `Value` unless the domain has 1 to 255 bytes.
fn check_domain(domain: &[u8]) -> Result<()> {
    if domain.is_empty() || domain.len() > 255 {
        return value(format!("a domain of {} bytes: expected 1 to 255", domain.len()));
    }
    Ok(())
}

/// BLS12381G1_XMD:SHA-256_SSWU_RO_ of RFC 9380 section 8.8.1.
pub fn to_bls12_381(message: &[u8], domain: &[u8]) -> Result<Point<ark_bls12_381::Fq>> {
    check_domain(domain)?;
    let (mut sum, mut point) = (blst::blst_p1::default(), blst::blst_p1_affine::default());
    // SAFETY: message and domain are slices with their own lengths, there is no augmentation
    // (null with length 0), and both outputs are initialised values on this stack. A key has a
    // hash for each of its committed wires, and arkworks takes three times as long for one.
    unsafe {
        blst::blst_hash_to_g1(
            &mut sum,
            message.as_ptr(),
            message.len(),
            domain.as_ptr(),
            domain.len(),
            std::ptr::null(),
            0,
        );
        blst::blst_p1_to_affine(&mut point, &sum);
    }
    // The identity is (0, 0) in blst too.
    Ok(Point { x: from_blst(point.x), y: from_blst(point.y) })
}

/// BN254G1_XMD:SHA-256_SVDW_RO_, as in zkfed/algebra/hash_to_curve.py.
pub fn to_bn254(message: &[u8], domain: &[u8]) -> Result<Point<Fq>> {
    check_domain(domain)?;
    let uniform = expand_96(message, domain);
    let [u0, u1] = [0, 48].map(|at| Fq::from_be_bytes_mod_order(&uniform[at..at + 48]));
    let mut sum = Xyzz::from_affine(&map_svdw(u0));
    sum.add_affine(&map_svdw(u1));
    Ok(Xyzz::to_affine(&[sum])[0])
}

/// expand_message_xmd with SHA-256 for 96 bytes; the domain has 1 to 255 bytes.
///
/// arkworks' own expander (0.6) cannot be used: it pads with as many zeros as a field element
/// takes, 48 for BN254, where the RFC says a block of the hash, 64.
/// Source: RFC 9380 section 5.3.1.
fn expand_96(message: &[u8], domain: &[u8]) -> [u8; 96] {
    let length = [domain.len() as u8];
    let digest = |parts: &[&[u8]]| -> [u8; 32] {
        let mut hash = Sha256::new();
        parts.iter().chain(&[domain, &length]).for_each(|part| hash.update(part));
        hash.finalize().into()
    };
    let first = digest(&[&[0; 64], message, &96u16.to_be_bytes(), &[0]]);
    let (mut out, mut last) = ([0; 96], [0; 32]);
    for (i, part) in out.chunks_exact_mut(32).enumerate() {
        let mixed: [u8; 32] = std::array::from_fn(|j| first[j] ^ last[j]);
        last = digest(&[&mixed, &[i as u8 + 1]]);
        part.copy_from_slice(&last);
    }
    out
}

/// Z = 1; c1 = g(Z), c2 = -Z / 2, c3 = sqrt(-g(Z) 3 Z^2) with sign 0, c4 = -4 g(Z) / (3 Z^2).
struct Constants {
    c1: Fq,
    c2: Fq,
    c3: Fq,
    c4: Fq,
}

fn right_side(x: &Fq) -> Fq {
    x.square() * x + Fq::from(3u64)
}

fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| {
        let c1 = right_side(&Fq::one());
        let inverse = |n: u64| Fq::from(n).inverse().unwrap_or(Fq::zero());
        let c3 = (-c1 * Fq::from(3u64)).sqrt().unwrap_or(Fq::zero());
        Constants {
            c1,
            c2: -inverse(2),
            c3: if is_odd(&c3) { -c3 } else { c3 },
            c4: -(c1 * Fq::from(4u64)) * inverse(3),
        }
    })
}

fn is_odd(x: &Fq) -> bool {
    x.into_bigint().is_odd()
}

/// Shallue and van de Woestijne's map. Source: RFC 9380 appendix F.1, with branches.
fn map_svdw(u: Fq) -> Point<Fq> {
    let c = constants();
    let t = u.square() * c.c1;
    let (plus, minus) = (Fq::one() + t, Fq::one() - t);
    // 0 where a factor is 0, as inv0 of the RFC.
    let inverse = (plus * minus).inverse().unwrap_or(Fq::zero());
    let shift = u * minus * inverse * c.c3;
    let third = (plus.square() * inverse).square() * c.c4 + Fq::one();
    for x in [c.c2 - shift, c.c2 + shift, third] {
        if let Some(y) = right_side(&x).sqrt() {
            return Point { x, y: if is_odd(&y) == is_odd(&u) { y } else { -y } };
        }
    }
    // One of the three is always on the curve; the identity cannot be taken for a hash.
    Point::IDENTITY
}
