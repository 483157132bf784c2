//! Vectors of points of both curves and groups, as one Python type.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use zkfed_core::affine;
use zkfed_core::curve::{self, BaseOf, Bls12381, Bn254, Curve, Group, ScalarOf};
use zkfed_core::encoding::{decode_points, encode_points};
use zkfed_core::error::{value, Result};
use zkfed_core::msm::msm;
use zkfed_core::ntt;
use zkfed_core::prove::{First, Second};
use zkfed_core::scalars::{order, parse};
use zkfed_core::vector;

use crate::guard;
use crate::store::{self, Store};

type Bls1 = <Bls12381 as Curve>::First;
type Bls2 = <Bls12381 as Curve>::Second;
type Bn1 = <Bn254 as Curve>::First;
type Bn2 = <Bn254 as Curve>::Second;
type Of<G> = Store<BaseOf<G>>;

enum Vector {
    Bls1(Of<Bls1>),
    Bls2(Of<Bls2>),
    Bn1(Of<Bn1>),
    Bn2(Of<Bn2>),
}

/// A vector of points of one group of one curve; made by this module, never changed.
#[pyclass(frozen, module = "zkfed_native")]
pub struct Points(Vector);

/// Runs `$body` with `$points` the vector and `$group` its group; `$wrap` makes a `Vector`.
macro_rules! with {
    ($vector:expr, |$points:ident: $group:ident, $wrap:ident| $body:expr) => {
        match $vector {
            Vector::Bls1($points) => with!(@arm $group = Bls1, $wrap = Vector::Bls1, $body),
            Vector::Bls2($points) => with!(@arm $group = Bls2, $wrap = Vector::Bls2, $body),
            Vector::Bn1($points) => with!(@arm $group = Bn1, $wrap = Vector::Bn1, $body),
            Vector::Bn2($points) => with!(@arm $group = Bn2, $wrap = Vector::Bn2, $body),
        }
    };
    (@arm $group:ident = $type:ty, $wrap:ident = $variant:path, $body:expr) => {{
        #[allow(dead_code)]
        type $group = $type;
        #[allow(dead_code)]
        fn $wrap(points: impl Into<Of<$type>>) -> Points {
            Points($variant(points.into()))
        }
        $body
    }};
}

/// Returns an empty vector of the named group.
fn empty(curve: &str, group: &str) -> PyResult<Vector> {
    match (curve, group) {
        ("bls12-381", "G1") => Ok(Vector::Bls1(vec![].into())),
        ("bls12-381", "G2") => Ok(Vector::Bls2(vec![].into())),
        ("bn254", "G1") => Ok(Vector::Bn1(vec![].into())),
        ("bn254", "G2") => Ok(Vector::Bn2(vec![].into())),
        _ => Err(PyValueError::new_err("expected bls12-381 or bn254, and G1 or G2")),
    }
}

fn unlike() -> PyErr {
    PyValueError::new_err("points of different groups or curves: expected one of each")
}

/// Runs `$body` with both vectors if they are of one group.
macro_rules! with_both {
    ($left:expr, $right:expr, |$a:ident, $b:ident: $group:ident, $wrap:ident| $body:expr) => {
        match ($left, $right) {
            (Vector::Bls1($a), Vector::Bls1($b)) => with!(@arm $group = Bls1, $wrap = Vector::Bls1, $body),
            (Vector::Bls2($a), Vector::Bls2($b)) => with!(@arm $group = Bls2, $wrap = Vector::Bls2, $body),
            (Vector::Bn1($a), Vector::Bn1($b)) => with!(@arm $group = Bn1, $wrap = Vector::Bn1, $body),
            (Vector::Bn2($a), Vector::Bn2($b)) => with!(@arm $group = Bn2, $wrap = Vector::Bn2, $body),
            _ => return Err(unlike()),
        }
    };
}

#[pymethods]
impl Points {
    fn __len__(&self) -> usize {
        with!(&self.0, |points: G, wrap| points.len())
    }

    fn __repr__(&self) -> String {
        let (curve, group) = (self.curve(), self.group());
        format!("Points({curve}, {group}, {})", self.__len__())
    }

