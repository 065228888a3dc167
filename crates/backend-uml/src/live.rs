//! The guards of this process that are running, so that a signal handler can end them all:
//! [`cleanup_all`]. It does not know what their kernels do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::DOORBELL;

static LIVE: Mutex<BTreeMap<Id, Live>> = Mutex::new(BTreeMap::new());

/// One started guard, of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u64);

/// A guard, the pipe by which it knows that we live, and the folder of its kernel.
pub(crate) struct Live {
    pub(crate) guard: Child,
    pub(crate) line: ChildStdin,
    pub(crate) folder: PathBuf,
}

/// Ends every kernel that this process has started and removes their work folders. For handlers
/// of SIGINT and SIGTERM, on an ordinary thread; a [`crate::Uml`] that goes on being used answers
/// with errors until its next reset.
pub fn cleanup_all() {
    let all = std::mem::take(&mut *live());
    for (_, live) in all {
        end(live);
    }
}

/// Takes note of a guard.
pub(crate) fn add(guard: Live) -> Id {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = Id(NEXT.fetch_add(1, Ordering::Relaxed));
    live().insert(id, guard);
    id
}

/// Rings the guest's doorbell.
pub(crate) fn ring(id: Id) -> io::Result<()> {
    match live().get_mut(&id) {
        Some(live) => live.line.write_all(&[DOORBELL]),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Ends a kernel with all its processes and removes its work folder. Nothing happens if it has
/// been ended before.
pub(crate) fn remove(id: Id) {
    let removed = live().remove(&id);
    if let Some(live) = removed {
        end(live);
    }
}

fn end(live: Live) {
    let Live {
        mut guard,
        line,
        folder,
    } = live;
    // The guard takes this for our death and kills the kernel.
    drop(line);
    let _ = guard.wait();
    let _ = fs::remove_dir_all(folder);
}

fn live() -> MutexGuard<'static, BTreeMap<Id, Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
