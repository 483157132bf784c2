//! Scalars: canonical limbs, signed representatives, size classes and signed digits.

use ark_ff::PrimeField;

use crate::error::{value, Result};

/// A canonical scalar: four little-endian limbs below r.
pub type Limbs = [u64; 4];

/// Reads canonical scalars from their little-endian bytes.
///
/// Errors: `Value` for a length that is no multiple of 32, or a scalar that is not below r.
pub fn parse<S: PrimeField>(data: &[u8]) -> Result<Vec<Limbs>> {
    if !data.len().is_multiple_of(32) {
        return value(format!("{} bytes of scalars: expected a multiple of 32", data.len()));
    }
    let order = order::<S>();
    let mut out = Vec::with_capacity(data.len() / 32);
    for (i, chunk) in data.chunks_exact(32).enumerate() {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(chunk.chunks_exact(8)) {
            *limb = u64::from_le_bytes([
                bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
            ]);
        }
        if !is_below(&limbs, &order) {
            return value(format!("scalar {i} of {} is not below r; reduce it first", data.len() / 32));
        }
        out.push(limbs);
    }
    Ok(out)
}

/// Returns r.
pub fn order<S: PrimeField>() -> Limbs {
    let mut out = [0; 4];
    out.copy_from_slice(S::MODULUS.as_ref());
    out
}

/// Returns whether a < b.
pub fn is_below(a: &Limbs, b: &Limbs) -> bool {
    a.iter().rev().cmp(b.iter().rev()).is_lt()
}

fn minus(a: &Limbs, b: &Limbs) -> Limbs {
    let (mut out, mut borrow) = ([0; 4], false);
    for i in 0..4 {
        let (d, first) = a[i].overflowing_sub(b[i]);
        let (d, second) = d.overflowing_sub(u64::from(borrow));
        out[i] = d;
        borrow = first || second;
    }
    out
}

/// Returns the number of bits.
pub fn bits(a: &Limbs) -> u32 {
    (0..4).rev().find(|&i| a[i] != 0).map_or(0, |i| 64 * i as u32 + 64 - a[i].leading_zeros())
}

/// A scalar as magnitude and sign: s or r - s, whichever is smaller.
#[derive(Clone, Copy)]
pub struct Signed {
    pub magnitude: Limbs,
    pub is_negative: bool,
}

/// Returns the representative in (-r/2, r/2].
pub fn signed(scalar: &Limbs, order: &Limbs) -> Signed {
    let other = minus(order, scalar);
    if is_below(&other, scalar) {
        Signed { magnitude: other, is_negative: true }
    } else {
        Signed { magnitude: *scalar, is_negative: false }
    }
}

/// Scalars of one size: positions, signed values, and the bits that all magnitudes fit in.
pub struct Class {
    pub positions: Vec<u32>,
    pub values: Vec<Signed>,
    pub bits: u32,
}

/// Bits of the size classes; the last one takes the rest.
const CLASSES: [u32; 6] = [1, 8, 16, 32, 64, 255];

/// Up to so many terms, a class joins the next larger one; and one chain of doublings (straus.rs)
/// beats windows.
pub const FEW: usize = 32;

/// Sorts scalars into {0}, which is dropped, {1, -1}, +-u8, +-u16, +-u32, +-u64 and the rest.
pub fn classes(scalars: &[Limbs], order: &Limbs) -> Vec<Class> {
    let mut all: Vec<Class> =
        CLASSES.iter().map(|_| Class { positions: vec![], values: vec![], bits: 0 }).collect();
    for (i, scalar) in scalars.iter().enumerate() {
        let value = signed(scalar, order);
        let bits = bits(&value.magnitude);
        if bits == 0 {
            continue;
        }
        let class = CLASSES.iter().position(|&b| bits <= b).unwrap_or(CLASSES.len() - 1);
        all[class].positions.push(i as u32);
        all[class].values.push(value);
        all[class].bits = all[class].bits.max(bits);
    }
    let mut out: Vec<Class> = vec![];
    for class in all {
        match out.last_mut() {
            Some(last) if last.positions.len() <= FEW => {
                if !class.positions.is_empty() {
                    last.positions.extend(class.positions);
                    last.values.extend(class.values);
                    last.bits = last.bits.max(class.bits);
                }
            }
            _ if class.positions.is_empty() => {}
            _ => out.push(class),
        }
    }
    out
}

