//! Which extents could go: those all of whose references are known and may be moved.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use volume::{
    Compression, Extent, ExtentReferences, File, FileId, Reference, ReferenceKind, Volume,
};

use super::allowance::{self, Allowance};
use super::{Stay, StayReason};
use crate::catalog::{self, Catalog, ExtentIdx, Known};
use crate::classes::Classes;
use crate::options::{Options, Rewrite};
use crate::report::{Report, Stopped};
use crate::watch::{Phase, Watch};

/// How many extents are asked about at once.
const NR_ASKED: usize = 4096;

/// An extent that could go.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The extent.
    pub(crate) extent_idx: ExtentIdx,
    /// Everything that refers to it.
    pub(crate) references: Vec<Reference>,
    /// The sizes of the files of the references, bytes.
    pub(crate) sizes: Vec<u64>,
    /// Whether every block of it that is referred to has an equal.
    pub(crate) is_all_duplicate: bool,
    /// Whether leftovers of it may be written anew: what they take on disk is known beforehand.
    pub(crate) may_be_rewritten: bool,
}

/// What stays, by reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stays(BTreeMap<StayReason, (u64, u64)>);

impl Stays {
    /// Counts an extent that has so many bytes of duplicates.
    pub(crate) fn add(&mut self, reason: StayReason, bytes: u64) {
        let (nr_extents, sum) = self.0.entry(reason).or_default();
        *nr_extents += 1;
        *sum += bytes;
    }

    pub(crate) fn into_list(self) -> Vec<Stay> {
        let stay = |(reason, (nr_extents, bytes))| Stay {
            reason,
            nr_extents,
            bytes,
        };
        self.0.into_iter().map(stay).collect()
    }
}

/// What [`find`] asks with.
pub(super) struct Asking<'a> {
    /// What the run is asked to do.
    pub(super) options: &'a Options,
    /// How much memory there may be for what is found.
    pub(super) allowance: &'a mut Allowance,
    /// Counts what stays.
    pub(super) stays: &'a mut Stays,
}

/// What [`find`] found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The extents that could go.
    pub(crate) candidates: Vec<Candidate>,
    /// Extents that have so many references that nothing more is to be moved to them.
    pub(crate) full: Vec<ExtentIdx>,
}

/// What is known of the files of references.
type Files = FxHashMap<FileId, Option<File>>;

/// Returns the extents that could go.
///
/// # Errors
/// If the volume fails as a whole, it takes too much memory, or the watch says stop.
pub(super) fn find(
    catalog: &Catalog,
    classes: &Classes,
    asking: Asking<'_>,
    volume: &mut dyn Volume,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Result<Found, Stopped> {
    let Asking {
        options,
        allowance,
        stays,
    } = asking;
    let mut worth_asking = Vec::new();
    for (extent_idx, known) in catalog.iter() {
        let nr_duplicate = classes.nr_within(&known);
        let is_all_duplicate = 0 < nr_duplicate && nr_duplicate == known.nr_live();
        let is_plain = known.extent.compression == Compression::None;
        let may_be_rewritten = is_plain && options.rewrite != Rewrite::Never;
        let has_waste = u64::from(known.nr_live()) * catalog.block < known.extent.disk_bytes;
        allowance.take(nr_duplicate.into(), allowance::BLOCK_BYTES)?;
        if is_all_duplicate || may_be_rewritten && (0 < nr_duplicate || has_waste) {
            allowance.take(1, allowance::CANDIDATE_BYTES)?;
            worth_asking.push((extent_idx, is_all_duplicate, may_be_rewritten));
        } else if 0 < nr_duplicate {
            stays.add(StayReason::Needed, u64::from(nr_duplicate) * catalog.block);
        }
    }
    let mut files = Files::default();
    let mut found = Found::default();
    let total = worth_asking.len() as u64;
    for (asked, done) in worth_asking.chunks(NR_ASKED).zip((0..).step_by(NR_ASKED)) {
        watch.at(Phase::Plan, done, Some(total))?;
        let extents = asked
            .iter()
            .map(|(extent_idx, ..)| catalog.known(*extent_idx).extent);
        let answers = volume.references(&extents.collect::<Vec<Extent>>())?;
        for (&(extent_idx, is_all_duplicate, may_be_rewritten), answer) in asked.iter().zip(answers)
        {
            let known = catalog.known(extent_idx);
            let nr_references = answer.references.len() as u64;
            allowance.take(nr_references, allowance::REFERENCE_BYTES)?;
            let sizes = load_files(&answer, &mut files, volume, report)?;
            match why_it_stays(catalog, &known, &answer, &files, options.nr_references_max) {
                None => found.candidates.push(Candidate {
                    extent_idx,
                    references: answer.references,
                    sizes,
                    is_all_duplicate,
                    may_be_rewritten,
                }),
                Some(reason) => {
                    if reason == StayReason::TooManyReferences {
                        found.full.push(extent_idx);
                    }
                    let nr_duplicate = classes.nr_within(&known);
                    stays.add(reason, u64::from(nr_duplicate) * catalog.block);
                }
            }
        }
    }
    Ok(found)
}

/// Returns, by class, whether an extent has it that is none of these.
pub(super) fn stored_besides<'a>(
    catalog: &Catalog,
    classes: &Classes,
    candidates: impl Iterator<Item = &'a Candidate>,
) -> Vec<bool> {
    let mut is_one = vec![false; catalog.len()];
    for candidate in candidates {
        is_one[candidate.extent_idx as usize] = true;
    }
    let mut is_stored = vec![false; classes.len()];
    for (extent_idx, known) in catalog.iter() {
        if !is_one[extent_idx as usize] {
            let own = classes.within(&known);
            own.for_each(|(_, class)| is_stored[class as usize] = true);
        }
    }
    is_stored
}

