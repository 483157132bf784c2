//! What the core refuses. It never panics on input; a panic is a bug of the core.

use std::fmt;

/// A refusal, with a text that says what came and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Bytes are not the canonical encoding of the expected points.
    Decode(String),
    /// Arguments do not fit each other, or a scalar is not below r.
    Value(String),
    /// The caller asked to stop.
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Decode(text) | Error::Value(text) => f.write_str(text),
            Error::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

/// The core's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Returns a `Value` error.
pub fn value<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Value(text.into()))
}

/// Returns a `Decode` error.
pub fn decode<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Decode(text.into()))
}
