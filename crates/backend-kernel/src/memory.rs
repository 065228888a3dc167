//! Free memory, because the kernel flushes unasked when dirty pages take too much of it: a model
//! that says when data is flushed is right only far below that limit.

use scenario::BackendError;

use crate::missing;

/// The most that a run has dirty at a time, in bytes.
const DIRTY_BYTES_MAX: u64 = 64 << 20;
/// The kernel begins to flush at a tenth of free memory (`vm.dirty_background_ratio`); it should
/// be that many times what is ever dirty.
const MARGIN: u64 = 4;

/// Returns `MemAvailable`, in bytes.
pub(crate) fn available_bytes() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// Refuses to run where dirty data could be flushed unasked.
pub(crate) fn check() -> Result<(), BackendError> {
    let needed = DIRTY_BYTES_MAX * MARGIN * 10;
    match available_bytes() {
        Some(available) if available < needed => Err(missing(
            format!(
                "{} MiB of memory are free, and with less than {} MiB the kernel may flush dirty \
                 data unasked, which no model predicts",
                available >> 20,
                needed >> 20,
            ),
            "free some memory, or use the uml backend, whose guest has its own",
        )),
        Some(_) | None => Ok(()),
    }
}
