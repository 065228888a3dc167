//! The kernels of this process, so that a signal handler can end them all: [`cleanup_all`]. It
//! does not know what they do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::DOORBELL;

static LIVE: Mutex<BTreeMap<Id, Live>> = Mutex::new(BTreeMap::new());

/// One kernel of this process, started or about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u64);

/// The work folder of a kernel, and its guard once it is started.
struct Live {
    folder: PathBuf,
    guard: Option<Guard>,
}

/// A guard, and the pipe by which it knows that we live.
pub(crate) struct Guard {
    pub(crate) process: Child,
    pub(crate) line: ChildStdin,
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

/// Takes note of a work folder.
pub(crate) fn add(folder: PathBuf) -> Id {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = Id(NEXT.fetch_add(1, Ordering::Relaxed));
    live().insert(
        id,
        Live {
            folder,
            guard: None,
        },
    );
    id
}

/// Takes note of the guard of a folder. If everything has been ended meanwhile, so is this one.
pub(crate) fn attach(id: Id, guard: Guard) {
    let mut all = live();
    if let Some(live) = all.get_mut(&id) {
        live.guard = Some(guard);
    } else {
        drop(all);
        end_guard(guard);
    }
}

/// Rings the guest's doorbell.
pub(crate) fn ring(id: Id) -> io::Result<()> {
    match live().get_mut(&id).and_then(|live| live.guard.as_mut()) {
        Some(guard) => guard.line.write_all(&[DOORBELL]),
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
    if let Some(guard) = live.guard {
        end_guard(guard);
    }
    let _ = fs::remove_dir_all(live.folder);
}

/// Ends a guard with its kernel.
fn end_guard(guard: Guard) {
    let Guard { mut process, line } = guard;
    // The guard takes this for our death and kills the kernel.
    drop(line);
    let _ = process.wait();
}

fn live() -> MutexGuard<'static, BTreeMap<Id, Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
