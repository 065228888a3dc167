//! The ways in which an operation can have gone where space was short: [`plans`].
//!
//! What was written back, and where extents were cut, is read from what files look like
//! ([`Shown`]). A plan says the rest: before which reservations that happened, and which of them
//! found no space.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use fs_state::{Course, InodeId, Reservation, Shortage, Shown, joined};
use scenario::{
    CallEnd, ElementAnswer, Exchange, Fd, Layout, Op, Outcome, Reply, Storage, Target, TreeItem,
    TreePlace,
};
use uapi::Errno;

use super::Sequential;
use super::adopt::{SeenExtent, is_prealloc};

/// A call that found no space.
const NO_SPACE: &str = "ENOSPC";
/// A write that found space for a part.
const SHORT_WRITE: &str = "short write";
/// Dirty data that was written back to make room.
const EARLY_WRITEBACK: &str = "early writeback";
/// An extent that was cut because free space is in pieces.
const CUT_EXTENT: &str = "extent cut";

/// More points of a write than this are not tried in all combinations.
const NR_POINTS_MAX: usize = 7;

/// Numbers of reservations.
type Set = BTreeSet<u32>;

/// Returns the ways, the likely ones first. `made` are the reservations of `plain`, which went as
/// if there were space.
pub(super) fn plans(
    before: &Sequential,
    plain: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
    made: &[Reservation],
) -> Vec<Shortage> {
    let outcome = &seen.answer.outcome;
    let shown = match outcome {
        // Names are as they were.
        Outcome::Failed(_) => shown(before, &mut before.clone(), exchange, seen),
        _ => shown(before, plain, exchange, seen),
    };
    let nr_new: usize = shown.values().map(|shown| shown.extents.len()).sum();
    let mut plans = Vec::new();
    let again = pages_written_again(&shown, made).into_iter().map(Some);
    for again in iter::once(None).chain(again) {
        let made = with_page_again(made, again);
        let points = points(&shown, &made);
        for fails in fails(&exchange.op, outcome, &made, nr_new) {
            for reclaims in reclaims(&points, &made, &fails) {
                plans.push(Shortage {
                    reclaims,
                    fails: fails.clone(),
                    again,
                    shown: Some(shown.clone()),
                });
            }
        }
    }
    plans
}

/// Returns the pages that an operation reserved and that are seen to have been written back and to
/// be dirty again.
fn pages_written_again(shown: &BTreeMap<InodeId, Shown>, made: &[Reservation]) -> Vec<u64> {
    let is_again = |at: &u64| {
        let is_around = |(start, end): &(u64, u64)| start <= at && at < end;
        shown
            .values()
            .any(|shown| shown.extents.iter().any(is_around) && shown.dirty.iter().any(is_around))
    };
    let pages = made.iter().filter_map(|reservation| match reservation {
        Reservation::Page(at) => Some(*at),
        Reservation::Trees => None,
    });
    pages.filter(is_again).collect()
}

/// Returns the reservations of an operation that reserves a page twice.
fn with_page_again(made: &[Reservation], again: Option<u64>) -> Vec<Reservation> {
    let is_again = |reservation| again.map(Reservation::Page) == Some(reservation);
    let times = |&reservation| iter::repeat_n(reservation, 1 + usize::from(is_again(reservation)));
    made.iter().flat_map(times).collect()
}

/// Returns what a kernel decided freely in an operation that went so.
pub(super) fn freedoms(outcome: &Outcome, fails: &Set, course: &Course) -> Vec<&'static str> {
    let is_short = matches!(outcome, Outcome::Short(_));
    let used = [
        (!fails.is_empty() && !is_short, NO_SPACE),
        (!fails.is_empty() && is_short, SHORT_WRITE),
        // Whoever finds no space has tried to make some.
        (course.has_reclaimed && fails.is_empty(), EARLY_WRITEBACK),
        (course.has_cut, CUT_EXTENT),
    ];
    let freedoms = used.iter().filter(|(is_used, _)| *is_used);
    freedoms.map(|(_, freedom)| *freedom).collect()
}

