//! Room for more data: what is removed, and what suits a filesystem that is to become full.

use scenario::{Attribute, Name, Op};

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
        if let Some(name) = self.unseen_in_place(&op) {
            self.plan.push_front(op);
            return Op::Flush { name };
        }
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

    /// Returns a file of which an operation writes dirty pages back and then takes their place.
    /// Once that is done only checksums tell whether they went into preallocated space.
    fn unseen_in_place(&self, op: &Op) -> Option<Name> {
        let in_place = |name, offset, len| {
            let is_found = self.shadow.may_write_in_place(name, offset, len);
            is_found.then_some(name)
        };
        let name = match op {
            Op::Dedupe(call) => {
                let mut targets = call.targets.iter();
                targets.find_map(|target| in_place(target.fd.name()?, target.offset, call.len))
            }
            Op::Clone(call) => {
                let len = match call.len {
                    0 => u64::MAX,
                    len => len,
                };
                in_place(call.target.name()?, call.target_offset, len)
            }
            Op::Punch { name, offset, len }
            | Op::Zero {
                name, offset, len, ..
            } => in_place(name, *offset, *len),
            _ => None,
        }?;
        // A flush that was refused would be refused again.
        (self.flushed.as_ref() != Some(name)).then(|| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::SwarmOptions;

    fn op(text: &str) -> Op {
        text.parse().expect("an operation")
    }

    /// Returns what takes the place of `last` behind others.
    fn fitted(before: &[&str], last: &str) -> Vec<String> {
        let options = SwarmOptions {
            is_small: true,
            ..SwarmOptions::default()
        };
        let mut swarm = Swarm::new(1, options);
        for text in before {
            swarm.shadow.apply(&op(text));
        }
        let first = swarm.fitted(op(last));
        let ops = std::iter::once(&first).chain(&swarm.plan);
        ops.map(ToString::to_string).collect()
    }

    #[test]
    fn what_may_be_written_in_place_is_flushed_before_its_place_is_taken() {
        let dirty = ["file A", "file B", "falloc A 0 16k", "pwrite A 0 8k 0x61"];
        for last in [
            "dedupe B 0 4k => A 4k",
            "clone B 0 4k => A 4k",
            "fpunch A 4k 4k",
            "fzero A 4k 8k",
        ] {
            assert_eq!(fitted(&dirty, last), ["flush A", last]);
        }
        let cloned = ["file A", "file B", "falloc B 0 16k", "clone B 0 8k => A 4k"];
        let dirty = [&cloned[..], &["pwrite A 0 12k 0x61"]].concat();
        assert_eq!(fitted(&dirty, "fpunch A 4k 4k").len(), 2);
    }

    #[test]
    fn what_is_clean_or_goes_elsewhere_anyway_is_not_flushed() {
        let last = "fpunch A 4k 4k";
        for before in [
            // Nothing is preallocated there.
            &["file A", "falloc A 8k 4k", "pwrite A 0 8k 0x61"][..],
            // What is dirty lies elsewhere.
            &["file A", "falloc A 0 16k", "pwrite A 8k 4k 0x61"],
            // What was preallocated there is written, and then written anew.
            &[
                "file A",
                "falloc A 0 16k",
                "pwrite A 0 8k 0x61",
                "sync",
                "pwrite A 0 8k 0x62",
            ],
        ] {
            assert_eq!(fitted(before, last), [last]);
        }
    }
}
