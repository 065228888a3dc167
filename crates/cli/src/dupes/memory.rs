//! How much memory there is: [`for_plan`].

use dupes::Options;

/// Returns how many bytes a plan may take if nobody said: half of what the system has available.
pub(crate) fn for_plan() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").ok();
    let available = told.as_deref().and_then(available);
    available.map_or(Options::default().plan_bytes_max, |bytes| bytes / 2)
}

/// Returns the bytes that `/proc/meminfo` says are available without swapping.
fn available(told: &str) -> Option<u64> {
    let value = told
        .lines()
        .find_map(|it| it.strip_prefix("MemAvailable:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_from_its_line() {
        let told = "MemTotal:       24684000 kB\nMemAvailable:   18579232 kB\nBuffers: 1 kB\n";
        assert_eq!(available(told), Some(18_579_232 << 10));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: much\n"), None);
    }
}
