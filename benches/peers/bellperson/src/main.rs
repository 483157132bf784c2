//! Drives bellperson for the peer bench; benches/peers/process.py describes the protocol.
//!
//!     driver setup CIRCUIT.r1cs KEYS
//!     driver serve CIRCUIT.r1cs CIRCUIT.wtns KEYS
//!
//! bellperson proves from a circuit object only, so its times include the synthesis, which walks
//! over the rows once; the copy of the circuit that it consumes is made before the clock starts.

mod iden3;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use bellperson::groth16::{
    create_random_proof, generate_random_parameters, prepare_verifying_key, verify_proof,
    Parameters, Proof,
};
use blstrs::Bls12;
use rand_core::OsRng;

use iden3::R1cs;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["setup", r1cs, keys] => setup(r1cs, Path::new(keys)),
        ["serve", r1cs, wtns, keys] => serve(r1cs, wtns, Path::new(keys)),
        _ => panic!("usage: see the head of main.rs"),
    }
}

fn setup(r1cs: &str, keys: &Path) {
    let circuit = R1cs::read(r1cs, None);
    let start = Instant::now();
    let key = match generate_random_parameters::<Bls12, _, _>(circuit, &mut OsRng) {
        Ok(key) => key,
        // UnconstrainedVariable on our own circuit, though each of its wires stands in a row.
        Err(error) => {
            eprintln!("its setup refuses the circuit: {error}");
            std::process::exit(1)
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let mut file = BufWriter::new(File::create(keys.join("pk")).unwrap());
    key.write(&mut file).unwrap();
    file.flush().unwrap();
    println!("{{\"setup_s\": {seconds}}}");
}

fn serve(r1cs: &str, wtns: &str, keys: &Path) {
    let mut lines = std::io::stdin().lines().map(|line| line.unwrap());
    println!("{{}}");
    lines.next(); // "load"

    let circuit = R1cs::read(r1cs, Some(wtns));
    let file = BufReader::new(File::open(keys.join("pk")).unwrap());
    let key = Parameters::<Bls12>::read(file, false).unwrap();
    let prepared = prepare_verifying_key(&key.vk);
    let inputs = &circuit.witness[1..circuit.public];

    let prove = |copy: R1cs| create_random_proof(copy, &key, &mut OsRng).unwrap();
    let check = |proof: &Proof<Bls12>| {
        assert!(verify_proof(&prepared, proof, inputs).unwrap(), "not accepted");
    };
    let mut proof = prove(circuit.clone());
    check(&proof);
    let mut vk = vec![];
    key.vk.write(&mut vk).unwrap();
    println!(
        "{{\"key_bytes\": {}, \"vk_bytes\": {}, \"proof_bytes\": {}}}",
        std::fs::metadata(keys.join("pk")).unwrap().len(),
        vk.len(),
        Proof::<Bls12>::size()
    );
    for line in lines {
        match line.as_str() {
            "prove" => {
                let copy = circuit.clone();
                let start = Instant::now();
                proof = prove(copy);
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