    #[getter]
    fn curve(&self) -> &'static str {
        match self.0 {
            Vector::Bls1(_) | Vector::Bls2(_) => "bls12-381",
            Vector::Bn1(_) | Vector::Bn2(_) => "bn254",
        }
    }

    #[getter]
    fn group(&self) -> &'static str {
        match self.0 {
            Vector::Bls1(_) | Vector::Bn1(_) => "G1",
            Vector::Bls2(_) | Vector::Bn2(_) => "G2",
        }
    }

    /// Returns the compressed encodings, concatenated.
    fn encode<'py>(&self, py: Python<'py>, threads: usize) -> PyResult<Bound<'py, PyBytes>> {
        let out = with!(&self.0, |points: G, wrap| guard::run(py, threads, points.len(), |run| {
            encode_points::<G>(points, run)
        }))?;
        Ok(PyBytes::new(py, &out))
    }

    /// Returns the affine encodings, concatenated.
    fn encode_affine<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let out =
            with!(&self.0, |points: G, wrap| guard::run(py, 1, 0, |_| Ok(affine::encode::<G>(points))))?;
        Ok(PyBytes::new(py, &out))
    }

    /// Returns sum_i s_i P_i as a vector of one point.
    fn msm(&self, py: Python<'_>, scalars: &[u8], threads: usize) -> PyResult<Points> {
        with!(&self.0, |points: G, wrap| guard::run(py, threads, points.len(), |run| {
            let scalars = parse::<ScalarOf<G>>(scalars)?;
            Ok(wrap(vec![msm::<G>(points, &scalars, run)?]))
        }))
    }

    /// Returns s_i P_i for each i; one scalar serves all points.
    fn scale(&self, py: Python<'_>, scalars: &[u8], threads: usize) -> PyResult<Points> {
        with!(&self.0, |points: G, wrap| guard::run(py, threads, 8 * points.len(), |run| {
            let scalars = parse::<ScalarOf<G>>(scalars)?;
            vector::scale::<G>(points, &scalars, run).map(wrap)
        }))
    }

    /// Returns P_i + Q_i for each i.
    fn add(&self, py: Python<'_>, other: &Points) -> PyResult<Points> {
        with_both!(&self.0, &other.0, |a, b: G, wrap| guard::run(py, 1, a.len() / 16, |run| {
            vector::add(a, b, run).map(wrap)
        }))
    }

    /// Returns -P_i for each i.
    fn negate(&self, py: Python<'_>) -> PyResult<Points> {
        with!(&self.0, |points: G, wrap| guard::run(py, 1, 0, |_| {
            Ok(wrap(points.iter().map(|p| p.negated()).collect::<Vec<_>>()))
        }))
    }

    /// Returns P_index[i] for each i; the index is native 64-bit integers.
    fn take(&self, py: Python<'_>, index: &[u8]) -> PyResult<Points> {
        with!(&self.0, |points: G, wrap| guard::run(py, 1, 0, |_| {
            vector::take(points, &vector::parse_index(index)?).map(wrap)
        }))
    }

    /// Returns, for each point, a byte 1 if it is the identity, else 0.
    fn is_identity<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let out = with!(&self.0, |points: G, wrap| guard::run(py, 1, 0, |_| {
            Ok(points.iter().map(|p| u8::from(p.is_identity())).collect::<Vec<_>>())
        }))?;
        Ok(PyBytes::new(py, &out))
    }

    /// Returns, for each i, a byte 1 if P_i = Q_i, else 0.
    fn is_equal<'py>(&self, py: Python<'py>, other: &Points) -> PyResult<Bound<'py, PyBytes>> {
        let out =
            with_both!(&self.0, &other.0, |a, b: G, wrap| guard::run(py, 1, 0, |_| vector::is_equal(a, b)))?;
        Ok(PyBytes::new(py, &out))
    }
}

/// Decodes `count` compressed points; refuses the identity.
#[pyfunction]
pub fn decode(
    py: Python<'_>,
    curve: &str,
    group: &str,
    data: &[u8],
    count: usize,
    threads: usize,
) -> PyResult<Points> {
    with!(empty(curve, group)?, |_none: G, wrap| guard::run(py, threads, data.len() / 8, |run| {
        decode_points::<G>(data, count, run).map(wrap)
    }))
}

/// Takes `count` affine points from a buffer, checked; refuses the identity.
///
/// Points in read-only memory stay there, and the buffer lives as long as they do: a key file
/// that is mapped is not copied. Others are copied.
#[pyfunction]
pub fn decode_affine(
    py: Python<'_>,
    curve: &str,
    group: &str,
    data: PyBuffer<u8>,
    count: usize,
    threads: usize,
) -> PyResult<Points> {
    let weight = data.len_bytes() / 64;
    with!(empty(curve, group)?, |_none: G, wrap| guard::run(py, threads, weight, |run| {
        store::decode::<G>(data, count, run).map(wrap)
    }))
}