/// Returns which reservations may have found no space. For each of the `nr_new` extents there may
/// have been one more than with space.
fn fails(op: &Op, outcome: &Outcome, made: &[Reservation], nr_new: usize) -> Vec<Set> {
    let nr_made = (made.len() + nr_new) as u32;
    let each = |from: u32| (from..nr_made).map(|nth| BTreeSet::from([nth]));
    let needs_space = !matches!(
        op,
        Op::Flush { .. }
            | Op::Fiemap { .. }
            | Op::Fsync { .. }
            | Op::Sync
            | Op::Tick
            | Op::Tree
            | Op::Observe { .. }
            | Op::Close { .. }
    );
    match outcome {
        Outcome::Failed(Errno::ENOSPC) if needs_space => {
            // A write that found space for a page is not refused.
            let may_refuse = |nth: &Set| {
                nth.iter().all(|&nth| match (op, made.get(nth as usize)) {
                    (
                        Op::Write { offset, .. } | Op::DirectWrite { offset, .. },
                        Some(Reservation::Page(at)),
                    ) => at <= offset,
                    _ => true,
                })
            };
            each(0).filter(may_refuse).collect()
        }
        Outcome::Short(written) => {
            let (Op::Write { offset, .. } | Op::DirectWrite { offset, .. }) = op else {
                return Vec::new();
            };
            let first_left = Reservation::Page(offset + written);
            let nth = made
                .iter()
                .rposition(|&reservation| reservation == first_left);
            nth.map(|nth| BTreeSet::from([nth as u32]))
                .into_iter()
                .collect()
        }
        // What a page without space comes to for a store through a mapping.
        Outcome::Failed(Errno::EFAULT) if matches!(op, Op::MappedWrite { .. }) => each(0).collect(),
        Outcome::Dedupe { end, elements, .. } => {
            let is_out_of_space =
                |element: &&ElementAnswer| element.status == Errno::ENOSPC.status();
            let nr_failed = elements.iter().filter(is_out_of_space).count() as u32;
            let is_untold = *end != CallEnd::Returned;
            let windows =
                |len: u32| (1..nr_made).map(move |from| (from..from + len).collect::<Set>());
            let none = (nr_failed == 0).then(Set::new);
            // Of a reply that could not be written nobody knows what it says, of any element.
            let nr_untold = match is_untold {
                true => elements.len() as u32,
                false => 0,
            };
            let some = (nr_failed.max(1)..=nr_failed + nr_untold).flat_map(windows);
            let rest = (1 < nr_failed).then(|| (1..nr_made).map(|from| (from..nr_made).collect()));
            none.into_iter()
                .chain(some)
                .chain(rest.into_iter().flatten())
                .collect()
        }
        _ => vec![BTreeSet::new()],
    }
}

/// Returns the sets of reservations before which dirty data may have been written back, if those
/// of `fails` found no space.
fn reclaims(points: &Set, made: &[Reservation], fails: &Set) -> Vec<Set> {
    let begin = Set::from([0]);
    let mut sets = vec![Set::new(), begin.clone(), points.clone(), points | &begin];
    let singles = (0..made.len() as u32).map(|nth| Set::from([nth]));
    sets.extend(singles.clone());
    sets.extend(singles.map(|single| points | &single));
    if points.len() <= NR_POINTS_MAX {
        sets.extend(subsets(points));
    }
    let mut all: Vec<Set> = Vec::new();
    for set in sets.iter().map(|set| set | fails).chain(sets.clone()) {
        if !all.contains(&set) {
            all.push(set);
        }
    }
    all
}

/// Returns all parts of a set, with 0 and without it.
fn subsets(points: &Set) -> Vec<Set> {
    let mut parts = vec![Set::new(), Set::from([0])];
    for &point in points {
        let with_point = |part: &Set| part | &Set::from([point]);
        let more: Vec<Set> = parts.iter().map(with_point).collect();
        parts.extend(more);
    }
    parts
}

/// Returns the reservations of pages at which an extent or a dirty range begins or ends: what was
/// written so far may have been written back there.
fn points(shown: &BTreeMap<InodeId, Shown>, made: &[Reservation]) -> Set {
    let ranges = shown
        .values()
        .flat_map(|shown| shown.extents.iter().chain(&shown.dirty));
    let ends: BTreeSet<u64> = ranges.flat_map(|(start, end)| [*start, *end]).collect();
    let is_point = |(_, reservation): &(usize, &Reservation)| match reservation {
        Reservation::Page(at) => ends.contains(at),
        Reservation::Trees => false,
    };
    let pages = made.iter().enumerate().filter(is_point);
    pages.map(|(nth, _)| nth as u32).collect()
}

/// Returns what files look like, whose names are as in `named`.
fn shown(
    before: &Sequential,
    named: &mut Sequential,
    exchange: &Exchange,
    seen: &Reply,
) -> BTreeMap<InodeId, Shown> {
    let probed = exchange.probes.iter().zip(&seen.layouts);
    let layouts: BTreeMap<InodeId, &Layout> = probed
        .filter_map(|(probe, layout)| Some((named.id_of(&probe.name)?, layout.as_ref()?)))
        .collect();
    let mut fresh: BTreeMap<SeenExtent, u64> = items(&layouts)
        .filter_map(|(id, item)| SeenExtent::of(id, item))
        .filter(|(extent, len)| {
            !before.knows(*extent) || is_written_anew(before, named, &layouts, *extent, *len)
        })
        .collect();
    let fds: Vec<&Fd> = match &exchange.op {
        Op::Clone(call) => vec![&call.source, &call.target],
        Op::Dedupe(call) => {
            let targets = call.targets.iter().map(|target| &target.fd);
            iter::once(&call.source).chain(targets).collect()
        }
        _ => Vec::new(),
    };
    let mut inode_of = |fd: &&Fd| match &fd.target {
        Target::Name(name) => named.id_of(name),
        _ => None,
    };
    let inodes: Vec<Option<InodeId>> = fds.iter().map(&mut inode_of).collect();
    if let Some((source, targets)) = inodes.split_first() {
        leave_out_clones(before, *source, targets, &layouts, &mut fresh);
    }
    let shown_of = |(id, layout): (InodeId, &Layout)| {
        let items = layout.items.iter();
        let prealloc = items.clone().filter(|item| is_prealloc(item));
        let written = items.clone().filter(|item| !is_prealloc(item));
        let in_place = written.flat_map(|item| {
            let extent = SeenExtent::of(id, item).map(|(extent, _)| extent);
            let known = extent.into_iter().flat_map(|it| before.prealloc_of(it));
            let (start, end) = range_of(item);
            let common = known.map(move |(from, to)| (from.max(start), to.min(end)));
            common.filter(|(from, to)| from < to)
        });
        let mut places = items.clone().map(|item| item.place);
        let extents = fresh.iter().filter(|(extent, _)| extent.inode() == id);
        let shown = Shown {
            extents: extents
                .filter_map(|(extent, len)| extent.range(*len))
                .collect(),
            dirty: layout.dirty.clone(),
            prealloc: prealloc.map(range_of).collect(),
            in_place: joined(in_place),
            is_inline: places.any(|place| matches!(place, TreePlace::Inline { .. })),
        };
        (id, shown)
    };
    layouts.into_iter().map(shown_of).collect()
}

