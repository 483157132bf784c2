//! Few points: one chain of doublings for all of them, signed windows of five bits.

use crate::arith::Coordinate;
use crate::point::{Point, Xyzz};
use crate::scalars::{bits, recode, window_count, Signed};

const WIDTH: u32 = 5;

/// Returns sum_i s_i P_i.
pub fn sum<F: Coordinate>(terms: &[(Point<F>, Signed)]) -> Xyzz<F> {
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