/// Returns s_i G for each i.
#[pyfunction]
pub fn generator(
    py: Python<'_>,
    curve: &str,
    group: &str,
    scalars: &[u8],
    threads: usize,
) -> PyResult<Points> {
    with!(empty(curve, group)?, |_none: G, wrap| guard::run(py, threads, scalars.len() / 32, |run| {
        let scalars = parse::<ScalarOf<G>>(scalars)?;
        G::comb().multiply(G::base(), &scalars, &order::<ScalarOf<G>>(), run).map(wrap)
    }))
}

/// Returns all points of the parts, in order.
#[pyfunction]
pub fn concat(curve: &str, group: &str, parts: Vec<PyRef<'_, Points>>) -> PyResult<Points> {
    let mut out = empty(curve, group)?;
    for part in &parts {
        with_both!(&mut out, &part.0, |a, b: G, wrap| a.to_mut().extend_from_slice(b));
    }
    Ok(Points(out))
}

/// Returns whether prod_i e(P_i, Q_i) = 1.
#[pyfunction]
pub fn is_pairing_product_one(py: Python<'_>, left: &Points, right: &Points) -> PyResult<bool> {
    match (&left.0, &right.0) {
        (Vector::Bls1(p), Vector::Bls2(q)) => {
            guard::run(py, 1, 16 * p.len(), |_| curve::is_pairing_product_one::<Bls12381>(p, q))
        }
        (Vector::Bn1(p), Vector::Bn2(q)) => {
            guard::run(py, 1, 16 * p.len(), |_| curve::is_pairing_product_one::<Bn254>(p, q))
        }
        _ => Err(PyValueError::new_err("a pairing takes points of G1 and of G2 of one curve")),
    }
}

/// Hashes each message to G1.
#[pyfunction]
pub fn hash_to_g1(
    py: Python<'_>,
    curve: &str,
    messages: Vec<Vec<u8>>,
    domain: &[u8],
    threads: usize,
) -> PyResult<Points> {
    let weight = 16 * messages.len();
    match empty(curve, "G1")? {
        Vector::Bls1(_) => guard::run(py, threads, weight, |run| {
            vector::hash::<Bls12381>(&messages, domain, run).map(|points| Points(Vector::Bls1(points.into())))
        }),
        _ => guard::run(py, threads, weight, |run| {
            vector::hash::<Bn254>(&messages, domain, run).map(|points| Points(Vector::Bn1(points.into())))
        }),
    }
}

/// Returns the limbs of A B - C on the coset from the limbs of the values of A, B and C.
#[pyfunction]
pub fn quotient<'py>(
    py: Python<'py>,
    curve: &str,
    sides: (PyBackedBytes, PyBackedBytes, PyBackedBytes),
    threads: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let sides = [&*sides.0, &*sides.1, &*sides.2];
    let weight = sides[0].len() / 32;
    let out = match empty(curve, "G1")? {
        Vector::Bls1(_) => {
            guard::run(py, threads, weight, |run| ntt::quotient(Bls12381::domains(), sides, run))
        }
        _ => guard::run(py, threads, weight, |run| ntt::quotient(Bn254::domains(), sides, run)),
    }?;
    Ok(PyBytes::new(py, &out))
}

/// A curve whose points this module stores.
pub trait Stored: Curve {
    /// Returns the points of G1; `Value` if they are others.
    fn first(points: &Points) -> Result<&[First<Self>]>;
    /// Returns the points of G2; `Value` if they are others.
    fn second(points: &Points) -> Result<&[Second<Self>]>;
    fn of_first(point: First<Self>) -> Points;
    fn of_second(point: Second<Self>) -> Points;
}

macro_rules! stored {
    ($curve:ty, $first:ident, $second:ident) => {
        impl Stored for $curve {
            fn first(points: &Points) -> Result<&[First<Self>]> {
                match &points.0 {
                    Vector::$first(points) => Ok(points),
                    _ => value("expected points of G1 of the circuit's curve"),
                }
            }

            fn second(points: &Points) -> Result<&[Second<Self>]> {
                match &points.0 {
                    Vector::$second(points) => Ok(points),
                    _ => value("expected points of G2 of the circuit's curve"),
                }
            }

            fn of_first(point: First<Self>) -> Points {
                Points(Vector::$first(vec![point].into()))
            }

            fn of_second(point: Second<Self>) -> Points {
                Points(Vector::$second(vec![point].into()))
            }
        }
    };
}

stored!(Bls12381, Bls1, Bls2);
stored!(Bn254, Bn1, Bn2);
