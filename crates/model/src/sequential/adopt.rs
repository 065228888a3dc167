//! Taking over what a kernel decided freely: `docs/envelope.md` lists it as `adopt`.
//!
//! On a small filesystem that is where space was short. Nobody can compute it, so the ways in which
//! an operation can have gone are tried, the likely ones first, each from the state before it; the
//! first that leads to exactly what the kernel shows is what happened. What they are is `plans.rs`.
//! If none does, the operation is carried out as if there were space, and the difference is told.
//!
//! An exchange may be adopted twice, for a kernel completes ordered extents behind its caller's
//! back and an early look sees them as delayed allocation. So the state before it is kept.

use std::collections::BTreeSet;

use fs_state::{Course, InodeId, Kind, Reservation, Shortage};
use ondisk::Compression;
use scenario::{
    Answer, Backend, BackendError, Exchange, Layout, Name, Observation, Outcome, Reply, Storage,
    TreeItem, TreePlace,
};

use super::{Sequential, plans, trees};

impl Sequential {
    /// Keeps the state from which the exchange can be adopted anew, and adopts it.
    pub(super) fn adopt_first(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Reply, BackendError> {
        // One state is enough: nothing but the last exchange is taken back.
        self.before = None;
        if self.compression != Compression::None {
            self.before = Some(Box::new(self.clone()));
            return self.run_compressed(exchange, seen);
        }
        let before = self.clone();
        self.adopt_shortage(before, exchange, seen)
    }

    /// Takes the last exchange back and adopts it from what was seen later.
    pub(super) fn adopt_later(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Reply, BackendError> {
        if self.compression != Compression::None {
            self.take_back();
            return self.run_compressed(exchange, seen);
        }
        let Some(before) = self.before.take() else {
            return self.adopt_first(exchange, seen);
        };
        *self = (*before).clone();
        self.adopt_shortage(*before, exchange, seen)
    }

    /// Takes the last exchange back.
    pub(super) fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            *self = (*before).clone();
            self.before = Some(before);
        }
    }

