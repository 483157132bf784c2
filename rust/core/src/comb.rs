//! Multiples of the generator: a comb, whose additions share inversions.
//!
//! s G = sum_w d_w 2^(c w) G: one table entry for each window, no doublings. The entries of one
//! scalar are a group of `sum_groups`.

use std::sync::OnceLock;

use crate::arith::Coordinate;
use crate::error::Result;
use crate::point::{Point, Xyzz};
use crate::scalars::{recode, signed, window_count, Limbs};
use crate::sums::{sum_groups, Scratch, Source, Term};
use crate::tasks::Run;

/// Scalars that one task takes.
const CHUNK: usize = 512;
/// From so many scalars on, the wide table pays for being built.
const MANY: usize = 1 << 13;
const NARROW: u32 = 7;
const WIDE: u32 = 12;
const BITS: u32 = 254;

/// k 2^(c w) G for k in 1 ..= 2^(c - 1), window by window.
struct Table<F> {
    width: u32,
    points: Vec<Point<F>>,
}

/// The tables of one generator, built when they are first needed.
pub struct Comb<F> {
    narrow: OnceLock<Table<F>>,
    wide: OnceLock<Table<F>>,
}

impl<F: Coordinate> Comb<F> {
    pub const fn new() -> Self {
        Comb { narrow: OnceLock::new(), wide: OnceLock::new() }
    }

    /// Returns s_i G for each i.
    pub fn multiply(
        &self,
        g: Point<F>,
        scalars: &[Limbs],
        order: &Limbs,
        run: Run<'_>,
    ) -> Result<Vec<Point<F>>> {
        let table = if scalars.len() < MANY {
            self.narrow.get_or_init(|| Table::build(g, NARROW))
        } else {
            self.wide.get_or_init(|| Table::build(g, WIDE))
        };
        let chunks: Vec<&[Limbs]> = scalars.chunks(CHUNK).collect();
        let parts =
            run.each(chunks.len(), Scratch::default, |scratch, i| table.multiply(scratch, chunks[i], order))?;
        Ok(parts.concat())
    }
}

impl<F: Coordinate> Default for Comb<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Coordinate> Table<F> {
    fn build(g: Point<F>, width: u32) -> Self {
        let windows = window_count(BITS, width);
        let mut bases = vec![Xyzz::from_affine(&g)];
        for _ in 1..windows {
            let mut next = *bases.last().unwrap_or(&Xyzz::IDENTITY);
            (0..width).for_each(|_| next.double());
            bases.push(next);
        }
        // All windows at once; each pass doubles the rows.
        let bases = Xyzz::to_affine(&bases);
        let mut rows: Vec<Vec<Point<F>>> = bases.iter().map(|p| vec![*p]).collect();
        let mut scratch = Scratch::default();
        for _ in 1..width {
            let known = rows[0].len();
            let source: Vec<Point<F>> = rows.concat();
            let mut terms = Vec::with_capacity(2 * source.len());
            for w in 0..windows {
                for k in 0..known {
                    // (known + k + 1) G = known G + (k + 1) G
                    terms.push(Term::new(w * known + known - 1, false));
                    terms.push(Term::new(w * known + k, false));
                }
            }
            let ends: Vec<u32> = (1..=source.len() as u32).map(|i| 2 * i).collect();
            let sums = sum_groups(&mut scratch, Source::of(&source), &terms, &ends);
            for (row, new) in rows.iter_mut().zip(sums.chunks_exact(known)) {
                row.extend_from_slice(new);
            }
        }
        Table { width, points: rows.concat() }
    }

    fn multiply(&self, scratch: &mut Scratch<F>, scalars: &[Limbs], order: &Limbs) -> Vec<Point<F>> {
        let mut digits = vec![0i16; window_count(BITS, self.width)];
        let (mut terms, mut ends) = (Vec::with_capacity(scalars.len() * digits.len()), vec![]);
        for scalar in scalars {
            recode(&signed(scalar, order), self.width, &mut digits);
            for (w, &d) in digits.iter().enumerate() {
                if d != 0 {
                    terms.push(Term::new((w << (self.width - 1)) + d.unsigned_abs() as usize - 1, d < 0));
                }
            }
            ends.push(terms.len() as u32);
        }
        sum_groups(scratch, Source::of(&self.points), &terms, &ends)
    }
}
