//! Which names an operation mentions: [`Op::names`], [`Op::names_mut`].

use crate::{CloneCall, DedupeCall, DedupeTarget, Fd, Name, Op, Target};

/// Calls `visit` with each mention of a name in an operation, in order: with a `&Name` if that is
/// a `&Op`, with a `&mut Name` if it is a `&mut Op`.
macro_rules! each_mention {
    ($op:expr, $visit:expr) => {{
        let mut visit = $visit;
        match $op {
            Op::File { name, .. }
            | Op::Dir { name }
            | Op::Fifo { name }
            | Op::Subvol { name }
            | Op::Unlink { name, .. }
            | Op::Close { name }
            | Op::Delete { name }
            | Op::Write { name, .. }
            | Op::DirectWrite { name, .. }
            | Op::MappedWrite { name, .. }
            | Op::Truncate { name, .. }
            | Op::Fallocate { name, .. }
            | Op::Punch { name, .. }
            | Op::Zero { name, .. }
            | Op::Flush { name }
            | Op::Fiemap { name }
            | Op::Fsync { name }
            | Op::Chattr { name, .. }
            | Op::Chmod { name, .. }
            | Op::Chown { name, .. } => visit(name),
            Op::Snapshot { source, target, .. }
            | Op::Link { source, target }
            | Op::Rename { source, target } => {
                visit(source);
                visit(target);
            }
            Op::Sync | Op::Remount { .. } | Op::Tick | Op::Tree => {}
            Op::Clone(CloneCall { source, target, .. }) => {
                for Fd { target, .. } in [source, target] {
                    if let Target::Name(name) = target {
                        visit(name);
                    }
                }
            }
            Op::Dedupe(DedupeCall {
                source: Fd { target, .. },
                targets,
                ..
            }) => {
                if let Target::Name(name) = target {
                    visit(name);
                }
                for DedupeTarget {
                    fd: Fd { target, .. },
                    ..
                } in targets
                {
                    if let Target::Name(name) = target {
                        visit(name);
                    }
                }
            }
            Op::Observe { names } => {
                for name in names {
                    visit(name);
                }
            }
        }
    }};
}

impl Op {
    /// Returns the names that the operation mentions, first mention first, each once.
    pub fn names(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> = Vec::new();
        each_mention!(self, |name| if !names.contains(&name) {
            names.push(name);
        });
        names
    }

    /// Returns every mention of a name in the operation, to be changed.
    pub fn names_mut(&mut self) -> Vec<&mut Name> {
        let mut names = Vec::new();
        each_mention!(self, |name| names.push(name));
        names
    }
}
