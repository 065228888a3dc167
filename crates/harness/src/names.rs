//! Which files there are, so far as the operations tell: [`Names`].
//!
//! It believes every operation and is put right by what is observed: a name too many costs a look
//! at nothing, a name too few is found again when an operation mentions it.

use std::collections::BTreeSet;

use scenario::{Name, Observation, Op, Probe};

/// The most files that are looked at after one operation.
pub(crate) const NAMES_PER_STEP_MAX: usize = 256;

/// The files and subvolumes of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    files: BTreeSet<Name>,
    /// Names that may be those of one inode, two or more.
    links: Vec<BTreeSet<Name>>,
    /// Tops of subvolumes.
    subvols: BTreeSet<Name>,
    /// How many looks were left out because there were more names.
    nr_left_out: u64,
}

/// How much is looked at after an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What the operation mentions.
    Mentioned,
    /// All files.
    All,
}

impl Names {
    /// Takes an operation into account and returns what to look at after it, each name once.
    pub(crate) fn after(&mut self, op: &Op, reach: Reach) -> Vec<Name> {
        let mut seen: Vec<Name> = op.names().into_iter().cloned().collect();
        if let Op::Rename { source, target } = op {
            self.add(&mut seen, |name| {
                is_below(name, source) || is_below(name, target)
            });
        }
        self.believe(op);
        self.add_links(&mut seen);
        match op {
            Op::Rename { target, .. } => self.add(&mut seen, |name| is_below(name, target)),
            // They write back files that the operation does not mention: storage moves. What a
            // deletion drops was shared with anything.
            Op::Sync | Op::Remount { .. } | Op::Tree | Op::Delete { .. } => {
                self.add(&mut seen, |_| true)
            }
            Op::Snapshot { source, target, .. } => {
                self.add(&mut seen, |name| {
                    is_below(name, source) || is_below(name, target)
                });
            }
            _ => {}
        }
        if reach == Reach::All {
            self.add(&mut seen, |_| true);
        }
        self.nr_left_out += seen.len().saturating_sub(NAMES_PER_STEP_MAX) as u64;
        seen.truncate(NAMES_PER_STEP_MAX);
        seen
    }

    /// Returns how many looks were left out because one operation had more than
    /// [`NAMES_PER_STEP_MAX`].
    pub(crate) fn nr_left_out(&self) -> u64 {
        self.nr_left_out
    }

    /// Puts right what was believed.
    pub(crate) fn correct(&mut self, probes: &[Probe], observations: &[Observation]) {
        for (probe, observation) in probes.iter().zip(observations) {
            match observation {
                Observation::File { .. } | Observation::Unreadable(_) => {
                    if !self.files.contains(&probe.name) {
                        self.files.insert(probe.name.clone());
                    }
                }
                Observation::Absent => {
                    self.forget_link(&probe.name);
                    self.files.remove(&probe.name);
                    self.subvols.remove(&probe.name);
                }
                Observation::Other { .. } => {
                    self.files.remove(&probe.name);
                }
            }
        }
    }

    fn believe(&mut self, op: &Op) {
        match op {
            Op::File { name, .. } => {
                self.files.insert(name.clone());
            }
            Op::Subvol { name } => {
                self.subvols.insert(name.clone());
            }
            Op::Link { source, target } => self.link(source, target),
            Op::Rename { source, target } => self.rename(source, target),
            Op::Snapshot { source, target, .. } => {
                let copies: Vec<Name> = self
                    .files
                    .iter()
                    .filter_map(|name| self.copy(name, source, target))
                    .collect();
                self.files.extend(copies);
                let copied = |names: &BTreeSet<Name>| -> BTreeSet<Name> {
                    let copies = names.iter();
                    copies
                        .filter_map(|name| self.copy(name, source, target))
                        .collect()
                };
                let mut links: Vec<BTreeSet<Name>> = self.links.iter().map(copied).collect();
                links.retain(|names| 1 < names.len());
                self.links.extend(links);
                self.subvols.insert(target.clone());
            }
            _ => {}
        }
    }

    fn link(&mut self, source: &Name, target: &Name) {
        match self.links.iter_mut().find(|names| names.contains(source)) {
            Some(names) => drop(names.insert(target.clone())),
            None => self
                .links
                .push([source, target].into_iter().cloned().collect()),
        }
        self.files.insert(target.clone());
    }

    fn forget_link(&mut self, name: &Name) {
        for names in &mut self.links {
            names.remove(name);
        }
        self.links.retain(|names| 1 < names.len());
    }

