//! Free memory, because the kernel flushes unasked when dirty pages take too much of it: a model
//! that says when data is flushed is right only far below that limit.

use std::time::Duration;

use scenario::BackendError;

use crate::missing;
use crate::wait::wait_while;

/// The most that a run has dirty at a time, in bytes.
const DIRTY_BYTES_MAX: u64 = 64 << 20;
/// The kernel begins to flush at a tenth of free memory (`vm.dirty_background_ratio`); it should
/// be that many times what is ever dirty.
const MARGIN: u64 = 4;

/// How long others have to write back what they have dirty, and how soon they are looked at again.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

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

/// Returns whether all filesystems together have less dirty than half of what makes the kernel
/// flush each of them (`wb_over_bg_thresh`, mm/page-writeback.c), by `/proc/vmstat`. Where that
/// does not tell, they have.
fn is_calm(vmstat: &str) -> bool {
    let pages = |name: &str| {
        let mut lines = vmstat.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse::<u64>().ok()
    };
    match (pages("nr_dirty"), pages("nr_dirty_background_threshold")) {
        (Some(dirty), Some(limit)) => dirty < limit / 2,
        _ => true,
    }
}

/// Waits, for a while, until what others have written just now is on their disks.
fn wait_until_calm() {
    wait_while(PATIENCE, PAUSE, || {
        std::fs::read_to_string("/proc/vmstat").is_ok_and(|vmstat| !is_calm(&vmstat))
    });
}

/// Refuses to run where dirty data could be flushed unasked.
pub(crate) fn check() -> Result<(), BackendError> {
    wait_until_calm();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_calm_while_less_than_half_of_the_limit_is_dirty() {
        let vmstat = |nr_dirty: u64| {
            format!(
                "nr_free_pages 9\nnr_dirty {nr_dirty}\nnr_dirtied 1000000\n\
                 nr_dirty_threshold 4000\nnr_dirty_background_threshold 2000\n"
            )
        };
        assert!(is_calm(&vmstat(999)));
        assert!(!is_calm(&vmstat(1000)));
        assert!(is_calm("nr_dirty 5\n"));
        assert!(is_calm(""));
    }
}
