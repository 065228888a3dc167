//! What kind an operation is of, for counts: [`Op::kind`].

use crate::Op;

impl Op {
    /// Every kind of operation that does something, in the order of the language.
    pub const KINDS: [&'static str; 32] = [
        "file",
        "dir",
        "fifo",
        "subvol",
        "snapshot",
        "snapshot ro",
        "delete",
        "link",
        "rename",
        "unlink",
        "unlink held",
        "close",
        "pwrite",
        "dwrite",
        "mwrite",
        "truncate",
        "falloc",
        "fpunch",
        "fzero",
        "flush",
        "fiemap",
        "fsync",
        "sync",
        "remount ro",
        "remount rw",
        "tick",
        "tree",
        "chattr",
        "chmod",
        "chown",
        "clone",
        "dedupe",
    ];

    /// Returns the kind: the verb, with the word that makes another call of it.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::File { .. } => "file",
            Op::Dir { .. } => "dir",
            Op::Fifo { .. } => "fifo",
            Op::Subvol { .. } => "subvol",
            Op::Snapshot {
                is_readonly: false, ..
            } => "snapshot",
            Op::Snapshot { .. } => "snapshot ro",
            Op::Delete { .. } => "delete",
            Op::Link { .. } => "link",
            Op::Rename { .. } => "rename",
            Op::Unlink { is_held: false, .. } => "unlink",
            Op::Unlink { .. } => "unlink held",
            Op::Close { .. } => "close",
            Op::Write { .. } => "pwrite",
            Op::DirectWrite { .. } => "dwrite",
            Op::MappedWrite { .. } => "mwrite",
            Op::Truncate { .. } => "truncate",
            Op::Fallocate { .. } => "falloc",
            Op::Punch { .. } => "fpunch",
            Op::Zero { .. } => "fzero",
            Op::Flush { .. } => "flush",
            Op::Fiemap { .. } => "fiemap",
            Op::Fsync { .. } => "fsync",
            Op::Sync => "sync",
            Op::Remount { is_readonly: true } => "remount ro",
            Op::Remount { is_readonly: false } => "remount rw",
            Op::Tick => "tick",
            Op::Tree => "tree",
            Op::Chattr { .. } => "chattr",
            Op::Chmod { .. } => "chmod",
            Op::Chown { .. } => "chown",
            Op::Clone(_) => "clone",
            Op::Dedupe(_) => "dedupe",
            Op::Observe { .. } => "observe",
        }
    }
}