    fn rename(&mut self, source: &Name, target: &Name) {
        // It may be refused: the old names stay until they are seen to be absent.
        let with_moved = |names: &mut BTreeSet<Name>| {
            let moved: Vec<Name> = names
                .iter()
                .filter_map(|name| name.moved(source, target))
                .collect();
            names.extend(moved);
        };
        with_moved(&mut self.files);
        with_moved(&mut self.subvols);
        self.links.iter_mut().for_each(with_moved);
    }

    /// Adds the other names of what was seen.
    fn add_links(&self, seen: &mut Vec<Name>) {
        let mentioned = seen.clone();
        let is_seen = |name: &Name| mentioned.contains(name);
        for names in self.links.iter().filter(|names| names.iter().any(is_seen)) {
            seen.extend(names.iter().filter(|name| !is_seen(name)).cloned());
        }
    }

    /// Returns the name that a file of the subvolume `source` has in its snapshot `target`. Files
    /// of subvolumes below `source` have none: a snapshot has empty directories for those.
    fn copy(&self, name: &Name, source: &Name, target: &Name) -> Option<Name> {
        if !is_below(name, source) {
            return None;
        }
        let is_deeper =
            |subvol: &Name| subvol != source && is_below(subvol, source) && is_below(name, subvol);
        if self.subvols.iter().any(is_deeper) {
            return None;
        }
        let rest: Vec<&str> = name
            .components()
            .skip(source.components().count())
            .collect();
        Some(target.join(&Name::new(&rest.join("/"))?))
    }

    fn add(&self, seen: &mut Vec<Name>, is_wanted: impl Fn(&Name) -> bool) {
        let mentioned = seen.clone();
        let more = self
            .files
            .iter()
            .filter(|name| is_wanted(name) && !mentioned.contains(name));
        seen.extend(more.cloned());
    }
}

/// Returns whether `name` lies below `top`.
fn is_below(name: &Name, top: &Name) -> bool {
    let mut components = name.components();
    let is_prefix = top
        .components()
        .all(|component| components.next() == Some(component));
    is_prefix && components.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[track_caller]
    fn check(ops: &[&str], expected: &str) {
        let mut names = Names::default();
        let mut seen = Vec::new();
        for op in ops {
            seen = names.after(&op.parse().expect("an operation"), Reach::Mentioned);
        }
        let seen: Vec<&str> = seen.iter().map(Name::as_str).collect();
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn a_snapshot_copies_the_files_of_its_subvolume_only() {
        check(
            &[
                "subvol S",
                "file S/A",
                "subvol S/T",
                "file S/T/B",
                "file C",
                "snapshot S N",
                "sync",
            ],
            "C N/A S/A S/T/B",
        );
        check(&["subvol S", "file S/A", "snapshot S N"], "S N N/A S/A");
    }

    #[test]
    fn all_names_of_an_inode_are_looked_at() {
        check(
            &["file A", "link A B", "rename B C", "pwrite A 0 1 0x61"],
            "A B C",
        );
        check(
            &["file A", "link A B", "snapshot . S", "truncate S/B 0"],
            "S/B S/A",
        );
    }

    #[test]
    fn what_lies_below_a_directory_is_looked_at_under_its_old_and_its_new_name() {
        check(
            &["dir D", "file D/A", "file B", "rename D E", "sync"],
            "B D/A E/A",
        );
        check(&["dir D", "file D/A", "rename D E"], "D E D/A E/A");
    }

    #[test]
    fn what_is_absent_is_forgotten() {
        let mut names = Names::default();
        names.after(
            &Op::File {
                name: name("A"),
                is_nocow: false,
            },
            Reach::Mentioned,
        );
        names.correct(
            &[Probe {
                name: name("A"),
                expected_shape: None,
            }],
            &[Observation::Absent],
        );
        assert_eq!(names.after(&Op::Sync, Reach::Mentioned), []);
    }

    #[test]
    fn names_that_are_too_many_for_one_look_are_counted() {
        let mut names = Names::default();
        for number in 0..NAMES_PER_STEP_MAX + 3 {
            let op = Op::File {
                name: name(&format!("A{number}")),
                is_nocow: false,
            };
            names.after(&op, Reach::Mentioned);
        }
        assert_eq!(names.nr_left_out(), 0);
        assert_eq!(
            names.after(&Op::Sync, Reach::Mentioned).len(),
            NAMES_PER_STEP_MAX
        );
        assert_eq!(names.nr_left_out(), 3);
    }

    #[test]
    fn a_name_that_begins_alike_is_not_below() {
        assert!(is_below(&name("S/A"), &name("S")));
        assert!(!is_below(&name("SA/A"), &name("S")));
        assert!(!is_below(&name("S"), &name("S")));
        assert!(is_below(&name("A"), &Name::top()));
    }
}