    /// Carries out an exchange as the kernel did that showed `seen`. Nothing has happened since
    /// `before`.
    fn adopt_shortage(
        &mut self,
        before: Sequential,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Reply, BackendError> {
        let (mut reply, course) = self.attempt(exchange, Shortage::default())?;
        let is_plain =
            is_as_seen(exchange, &reply, seen) && self.is_new_where(exchange, &reply, seen);
        if !seen.layouts.is_empty() && !is_plain {
            for plan in plans::plans(&before, self, exchange, seen, &course.made) {
                let mut tried = before.clone();
                let fails = plan.fails.clone();
                let (mut tried_reply, course) = tried.attempt(exchange, plan)?;
                if is_as_seen(exchange, &tried_reply, seen)
                    && tried.is_new_where(exchange, &tried_reply, seen)
                {
                    tried_reply.answer.adopted =
                        plans::freedoms(&seen.answer.outcome, &fails, &course);
                    reply = tried_reply;
                    *self = tried;
                    break;
                }
            }
        }
        let extent = |(extent, _): (SeenExtent, TreeItem)| extent;
        self.own_extents = self.extents(exchange, &reply).map(extent).collect();
        self.seen_prealloc = self
            .extents(exchange, seen)
            .filter(|(_, item)| is_prealloc(item))
            .map(|(extent, item)| (extent, (item.offset, item.offset + item.len)))
            .collect();
        self.seen_extents = self.extents(exchange, seen).map(extent).collect();
        self.before = Some(Box::new(before));
        Ok(reply)
    }

    /// Carries out an exchange where space is short as the plan says; returns how it went, too.
    fn attempt(
        &mut self,
        exchange: &Exchange,
        shortage: Shortage,
    ) -> Result<(Reply, Course), BackendError> {
        let op = &exchange.op;
        self.machine.fs_mut().begin_shortage(shortage);
        self.close_first(op);
        let mut answer = match self.machine.fs_mut().reserve(Reservation::Trees) {
            Ok(()) => self.apply(op)?,
            Err(errno) => Answer::plain(Outcome::Failed(errno)),
        };
        // Some change an inode in memory first and find no space to write it then.
        if let Err(errno) = self.machine.fs_mut().reserve(Reservation::Trees)
            && answer.outcome == Outcome::Done
        {
            answer.outcome = Outcome::Failed(errno);
        }
        let course = self.machine.fs_mut().end_shortage();
        let (observations, layouts) = self.look(&exchange.probes)?;
        let reply = Reply {
            answer,
            observations,
            layouts,
        };
        Ok((reply, course))
    }

    /// Returns whether files got new extents exactly where the kernel shows new ones. One that is
    /// new may lie where the last one lay, if nothing refers to that any more: what is written back
    /// twice in an operation can come to where it was before.
    fn is_new_where(&mut self, exchange: &Exchange, reply: &Reply, seen: &Reply) -> bool {
        let items = reply.layouts.iter().flatten();
        let items = items.flat_map(|layout| &layout.items);
        let left: BTreeSet<Storage> = items.filter_map(storage_of).collect();
        let layouts = reply.layouts.iter().zip(&seen.layouts);
        exchange.probes.iter().zip(layouts).all(|(probe, pair)| {
            let ((Some(own), Some(seen)), Some(id)) = (pair_of(pair), self.id_of(&probe.name))
            else {
                return true;
            };
            own.items.iter().zip(&seen.items).all(|(own, seen)| {
                let extent = |item| SeenExtent::of(id, item).map(|(extent, _)| extent);
                let (Some(own), Some(seen)) = (extent(own), extent(seen)) else {
                    return true;
                };
                let is_known = self.own_extents.contains(&own);
                let last = self.own_extents.iter().filter(|last| last.is_where(own));
                let mut last = last.map(|last| last.storage());
                match (is_known, self.seen_extents.contains(&seen)) {
                    (false, true) => last.any(|storage| !left.contains(&storage)),
                    (one, two) => one == two,
                }
            })
        })
    }

    /// Returns the extents that were seen after the last operation.
    pub(super) fn known(&self) -> impl Iterator<Item = &SeenExtent> {
        self.seen_extents.iter()
    }

    /// Returns whether an extent was seen after the last operation.
    pub(super) fn knows(&self, extent: SeenExtent) -> bool {
        self.seen_extents.contains(&extent)
    }

    /// Returns what of an extent was seen to be preallocated after the last operation, (start, end)
    /// in the file.
    pub(super) fn prealloc_of(&self, extent: SeenExtent) -> impl Iterator<Item = (u64, u64)> {
        let of_it = self
            .seen_prealloc
            .iter()
            .filter(move |(it, _)| *it == extent);
        of_it.map(|(_, range)| *range)
    }

    /// Returns where files are seen to have extents, with the items that refer to them.
    fn extents<'a>(
        &'a mut self,
        exchange: &'a Exchange,
        seen: &'a Reply,
    ) -> impl Iterator<Item = (SeenExtent, TreeItem)> + 'a {
        let probed = exchange.probes.iter().zip(&seen.layouts);
        probed.flat_map(|(probe, layout)| {
            let id = self.id_of(&probe.name);
            let items = layout.iter().flat_map(|layout| layout.items.iter());
            let extent = |item: &TreeItem| Some((SeenExtent::of(id?, item)?.0, *item));
            items.filter_map(extent).collect::<Vec<_>>()
        })
    }

    /// Returns the inode of a name.
    pub(super) fn id_of(&mut self, name: &Name) -> Option<InodeId> {
        let held = self.descriptors.held(&self.machine, name);
        held.or_else(|| self.machine.fs_mut().lookup(name.as_str()).ok())
    }

    /// Returns what lies below the map of a file.
    pub(super) fn layout_of(&mut self, name: &Name) -> Option<Layout> {
        let id = self.id_of(name)?;
        let fs = self.machine.fs();
        if fs.inode(id).kind() != Kind::Regular {
            return None;
        }
        let items = fs
            .items(id)
            .map(|(key, item)| trees::tree_item(fs, key, item, Compression::None));
        Some(Layout {
            dirty: fs.unwritten(id),
            items: items.collect(),
        })
    }
}

