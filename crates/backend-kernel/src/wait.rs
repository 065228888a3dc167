//! Waiting for what a kernel does in its own time: [`wait_while`].

use std::thread;
use std::time::{Duration, Instant};

/// Waits while something is so, for `patience` at most, and looks again after every `pause`.
pub(crate) fn wait_while(patience: Duration, pause: Duration, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while is_so() && start.elapsed() < patience {
        thread::sleep(pause);
    }
}
