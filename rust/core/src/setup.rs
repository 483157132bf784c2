//! The scalars of a development key: the columns of a circuit at the trapdoors.

use ark_ff::{batch_inversion, BigInt, PrimeField};

use crate::error::{value, Result};
use crate::ntt::Domain;
use crate::r1cs::Circuit;
use crate::tasks::Run;

/// What is multiplied by the generators; names as in zkfed/groth16/setup.py.
pub struct KeyScalars<S> {
    /// u_i(tau) of each wire.
    pub u: Vec<S>,
    /// v_i(tau) of each wire.
    pub v: Vec<S>,
    /// beta u_i + alpha v_i + w_i of each wire, over delta for private ones.
    pub k: Vec<S>,
    /// L_j(tau / g) Z(tau) / (Z(g) delta) of each point of the coset.
    pub h: Vec<S>,
}

/// The trapdoors, which whoever calls forgets.
pub struct Trapdoors<S> {
    pub tau: S,
    pub alpha: S,
    pub beta: S,
    pub delta: S,
}

/// Returns the scalars of a key for `circuit` over `domain`; wires from `private_start` on are private.
///
/// Errors: `Value` for a domain with fewer points than rows, a delta of 0, or a tau in H or in
/// g H; `Interrupted`.
pub fn key_scalars<S: PrimeField<BigInt = BigInt<4>>>(
    circuit: &Circuit<S>,
    domain: &Domain<S>,
    t: &Trapdoors<S>,
    private_start: usize,
    run: Run<'_>,
) -> Result<KeyScalars<S>> {
    let n = domain.size() as u64;
    let Some(factor) = ((S::GENERATOR.pow([n]) - S::ONE) * t.delta).inverse() else {
        return value("delta is 0");
    };
    let over_delta = t.delta.inverse().unwrap_or(S::ONE);
    let lagrange = lagrange_at(t.tau, domain)?;
    run.check()?;
    let [u, v, mut k] = circuit.columns(&lagrange, run)?;
    for (i, ((k, u), v)) in k.iter_mut().zip(&u).zip(&v).enumerate() {
        *k += t.beta * u + t.alpha * v;
        if i >= private_start {
            *k *= over_delta;
        }
    }
    run.check()?;
    let mut h = lagrange_at(t.tau * S::GENERATOR.inverse().unwrap_or(S::ONE), domain)?;
    let factor = factor * (t.tau.pow([n]) - S::ONE);
    h.iter_mut().for_each(|value| *value *= factor);
    Ok(KeyScalars { u, v, k, h })
}

/// Returns L_j(x) = w^j (x^n - 1) / (n (x - w^j)) for each j.
fn lagrange_at<S: PrimeField<BigInt = BigInt<4>>>(x: S, domain: &Domain<S>) -> Result<Vec<S>> {
    let n = domain.size() as u64;
    let roots: Vec<S> = domain.roots().collect();
    let mut out: Vec<S> = roots.iter().map(|w| x - w).collect();
    let scale = x.pow([n]) - S::ONE;
    let Some(scale) = S::from(n).inverse().map(|i| i * scale).filter(|s| !s.is_zero()) else {
        return value("a point of the domain itself");
    };
    batch_inversion(&mut out);
    out.iter_mut().zip(&roots).for_each(|(value, w)| *value *= scale * w);
    Ok(out)
}