/// Returns whether an extent that was there before is of new data that came to lie where the last
/// extent lay: all of that was dirty, or became dirty in the operation, and none of it is. What was
/// preallocated is written in place.
fn is_written_anew(
    before: &Sequential,
    named: &Sequential,
    layouts: &BTreeMap<InodeId, &Layout>,
    extent: SeenExtent,
    len: u64,
) -> bool {
    let id = extent.inode();
    let (Some((start, end)), Some(layout)) = (extent.range(len), layouts.get(&id)) else {
        return false;
    };
    let is_around = |&(from, to): &(u64, u64)| from <= start && end <= to;
    let overlaps = |&(from, to): &(u64, u64)| from < end && start < to;
    let dirty = named.machine().fs().unwritten(id);
    dirty.iter().any(is_around)
        && !layout.dirty.iter().any(overlaps)
        && before.prealloc_of(extent).next().is_none()
}

/// Returns the range of an item, (start, end) in bytes.
fn range_of(item: &TreeItem) -> (u64, u64) {
    (item.offset, item.offset + item.len)
}

/// Returns the items of files.
fn items<'l>(
    layouts: &'l BTreeMap<InodeId, &Layout>,
) -> impl Iterator<Item = (InodeId, &'l TreeItem)> {
    let of_file = |(id, layout): (&InodeId, &&'l Layout)| {
        let id = *id;
        layout.items.iter().map(move |item| (id, item))
    };
    layouts.iter().flat_map(of_file)
}

/// Leaves out the extents that came by being cloned: those that were there before, and of those
/// that lie at several places the ones that are not in the source, that begin or end where nothing
/// was dirty, and of which less is seen than at another place.
fn leave_out_clones(
    before: &Sequential,
    source: Option<InodeId>,
    targets: &[Option<InodeId>],
    layouts: &BTreeMap<InodeId, &Layout>,
    fresh: &mut BTreeMap<SeenExtent, u64>,
) {
    let is_within = source.is_some() && targets.contains(&source);
    let mut nr_seen: BTreeMap<SeenExtent, u64> = BTreeMap::new();
    for (id, item) in items(layouts) {
        if let Some((extent, _)) = SeenExtent::of(id, item) {
            *nr_seen.entry(extent).or_default() += item.len;
        }
    }
    // What is nowhere any more where it was is gone, and its place may be that of new data; but
    // cloning within a file may overwrite what it takes.
    let is_left = |extent: &&SeenExtent| {
        nr_seen.contains_key(extent) || is_within && Some(extent.inode()) == source
    };
    let old: BTreeSet<Storage> = before
        .known()
        .filter(is_left)
        .map(|extent| extent.storage())
        .collect();
    let places: Vec<SeenExtent> = fresh.keys().copied().collect();
    let was_dirty = |extent: &SeenExtent, len: u64| {
        let unwritten = before.machine().fs().unwritten(extent.inode());
        let range = extent.range(len);
        let is_around = |(from, to): &(u64, u64)| {
            range.is_some_and(|(start, end)| *from <= start && end <= *to)
        };
        unwritten.iter().any(is_around)
    };
    let is_clone = |extent: &SeenExtent, len: u64| {
        let same = places
            .iter()
            .filter(|other| other.storage() == extent.storage() && *other != extent);
        let is_from_source = |other: &SeenExtent| Some(other.inode()) == source;
        let has_more =
            |other: &SeenExtent| nr_seen.get(extent) < nr_seen.get(other) && was_dirty(other, len);
        match same.clone().count() {
            0 => false,
            _ if !is_from_source(extent) && same.clone().any(is_from_source) => true,
            _ => !was_dirty(extent, len) || same.clone().any(has_more),
        }
    };
    fresh.retain(|extent, len| !old.contains(&extent.storage()) && !is_clone(extent, *len));
}
