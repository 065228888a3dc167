//! A time limit for what cannot be interrupted: [`Watched`] is what a working thread tells of its
//! progress, and what the waiting one reads.
//!
//! It does not know what is worked on. A limit costs the worker two stores per operation and no
//! switch of threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the waiting side looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The deadline of a worker that has nothing to do.
const NEVER: u64 = u64::MAX;

/// What a worker has finished, and until when it must finish what it is at.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    origin: Instant,
    /// Milliseconds after `origin`.
    deadline: AtomicU64,
    finished: Mutex<Vec<T>>,
}

/// How waiting for a worker ended.
#[derive(Debug)]
pub(crate) enum Waited<R> {
    /// With what it sent.
    Sent(R),
    /// It is past its deadline.
    Hangs,
    /// It is gone without a word.
    Gone,
}

impl<T> Watched<T> {
    pub(crate) fn new() -> Watched<T> {
        Watched {
            origin: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            finished: Mutex::new(Vec::new()),
        }
    }

    /// Begins something that may take this long.
    pub(crate) fn begin(&self, limit: Duration) {
        let deadline = self.origin.elapsed() + limit;
        self.deadline
            .store(deadline.as_millis() as u64, Ordering::Relaxed);
    }

    /// Has nothing to do until the next `begin`.
    pub(crate) fn rest(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
    }

    /// Adds something finished.
    pub(crate) fn push(&self, finished: T) {
        self.lock().push(finished);
    }

    /// Returns what has been finished since the last call.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits for the worker to send something, as long as it meets its deadlines.
    pub(crate) fn wait<R>(&self, receiver: &Receiver<R>) -> Waited<R> {
        loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Ok(sent) => return Waited::Sent(sent),
                Err(RecvTimeoutError::Disconnected) => return Waited::Gone,
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.origin.elapsed().as_millis() as u64;
                    if self.deadline.load(Ordering::Relaxed) < now {
                        return Waited::Hangs;
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // A list that somebody panicked over is still a list.
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_worker_past_its_deadline_hangs() {
        let (_sender, receiver) = mpsc::channel::<()>();
        let watched = Watched::<()>::new();
        watched.begin(Duration::ZERO);
        assert!(matches!(watched.wait(&receiver), Waited::Hangs));
    }

    #[test]
    fn a_worker_that_is_gone_is_told_from_one_that_hangs() {
        let (sender, receiver) = mpsc::channel::<()>();
        let watched = Watched::<()>::new();
        watched.begin(Duration::from_secs(60));
        drop(sender);
        assert!(matches!(watched.wait(&receiver), Waited::Gone));
    }

    #[test]
    fn what_is_finished_is_taken_once() {
        let watched = Watched::new();
        watched.push(1);
        watched.push(2);
        assert_eq!(watched.take(), [1, 2]);
        assert_eq!(watched.take(), []);
    }
}
