//! Threads: one queue of tasks, taken in order by as many threads as were asked for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// How a computation may run: on how many threads, and whether somebody asked it to stop.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// At least 1.
    pub threads: usize,
    /// Looked at between tasks.
    pub stop: &'a AtomicBool,
    /// Where long work says how far it is.
    pub progress: &'a Progress,
}

/// How far a computation is, in weights of its own; 0 of 0 before it knows.
#[derive(Default)]
pub struct Progress {
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Progress {
    pub const fn new() -> Self {
        Progress { done: AtomicUsize::new(0), total: AtomicUsize::new(0) }
    }

    pub fn expect(&self, weight: usize) {
        self.total.store(weight, Ordering::Relaxed);
    }

    pub fn add(&self, weight: usize) {
        self.done.fetch_add(weight, Ordering::Relaxed);
    }

    /// Returns the part that is done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        (done as f64 / total.max(1) as f64).min(1.0)
    }
}

static NEVER: AtomicBool = AtomicBool::new(false);
static NOWHERE: Progress = Progress::new();

impl Run<'static> {
    /// Uses `threads` threads, and cannot be stopped.
    pub fn on(threads: usize) -> Self {
        Run { threads: threads.max(1), stop: &NEVER, progress: &NOWHERE }
    }
}

impl Run<'_> {
    /// Returns `Interrupted` once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Runs `work(state, i)` for i in 0..count and returns the results in order.
    ///
    /// Each thread makes one state. A panic in a task goes on in the caller, after all stopped.
    pub fn each<S, T: Send>(
        &self,
        count: usize,
        state: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize) -> T + Sync,
    ) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(count));
        let turn = || {
            let mut state = state();
            let mut own = vec![];
            while !self.stop.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    break;
                }
                own.push((i, work(&mut state, i)));
            }
            done.lock().unwrap_or_else(|e| e.into_inner()).extend(own);
        };
        let threads = self.threads.min(count);
        if threads <= 1 {
            turn();
        } else {
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(turn);
                }
                turn();
            });
        }
        self.check()?;
        let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
        done.sort_by_key(|(i, _)| *i);
        Ok(done.into_iter().map(|(_, t)| t).collect())
    }
}
