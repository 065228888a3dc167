//! Ctrl-C and `SIGTERM`: what the backends have made goes, then the process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Set when a signal has come: the process ends by that and nothing else.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Starts a thread that waits for signals. It alone ends the process beside `main`: the main
/// thread may hang in a kernel.
pub(crate) fn clean_up_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                IS_ENDING.store(true, Ordering::SeqCst);
                backend_uml::cleanup_all();
                backend_kernel::cleanup_all();
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

/// Waits for the end if a signal has come. What backends say while they are being taken away is
/// neither a result nor an error.
pub(crate) fn wait_if_ending() {
    while IS_ENDING.load(Ordering::SeqCst) {
        thread::park();
    }
}
