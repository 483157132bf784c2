//! Points: affine as they are stored, XYZZ where single additions are cheaper than inversions.

use crate::arith::{invert_all, Coordinate};

/// An affine point. (0, 0) is the identity: it is on no curve y^2 = x^3 + b with b != 0.
///
/// In memory it is x, then y: key files are read as they lie (affine.rs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Point<F> {
    pub x: F,
    pub y: F,
}

impl<F: Coordinate> Point<F> {
    pub const IDENTITY: Self = Point { x: F::ZERO, y: F::ZERO };

    #[inline(always)]
    pub fn is_identity(&self) -> bool {
        self.x.is_zero() && self.y.is_zero()
    }

    #[inline(always)]
    pub fn negated(&self) -> Self {
        Point { x: self.x, y: -self.y }
    }

    /// Returns the point, negated if `is_negative`.
    #[inline(always)]
    pub fn signed(&self, is_negative: bool) -> Self {
        Point { x: self.x, y: self.y.negated_if(is_negative) }
    }
}

/// x = X / ZZ, y = Y / ZZZ, ZZ^3 = ZZZ^2; ZZ = 0 is the identity. The curve has a = 0.
///
/// Source: Explicit-Formulas Database, "XYZZ coordinates for short Weierstrass curves":
/// madd-2008-s, add-2008-s, dbl-2008-s-1.
#[derive(Debug, Clone, Copy)]
pub struct Xyzz<F> {
    x: F,
    y: F,
    zz: F,
    zzz: F,
}

impl<F: Coordinate> Xyzz<F> {
    pub const IDENTITY: Self = Xyzz { x: F::ONE, y: F::ONE, zz: F::ZERO, zzz: F::ZERO };

    pub fn from_affine(p: &Point<F>) -> Self {
        if p.is_identity() {
            Self::IDENTITY
        } else {
            Xyzz { x: p.x, y: p.y, zz: F::ONE, zzz: F::ONE }
        }
    }

    pub fn is_identity(&self) -> bool {
        self.zz.is_zero()
    }

    pub fn double(&mut self) {
        if self.is_identity() {
            return;
        }
        let u = self.y.double();
        if u.is_zero() {
            *self = Self::IDENTITY;
            return;
        }
        let v = u.squared();
        let w = u.times(&v);
        let s = self.x.times(&v);
        let xx = self.x.squared();
        let m = xx.double() + xx;
        let x = m.squared() - s.double();
        self.y = m.times(&(s - x)) - w.times(&self.y);
        self.x = x;
        self.zz = v.times(&self.zz);
        self.zzz = w.times(&self.zzz);
    }

    pub fn add_affine(&mut self, q: &Point<F>) {
        if q.is_identity() {
            return;
        }
        if self.is_identity() {
            *self = Self::from_affine(q);
            return;
        }
        let p = q.x.times(&self.zz) - self.x;
        let r = q.y.times(&self.zzz) - self.y;
        self.finish_addition(p, r, self.x, self.y);
    }

    pub fn add(&mut self, q: &Self) {
        if q.is_identity() {
            return;
        }
        if self.is_identity() {
            *self = *q;
            return;
        }
        let (u1, s1) = (self.x.times(&q.zz), self.y.times(&q.zzz));
        let p = q.x.times(&self.zz) - u1;
        let r = q.y.times(&self.zzz) - s1;
        if !p.is_zero() {
            // The other summand's denominators enter before the common part.
            self.zz = self.zz.times(&q.zz);
            self.zzz = self.zzz.times(&q.zzz);
        }
        self.finish_addition(p, r, u1, s1);
    }

    /// The common end of both additions; p = 0 means that both points have one x.
    #[inline(always)]
    fn finish_addition(&mut self, p: F, r: F, u1: F, s1: F) {
        if p.is_zero() {
            if r.is_zero() {
                self.double();
            } else {
                *self = Self::IDENTITY;
            }
            return;
        }
        let pp = p.squared();
        let ppp = p.times(&pp);
        let q = u1.times(&pp);
        self.x = r.squared() - ppp - q.double();
        self.y = r.times(&(q - self.x)) - s1.times(&ppp);
        self.zz = self.zz.times(&pp);
        self.zzz = self.zzz.times(&ppp);
    }

    /// Returns the affine points, with one inversion for all.
    pub fn to_affine(points: &[Self]) -> Vec<Point<F>> {
        // 1 / ZZZ gives both: 1 / ZZ = ZZ^2 / ZZZ^2, since ZZ^3 = ZZZ^2.
        let mut inverses: Vec<F> = points.iter().map(|p| p.zzz).collect();
        invert_all(&mut inverses);
        let convert = |(p, i): (&Self, &F)| {
            if p.is_identity() {
                return Point::IDENTITY;
            }
            let izz = p.zz.times(i).squared();
            Point { x: p.x.times(&izz), y: p.y.times(i) }
        };
        points.iter().zip(&inverses).map(convert).collect()
    }
}