/// Where a file was seen to have an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeenExtent {
    id: InodeId,
    storage: Storage,
    /// Where in the file its first byte would lie; one that was cloned may begin before the file.
    start: i64,
}

impl SeenExtent {
    /// Returns what an item refers to and how long that is on disk, if it refers to an extent.
    pub(super) fn of(id: InodeId, item: &TreeItem) -> Option<(SeenExtent, u64)> {
        let TreePlace::Extent {
            extent: storage,
            disk_len,
            skip,
            ..
        } = item.place
        else {
            return None;
        };
        let start = item.offset.checked_signed_diff(skip)?;
        Some((SeenExtent { id, storage, start }, disk_len))
    }

    /// Returns the file.
    pub(super) fn inode(self) -> InodeId {
        self.id
    }

    /// Returns where it lies.
    pub(super) fn storage(self) -> Storage {
        self.storage
    }

    /// Returns whether both begin at one place of one file.
    fn is_where(self, other: SeenExtent) -> bool {
        (self.id, self.start) == (other.id, other.start)
    }

    /// Returns where in the file its bytes would lie if it has `len`, (start, end), unless it
    /// begins before the file: what was written there does not.
    pub(super) fn range(self, len: u64) -> Option<(u64, u64)> {
        let start = u64::try_from(self.start).ok()?;
        Some((start, start + len))
    }
}

/// Returns where the extent lies that an item refers to.
fn storage_of(item: &TreeItem) -> Option<Storage> {
    match item.place {
        TreePlace::Extent { extent, .. } => Some(extent),
        TreePlace::Inline { .. } | TreePlace::Hole => None,
    }
}

/// Returns whether an item is of preallocated space.
pub(super) fn is_prealloc(item: &TreeItem) -> bool {
    let TreePlace::Extent { is_prealloc, .. } = item.place else {
        return false;
    };
    is_prealloc
}

/// Returns a pair of references.
fn pair_of<'l>(
    (own, seen): (&'l Option<Layout>, &'l Option<Layout>),
) -> (Option<&'l Layout>, Option<&'l Layout>) {
    (own.as_ref(), seen.as_ref())
}

/// Returns whether the model came to exactly what the kernel shows, but for where data is stored
/// and what is shared: that is compared later, over the whole run.
fn is_as_seen(exchange: &Exchange, reply: &Reply, seen: &Reply) -> bool {
    // Trees are compared by labels, and need no shortage to be explained.
    let outcomes = match (&reply.answer.outcome, &seen.answer.outcome) {
        (Outcome::Trees(_), Outcome::Trees(_)) => true,
        (one, two) => one == two,
    };
    let observations = reply.observations.iter().zip(&seen.observations);
    let layouts = reply.layouts.iter().zip(&seen.layouts);
    outcomes
        && reply.observations.len() == exchange.probes.len()
        && observations
            .into_iter()
            .all(|(one, two)| is_alike(one, two))
        && layouts.into_iter().all(|pair| match pair {
            (Some(one), Some(two)) => one.is_alike(two),
            // A file that one of them does not have is an observation that differs.
            _ => true,
        })
}

fn is_alike(one: &Observation, two: &Observation) -> bool {
    match (one, two) {
        (
            Observation::File { stat, content, .. },
            Observation::File {
                stat: other_stat,
                content: other_content,
                ..
            },
        ) => stat == other_stat && content == other_content,
        (Observation::Other { stat }, Observation::Other { stat: other }) => {
            (stat.kind, stat.mode, stat.uid) == (other.kind, other.mode, other.uid)
        }
        (one, two) => one == two,
    }
}
