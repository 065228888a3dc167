//! Room for more data: what is removed, and what suits a filesystem that is to become full.

use scenario::{Attribute, Op};

use crate::blocks::BLOCK_LEN;
use crate::shadow::File;
use crate::swarm::Swarm;

/// How many operations come before the space is measured for the first time.
pub(crate) const NR_OPS_BEFORE_FIRST: u32 = 64;

/// When files are removed.
struct Room {
    /// How often the space is measured, in operations.
    nr_ops_between: u32,
    /// Above this many blocks files are removed.
    nr_blocks_max: usize,
}

/// 96 MiB.
const LARGE: Room = Room {
    nr_ops_between: 64,
    nr_blocks_max: 24 << 10,
};
/// 4 MiB, more than such a filesystem has: the shadow believes that every write succeeds.
const SMALL: Room = Room {
    nr_ops_between: 4,
    nr_blocks_max: 1000,
};

impl Swarm {
    /// Returns the removal of the largest file, or of a snapshot, if there is too much data.
    pub(crate) fn draw_space(&mut self) -> Option<Op> {
        let room = match self.options.is_small {
            true => SMALL,
            false => LARGE,
        };
        self.nr_until_measured = match self.nr_until_measured.checked_sub(1) {
            Some(nr_left) => nr_left,
            None => {
                self.nr_until_measured = room.nr_ops_between;
                return self.removal_if_too_much(room.nr_blocks_max);
            }
        };
        None
    }

    fn removal_if_too_much(&self, nr_blocks_max: usize) -> Option<Op> {
        if self.shadow.nr_allocated() <= nr_blocks_max {
            return None;
        }
        // They keep what others give up.
        if let Some(name) = self.snapshots.first().filter(|_| self.options.is_small) {
            return Some(Op::Delete { name: name.clone() });
        }
        let is_removable = |file: &&File| !file.is_readonly;
        let largest = self
            .shadow
            .files()
            .iter()
            .filter(is_removable)
            .max_by_key(|file| file.blocks.nr_allocated())?;
        Some(Op::Unlink {
            name: largest.name.clone(),
            is_held: false,
        })
    }

    /// Returns what takes the place of an operation on a filesystem that is to become full. Left
    /// out is what would need more than a kernel's answers to be followed (`docs/envelope.md`).
    pub(crate) fn fitted(&mut self, op: Op) -> Op {
        match op {
            Op::File { name, .. } => Op::File {
                name,
                is_nocow: false,
            },
            Op::Chattr {
                name,
                attribute: Attribute::Nocow,
                ..
            } => Op::Flush { name },
            // Where it finds no space items stay behind EOF, and holes in memory lie over them.
            Op::Truncate { name, .. } if self.shadow.is_held(&name) => Op::Flush { name },
            Op::Truncate { name, size } => {
                let size = size - size % BLOCK_LEN;
                let is_clean = size == 0 || self.flushed.as_ref() == Some(&name);
                let truncate = Op::Truncate {
                    name: name.clone(),
                    size,
                };
                if is_clean {
                    return truncate;
                }
                self.plan.push_front(truncate);
                Op::Flush { name }
            }
            // Where it finds no space it was seen to stamp a file of which nothing was stored.
            Op::MappedWrite { name, .. } => Op::Flush { name },
            op => op,
        }
    }
}
