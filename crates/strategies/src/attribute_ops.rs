//! Operations on attributes and on names that are no regular files.

use data::Content;
use scenario::{Attribute, Caller, DedupeCall, Name, Op};

use crate::blocks::BLOCK_LEN;
use crate::dedupe_ops;
use crate::shadow::File;
use crate::swarm::{Place, PlaceKind, Swarm};

/// How many directories, subvolumes and fifos a run makes.
const NR_PLACES_MAX: usize = 4;

impl Swarm {
    /// Returns a change of an attribute. Files that are immutable or append-only do not stay so for
    /// long.
    pub(crate) fn draw_attribute(&mut self) -> Option<Op> {
        if self.dice.is(15)
            && let Some(op) = self.draw_folder_attribute()
        {
            return Some(op);
        }
        let idx = self.pick_writable()?;
        let File {
            name,
            size,
            was_written,
            ..
        } = &self.shadow.files()[idx];
        let (name, size, was_written) = (name.clone(), *size, *was_written);
        if size == 0 || self.dice.is(30) {
            let attribute = Attribute::Nocow;
            return Some(Op::Chattr {
                name,
                attribute,
                is_set: self.dice.is(50),
            });
        }
        // A descriptor that was never opened could not be opened on an immutable file: whether it
        // was is no question of the filesystem's.
        if !self.options.is_root || !was_written {
            return None;
        }
        if let Some(call) = self.call_into(idx) {
            self.plan.push_back(Op::Dedupe(call));
        }
        Some(match self.dice.is(30) {
            true => self.append_only_for_a_while(name),
            false => self.immutable_for_a_while(name),
        })
    }

    /// Returns a change of what a folder passes on to files that are created in it, and mostly the
    /// creation of one.
    fn draw_folder_attribute(&mut self) -> Option<Op> {
        let folders: Vec<Name> = self.folders().cloned().collect();
        let folder = folders.get(self.dice.idx(folders.len()))?.clone();
        if self.dice.is(60) {
            let is_nocow = false;
            let name = self.unused_name_in(&folder);
            self.plan.push_back(Op::File { name, is_nocow });
        }
        Some(Op::Chattr {
            name: folder,
            attribute: Attribute::Nocow,
            is_set: self.dice.is(75),
        })
    }

    /// Returns the operation that makes a file immutable, and plans its end.
    pub(crate) fn immutable_for_a_while(&mut self, name: Name) -> Op {
        let immutable = |name, is_set| Op::Chattr {
            name,
            attribute: Attribute::Immutable,
            is_set,
        };
        if self.dice.is(30) {
            self.plan.push_back(Op::Punch {
                name: name.clone(),
                offset: 0,
                len: 4096,
            });
        }
        if self.dice.is(30) {
            self.plan.push_back(Op::Chmod {
                name: name.clone(),
                mode: 0o600,
            });
        }
        self.plan.push_back(immutable(name.clone(), false));
        immutable(name, true)
    }

    /// Returns the operation that makes a file append-only, and plans what meets that and its end.
    /// Its descriptor for reading and writing is open already.
    fn append_only_for_a_while(&mut self, name: Name) -> Op {
        let append = |name, is_set| Op::Chattr {
            name,
            attribute: Attribute::Append,
            is_set,
        };
        for _ in 0..self.dice.between(1, 3) {
            let op = self.meeting_append_only(name.clone());
            self.plan.push_back(op);
        }
        self.plan.push_back(append(name.clone(), false));
        append(name, true)
    }

    /// Returns an operation on a file that would lose something of it, or only add to it.
    fn meeting_append_only(&mut self, name: Name) -> Op {
        let offset = self.dice.below(4) * BLOCK_LEN;
        let len = self.dice.between(1, 2) * BLOCK_LEN;
        let content = Content::byte(self.dice.below(256) as u8, len);
        match self.dice.below(10) {
            0 => Op::Truncate { name, size: offset },
            1 => Op::Punch { name, offset, len },
            2 => Op::Zero {
                name,
                offset,
                len,
                keeps_size: self.dice.is(50),
            },
            3 => Op::Fallocate {
                name,
                offset,
                len,
                keeps_size: self.dice.is(50),
            },
            4 => Op::MappedWrite {
                name,
                offset,
                content,
            },
            5 => Op::Chmod { name, mode: 0o600 },
            6 => Op::Link {
                target: self.unused_name_in(&Name::top()),
                source: name,
            },
            7 => Op::Rename {
                target: self.unused_name_in(&Name::top()),
                source: name,
            },
            8 => Op::Unlink {
                name,
                is_held: false,
            },
            _ => Op::Write {
                name,
                offset,
                content,
            },
        }
    }

    /// Returns a dedupe into a file.
    fn call_into(&mut self, target_idx: usize) -> Option<DedupeCall> {
        let mut call = self.draw_useful()?;
        let name = self.shadow.files()[target_idx].name.clone();
        dedupe_ops::open_plainly(&mut call, &name);
        if call
            .targets
            .iter()
            .any(|target| target.fd.name() == Some(&name))
        {
            return Some(call);
        }
        let offset = call.source_offset;
        Some(DedupeCall::new(
            call.source,
            offset,
            call.len,
            self.plain_fd(target_idx),
            0,
        ))
    }

    /// Returns a change of mode or owner.
    pub(crate) fn draw_owner(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let name = self.shadow.files()[idx].name.clone();
        if self.options.is_root && self.dice.is(50) {
            return Some(Op::Chown {
                name,
                uid: self.dice.one_of(&[0, Caller::USER_UID]),
            });
        }
        // The owner keeps read and write permission: descriptors are opened by the caller of the
        // harness, who need not be root.
        let mode = self
            .dice
            .one_of(&[0o600, 0o644, 0o666, 0o606, 0o4755, 0o2775]);
        Some(Op::Chmod { name, mode })
    }

    /// Returns the creation of a directory, a subvolume or a fifo.
    pub(crate) fn draw_place(&mut self) -> Option<Op> {
        if NR_PLACES_MAX <= self.places.len() {
            return None;
        }
        let kind = self
            .dice
            .one_of(&[PlaceKind::Directory, PlaceKind::Subvolume, PlaceKind::Fifo]);
        let letter = match kind {
            PlaceKind::Directory => 'D',
            PlaceKind::Subvolume => 'V',
            PlaceKind::Fifo => 'P',
        };
        self.nr_places += 1;
        let name = Name::new(&format!("{letter}{}", self.nr_places))?;
        let folders: Vec<Name> = self.folders().cloned().collect();
        let name = match folders.get(self.dice.idx(folders.len() * 3)) {
            Some(folder) => folder.join(&name),
            None => name,
        };
        self.places.push(Place {
            name: name.clone(),
            kind,
        });
        Some(match kind {
            PlaceKind::Directory => Op::Dir { name },
            PlaceKind::Subvolume => Op::Subvol { name },
            PlaceKind::Fifo => Op::Fifo { name },
        })
    }
}
