//! Drives ark-groth16 for the peer bench; benches/peers/process.py describes the protocol.
//!
//!     driver setup CIRCUIT.r1cs KEYS
//!     driver serve CIRCUIT.r1cs CIRCUIT.wtns KEYS
//!     driver zkey CIRCUIT.r1cs CIRCUIT.zkey       (for the peers that read one)

mod iden3;
mod zkey;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ec::pairing::Pairing;
use ark_ff::{BigInteger, PrimeField, UniformRand};
use ark_groth16::{prepare_verifying_key, Groth16, Proof, ProvingKey};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use ark_std::rand::rngs::OsRng;

use iden3::{modulus, read_witness, R1cs};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let modulus = modulus(args.get(1).expect("usage: see the head of main.rs"));
    if modulus == ark_bn254::Fr::MODULUS.to_bytes_le() {
        run::<Bn254>(&args)
    } else if modulus == ark_bls12_381::Fr::MODULUS.to_bytes_le() {
        run::<Bls12_381>(&args)
    } else {
        panic!("no curve with this scalar field")
    }
}

fn run<E: Pairing>(args: &[String]) {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["setup", r1cs, keys] => setup::<E>(r1cs, Path::new(keys)),
        ["serve", r1cs, wtns, keys] => serve::<E>(r1cs, wtns, Path::new(keys)),
        ["zkey", r1cs, zkey] => zkey::write::<E>(&R1cs::read(r1cs), zkey),
        _ => panic!("usage: see the head of main.rs"),
    }
}

fn setup<E: Pairing>(r1cs: &str, keys: &Path) {
    let r1cs = R1cs::read(r1cs);
    let start = Instant::now();
    let key = Groth16::<E>::generate_random_parameters_with_reduction(r1cs, &mut OsRng).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let mut file = BufWriter::new(File::create(keys.join("pk")).unwrap());
    key.serialize_uncompressed(&mut file).unwrap();
    file.flush().unwrap();
    println!("{{\"setup_s\": {seconds}}}");
}

fn serve<E: Pairing>(r1cs: &str, wtns: &str, keys: &Path) {
    let mut lines = std::io::stdin().lines().map(|line| line.unwrap());
    println!("{{}}");
    lines.next(); // "load"

    let r1cs = R1cs::<E::ScalarField>::read(r1cs);
    let witness: Vec<E::ScalarField> = read_witness(wtns);
    let file = BufReader::new(File::open(keys.join("pk")).unwrap());
    let key = ProvingKey::<E>::deserialize_uncompressed_unchecked(file).unwrap();
    let prepared = prepare_verifying_key(&key.vk);
    let inputs = &witness[1..r1cs.public];

    let prove = || {
        let (r, s) = (E::ScalarField::rand(&mut OsRng), E::ScalarField::rand(&mut OsRng));
        Groth16::<E>::create_proof_with_reduction_and_matrices(
            &key,
            r,
            s,
            &r1cs.matrices,
            r1cs.public,
            r1cs.rows(),
            &witness,
        )
        .unwrap()
    };
    let check = |proof: &Proof<E>| {
        assert!(Groth16::<E>::verify_proof(&prepared, proof, inputs).unwrap(), "not accepted");
    };
    let mut proof = prove();
    check(&proof);
    println!(
        "{{\"key_bytes\": {}, \"vk_bytes\": {}, \"proof_bytes\": {}}}",
        key.uncompressed_size(),
        key.vk.uncompressed_size(),
        proof.compressed_size()
    );
    for line in lines {
        match line.as_str() {
            "prove" => {
                let start = Instant::now();
                proof = prove();
                let seconds = start.elapsed().as_secs_f64();
                check(&proof);
                println!("{{\"prove_s\": {seconds}}}");
            }
            "verify" => {
                let mut times: Vec<f64> = (0..21)
                    .map(|_| {
                        let start = Instant::now();
                        check(&proof);
                        start.elapsed().as_secs_f64() * 1000.0
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                println!("{{\"verify_ms\": {}}}", times[10]);
            }
            _ => panic!("unknown command {line}"),
        }
    }
}
