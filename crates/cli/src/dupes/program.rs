//! Which program this is: [`number`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;

/// Returns a number for this program, another one for each build of it; `None` if it cannot be
/// told, as after it was replaced while it runs.
pub(crate) fn number() -> Option<u64> {
    let meta = std::env::current_exe().ok()?.metadata().ok()?;
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    (meta.len(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
    Some(hasher.finish())
}
