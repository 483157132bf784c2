//! Where points lie: in this module's own memory, or in memory that Python lends, such as a key
//! file that is mapped.

use std::mem::size_of;
use std::ops::Deref;

use pyo3::buffer::PyBuffer;
use zkfed_core::affine;
use zkfed_core::arith::Coordinate;
use zkfed_core::curve::{BaseOf, Group};
use zkfed_core::error::{value, Result};
use zkfed_core::point::Point;
use zkfed_core::tasks::Run;

/// A vector of points that are never changed; use it as a slice.
pub enum Store<F> {
    Owned(Vec<Point<F>>),
    /// A buffer that `decode` has checked.
    Lent(PyBuffer<u8>),
}

impl<F: Coordinate> Store<F> {
    /// Returns the points in memory of their own, copied if they are lent.
    pub fn to_mut(&mut self) -> &mut Vec<Point<F>> {
        if let Store::Lent(_) = self {
            *self = Store::Owned(self.to_vec());
        }
        match self {
            Store::Owned(points) => points,
            Store::Lent(_) => unreachable!("it was copied"),
        }
    }
}

impl<F> From<Vec<Point<F>>> for Store<F> {
    fn from(points: Vec<Point<F>>) -> Self {
        Store::Owned(points)
    }
}

impl<F> Deref for Store<F> {
    type Target = [Point<F>];

    fn deref(&self) -> &[Point<F>] {
        match self {
            Store::Owned(points) => points,
            // SAFETY: `decode` alone makes this variant, of a contiguous buffer that `affine::view`
            // accepts as points of this type; the buffer keeps its memory where it is. Nobody may
            // write to it: it is read-only to Python, and a file is replaced, never rewritten. If
            // somebody did, sums would be wrong, and no more: any bits are points.
            Store::Lent(buffer) => unsafe {
                std::slice::from_raw_parts(
                    buffer.buf_ptr().cast(),
                    buffer.len_bytes() / size_of::<Point<F>>(),
                )
            },
        }
    }
}

/// Takes `count` affine points, checked; in read-only memory they stay where they are.
pub fn decode<G: Group>(data: PyBuffer<u8>, count: usize, run: Run<'_>) -> Result<Store<BaseOf<G>>> {
    if !data.is_c_contiguous() {
        return value("a buffer with gaps: expected contiguous bytes");
    }
    // SAFETY: a contiguous buffer has `len_bytes` bytes from `buf_ptr` on, and lives as long as `data`.
    let bytes = unsafe { std::slice::from_raw_parts(data.buf_ptr().cast(), data.len_bytes()) };
    if data.readonly() {
        if let Some(points) = affine::view::<G>(bytes, count)? {
            affine::check::<G>(points, run)?;
            return Ok(Store::Lent(data));
        }
    }
    let points = affine::read::<G>(bytes, count)?;
    affine::check::<G>(&points, run)?;
    Ok(Store::Owned(points))
}
