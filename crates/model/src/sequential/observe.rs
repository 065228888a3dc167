//! Looking at a name: map first, then attributes, then contents, as the witness on a mount does.

use std::collections::BTreeMap;

use fs_state::{InodeStat, Kind, MapPiece};
use scenario::{FileKind, MapFlags, MapRun, Name, Observation, Stat, Storage};

use super::Sequential;

/// What was last seen of each name: stamps of mtime and ctime.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamps(BTreeMap<Name, (u64, u64)>);

impl Stamps {
    /// Forgets what was seen of `name`, which is no more.
    pub(super) fn forget(&mut self, name: &Name) {
        self.0.remove(name);
    }

    /// Forgets what was seen of `top` and below it.
    pub(super) fn forget_below(&mut self, top: &Name) {
        self.0.retain(|name, _| !name.is_within(top));
    }

    /// Lets what was seen of `from` and below it count for `to`.
    pub(super) fn rename(&mut self, from: &Name, to: &Name) {
        self.forget_below(to);
        let seen = std::mem::take(&mut self.0).into_iter();
        self.0 = seen
            .map(|(name, stamps)| (name.moved(from, to).unwrap_or(name), stamps))
            .collect();
    }

    /// Returns whether mtime and ctime differ from those seen before, and remembers them.
    fn look(&mut self, name: &Name, seen: (u64, u64)) -> (bool, bool) {
        let before = self.0.insert(name.clone(), seen).unwrap_or(seen);
        (before.0 != seen.0, before.1 != seen.1)
    }
}

impl Sequential {
    /// Returns what can be seen of a name.
    pub(super) fn look_at(&mut self, name: &Name) -> Observation {
        let held = self.descriptors.held(&self.machine, name);
        let found = match held {
            Some(id) => Ok(id),
            None => self.machine.fs_mut().lookup(name.as_str()),
        };
        let Ok(id) = found else {
            self.stamps.forget(name);
            return Observation::Absent;
        };
        let stat = self.machine.fs().stat(id);
        if stat.kind != Kind::Regular {
            let stat = Stat {
                size: 0,
                blocks: 0,
                ..self.stat(name, &stat)
            };
            return Observation::Other { stat };
        }
        // Looking opens it, and what is open is closed some day. Nothing refuses it.
        let _ = self.descriptors.readable(&mut self.machine, name);
        let fs = self.machine.fs_mut();
        let map = merged(fs.fiemap(id));
        let content = fs.content_digest(id);
        Observation::File {
            stat: self.stat(name, &stat),
            content,
            map,
        }
    }

    fn stat(&mut self, name: &Name, stat: &InodeStat) -> Stat {
        let (mtime_changed, ctime_changed) = self.stamps.look(name, (stat.mtime, stat.ctime));
        Stat {
            kind: match stat.kind {
                Kind::Regular => FileKind::Regular,
                Kind::Directory => FileKind::Directory,
                Kind::Fifo => FileKind::Fifo,
            },
            size: stat.size,
            blocks: stat.blocks,
            mode: stat.mode,
            uid: stat.uid,
            mtime_changed,
            ctime_changed,
        }
    }
}

/// Returns the pieces as runs, adjacent ones with equal flags and consecutive storage merged.
fn merged(pieces: Vec<MapPiece>) -> Vec<MapRun> {
    let mut runs: Vec<MapRun> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let run = run_of(&piece);
        match runs.last_mut() {
            Some(last) if continues(last, &run) => last.len += run.len,
            _ => runs.push(run),
        }
    }
    runs
}

fn run_of(piece: &MapPiece) -> MapRun {
    MapRun {
        offset: piece.offset,
        len: piece
            .len
            .checked_next_multiple_of(fs_state::BLOCK)
            .unwrap_or(piece.len),
        storage: piece.bytenr.map(Storage),
        flags: MapFlags {
            is_delalloc: piece.is_delalloc,
            is_unwritten: piece.is_unwritten,
            is_shared: piece.sharing.is_shared,
            is_share_open: piece.sharing.is_open,
            is_inline: piece.is_inline,
            is_encoded: piece.is_encoded,
        },
    }
}

fn continues(last: &MapRun, next: &MapRun) -> bool {
    let is_next_byte =
        last.storage.map(|storage| storage.0 + last.len) == next.storage.map(|storage| storage.0);
    last.offset + last.len == next.offset && last.flags == next.flags && is_next_byte
}
