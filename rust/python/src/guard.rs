//! Runs the core's work: without the lock, stoppable by Ctrl-C, with panics caught.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use pyo3::prelude::*;
use zkfed_core::error::{Error, Result};
use zkfed_core::tasks::{Progress, Run};

use crate::{CoreFault, DecodeRefused};

/// From this weight on (about milliseconds of work), signals are looked at while it runs.
pub const LONG: usize = 1 << 13;
const LOOK: Duration = Duration::from_millis(100);

type Caught<T> = std::thread::Result<Result<T>>;

/// Runs `work` on up to `threads` threads.
///
/// `weight` is the number of elements: short work is not worth a thread that waits for signals.
pub fn run<T: Send>(
    py: Python<'_>,
    threads: usize,
    weight: usize,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    run_reporting(py, threads, weight, None, work)
}

/// Runs `work` and calls `report` with the part that is done, at every look.
pub fn run_reporting<T: Send>(
    py: Python<'_>,
    threads: usize,
    weight: usize,
    report: Option<Py<PyAny>>,
    work: impl FnOnce(Run<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let (stop, progress) = (AtomicBool::new(false), Progress::new());
    let run = Run { threads: threads.max(1), stop: &stop, progress: &progress };
    let guarded = move || -> Caught<T> { catch_unwind(AssertUnwindSafe(|| work(run))) };
    let look = || {
        Python::attach(|py| {
            py.check_signals()?;
            report.as_ref().map_or(Ok(()), |report| report.call1(py, (progress.fraction(),)).map(|_| ()))
        })
    };
    let (caught, raised) =
        py.detach(|| if weight < LONG { (guarded(), None) } else { watched(guarded, look, &stop) });
    if let Some(raised) = raised {
        return Err(raised);
    }
    match caught {
        Ok(Ok(out)) => Ok(out),
        Ok(Err(error)) => Err(to_python(error)),
        // The panic's text stays on standard error: it could hold values.
        Err(_) => Err(CoreFault::new_err("the native core panicked; this is a bug of zkfed-native")),
    }
}

/// Runs the work on a thread of its own, and asks it to stop when a look raises: a signal's
/// handler, or the host's report.
fn watched<T: Send>(
    work: impl FnOnce() -> Caught<T> + Send,
    look: impl Fn() -> PyResult<()>,
    stop: &AtomicBool,
) -> (Caught<T>, Option<PyErr>) {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || sender.send(work()));
        let mut raised = None;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(caught) => return (caught, raised),
                Err(mpsc::RecvTimeoutError::Timeout) if raised.is_none() => {
                    raised = look().err();
                    stop.store(raised.is_some(), Ordering::Relaxed);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // The sender always sends before it is dropped: `work` catches its own panics.
                Err(mpsc::RecvTimeoutError::Disconnected) => return (Err(Box::new("no result")), raised),
            }
        }
    })
}

fn to_python(error: Error) -> PyErr {
    match error {
        Error::Decode(text) => DecodeRefused::new_err(text),
        Error::Value(text) => pyo3::exceptions::PyValueError::new_err(text),
        Error::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
    }
}
