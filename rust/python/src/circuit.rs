//! Circuits, key generation and proving: one call each, everything between stays in the core.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use zkfed_core::curve::{Bls12381, Bn254, Curve};
use zkfed_core::prove::{self, Key};
use zkfed_core::r1cs::{self, integers};
use zkfed_core::scalars::parse;
use zkfed_core::setup::{key_scalars, Trapdoors};

use crate::guard;
use crate::points::{Points, Stored};

type Matrix = (PyBackedBytes, PyBackedBytes, PyBackedBytes);

enum Kind {
    Bls(r1cs::Circuit<<Bls12381 as Curve>::Scalar>),
    Bn(r1cs::Circuit<<Bn254 as Curve>::Scalar>),
}

/// The matrices of a constraint system.
#[pyclass(frozen, module = "zkfed_native")]
pub struct Circuit(Kind);

#[pymethods]
impl Circuit {
    /// `table` holds the coefficients' limbs; each matrix is (ends of rows, columns, numbers in the
    /// table), native 32-bit integers.
    #[new]
    fn new(
        py: Python<'_>,
        curve: &str,
        wires: usize,
        table: PyBackedBytes,
        matrices: [Matrix; 3],
    ) -> PyResult<Self> {
        let matrices = matrices.each_ref().map(|(ends, columns, numbers)| (&**ends, &**columns, &**numbers));
        let kind = match curve {
            "bls12-381" => {
                guard::run(py, 1, 0, |_| r1cs::Circuit::parse(wires, &table, matrices).map(Kind::Bls))
            }
            "bn254" => guard::run(py, 1, 0, |_| r1cs::Circuit::parse(wires, &table, matrices).map(Kind::Bn)),
            _ => return Err(PyValueError::new_err("expected bls12-381 or bn254")),
        };
        kind.map(Circuit)
    }

    /// Returns the limbs of u, v, k and h for a domain of `size` points, from those of tau, alpha,
    /// beta and delta.
    fn key_scalars<'py>(
        &self,
        py: Python<'py>,
        size: usize,
        trapdoors: &[u8],
        private_start: usize,
        threads: usize,
    ) -> PyResult<[Bound<'py, PyBytes>; 4]> {
        let all = match &self.0 {
            Kind::Bls(circuit) => {
                scalars_of::<Bls12381>(py, circuit, size, (trapdoors, private_start), threads)
            }
            Kind::Bn(circuit) => scalars_of::<Bn254>(py, circuit, size, (trapdoors, private_start), threads),
        }?;
        Ok(all.map(|limbs| PyBytes::new(py, &limbs)))
    }
}

fn scalars_of<C: Curve>(
    py: Python<'_>,
    circuit: &r1cs::Circuit<C::Scalar>,
    size: usize,
    (trapdoors, private_start): (&[u8], usize),
    threads: usize,
) -> PyResult<[Vec<u8>; 4]> {
    guard::run(py, threads, size, |run| {
        let [tau, alpha, beta, delta] = r1cs::lift::<C::Scalar>(&parse::<C::Scalar>(trapdoors)?)[..] else {
            return zkfed_core::error::value("expected tau, alpha, beta and delta");
        };
        let trapdoors = Trapdoors { tau, alpha, beta, delta };
        let scalars = key_scalars(circuit, &*C::domains().get(size)?, &trapdoors, private_start, run)?;
        let bytes = |values: Vec<C::Scalar>| -> Vec<u8> {
            r1cs::lower(&values).iter().flatten().flat_map(|limb| limb.to_le_bytes()).collect()
        };
        Ok([bytes(scalars.u), bytes(scalars.v), bytes(scalars.k), bytes(scalars.h)])
    })
}

/// A circuit and the points of a proving key that fit each other.
#[pyclass(frozen, module = "zkfed_native")]
pub struct Prover {
    circuit: Py<Circuit>,
    /// alpha, beta, delta in G1; beta, delta in G2; a, b1, b2, k, h.
    points: [Py<Points>; 7],
    a_wires: Vec<u32>,
    b_wires: Vec<u32>,
}

#[pymethods]
impl Prover {
    #[new]
    fn new(
        py: Python<'_>,
        circuit: Py<Circuit>,
        points: [Py<Points>; 7],
        a_wires: &[u8],
        b_wires: &[u8],
    ) -> PyResult<Self> {
        let to_python = |e: zkfed_core::error::Error| PyValueError::new_err(e.to_string());
        let (a_wires, b_wires) =
            (integers(a_wires).map_err(to_python)?, integers(b_wires).map_err(to_python)?);
        let prover = Prover { circuit, points, a_wires, b_wires };
        match &prover.circuit.get().0 {
            Kind::Bls(circuit) => guard::run(py, 1, 0, |_| prover.key::<Bls12381>()?.check(circuit)),
            Kind::Bn(circuit) => guard::run(py, 1, 0, |_| prover.key::<Bn254>()?.check(circuit)),
        }?;
        Ok(prover)
    }

    /// Returns A, B and C for the limbs of z and of (r, s); None if a row does not hold and `is_checked`.
    ///
    /// `report` is called with the part that is done, at most ten times a second.
    fn prove(
        &self,
        py: Python<'_>,
        z: &[u8],
        blinding: &[u8],
        is_checked: bool,
        threads: usize,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Option<(Points, Points, Points)>> {
        let how = (is_checked, threads, report);
        match &self.circuit.get().0 {
            Kind::Bls(circuit) => self.prove_on::<Bls12381>(py, circuit, z, blinding, how),
            Kind::Bn(circuit) => self.prove_on::<Bn254>(py, circuit, z, blinding, how),
        }
    }
}

impl Prover {
    fn key<C: Stored>(&self) -> zkfed_core::error::Result<Key<'_, C>> {
        let first = |i: usize| C::first(self.points[i].get());
        let second = |i: usize| C::second(self.points[i].get());
        Ok(Key {
            first: first(0)?,
            second: second(1)?,
            a_wires: &self.a_wires,
            a: first(2)?,
            b_wires: &self.b_wires,
            b1: first(3)?,
            b2: second(4)?,
            k: first(5)?,
            h: first(6)?,
        })
    }

    fn prove_on<C: Stored>(
        &self,
        py: Python<'_>,
        circuit: &r1cs::Circuit<C::Scalar>,
        z: &[u8],
        blinding: &[u8],
        (is_checked, threads, report): (bool, usize, Option<Py<PyAny>>),
    ) -> PyResult<Option<(Points, Points, Points)>> {
        let proof = guard::run_reporting(py, threads, 4 * circuit.rows(), report, |run| {
            let [r, s] = parse::<C::Scalar>(blinding)?[..] else {
                return zkfed_core::error::value("expected r and s");
            };
            prove::prove(circuit, &self.key::<C>()?, &parse::<C::Scalar>(z)?, (r, s), is_checked, run)
        })?;
        Ok(proof.map(|(a, b, c)| (C::of_first(a), C::of_second(b), C::of_first(c))))
    }
}
