"""Other Groth16 provers beside ours, on the same circuits, on this machine: `make bench-peers`.

    circuits.py     the circuits and their witnesses
    install.py      builds or installs each peer, or says why it is absent
    process.py      one prover in one process, driven by lines
    run.py          setup, interleaved proofs, medians
    table.py        the result as JSON and as the table in docs/benchmarks.md
    gnark/ ark/ bellperson/ snarkjs/ groth16py/ zkfed/      a driver each

Nothing here is part of the package, nor of what it depends on.
"""
