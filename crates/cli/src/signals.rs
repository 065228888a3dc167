//! Ctrl-C and `SIGTERM`: what the backends have made goes, then the process.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Starts a thread that waits for signals. It alone ends the process beside `main`: the main
/// thread may hang in a kernel.
pub(crate) fn clean_up_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                backend_uml::cleanup_all();
                backend_kernel::cleanup_all();
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}
