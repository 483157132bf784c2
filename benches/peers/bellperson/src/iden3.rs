//! Reads `.r1cs` and `.wtns` files (iden3's binary formats) as a bellperson circuit.

use std::collections::HashMap;

use bellperson::{Circuit, ConstraintSystem, LinearCombination, SynthesisError, Variable};
use blstrs::Scalar;
use ff::Field;

type Terms = Vec<(usize, Scalar)>;

/// A circuit with its witness; bellperson wants both in one object, at setup too.
#[derive(Clone)]
pub struct R1cs {
    /// The wire 1 included.
    pub public: usize,
    pub witness: Vec<Scalar>,
    rows: Vec<[Terms; 3]>,
}

fn sections(path: &str, magic: &[u8; 4]) -> HashMap<u32, Vec<u8>> {
    let data = std::fs::read(path).expect(path);
    assert_eq!(&data[..4], magic, "{path}");
    let mut out = HashMap::new();
    let mut at = 12;
    while at < data.len() {
        let size = u64::from_le_bytes(data[at + 4..at + 12].try_into().unwrap()) as usize;
        out.insert(u32_at(&data, at), data[at + 12..at + 12 + size].to_vec());
        at += 12 + size;
    }
    out
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
}

fn scalar(bytes: &[u8]) -> Scalar {
    Scalar::from_bytes_le(bytes.try_into().unwrap()).expect("a scalar of BLS12-381")
}

impl R1cs {
    /// Reads a circuit, and its witness if there is one.
    pub fn read(r1cs: &str, wtns: Option<&str>) -> Self {
        let parts = sections(r1cs, b"r1cs");
        let header = &parts[&1];
        assert_eq!(scalar_modulus(), header[4..36], "{r1cs}: not over BLS12-381");
        let field = |i: usize| u32_at(header, 36 + 4 * i) as usize;
        let (data, mut at) = (&parts[&2], 0);
        let mut side = || -> Terms {
            let count = u32_at(data, at) as usize;
            let start = at + 4;
            at = start + 36 * count;
            let terms = data[start..at].chunks_exact(36);
            terms.map(|t| (u32_at(t, 0) as usize, scalar(&t[4..]))).collect()
        };
        let rows = (0..field(6)).map(|_| [side(), side(), side()]).collect();
        let witness = match wtns {
            Some(path) => sections(path, b"wtns")[&2].chunks_exact(32).map(scalar).collect(),
            None => vec![Scalar::ZERO; field(0)],
        };
        R1cs { public: 1 + field(1) + field(2), witness, rows }
    }
}

/// r, little-endian: the bytes of r - 1, whose last byte is even.
fn scalar_modulus() -> Vec<u8> {
    let mut bytes = (-Scalar::ONE).to_bytes_le().to_vec();
    bytes[0] += 1;
    bytes
}

impl Circuit<Scalar> for R1cs {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let mut wires: Vec<Variable> = vec![CS::one()];
        for (i, value) in self.witness.iter().enumerate().skip(1) {
            wires.push(if i < self.public {
                cs.alloc_input(|| "", || Ok(*value))?
            } else {
                cs.alloc(|| "", || Ok(*value))?
            });
        }
        let combine = |lc: LinearCombination<Scalar>, terms: &Terms| {
            terms.iter().fold(lc, |lc, (wire, coefficient)| lc + (*coefficient, wires[*wire]))
        };
        for [a, b, c] in &self.rows {
            cs.enforce(|| "", |lc| combine(lc, a), |lc| combine(lc, b), |lc| combine(lc, c));
        }
        Ok(())
    }
}
