//! The judge: [`Comparer`] holds the answers of two witnesses against each other, over a run.
//!
//! Storage numbers mean nothing across backends. What is compared is which blocks share: the
//! comparer keeps a one-to-one correspondence of the storage that each name was last seen to have.
//! The expected witness is the left one, the observed the right one.

mod map;
mod touching;

use rustc_hash::FxHashMap;
use scenario::{
    Capabilities, ElementAnswer, Exchange, Name, Observation, Op, Outcome, Reply, Stat,
    trees::TreePair,
};

use crate::bijection::{Bijection, Conflict, Stretch};
use crate::difference::{Difference, Side, StatField, existence};
use crate::tally::OpenShares;
use map::Pair;
use touching::Touching;

/// The most differences that one comparison returns: the first ones say it all.
pub(crate) const DIFFERENCES_MAX: usize = 16;

/// What was seen so far, and how it is to be read.
#[derive(Clone, Debug)]
pub struct Comparer {
    has_extents: bool,
    /// Where SHARED is left open, by name; `None` if the expected witness tells it exactly.
    touching: Option<FxHashMap<Name, Touching>>,
    /// How often maps differed where that is open.
    open_shares: OpenShares,
    left_has_fine_times: bool,
    right_has_fine_times: bool,
    seen: FxHashMap<Name, Seen>,
    bijection: Bijection,
    /// Comparisons so far.
    step: u64,
    /// The comparison of the last `tick`.
    tick_step: u64,
}

/// What a name looked like at the last look.
#[derive(Clone, Debug, Default)]
struct Seen {
    left: Vec<scenario::MapRun>,
    right: Vec<scenario::MapRun>,
    /// Whether `left` and `right` agreed, so that seeing them again says nothing new.
    is_settled: bool,
    /// The parts with storage; these and no others are in the bijection.
    pairs: Vec<Pair>,
    /// The last comparison at which the inode may have got a stamp.
    stamp_step: u64,
}

impl Comparer {
    /// Returns a comparer for a run that begins on two empty filesystems.
    pub fn new(left: &Capabilities, right: &Capabilities) -> Comparer {
        Comparer {
            has_extents: left.has_extents && right.has_extents,
            touching: (!left.has_exact_shares).then(FxHashMap::default),
            open_shares: OpenShares::default(),
            left_has_fine_times: left.has_fine_times,
            right_has_fine_times: right.has_fine_times,
            seen: FxHashMap::default(),
            bijection: Bijection::default(),
            step: 0,
            tick_step: 0,
        }
    }

    /// Returns how often an observed map told an extent shared, or not, otherwise than the expected
    /// one, which said that this may be.
    pub(crate) fn open_shares(&self) -> OpenShares {
        self.open_shares
    }

    /// Returns on what the two replies to an exchange disagree, at most 16 facts. Once there was a
    /// difference, comparing what comes later means nothing.
    pub fn compare(&mut self, exchange: &Exchange, left: &Reply, right: &Reply) -> Vec<Difference> {
        self.step += 1;
        if exchange.op == Op::Tick {
            self.tick_step = self.step;
        }
        if let Op::Rename { target, .. } = &exchange.op {
            // The stamps come from another name, about which nothing is known here.
            for (_, seen) in self
                .seen
                .iter_mut()
                .filter(|(name, _)| name.is_within(target))
            {
                seen.stamp_step = self.step;
            }
        }
        if let Op::Link { source, target } | Op::Rename { source, target } = &exchange.op
            && let Some(touching) = &mut self.touching
            && let Some(of_file) = touching.get(source).cloned()
        {
            // The same file under another name.
            touching.insert(target.clone(), of_file);
        }
        self.compare_again(exchange, left, right)
    }

    /// Compares the replies to the last exchange; for a second look at it, too.
    pub(crate) fn compare_again(
        &mut self,
        exchange: &Exchange,
        left: &Reply,
        right: &Reply,
    ) -> Vec<Difference> {
        let mut differences = Vec::new();
        compare_outcomes(
            &left.answer.outcome,
            &right.answer.outcome,
            &mut differences,
        );
        for (side, reply) in [(Side::Left, left), (Side::Right, right)] {
            let complaints = reply.answer.complaints.iter().cloned();
            differences.extend(complaints.map(|text| Difference::Complaint { side, text }));
        }
        let seen = exchange
            .probes
            .iter()
            .zip(left.observations.iter().zip(&right.observations));
        let mut moved = Vec::new();
        for (probe, (left, right)) in seen {
            let name = &probe.name;
            self.compare_one(name, left, right, &mut moved, &mut differences);
        }
        // What left the old places has to be out before anything comes to lie there.
        for (name, pairs) in moved {
            self.enter(&name, &pairs, &mut differences);
        }
        compare_layouts(exchange, left, right, &mut differences);
        if matches!(exchange.op, Op::Sync | Op::Tree) {
            self.forget_all_but(exchange);
        }
        differences.truncate(DIFFERENCES_MAX);
        differences
    }

