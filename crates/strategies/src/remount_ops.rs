//! A filesystem that is read-only for a few operations.

use scenario::{Access, Name, Op};

use crate::swarm::Swarm;

impl Swarm {
    /// Returns the remount that makes everything read-only; some operations that meet it are
    /// planned, and the remount that ends it.
    pub(crate) fn draw_remount(&mut self) -> Option<Op> {
        if !self.options.can_remount {
            return None;
        }
        // Descriptors for writing are refused: a dedupe gets farther with those for reading.
        if let Some(mut call) = self.draw_useful() {
            call.source.access = Access::ReadOnly;
            for target in &mut call.targets {
                target.fd.access = Access::ReadOnly;
            }
            self.plan.push_back(Op::Dedupe(call));
        }
        for _ in 0..self.dice.between(2, 6) {
            let op = match self.dice.below(18) {
                0 => self.draw_write(),
                1 => self.draw_clone(),
                2 => self.draw_truncate(),
                3 => Some(self.draw_create()),
                4 => self.draw_owner(),
                5 => self.draw_rename(),
                6 => self.draw_on_file(|name| Op::Fiemap { name }),
                7 => self.draw_on_file(|name| Op::Chattr {
                    name,
                    attribute: scenario::Attribute::Nocow,
                    is_set: true,
                }),
                8 => self.draw_unlink(),
                9 => self.draw_fallocate(),
                10 => self.draw_punch(),
                11 => self.draw_zero(),
                12 => self.draw_direct_write(),
                13 => self.draw_mapped_write(),
                14 => self.draw_link(),
                15 => self.draw_on_file(|name| Op::Fsync { name }),
                16 => self.draw_delete(),
                _ => Some(self.draw_new_subvolume()),
            };
            self.plan.extend(op);
        }
        let is_readonly = false;
        self.plan.push_back(Op::Remount { is_readonly });
        Some(Op::Remount { is_readonly: true })
    }

    /// Returns the creation of a subvolume or a snapshot, which is to be refused.
    fn draw_new_subvolume(&mut self) -> Op {
        let name = self.unused_name_in(&Name::top());
        match self.dice.is(50) {
            true => Op::Subvol { name },
            false => Op::Snapshot {
                source: Name::top(),
                target: name,
                is_readonly: self.dice.is(50),
            },
        }
    }
}
