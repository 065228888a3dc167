//! Snapshots and subvolumes that come and go.

use scenario::{Name, Op};

use crate::swarm::{PlaceKind, Swarm};

/// How many snapshots there are at a time: each copies every file.
const NR_SNAPSHOTS_MAX: usize = 6;
/// Above this many files there are no more snapshots.
const NR_FILES_MAX: usize = 60;
/// In a run for snapshots, how many files there may be for each of them.
const NR_FILES_PER_SNAPSHOT: usize = 8;

impl Swarm {
    /// In a run for snapshots: returns the next one or the end of one, now and then.
    pub(crate) fn draw_coming_and_going(&mut self) -> Option<Op> {
        let nr_max = self.options.snapshots?;
        if !self.dice.is(self.weights.snapshot_percent) {
            return None;
        }
        let is_full = nr_max <= self.snapshots.len();
        match is_full || self.dice.is(20) {
            true => self.draw_delete(),
            false => self.draw_snapshot(),
        }
    }

    /// Returns the subvolumes and snapshots but for the top.
    fn subvolumes(&self) -> Vec<Name> {
        let places = self.places.iter();
        let subvolumes = places.filter(|place| place.kind == PlaceKind::Subvolume);
        let subvolumes = subvolumes.map(|place| &place.name);
        subvolumes.chain(&self.snapshots).cloned().collect()
    }

    /// Returns the deletion of a snapshot or a subvolume, sometimes one to be refused.
    pub(crate) fn draw_delete(&mut self) -> Option<Op> {
        if !self.options.is_root {
            return None;
        }
        let candidates = match self.dice.below(10) {
            0 => self.places.iter().map(|place| place.name.clone()).collect(),
            1..3 => self.subvolumes(),
            _ => self.snapshots.clone(),
        };
        if candidates.is_empty() {
            return None;
        }
        let name = candidates[self.dice.idx(candidates.len())].clone();
        Some(Op::Delete { name })
    }

    /// Follows a snapshot that the shadow was asked for.
    pub(crate) fn follow_snapshot(&mut self, target: &Name) {
        let is_there = self.shadow.view(target).is_some();
        if is_there && !self.snapshots.contains(target) {
            self.snapshots.push(target.clone());
        }
    }

    /// Follows a deletion that the shadow has carried out.
    pub(crate) fn follow_delete(&mut self, name: &Name) {
        if self.shadow.view(name).is_none() {
            self.places.retain(|place| !place.name.is_within(name));
            self.snapshots.retain(|snapshot| !snapshot.is_within(name));
        }
    }

    /// Returns a snapshot of the top or of a subvolume, at the top or in a folder.
    pub(crate) fn draw_snapshot(&mut self) -> Option<Op> {
        let (nr_max, nr_files_max) = match self.options.snapshots {
            Some(nr_max) => (nr_max, nr_max * NR_FILES_PER_SNAPSHOT),
            None => (NR_SNAPSHOTS_MAX, NR_FILES_MAX),
        };
        if nr_max <= self.snapshots.len() || nr_files_max < self.shadow.files().len() {
            return None;
        }
        let subvolumes = self.subvolumes();
        let source = match subvolumes.get(self.dice.idx(subvolumes.len() * 2)) {
            Some(name) => name.clone(),
            None => Name::top(),
        };
        self.nr_snapshots += 1;
        let target = Name::new(&format!("S{}", self.nr_snapshots))?;
        let folders: Vec<Name> = self.folders().cloned().collect();
        let target = match folders.get(self.dice.idx(folders.len() * 4)) {
            Some(folder) => folder.join(&target),
            None => target,
        };
        Some(Op::Snapshot {
            source,
            target,
            is_readonly: self.dice.is(40),
        })
    }
}
