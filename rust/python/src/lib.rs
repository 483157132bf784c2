//! Conversion between Python and the core. Every computation runs without the interpreter's
//! lock, and no panic reaches Python: it becomes a `CoreFault`, and the next call works.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod circuit;
mod guard;
mod points;
mod store;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    zkfed_native,
    DecodeRefused,
    PyValueError,
    "Bytes are not the canonical encoding of the expected points."
);
pyo3::create_exception!(
    zkfed_native,
    CoreFault,
    PyRuntimeError,
    "The core panicked: a bug of zkfed-native, please report it. The next call works."
);

#[pymodule]
mod zkfed_native {
    #[pymodule_export]
    use super::circuit::{Circuit, Prover};
    #[pymodule_export]
    use super::points::{
        concat, decode, decode_affine, generator, hash_to_g1, is_pairing_product_one, quotient, Points,
    };
    #[pymodule_export]
    use super::{CoreFault, DecodeRefused};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        // Checked by zkfed/algebra/native.py, which has the same number: a change of what it
        // calls raises both, so that an old build is named and not called.
        module.add("INTERFACE", 2)
    }

    /// Panics inside the core, so that a test can see what becomes of it.
    #[pyfunction]
    fn fault_for_tests(py: Python<'_>) -> PyResult<()> {
        super::guard::run(py, 2, super::guard::LONG, |run| {
            run.each(2, || (), |(), i| assert!(i == 0, "a fault on purpose")).map(|_| ())
        })
    }
}
