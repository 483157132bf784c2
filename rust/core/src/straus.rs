//! Few points: one chain of doublings for all of them, signed windows of five bits.
//!
//! s P = k_1 P + k_2 phi(P) with halves k_i of half the length, so the chain is half as long.
//! phi is the endomorphism (x, y) -> (beta x, y), which multiplies by lambda in the r-torsion
//! only: every point here is in it.
//!
//! Source: Gallant, Lambert and Vanstone 2001; the decomposition is arkworks'.

use ark_ff::{BigInt, PrimeField};

use crate::curve::{from_ark, to_ark, BaseOf, Group, ScalarOf};
use crate::point::{Point, Xyzz};
use crate::scalars::{bits, recode, window_count, Signed};

const WIDTH: u32 = 5;
/// Shorter scalars are not split.
const SPLIT: u32 = 140;

/// A point and what it is multiplied by.
pub type Multiple<F> = (Point<F>, Signed);

/// Returns sum_i s_i P_i.
pub fn sum<G: Group>(terms: &[Multiple<BaseOf<G>>]) -> Xyzz<BaseOf<G>>
where
    ScalarOf<G>: PrimeField<BigInt = BigInt<4>>,
{
    let mut short = Vec::with_capacity(2 * terms.len());
    for term in terms {
        match halves::<G>(term) {
            Some(both) => short.extend(both),
            None => short.push(*term),
        }
    }
    chain(&short)
}

/// Returns the two terms of half the length, or None for a scalar that is short.
fn halves<G: Group>((point, scalar): &Multiple<BaseOf<G>>) -> Option<[Multiple<BaseOf<G>>; 2]>
where
    ScalarOf<G>: PrimeField<BigInt = BigInt<4>>,
{
    if bits(&scalar.magnitude) <= SPLIT {
        return None;
    }
    let whole = ScalarOf::<G>::from_bigint(BigInt(scalar.magnitude))?;
    let (first, second) = G::scalar_decomposition(whole);
    let half = |(is_positive, k): (bool, ScalarOf<G>)| Signed {
        magnitude: k.into_bigint().0,
        is_negative: scalar.is_negative == is_positive,
    };
    let image = from_ark::<G>(&G::endomorphism_affine(&to_ark::<G>(point)));
    Some([(*point, half(first)), (image, half(second))])
}

fn chain<F: crate::arith::Coordinate>(terms: &[Multiple<F>]) -> Xyzz<F> {
    let size = terms.iter().map(|(_, s)| bits(&s.magnitude)).max().unwrap_or(0);
    if size == 0 {
        return Xyzz::IDENTITY;
    }
    let windows = window_count(size, WIDTH);
    let mut digits = vec![0i16; windows * terms.len()];
    let mut tables = Vec::with_capacity(terms.len() << (WIDTH - 1));
    for (i, (point, scalar)) in terms.iter().enumerate() {
        recode(scalar, WIDTH, &mut digits[i * windows..(i + 1) * windows]);
        let mut multiple = Xyzz::from_affine(point);
        for _ in 0..1 << (WIDTH - 1) {
            tables.push(multiple);
            multiple.add_affine(point);
        }
    }
    // Affine multiples: one inversion pays for itself after a few additions.
    let tables = Xyzz::to_affine(&tables);
    let mut total = Xyzz::IDENTITY;
    for w in (0..windows).rev() {
        for _ in 0..WIDTH {
            total.double();
        }
        for i in 0..terms.len() {
            let digit = digits[i * windows + w];
            if digit != 0 {
                let row = &tables[i << (WIDTH - 1)..];
                total.add_affine(&row[digit.unsigned_abs() as usize - 1].signed(digit < 0));
            }
        }
    }
    total
}
