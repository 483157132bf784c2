//! Reads `.r1cs` and `.wtns` files (iden3's binary formats).

use std::collections::HashMap;

use ark_ff::{BigInteger, PrimeField};
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, Result, Variable,
};
use ark_relations::utils::matrix::Matrix;

/// The sections of a file by their number.
pub fn sections(path: &str, magic: &[u8; 4]) -> HashMap<u32, Vec<u8>> {
    let data = std::fs::read(path).expect(path);
    assert_eq!(&data[..4], magic, "{path}");
    let mut out = HashMap::new();
    let mut at = 12;
    while at < data.len() {
        let kind = u32_at(&data, at);
        let size = u64::from_le_bytes(data[at + 4..at + 12].try_into().unwrap()) as usize;
        out.insert(kind, data[at + 12..at + 12 + size].to_vec());
        at += 12 + size;
    }
    out
}

pub fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
}

/// The modulus in a file's header, little-endian.
pub fn modulus(path: &str) -> Vec<u8> {
    let header = &sections(path, b"r1cs")[&1];
    header[4..4 + u32_at(header, 0) as usize].to_vec()
}

/// A constraint system: `matrices[k][row]` are the terms of A, B or C.
#[derive(Clone)]
pub struct R1cs<F: PrimeField> {
    pub wires: usize,
    /// The wire 1 included.
    pub public: usize,
    pub matrices: Vec<Matrix<F>>,
}

impl<F: PrimeField> R1cs<F> {
    pub fn read(path: &str) -> Self {
        let parts = sections(path, b"r1cs");
        let header = &parts[&1];
        let size = u32_at(header, 0) as usize;
        assert_eq!(header[4..4 + size], F::MODULUS.to_bytes_le()[..], "{path}");
        let field = |i: usize| u32_at(header, 4 + size + 4 * i) as usize;
        let (wires, public, rows) = (field(0), 1 + field(1) + field(2), field(6));
        let (data, mut at) = (&parts[&2], 0);
        let mut side = || {
            let count = u32_at(data, at) as usize;
            at += 4;
            let term = |i: usize| {
                let start = at + (4 + size) * i;
                let bytes = &data[start + 4..start + 4 + size];
                (F::from_le_bytes_mod_order(bytes), u32_at(data, start) as usize)
            };
            let terms: Vec<_> = (0..count).map(term).collect();
            at += (4 + size) * count;
            terms
        };
        let mut matrices = vec![Vec::with_capacity(rows); 3];
        for _ in 0..rows {
            matrices.iter_mut().for_each(|m| m.push(side()));
        }
        R1cs { wires, public, matrices }
    }

    pub fn rows(&self) -> usize {
        self.matrices[0].len()
    }
}

/// Reads the values of a witness, the wire 1 first.
pub fn read_witness<F: PrimeField>(path: &str) -> Vec<F> {
    let parts = sections(path, b"wtns");
    let size = u32_at(&parts[&1], 0) as usize;
    parts[&2].chunks_exact(size).map(F::from_le_bytes_mod_order).collect()
}

impl<F: PrimeField> ConstraintSynthesizer<F> for R1cs<F> {
    fn generate_constraints(self, cs: ConstraintSystemRef<F>) -> Result<()> {
        for i in 1..self.wires {
            if i < self.public {
                let _ = cs.new_input_variable(|| Ok(F::zero()))?;
            } else {
                let _ = cs.new_witness_variable(|| Ok(F::zero()))?;
            }
        }
        let variable = |i: usize| match i {
            0 => Variable::One,
            i if i < self.public => Variable::instance(i),
            i => Variable::witness(i - self.public),
        };
        let combination = |terms: &[(F, usize)]| {
            LinearCombination(terms.iter().map(|(c, i)| (*c, variable(*i))).collect())
        };
        for row in 0..self.rows() {
            cs.enforce_r1cs_constraint(
                || combination(&self.matrices[0][row]),
                || combination(&self.matrices[1][row]),
                || combination(&self.matrices[2][row]),
            )?;
        }
        Ok(())
    }
}