    /// Compares what was seen of one name; leaves the pairs that are new in `moved`.
    fn compare_one(
        &mut self,
        name: &Name,
        left: &Observation,
        right: &Observation,
        moved: &mut Vec<(Name, Vec<Pair>)>,
        differences: &mut Vec<Difference>,
    ) {
        match (left, right) {
            (
                Observation::File {
                    stat: left_stat,
                    content: left_content,
                    map: left_map,
                },
                Observation::File {
                    stat: right_stat,
                    content: right_content,
                    map: right_map,
                },
            ) => {
                self.compare_stats(name, left_stat, right_stat, differences);
                if left_content != right_content {
                    differences.push(Difference::Content {
                        name: name.clone(),
                        left: *left_content,
                        right: *right_content,
                    });
                }
                if self.has_extents {
                    self.compare_maps(name, left_map, right_map, moved, differences);
                }
                self.seen.entry(name.clone()).or_default().stamp_step = self.step;
            }
            (Observation::Other { stat: left }, Observation::Other { stat: right })
                if left.kind == right.kind =>
            {
                self.forget(name);
                let fields = [
                    (StatField::Mode, u64::from(left.mode), u64::from(right.mode)),
                    (StatField::Uid, u64::from(left.uid), u64::from(right.uid)),
                ];
                push_stats(name, &fields, differences);
            }
            (Observation::Absent, Observation::Absent) => self.forget(name),
            (Observation::Unreadable(left), Observation::Unreadable(right)) if left == right => {}
            (left, right) => differences.push(Difference::Existence {
                name: name.clone(),
                left: existence(left),
                right: existence(right),
            }),
        }
    }

    fn compare_stats(
        &mut self,
        name: &Name,
        left: &Stat,
        right: &Stat,
        differences: &mut Vec<Difference>,
    ) {
        let blocks = if self.has_extents {
            (left.blocks, right.blocks)
        } else {
            (0, 0)
        };
        let mut fields = [
            (StatField::Size, left.size, right.size),
            (StatField::Blocks, blocks.0, blocks.1),
            (StatField::Mode, u64::from(left.mode), u64::from(right.mode)),
            (StatField::Uid, u64::from(left.uid), u64::from(right.uid)),
            (
                StatField::Mtime,
                u64::from(left.mtime_changed),
                u64::from(right.mtime_changed),
            ),
            (
                StatField::Ctime,
                u64::from(left.ctime_changed),
                u64::from(right.ctime_changed),
            ),
        ];
        let stamp_step = self
            .seen
            .get(name)
            .map_or(self.step, |seen| seen.stamp_step);
        // Two changes within one tick of a coarse clock look like none.
        let may_hide = self.tick_step <= stamp_step;
        for (_, left, right) in &mut fields[4..] {
            let is_coarse = if *left < *right {
                !self.left_has_fine_times
            } else {
                !self.right_has_fine_times
            };
            if left != right && is_coarse && may_hide {
                *right = *left;
            }
        }
        push_stats(name, &fields, differences);
    }

    /// Compares two maps and takes what is no longer there out of the bijection.
    fn compare_maps(
        &mut self,
        name: &Name,
        left: &[scenario::MapRun],
        right: &[scenario::MapRun],
        moved: &mut Vec<(Name, Vec<Pair>)>,
        differences: &mut Vec<Difference>,
    ) {
        let seen = self.seen.entry(name.clone()).or_default();
        if seen.is_settled && seen.left == left && seen.right == right {
            return;
        }
        let nr_before = differences.len();
        let touching = self.touching.as_mut();
        let touching = touching.map(|touching| touching.entry(name.clone()).or_default());
        let map::Compared { pairs, open_shares } =
            map::compare(name, left, right, touching, differences);
        self.open_shares += open_shares;
        seen.is_settled = nr_before == differences.len();
        let nr_head = seen
            .pairs
            .iter()
            .zip(&pairs)
            .take_while(|(old, new)| old == new)
            .count();
        let old_rest = &seen.pairs[nr_head..];
        let new_rest = &pairs[nr_head..];
        let tails = old_rest.iter().rev().zip(new_rest.iter().rev());
        let nr_tail = tails.take_while(|(old, new)| old == new).count();
        for pair in &old_rest[..old_rest.len() - nr_tail] {
            self.bijection.remove(pair.stretch);
        }
        let new = new_rest[..new_rest.len() - nr_tail].to_vec();
        if !new.is_empty() {
            moved.push((name.clone(), new));
        }
        seen.left.clear();
        seen.left.extend_from_slice(left);
        seen.right.clear();
        seen.right.extend_from_slice(right);
        seen.pairs = pairs;
    }

