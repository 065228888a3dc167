//! Ctrl-C and `SIGTERM`: what the backends have made goes, then the process. Who would rather end
//! by itself is asked first ([`stop_gently`]).

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Set when a signal has come: the process ends by that and nothing else.
static IS_ENDING: AtomicBool = AtomicBool::new(false);
/// Whether a first signal only asks.
static IS_GENTLE: AtomicBool = AtomicBool::new(false);
/// The signal that asked, 0 for none.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// Starts a thread that waits for signals. It alone ends the process beside `main`: the main
/// thread may hang in a kernel.
pub(crate) fn clean_up_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let is_first = ASKED.load(Ordering::SeqCst) == 0;
                if is_first && IS_GENTLE.load(Ordering::SeqCst) {
                    ASKED.store(signal, Ordering::SeqCst);
                    continue;
                }
                IS_ENDING.store(true, Ordering::SeqCst);
                backend_uml::cleanup_all();
                backend_kernel::cleanup_all();
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

/// From now on the first signal only asks: whoever calls this looks at [`asked`] every now and
/// then, and ends with a report. A second signal ends the process at once.
pub(crate) fn stop_gently() {
    IS_GENTLE.store(true, Ordering::SeqCst);
}

/// Returns the signal that asked for an end, if one has.
pub(crate) fn asked() -> Option<i32> {
    let signal = ASKED.load(Ordering::SeqCst);
    (signal != 0).then_some(signal)
}

/// Waits for the end if a signal has come. What backends say while they are being taken away is
/// neither a result nor an error.
pub(crate) fn wait_if_ending() {
    while IS_ENDING.load(Ordering::SeqCst) {
        thread::park();
    }
}
