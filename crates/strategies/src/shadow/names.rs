//! The names of the shadow's files: second ones, those that moved, those that only stand for what
//! is open.

use scenario::{Name, Op};

use super::Shadow;

impl Shadow {
    /// Returns whether a name was unlinked and stands for an open file.
    pub(crate) fn is_held(&self, name: &Name) -> bool {
        self.held.contains(name)
    }

    /// Returns how many such names there are.
    pub(crate) fn nr_held(&self) -> usize {
        self.held.len()
    }

    /// Returns one of them.
    pub(crate) fn held(&self, nth: usize) -> Option<&Name> {
        self.held.get(nth)
    }

    /// Calls a file by another of its names from now on.
    pub(crate) fn call_by_alias(&mut self, idx: usize, nth: usize) {
        let file = &mut self.files[idx];
        std::mem::swap(&mut file.name, &mut file.aliases[nth]);
    }

    /// Closes what the language closes before an operation, whatever comes of that.
    pub(super) fn close_before(&mut self, op: &Op) {
        let closed = match op {
            Op::Close { name }
            | Op::Unlink {
                name,
                is_held: false,
            } => {
                if let Some(&idx) = self.idx_of.get(name) {
                    self.files[idx].was_written = false;
                }
                name
            }
            Op::Delete { name } => name,
            _ => match op.made_name() {
                Some(name) => name,
                None => return,
            },
        };
        let is_closed = |name: &Name| name.is_within(closed);
        let gone: Vec<Name> = self.held.extract_if(.., |name| is_closed(name)).collect();
        gone.iter().for_each(|name| self.remove(name));
    }

    pub(super) fn add_alias(&mut self, name: &Name, alias: &Name) {
        if let Some(&idx) = self.idx_of.get(name) {
            self.files[idx].aliases.push(alias.clone());
            self.idx_of.insert(alias.clone(), idx);
        }
    }

    pub(super) fn rename(&mut self, source: &Name, target: &Name) {
        let are_one =
            self.idx_of.contains_key(source) && self.idx_of.get(source) == self.idx_of.get(target);
        if are_one || source == target {
            return;
        }
        self.remove(target);
        let moved = |name: &Name| name.moved(source, target);
        let names = self
            .files
            .iter_mut()
            .flat_map(|file| std::iter::once(&mut file.name).chain(file.aliases.iter_mut()));
        for name in names.chain(&mut self.held) {
            if let Some(moved) = moved(name) {
                *name = moved;
            }
        }
        self.idx_of.clear();
        for (idx, file) in self.files.iter().enumerate() {
            for name in std::iter::once(&file.name).chain(&file.aliases) {
                self.idx_of.insert(name.clone(), idx);
            }
        }
    }

    /// Takes away what is below a deleted subvolume.
    pub(super) fn remove_below(&mut self, top: &Name) {
        let files = self.files.iter();
        let names = files.flat_map(|file| std::iter::once(&file.name).chain(&file.aliases));
        let gone: Vec<Name> = names.filter(|name| name.is_within(top)).cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
    }

    /// Takes a name away, and with its last one the file.
    pub(super) fn remove(&mut self, name: &Name) {
        let Some(idx) = self.idx_of.remove(name) else {
            return;
        };
        let file = &mut self.files[idx];
        if let Some(nth) = file.aliases.iter().position(|alias| alias == name) {
            file.aliases.remove(nth);
            return;
        }
        if let Some(alias) = file.aliases.pop() {
            file.name = alias;
            return;
        }
        self.files.swap_remove(idx);
        if let Some(moved) = self.files.get(idx) {
            for name in std::iter::once(&moved.name).chain(&moved.aliases) {
                self.idx_of.insert(name.clone(), idx);
            }
        }
    }
}