    /// Puts a name's new pairs into the bijection, up to the first that does not fit.
    fn enter(&mut self, name: &Name, pairs: &[Pair], differences: &mut Vec<Difference>) {
        let mut pairs = pairs.iter();
        let conflict = pairs.find_map(|pair| {
            let conflict = self.bijection.insert(pair.stretch).err()?;
            Some((*pair, conflict))
        });
        let Some((pair, conflict)) = conflict else {
            return;
        };
        if let Some(seen) = self.seen.get_mut(name) {
            // What did not get in must not be taken out later, nor be taken for seen.
            seen.pairs
                .retain(|seen| *seen != pair && !pairs.as_slice().contains(seen));
            seen.is_settled = false;
        }
        let (skip, shared_on) = match conflict {
            Conflict::Left { skip } => (skip, Side::Left),
            Conflict::Right { skip } => (skip, Side::Right),
        };
        let offset = pair.offset + skip;
        differences.push(Difference::Sharing {
            name: name.clone(),
            offset,
            shared_on,
            other: self.owner(shared_on, pair.stretch, skip, (name, offset)),
        });
    }

    /// Returns a block, other than the given one, that has the storage `skip` bytes into a
    /// stretch.
    fn owner(
        &self,
        side: Side,
        stretch: Stretch,
        skip: u64,
        but: (&Name, u64),
    ) -> Option<(Name, u64)> {
        let start = |stretch: &Stretch| match side {
            Side::Left => stretch.left,
            Side::Right => stretch.right,
        };
        let place = start(&stretch) + skip;
        let mut owners: Vec<(Name, u64)> = Vec::new();
        for (name, seen) in &self.seen {
            let blocks = seen.pairs.iter().filter_map(|pair| {
                let into = place.checked_sub(start(&pair.stretch))?;
                (into < pair.stretch.len).then_some(pair.offset + into)
            });
            owners.extend(blocks.map(|offset| (name.clone(), offset)));
        }
        owners.retain(|(name, offset)| (name, *offset) != but);
        owners.sort();
        owners.into_iter().next()
    }

    /// Forgets where a name's data lies.
    fn forget(&mut self, name: &Name) {
        if let Some(seen) = self.seen.remove(name) {
            for pair in &seen.pairs {
                self.bijection.remove(pair.stretch);
            }
        }
    }

    /// Forgets where the data of names lies that were not looked at.
    fn forget_all_but(&mut self, exchange: &Exchange) {
        let is_seen = |name: &Name| exchange.probes.iter().any(|probe| probe.name == *name);
        let stale: Vec<Name> = self
            .seen
            .keys()
            .filter(|name| !is_seen(name))
            .cloned()
            .collect();
        stale.iter().for_each(|name| self.forget(name));
    }
}

/// Compares what lies below the maps, where that is told.
fn compare_layouts(
    exchange: &Exchange,
    left: &Reply,
    right: &Reply,
    differences: &mut Vec<Difference>,
) {
    let layouts = left.layouts.iter().zip(&right.layouts);
    for (probe, layouts) in exchange.probes.iter().zip(layouts) {
        if let (Some(left), Some(right)) = layouts
            && let Some(TreePair { left, right }) = left.first_difference(right)
        {
            let name = probe.name.clone();
            differences.push(Difference::Layout { name, left, right });
        }
    }
}

fn push_stats(name: &Name, fields: &[(StatField, u64, u64)], differences: &mut Vec<Difference>) {
    for (field, left, right) in fields {
        if left != right {
            let (name, field, left, right) = (name.clone(), *field, *left, *right);
            differences.push(Difference::Stat {
                name,
                field,
                left,
                right,
            });
        }
    }
}

fn compare_outcomes(left: &Outcome, right: &Outcome, differences: &mut Vec<Difference>) {
    if left == right {
        return;
    }
    if let (Outcome::Trees(left), Outcome::Trees(right)) = (left, right) {
        let pairs = scenario::side_by_side(left, right).into_iter();
        let odd = pairs.filter(|pair| !pair.is_equal());
        differences.extend(odd.map(|TreePair { left, right }| Difference::Tree { left, right }));
        return;
    }
    let (
        Outcome::Dedupe {
            end: left_end,
            elements: left_elements,
            bytes: left_bytes,
        },
        Outcome::Dedupe {
            end: right_end,
            elements: right_elements,
            bytes: right_bytes,
        },
    ) = (left, right)
    else {
        differences.push(Difference::Return {
            left: left.clone(),
            right: right.clone(),
        });
        return;
    };
    if left_end != right_end {
        differences.push(Difference::Return {
            left: left.clone(),
            right: right.clone(),
        });
    }
    let nr_elements = left_elements.len().max(right_elements.len());
    let element = |elements: &[ElementAnswer], idx: usize| elements.get(idx).copied();
    let nr_before = differences.len();
    for element_idx in 0..nr_elements {
        let (left, right) = (
            element(left_elements, element_idx),
            element(right_elements, element_idx),
        );
        if left != right {
            differences.push(Difference::Element {
                element_idx,
                left,
                right,
            });
        }
    }
    if nr_before == differences.len() && left_bytes != right_bytes {
        let same = left_bytes
            .iter()
            .zip(right_bytes)
            .take_while(|(one, two)| one == two);
        let at = same.count();
        let (left, right) = (left_bytes.get(at).copied(), right_bytes.get(at).copied());
        differences.push(Difference::ReplyBytes { at, left, right });
    }
}

#[cfg(test)]
mod tests;
