//! The native core of zkfed: vectors of points and scalars in, vectors out.
//!
//! Fields and curves are arkworks'; on BLS12-381 the product in the base field, the pairing and
//! the hash are blst's, which is faster there; sums, combs and transforms are ours. `unsafe`
//! stands in `arith.rs`, `curve.rs` and `hashing.rs`, where it calls blst, in `affine.rs`, where
//! bytes are taken for points, and in `ifma.rs` and
//! `lanes.rs`, which compute in vectors of eight. Nothing here
//! runs in constant time, like every prover of this kind: who can time it learns about the witness.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod affine;
pub mod arith;
pub mod comb;
pub mod curve;
pub mod encoding;
pub mod error;
mod hashing;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub mod msm;
pub mod ntt;
mod pairing;
pub mod point;
pub mod prove;
pub mod r1cs;
pub mod scalars;
pub mod setup;
mod straus;
pub mod sums;
pub mod tasks;
pub mod torsion;
pub mod vector;
