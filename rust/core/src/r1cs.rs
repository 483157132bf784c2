//! A rank-1 constraint system: rows, columns, and which rows hold.
//!
//! (A z) o (B z) = C z,  z = 1 | public | private

use ark_ff::{BigInt, PrimeField};

use crate::error::{value, Result};
use crate::scalars::{parse, Limbs};
use crate::tasks::Run;

/// Rows that one task evaluates.
const CHUNK: usize = 1 << 11;

/// One matrix in compressed rows. Coefficients are numbers of a table: few of them are distinct.
pub struct Matrix {
    ends: Vec<u32>,
    columns: Vec<u32>,
    coefficients: Vec<u32>,
}

/// The bytes of one matrix: where each row ends, and for each entry its column and the number of
/// its coefficient in the table. All are native 32-bit integers.
pub type MatrixBytes<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// A constraint system.
pub struct Circuit<S> {
    wires: usize,
    table: Vec<S>,
    /// The numbers of 1 and of -1 in the table, which need no product.
    one: u32,
    minus_one: u32,
    matrices: [Matrix; 3],
}

/// A z, B z and C z, one entry a row.
pub type Sides<S> = [Vec<S>; 3];

impl<S: PrimeField<BigInt = BigInt<4>>> Circuit<S> {
    /// Reads a system of `wires` wires from its matrices and the table of their coefficients.
    ///
    /// Errors: `Value` for lengths that do not fit, a wire or a coefficient that there is not.
    pub fn parse(wires: usize, table: &[u8], matrices: [MatrixBytes<'_>; 3]) -> Result<Self> {
        let table = lift::<S>(&parse::<S>(table)?);
        let find = |v: S| table.iter().position(|t| *t == v).map_or(u32::MAX, |i| i as u32);
        let (one, minus_one) = (find(S::ONE), find(-S::ONE));
        let mut read = matrices.into_iter().map(|bytes| Matrix::parse(bytes, wires, table.len()));
        let mut next = || read.next().unwrap_or_else(|| value("three matrices"));
        let matrices = [next()?, next()?, next()?];
        let rows = matrices[0].ends.len();
        if matrices.iter().any(|m| m.ends.len() != rows) {
            return value("the three matrices have different numbers of rows");
        }
        Ok(Circuit { wires, table, one, minus_one, matrices })
    }

    pub fn wires(&self) -> usize {
        self.wires
    }

    pub fn rows(&self) -> usize {
        self.matrices[0].ends.len()
    }

    /// Returns the sides, and whether every row holds.
    ///
    /// Errors: `Value` unless z has one scalar for each wire; `Interrupted`.
    pub fn evaluate(&self, z: &[Limbs], run: Run<'_>) -> Result<(Sides<S>, bool)> {
        if z.len() != self.wires {
            return value(format!("{} values for {} wires", z.len(), self.wires));
        }
        let z = lift::<S>(z);
        let parts = run.each(
            self.rows().div_ceil(CHUNK),
            || (),
            |(), chunk| {
                let rows = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.rows());
                let sides = self.matrices.each_ref().map(|m| self.times(m, &z, rows.clone()));
                let [a, b, c] = &sides;
                let holds = a.iter().zip(b).zip(c).all(|((a, b), c)| *a * b == *c);
                (sides, holds)
            },
        )?;
        let (mut out, mut all_hold) = ([0; 3].map(|_| Vec::with_capacity(self.rows())), true);
        for (part, holds) in parts {
            all_hold &= holds;
            for (side, part) in out.iter_mut().zip(part) {
                side.extend(part);
            }
        }
        Ok((out, all_hold))
    }

    fn times(&self, m: &Matrix, z: &[S], rows: std::ops::Range<usize>) -> Vec<S> {
        let row = |i| {
            let mut sum = S::ZERO;
            for (&column, &c) in m.columns[m.row(i)].iter().zip(&m.coefficients[m.row(i)]) {
                let wire = z[column as usize];
                if c == self.one {
                    sum += wire;
                } else if c == self.minus_one {
                    sum -= wire;
                } else {
                    sum += self.table[c as usize] * wire;
                }
            }
            sum
        };
        rows.map(row).collect()
    }

    /// Returns sum_row M[row, i] y_row for each wire i and each matrix M.
    ///
    /// Errors: `Value` if there are fewer y than rows; `Interrupted`.
    pub fn columns(&self, y: &[S], run: Run<'_>) -> Result<Sides<S>> {
        if y.len() < self.rows() {
            return value(format!("{} values for {} rows", y.len(), self.rows()));
        }
        let of = |(): &mut (), i: usize| {
            let (m, mut out) = (&self.matrices[i], vec![S::ZERO; self.wires]);
            for (row, y) in (0..self.rows()).zip(y) {
                for (&column, &c) in m.columns[m.row(row)].iter().zip(&m.coefficients[m.row(row)]) {
                    let term = if c == self.one { *y } else { self.table[c as usize] * y };
                    out[column as usize] += term;
                }
            }
            out
        };
        let mut all = run.each(3, || (), of)?.into_iter();
        let mut next = || all.next().unwrap_or_default();
        Ok([next(), next(), next()])
    }
}

impl Matrix {
    fn parse(bytes: MatrixBytes<'_>, wires: usize, coefficients: usize) -> Result<Self> {
        let (ends, columns, numbers) = (integers(bytes.0)?, integers(bytes.1)?, integers(bytes.2)?);
        let entries = ends.last().map_or(0, |&end| end as usize);
        if ends.windows(2).any(|pair| pair[0] > pair[1]) {
            return value("the ends of the rows do not ascend");
        }
        if columns.len() != entries || numbers.len() != entries {
            return value(format!("{} and {} entries, expected {entries}", columns.len(), numbers.len()));
        }
        if columns.iter().any(|&c| c as usize >= wires) {
            return value(format!("an entry of a wire that is not among the {wires}"));
        }
        if numbers.iter().any(|&c| c as usize >= coefficients) {
            return value(format!("an entry of a coefficient that is not among the {coefficients}"));
        }
        Ok(Matrix { ends, columns, coefficients: numbers })
    }

    fn row(&self, i: usize) -> std::ops::Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        start..self.ends[i] as usize
    }
}

/// Reads native 32-bit integers.
pub fn integers(data: &[u8]) -> Result<Vec<u32>> {
    if !data.len().is_multiple_of(4) {
        return value(format!("{} bytes of integers: expected a multiple of 4", data.len()));
    }
    Ok(data.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// Returns field elements of canonical limbs.
pub fn lift<S: PrimeField<BigInt = BigInt<4>>>(limbs: &[Limbs]) -> Vec<S> {
    // `parse` has checked that every scalar is below r, so there is no None.
    limbs.iter().map(|l| S::from_bigint(BigInt(*l)).unwrap_or(S::ZERO)).collect()
}

/// Returns canonical limbs of field elements.
pub fn lower<S: PrimeField<BigInt = BigInt<4>>>(values: &[S]) -> Vec<Limbs> {
    values.iter().map(|v| v.into_bigint().0).collect()
}
