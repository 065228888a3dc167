//! The descriptors and the lists of dedupe requests.

use scenario::{Access, DedupeCall, DedupeTarget, Fd, Mount, Name, Target};

use crate::blocks::BLOCK_LEN;
use crate::dice::Dice;
use crate::pair::{self, Pair, Spot};
use crate::swarm::Swarm;

/// What is open on no file of the run.
const SPECIALS: [Target; 8] = [
    Target::Closed,
    Target::MinusOne,
    Target::Null,
    Target::PipeRead,
    Target::PipeWrite,
    Target::Socket,
    Target::Tmpfs,
    Target::Proc,
];

impl Swarm {
    /// Returns the plainest descriptor that can be opened on a file.
    pub(crate) fn plain_fd(&self, file_idx: usize) -> Fd {
        let file = &self.shadow.files()[file_idx];
        let access = if file.is_readonly {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        Fd::with_access(file.name.clone(), access)
    }

    /// Returns a descriptor from which a file can be read.
    pub(crate) fn source_fd(&mut self, file_idx: usize) -> Fd {
        let mut fd = self.plain_fd(file_idx);
        if fd.name().is_some_and(|name| self.shadow.is_held(name)) {
            return fd;
        }
        match self.dice.below(100) {
            0..12 => fd.access = Access::ReadOnly,
            12..15 if self.options.has_mounts => {
                fd.access = Access::ReadOnly;
                fd.mount = Mount::ReadOnly;
            }
            15..18 if self.options.has_mounts => fd.mount = Mount::Second,
            _ => {}
        }
        fd
    }

    /// Returns a descriptor into which root can dedupe.
    pub(crate) fn target_fd(&mut self, file_idx: usize) -> Fd {
        let mut fd = self.plain_fd(file_idx);
        if fd.name().is_some_and(|name| self.shadow.is_held(name)) {
            return fd;
        }
        let is_readonly = fd.access == Access::ReadOnly;
        match self.dice.below(100) {
            0..8 => fd.access = Access::ReadOnly,
            8..11 if !is_readonly => fd.access = Access::WriteOnly,
            11..14 if !is_readonly => fd.access = Access::Append,
            14..18 if self.options.has_mounts => fd.mount = Mount::Second,
            _ => {}
        }
        fd.has_high_bit = self.dice.is(2);
        fd
    }

    /// Returns a descriptor that is none of a regular file of the run.
    pub(crate) fn wrong_fd(&mut self) -> Fd {
        if self.dice.is(25) {
            // One more than there are: the top is a directory too.
            let place = self.dice.idx(self.places.len() + 1);
            let place = self.places.get(place).map(|place| place.name.clone());
            return Fd::file(place.unwrap_or_else(Name::top));
        }
        let special = self.dice.idx(SPECIALS.len() + 2);
        match SPECIALS.get(special) {
            Some(target) => Fd::special(target.clone()),
            None => match self.pick_any() {
                Some(idx) => Fd::with_access(self.shadow.files()[idx].name.clone(), Access::Path),
                None => Fd::special(Target::Closed),
            },
        }
    }

    /// Returns a request for a pair, with more elements now and then.
    pub(crate) fn call_for(&mut self, pair: Pair) -> DedupeCall {
        let len = self.requested_len(pair);
        let source = self.source_fd(pair.source.file_idx);
        let target = self.target_fd(pair.target.file_idx);
        let mut call = DedupeCall::new(
            source,
            pair.source.offset(),
            len,
            target,
            pair.target.offset(),
        );
        let nr_more = nr_more_elements(&mut self.dice);
        if 0 < nr_more {
            self.add_elements(&mut call, pair, nr_more);
        }
        call
    }

    /// Returns the length of a pair, sometimes with an odd rest that no kernel shares.
    fn requested_len(&mut self, pair: Pair) -> u64 {
        let len = pair.nr_blocks as u64 * BLOCK_LEN;
        if !self.dice.is(10) {
            return len;
        }
        let rest = self.dice.between(1, BLOCK_LEN - 1);
        let files = self.shadow.files();
        let room = |spot: Spot| files[spot.file_idx].size - spot.offset();
        if 1 < pair.nr_blocks && self.dice.is(50) {
            len - rest
        } else if len + rest < room(pair.source).min(room(pair.target)) {
            len + rest
        } else {
            len
        }
    }

    fn add_elements(&mut self, call: &mut DedupeCall, pair: Pair, nr_more: usize) {
        let mut taken = vec![pair.target];
        for _ in 0..nr_more {
            let roll = self.dice.below(100);
            if roll < 72 {
                let is_free = |spot: Spot| {
                    taken.iter().all(|other| {
                        other.file_idx != spot.file_idx
                            || pair.nr_blocks <= other.block.abs_diff(spot.block)
                    })
                };
                let found = pair::find_another(
                    &mut self.dice,
                    &self.shadow,
                    pair.source,
                    pair.nr_blocks,
                    is_free,
                );
                let Some(spot) = found else { continue };
                taken.push(spot);
                let fd = self.target_fd(spot.file_idx);
                call.targets.push(DedupeTarget {
                    fd,
                    offset: spot.offset(),
                    reserved: 0,
                });
            } else if roll < 92 {
                let Some(spot) = self.pick_spot() else { break };
                let fd = self.target_fd(spot.file_idx);
                call.targets.push(DedupeTarget {
                    fd,
                    offset: spot.offset(),
                    reserved: 0,
                });
            } else if roll < 97 {
                let fd = self.wrong_fd();
                call.targets.push(DedupeTarget {
                    fd,
                    offset: 0,
                    reserved: 0,
                });
            } else {
                let again = call.targets[self.dice.idx(call.targets.len())].clone();
                call.targets.push(again);
            }
        }
        // A wrong element must be able to come first.
        let (last, any) = (call.targets.len() - 1, self.dice.idx(call.targets.len()));
        call.targets.swap(last, any);
    }
}

/// Returns how many elements a list gets beside the first.
fn nr_more_elements(dice: &mut Dice) -> usize {
    match dice.below(1000) {
        0..620 => 0,
        620..800 => 1,
        800..900 => 2,
        900..950 => 3,
        950..996 => dice.between(4, 12) as usize,
        _ => dice.between(13, 126) as usize,
    }
}
