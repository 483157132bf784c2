//! Writes a `.zkey` for snarkjs and groth16py from trapdoors that this process draws.
//!
//! A key of a real ceremony needs powers of tau, which take hours at these sizes. The points of
//! this one have the same form and cost the same to prove with; it must never leave a bench.

use std::fs::File;
use std::io::{BufWriter, Result, Write};

use ark_ec::{pairing::Pairing, AffineRepr};
use ark_ff::{BigInteger, Field, PrimeField, UniformRand};
use ark_groth16::{r1cs_to_qap::R1CSToQAP, Groth16, ProvingKey};
use ark_poly::EvaluationDomain;
use ark_relations::gr1cs::{
    ConstraintSystemRef, Matrix, Result as R1CSResult, SynthesisError, R1CS_PREDICATE_LABEL,
};

use crate::iden3::R1cs;

/// L_0(t) .. L_(n-1)(t) over the n-th roots of unity that snarkjs uses: powers of 5^((r-1)/n).
fn lagrange<F: PrimeField>(t: F, size: usize) -> Vec<F> {
    let mut exponent = F::MODULUS;
    exponent.sub_with_borrow(&F::BigInt::from(1u64));
    exponent >>= size.trailing_zeros();
    let root = F::from(5u64).pow(exponent);
    let scale = (t.pow([size as u64]) - F::one()) / F::from(size as u64);
    let mut powers = Vec::with_capacity(size);
    let mut power = F::one();
    for _ in 0..size {
        powers.push(power);
        power *= root;
    }
    let mut out: Vec<F> = powers.iter().map(|w| t - w).collect();
    ark_ff::batch_inversion_and_mul(&mut out, &scale);
    out.iter_mut().zip(powers).for_each(|(l, w)| *l *= w);
    out
}

/// The reduction of snarkjs: its roots of unity, and H_i = L^(2n)_(2i+1)(t) / delta.
struct CircomReduction;

impl R1CSToQAP for CircomReduction {
    #[allow(clippy::type_complexity)]
    fn instance_map_with_evaluation<F: PrimeField, D: EvaluationDomain<F>>(
        cs: ConstraintSystemRef<F>,
        t: &F,
    ) -> R1CSResult<(Vec<F>, Vec<F>, Vec<F>, F, usize, usize)> {
        let matrices = &cs.to_matrices()?[R1CS_PREDICATE_LABEL];
        let (rows, public) = (cs.num_constraints(), cs.num_instance_variables());
        let wires = public + cs.num_witness_variables();
        let size = (rows + public).next_power_of_two();
        let u = lagrange(*t, size);
        let mut columns = vec![vec![F::zero(); wires]; 3];
        columns[0][..public].copy_from_slice(&u[rows..rows + public]);
        for (column, matrix) in columns.iter_mut().zip(matrices) {
            for (row, terms) in matrix.iter().enumerate() {
                for (coefficient, wire) in terms {
                    column[*wire] += *coefficient * u[row];
                }
            }
        }
        let [a, b, c] = columns.try_into().expect("three columns");
        Ok((a, b, c, t.pow([size as u64]) - F::one(), wires - 1, size))
    }

    fn witness_map_from_matrices<F: PrimeField, D: EvaluationDomain<F>>(
        _: &[Matrix<F>],
        _: usize,
        _: usize,
        _: &[F],
    ) -> R1CSResult<Vec<F>> {
        Err(SynthesisError::Unsatisfiable) // never called: snarkjs proves with this key
    }

    fn h_query_scalars<F: PrimeField, D: EvaluationDomain<F>>(
        max_power: usize,
        t: F,
        _: F,
        delta_inverse: F,
    ) -> R1CSResult<Vec<F>> {
        let all = lagrange(t, 2 * (max_power + 1));
        Ok(all.into_iter().skip(1).step_by(2).map(|l| l * delta_inverse).collect())
    }
}