/// Returns how many signed windows of `width` bits hold magnitudes of `bits` bits.
pub fn window_count(bits: u32, width: u32) -> usize {
    if bits == 1 {
        return 1; // +-1: one digit, which is never carried
    }
    (bits / width + 1) as usize
}

/// Writes signed digits d_w in [-2^(c-1), 2^(c-1)] with sum_w d_w 2^(c w) = value.
///
/// `digits[w]` for w in 0..count. A digit of 2^(c-1) is kept where it stands: c <= 15 fits i16.
pub fn recode(value: &Signed, width: u32, digits: &mut [i16]) {
    let (half, mask) = (1u64 << (width - 1), (1u64 << width) - 1);
    let mut carry = 0;
    for (w, digit) in digits.iter_mut().enumerate() {
        let (at, shift) = (w * width as usize / 64, w * width as usize % 64);
        let low = value.magnitude.get(at).map_or(0, |l| l >> shift);
        let high = if shift == 0 { 0 } else { value.magnitude.get(at + 1).map_or(0, |l| l << (64 - shift)) };
        let raw = ((low | high) & mask) + carry;
        carry = u64::from(raw > half);
        let d = raw as i64 - ((carry as i64) << width);
        *digit = if value.is_negative { -d as i16 } else { d as i16 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{BigInteger, Field};
    use proptest::prelude::*;

    type Fr = ark_bls12_381::Fr;

    fn limbs(x: Fr) -> Limbs {
        x.into_bigint().0
    }

    proptest! {
        #[test]
        fn digits_sum_to_the_scalar(raw in any::<[u8; 40]>(), small in any::<u64>(), kind in 0..4u8, width in 1..16u32) {
            let full = Fr::from_le_bytes_mod_order(&raw);
            let x = match kind { 0 => full, 1 => Fr::from(small), 2 => -Fr::from(small), _ => -Fr::from(small & 1) };
            let value = signed(&limbs(x), &order::<Fr>());
            prop_assert!(bits(&value.magnitude) <= 254);
            let size = bits(&value.magnitude).max(1);
            let mut digits = vec![0i16; window_count(size, width.max(2))];
            recode(&value, width.max(2), &mut digits);
            let base = Fr::from(2u64).pow([u64::from(width.max(2))]);
            let total = digits.iter().rev().fold(Fr::from(0u64), |t, &d| {
                let m = Fr::from(d.unsigned_abs());
                t * base + if d < 0 { -m } else { m }
            });
            prop_assert_eq!(total, x);
            prop_assert!(digits.iter().all(|d| i32::from(d.unsigned_abs()) <= 1 << (width.max(2) - 1)));
        }

        #[test]
        fn classes_keep_every_term(kinds in prop::collection::vec(0..6u8, 0..200), seed in any::<u64>()) {
            let make = |(i, k): (usize, &u8)| {
                let v = seed.rotate_left(i as u32);
                limbs(match k {
                    0 => Fr::from(0u64),
                    1 => Fr::from(1u64),
                    2 => -Fr::from(1u64),
                    3 => -Fr::from(v & 0xffff),
                    4 => Fr::from(v),
                    _ => Fr::from(v).square().square(),
                })
            };
            let scalars: Vec<Limbs> = kinds.iter().enumerate().map(make).collect();
            let mut seen = vec![];
            for class in classes(&scalars, &order::<Fr>()) {
                prop_assert_eq!(class.positions.len(), class.values.len());
                for (&i, v) in class.positions.iter().zip(&class.values) {
                    prop_assert!(bits(&v.magnitude) <= class.bits);
                    let m = Fr::from_bigint(ark_ff::BigInt(v.magnitude)).unwrap();
                    prop_assert_eq!(limbs(if v.is_negative { -m } else { m }), scalars[i as usize]);
                    seen.push(i);
                }
            }
            seen.sort_unstable();
            let expected: Vec<u32> = (0..scalars.len() as u32).filter(|&i| scalars[i as usize] != [0; 4]).collect();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_scalar_that_is_not_below_the_order_is_refused() {
        let r = Fr::MODULUS.to_bytes_le();
        assert!(parse::<Fr>(&r).is_err());
        assert!(parse::<Fr>(&[0xff; 32]).is_err());
        assert!(parse::<Fr>(&r[..31]).is_err());
        let mut below = r.clone();
        below[0] -= 1;
        assert_eq!(parse::<Fr>(&below).unwrap()[0], limbs(-Fr::from(1u64)));
    }
}
