//! Operations on names: second names, renames, unlinks of what stays open, closes.

use scenario::{Name, Op};

use crate::swarm::{Place, PlaceKind, Swarm};

/// How many files live on without a name at most.
const NR_HELD_MAX: usize = 3;

impl Swarm {
    /// Returns a hard link: mostly one that works, sometimes to a name that is taken or lies in
    /// another subvolume.
    pub(crate) fn draw_link(&mut self) -> Option<Op> {
        let source = self.pick_any_name()?;
        let target = if self.dice.is(8) {
            self.pick_any_name()?
        } else {
            self.unused_name_near(&source)
        };
        Some(Op::Link { source, target })
    }

    /// Returns a rename: of a file over another, to a new name, or of a directory.
    pub(crate) fn draw_rename(&mut self) -> Option<Op> {
        let (source, target) = match self.dice.below(100) {
            0..55 => (self.pick_any_name()?, self.pick_any_name()?),
            55..88 => {
                let source = self.pick_any_name()?;
                let target = self.unused_name_near(&source);
                (source, target)
            }
            _ => self.draw_place_rename()?,
        };
        Some(Op::Rename { source, target })
    }

    /// Returns a rename of what is no regular file, sometimes one to be refused.
    fn draw_place_rename(&mut self) -> Option<(Name, Name)> {
        let nr_places = self.places.len();
        if nr_places == 0 {
            return None;
        }
        let Place { name, kind } = self.places[self.dice.idx(nr_places)].clone();
        let is_folder = kind != PlaceKind::Fifo;
        let target = match self.dice.below(10) {
            0 => self.pick_any_name()?,
            1 => self.places[self.dice.idx(nr_places)].name.clone(),
            2 if is_folder => self.unused_name_in(&name),
            2 => return Some((Name::top(), name)),
            3..5 if !self.snapshots.is_empty() => {
                let snapshot = self.dice.idx(self.snapshots.len());
                let snapshot = self.snapshots[snapshot].clone();
                let target = self.unused_name_in(&Name::top());
                return Some((snapshot, target));
            }
            5..7 => {
                let other = self.dice.idx(nr_places);
                let other = self.places[other].name.clone();
                self.unused_name_in(&other)
            }
            _ => self.unused_name_in(&Name::top()),
        };
        Some((name, target))
    }

    /// Returns the removal of a name; some of the files stay open.
    pub(crate) fn draw_unlink(&mut self) -> Option<Op> {
        let idx = self.pick_writable()?;
        let name = self.shadow.files()[idx].name.clone();
        if self.shadow.is_held(&name) {
            return Some(Op::Close { name });
        }
        let is_held = self.shadow.nr_held() < NR_HELD_MAX && self.dice.is(40);
        Some(Op::Unlink { name, is_held })
    }

    /// Returns a close, mostly of a file that has no name.
    pub(crate) fn draw_close(&mut self) -> Option<Op> {
        let nr_held = self.shadow.nr_held();
        let name = if 0 < nr_held && self.dice.is(50) {
            let nth = self.dice.idx(nr_held);
            self.shadow.held(nth)?.clone()
        } else {
            self.pick_any_name()?
        };
        Some(Op::Close { name })
    }

    /// Returns a name of a regular file, mostly of one that is no copy.
    fn pick_any_name(&mut self) -> Option<Name> {
        let idx = if self.dice.is(90) {
            self.pick_writable()?
        } else {
            self.pick_any()?
        };
        Some(self.shadow.files()[idx].name.clone())
    }

    /// Returns an unused name, mostly in the folder of another.
    fn unused_name_near(&mut self, name: &Name) -> Name {
        if self.dice.is(30) {
            return self.unused_file_name();
        }
        let parent = name.as_str().rsplit_once('/');
        let parent = parent.and_then(|(parent, _)| Name::new(parent));
        self.unused_name_in(&parent.unwrap_or_else(Name::top))
    }

    /// Follows a rename that the shadow has carried out.
    pub(crate) fn follow_rename(&mut self, source: &Name, target: &Name) {
        if source == target || self.shadow.view(source).is_some() {
            return;
        }
        self.places.retain(|place| !place.name.is_within(target));
        let places = self.places.iter_mut().map(|place| &mut place.name);
        let hot = self.hot.iter_mut().map(|hot| &mut hot.name);
        for name in places.chain(hot).chain(&mut self.snapshots) {
            if let Some(moved) = name.moved(source, target) {
                *name = moved;
            }
        }
    }
}