/// Draws trapdoors and writes the key.
pub fn write<E: Pairing>(r1cs: &R1cs<E::ScalarField>, path: &str) {
    let mut rng = ark_std::rand::rngs::OsRng;
    let mut draw = || E::ScalarField::rand(&mut rng);
    let (alpha, beta, gamma, delta) = (draw(), draw(), draw(), draw());
    let key = Groth16::<E, CircomReduction>::generate_parameters_with_qap(
        r1cs.clone(),
        alpha,
        beta,
        gamma,
        delta,
        E::G1Affine::generator().into(),
        E::G2Affine::generator().into(),
        &mut rng,
    )
    .expect("setup");
    write_sections::<E>(r1cs, &key, File::create(path).expect(path)).expect(path);
}

/// The little-endian Montgomery form of each base prime field element: times R = 2^(64 limbs).
fn montgomery<F: Field>(x: F, out: &mut Vec<u8>) {
    for e in x.to_base_prime_field_elements() {
        let bytes = e.into_bigint().to_bytes_le().len() as u64;
        let r = F::BasePrimeField::from(2u64).pow([8 * bytes]);
        out.extend((e * r).into_bigint().to_bytes_le());
    }
}

fn points<G: AffineRepr>(points: &[G]) -> Vec<u8> {
    let mut out = vec![];
    for p in points {
        let (x, y) = p.xy().unwrap_or_default(); // infinity is written as zeros
        montgomery(x, &mut out);
        montgomery(y, &mut out);
    }
    out
}

/// Size in bytes and modulus, of the prime field below `F`.
fn prime<F: Field>(out: &mut Vec<u8>) {
    let bytes = F::BasePrimeField::MODULUS.to_bytes_le();
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn write_sections<E: Pairing>(
    r1cs: &R1cs<E::ScalarField>,
    key: &ProvingKey<E>,
    file: File,
) -> Result<()> {
    let mut file = BufWriter::new(file);
    file.write_all(b"zkey")?;
    file.write_all(&1u32.to_le_bytes())?;
    file.write_all(&10u32.to_le_bytes())?;
    let mut section = |kind: u32, payload: Vec<u8>| {
        file.write_all(&kind.to_le_bytes())?;
        file.write_all(&(payload.len() as u64).to_le_bytes())?;
        file.write_all(&payload)
    };
    let vk = &key.vk;
    let mut header = vec![];
    prime::<<E::G1Affine as AffineRepr>::BaseField>(&mut header);
    prime::<E::ScalarField>(&mut header);
    let domain = (r1cs.rows() + r1cs.public).next_power_of_two();
    for count in [r1cs.wires, r1cs.public - 1, domain] {
        header.extend((count as u32).to_le_bytes());
    }
    header.extend(points(&[vk.alpha_g1, key.beta_g1]));
    header.extend(points(&[vk.beta_g2, vk.gamma_g2]));
    header.extend(points(&[key.delta_g1]));
    header.extend(points(&[vk.delta_g2]));

    section(1, 1u32.to_le_bytes().to_vec())?; // Groth16
    section(2, header)?;
    section(3, points(&vk.gamma_abc_g1))?;
    section(4, coefficients(r1cs))?;
    section(5, points(&key.a_query))?;
    section(6, points(&key.b_g1_query))?;
    section(7, points(&key.b_g2_query))?;
    section(8, points(&key.l_query))?;
    section(9, points(&key.h_query))?;
    section(10, vec![0; 68])?; // no circuit hash, no contributions
    file.flush()
}

/// (matrix, row, wire, value R^2), and one row A[s] = 1 for each public wire at the end.
fn coefficients<F: PrimeField>(r1cs: &R1cs<F>) -> Vec<u8> {
    let mut out = vec![0; 4];
    let mut count = 0u32;
    let r = F::from(2u64).pow([8 * F::MODULUS.to_bytes_le().len() as u64]);
    let mut entry = |matrix: u32, row: usize, wire: usize, value: F| {
        for number in [matrix, row as u32, wire as u32] {
            out.extend(number.to_le_bytes());
        }
        montgomery(value * r, &mut out);
        count += 1;
    };
    for row in 0..r1cs.rows() {
        for matrix in 0..2 {
            for (value, wire) in &r1cs.matrices[matrix as usize][row] {
                entry(matrix, row, *wire, *value);
            }
        }
    }
    for wire in 0..r1cs.public {
        entry(0, r1cs.rows() + wire, wire, F::one());
    }
    out[..4].copy_from_slice(&count.to_le_bytes());
    out
}