/// Learns of the files of references; returns their sizes.
fn load_files(
    answer: &ExtentReferences,
    files: &mut Files,
    volume: &mut dyn Volume,
    report: &mut Report,
) -> Result<Vec<u64>, Stopped> {
    let mut sizes = Vec::with_capacity(answer.references.len());
    for reference in &answer.references {
        let id = reference.file;
        let file = match files.get(&id) {
            Some(file) => *file,
            None => {
                let file = match volume.file(id) {
                    Ok(file) => file,
                    Err(error) if error.is_of_one_file() => {
                        report.errors.push(error);
                        None
                    }
                    Err(error) => return Err(error.into()),
                };
                files.insert(id, file);
                file
            }
        };
        sizes.push(file.map_or(0, |file| file.size));
    }
    Ok(sizes)
}

/// Returns why an extent cannot go, if it cannot.
fn why_it_stays(
    catalog: &Catalog,
    known: &Known<'_>,
    answer: &ExtentReferences,
    files: &Files,
    nr_references_max: usize,
) -> Option<StayReason> {
    if known.facts.has_prealloc {
        return Some(StayReason::Preallocated);
    }
    if !answer.is_complete || answer.references.is_empty() {
        return Some(StayReason::OutOfSight);
    }
    if nr_references_max < answer.references.len() {
        return Some(StayReason::TooManyReferences);
    }
    let own_tails: Vec<(u32, u32)> = known
        .parts
        .iter()
        .filter_map(|part| catalog.tail_of(part))
        .collect();
    let whys = answer.references.iter().map(|reference| {
        let file = files.get(&reference.file).copied().flatten();
        why_reference_stays(catalog, known, reference, file, &own_tails)
    });
    whys.flatten().next()
}

/// Returns why a reference cannot be moved, if it cannot.
fn why_reference_stays(
    catalog: &Catalog,
    known: &Known<'_>,
    reference: &Reference,
    file: Option<File>,
    own_tails: &[(u32, u32)],
) -> Option<StayReason> {
    let block = catalog.block;
    let Some(file) = file.filter(|file| file.is_movable) else {
        return Some(StayReason::NotMovable);
    };
    if reference.kind == ReferenceKind::Preallocated {
        return Some(StayReason::Preallocated);
    }
    let (first, nr_blocks) = (
        (reference.within / block) as u32,
        (reference.len / block) as u32,
    );
    if file.size.next_multiple_of(block) < reference.offset + reference.len {
        return Some(StayReason::EndOfFile);
    }
    let is_shown = |within: u32| known.part_at(within).is_some();
    if !(first..first + nr_blocks).all(is_shown) {
        return Some(StayReason::OutOfSight);
    }
    // A block that is a file's last one for some and not for others has no one class.
    let tail = catalog::tail(file.size, reference.offset, nr_blocks, block);
    let tail = tail.map(|(at, len)| (first + at, len));
    let is_covered = |(at, _): &&(u32, u32)| first <= *at && *at < first + nr_blocks;
    let mut own = own_tails.iter().filter(is_covered);
    let agrees = match tail {
        Some(tail) => own.all(|own| *own == tail) && own_tails.contains(&tail),
        None => own.next().is_none(),
    };
    (!agrees).then_some(StayReason::EndOfFile)
}
