//! Logical locks: who holds what, and whether the order in which they are taken can deadlock.
//!
//! The protocol is the subject, so locks are data. The table knows classes, inodes and tasks; it
//! does not know why a lock is taken. Order is watched as lockdep does: an edge from every held
//! lock to the one that is taken, an edge both ways is a violation.

use fs_state::InodeId;
use rules::LockClass;

/// A task that makes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u32);

/// One lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockId {
    /// Its class.
    pub class: LockClass,
    /// Its inode.
    pub inode: InodeId,
}

/// Two orders in which locks were taken that can deadlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockViolation {
    /// One class (and nesting level) was taken under another, and the other way round before.
    ClassOrder {
        /// Held.
        held: (LockClass, u8),
        /// Taken.
        taken: (LockClass, u8),
    },
    /// Two locks of a class were taken in ascending and in descending order of address.
    AddressOrder {
        /// The class.
        class: LockClass,
    },
}

/// What an attempt to take a lock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is taken now.
    Taken,
    /// The same task has it already: both sides are one inode.
    HeldAlready,
    /// Somebody else has it.
    Blocked {
        /// Who.
        by: TaskId,
    },
}

/// Every lock that is held.
#[derive(Clone, Debug, Default)]
pub struct LockTable {
    held: Vec<(LockId, TaskId)>,
    order: Order,
}

/// The orders seen so far.
#[derive(Clone, Debug, Default)]
struct Order {
    /// `edges[a][b]`: `b` was taken under `a`; indexes by [`class_idx`].
    edges: [[bool; NR_LEVELS]; NR_LEVELS],
    /// By class: whether the second lock has the higher address.
    is_ascending: [Option<bool>; NR_CLASSES],
    violations: Vec<LockViolation>,
}

/// Classes of locks.
const NR_CLASSES: usize = 3;
/// Each class at its first and second level.
const NR_LEVELS: usize = 2 * NR_CLASSES;

impl LockTable {
    /// Takes a lock for a task, or says who has it.
    #[inline]
    pub fn acquire(&mut self, task: TaskId, lock: LockId) -> Acquired {
        if let Some((_, holder)) = self.held.iter().find(|(held, _)| *held == lock) {
            return match *holder == task {
                true => Acquired::HeldAlready,
                false => Acquired::Blocked { by: *holder },
            };
        }
        if cfg!(debug_assertions) {
            self.watch(task, lock);
        }
        self.held.push((lock, task));
        Acquired::Taken
    }

    /// Releases a lock of a task; nothing if it does not have it.
    #[inline]
    pub fn release(&mut self, task: TaskId, lock: LockId) {
        // The one that was taken last is the one that is released first.
        if let Some(lock_idx) = self.held.iter().rposition(|held| *held == (lock, task)) {
            self.held.swap_remove(lock_idx);
        }
    }

    /// Returns who holds a lock.
    #[must_use]
    pub fn holder(&self, lock: LockId) -> Option<TaskId> {
        self.held
            .iter()
            .find(|(held, _)| *held == lock)
            .map(|(_, task)| *task)
    }

    /// Returns whether a task holds nothing.
    #[must_use]
    pub fn is_free_of(&self, task: TaskId) -> bool {
        self.held.iter().all(|(_, holder)| *holder != task)
    }

    /// Returns the order violations seen so far. Watched only where debug assertions are on.
    #[must_use]
    pub fn violations(&self) -> &[LockViolation] {
        &self.order.violations
    }

    /// Notes the order in which a lock is taken.
    fn watch(&mut self, task: TaskId, lock: LockId) {
        let mine = || {
            self.held
                .iter()
                .filter(|(_, holder)| *holder == task)
                .map(|(held, _)| *held)
        };
        let level = |before: &LockId| {
            mine()
                .take_while(|held| held != before)
                .filter(|held| held.class == before.class)
                .count()
        };
        let taken = (
            lock.class,
            nested(mine().filter(|held| held.class == lock.class).count()),
        );
        let order = &mut self.order;
        for held in self
            .held
            .iter()
            .filter(|(_, holder)| *holder == task)
            .map(|(held, _)| *held)
        {
            if held.class == lock.class {
                let is_ascending = held.inode < lock.inode;
                let seen = order.is_ascending[held.class as usize].get_or_insert(is_ascending);
                if *seen != is_ascending {
                    order
                        .violations
                        .push(LockViolation::AddressOrder { class: lock.class });
                }
            }
            let held = (held.class, nested(level(&held)));
            let (from, to) = (class_idx(held), class_idx(taken));
            order.edges[from][to] = true;
            if order.edges[to][from] {
                order
                    .violations
                    .push(LockViolation::ClassOrder { held, taken });
            }
        }
    }
}

/// Returns a nesting level; more than two locks of a class are never held.
fn nested(nr_before: usize) -> u8 {
    u8::from(0 < nr_before)
}

/// Returns the index of a class at a level.
fn class_idx((class, level): (LockClass, u8)) -> usize {
    class as usize * 2 + usize::from(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TaskId = TaskId(1);
    const TWO: TaskId = TaskId(2);

    fn lock(class: LockClass, inode: u32) -> LockId {
        LockId {
            class,
            inode: InodeId(inode),
        }
    }

    #[test]
    fn a_lock_has_one_holder_until_it_is_released() {
        let mut table = LockTable::default();
        let inode = lock(LockClass::Inode, 1);
        assert_eq!(table.acquire(ONE, inode), Acquired::Taken);
        assert_eq!(table.acquire(ONE, inode), Acquired::HeldAlready);
        assert_eq!(table.acquire(TWO, inode), Acquired::Blocked { by: ONE });
        table.release(ONE, inode);
        assert!(table.is_free_of(ONE));
        assert_eq!(table.acquire(TWO, inode), Acquired::Taken);
    }

    #[test]
    fn opposite_orders_within_a_class_are_noticed() {
        let mut table = LockTable::default();
        for (first, second) in [(1, 2), (2, 1)] {
            table.acquire(ONE, lock(LockClass::Mmap, first));
            table.acquire(ONE, lock(LockClass::Mmap, second));
            table.release(ONE, lock(LockClass::Mmap, second));
            table.release(ONE, lock(LockClass::Mmap, first));
        }
        assert_eq!(
            table.violations(),
            [LockViolation::AddressOrder {
                class: LockClass::Mmap
            }]
        );
    }

    #[test]
    fn opposite_orders_of_two_classes_are_noticed() {
        let mut table = LockTable::default();
        for (first, second) in [
            (LockClass::Inode, LockClass::Range),
            (LockClass::Range, LockClass::Inode),
        ] {
            table.acquire(ONE, lock(first, 1));
            table.acquire(ONE, lock(second, 1));
            table.release(ONE, lock(second, 1));
            table.release(ONE, lock(first, 1));
        }
        assert_eq!(table.violations().len(), 1);
    }
}
