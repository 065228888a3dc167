//! What takes long elsewhere: a million equal blocks, and two hundred copies of one image. Time
//! has to grow with the data; it is printed for a quarter, a half and all of it. How far a plan of
//! thousands of extents is can be told all along.

use std::time::{Duration, Instant};

use dupes::{InMemory, Options, Phase, Prediction, Report, Rewrite, Stopped, Unwatched, Watch};
use volume::{
    Compression, Extent, ExtentReferences, File, FileExtent, FileId, Page, Place, Position,
    Reference, ReferenceKind, Volume, VolumeError,
};

use crate::inert::{BLOCK, Inert};

/// `BTRFS_MAX_EXTENT_SIZE`.
const EXTENT_BLOCKS_MAX: u64 = (128 << 20) / BLOCK;
/// Blocks between the begins of two files in storage.
const STRIDE: u64 = 1 << 24;

/// Files of equal length, one behind the other in storage, of which nothing is stored but what
/// the checksum of the nth block is.
struct Described {
    nr_files: u64,
    nr_blocks: u64,
    checksum: fn(u64) -> u64,
    inert: Inert,
}

impl Described {
    fn file_of(&self, inode: u64) -> File {
        File {
            id: FileId { root: 5, inode },
            size: self.nr_blocks * BLOCK,
            is_nodatasum: false,
            is_movable: true,
            generation: 0,
        }
    }

    /// Returns the file extents of a file.
    fn items(&self, inode: u64) -> impl Iterator<Item = FileExtent> {
        let (nr_blocks, begin) = (self.nr_blocks, inode * STRIDE);
        (0..nr_blocks)
            .step_by(EXTENT_BLOCKS_MAX as usize)
            .map(move |first| {
                let len = EXTENT_BLOCKS_MAX.min(nr_blocks - first) * BLOCK;
                let extent = Extent {
                    address: (begin + first) * BLOCK,
                    disk_bytes: len,
                    ram_bytes: len,
                    compression: Compression::None,
                };
                FileExtent {
                    offset: first * BLOCK,
                    len,
                    generation: 0,
                    place: Place::Data { extent, within: 0 },
                }
            })
    }
}

impl Volume for Described {
    volume::forward! { to (self.inert):
        block_bytes space_rule checksum_strength dedupe_len_max file_extents read read_ahead dedupe
        create write flush remove sync used_bytes path
    }

    fn next_page(
        &mut self,
        from: Position,
        _newer_than: u64,
        page: &mut Page,
    ) -> Result<Option<Position>, VolumeError> {
        let inode = from.inode.max(1);
        let mut items = self
            .items(inode)
            .skip_while(|item| item.offset < from.offset);
        // A page has one file extent, so that a long file is on many.
        page.push_file(self.file_of(inode));
        items
            .by_ref()
            .take(1)
            .for_each(|item| page.push_extent(item));
        let id = |inode| Position::of(FileId { root: 5, inode });
        Ok(match items.next() {
            Some(FileExtent { offset, .. }) => Some(Position {
                offset,
                ..id(inode)
            }),
            None => (inode < self.nr_files).then(|| id(inode + 1)),
        })
    }

    fn file(&mut self, file: FileId) -> Result<Option<File>, VolumeError> {
        Ok(Some(self.file_of(file.inode)))
    }

    fn references(&mut self, extents: &[Extent]) -> Result<Vec<ExtentReferences>, VolumeError> {
        let answer = |extent: &Extent| {
            let block = extent.address / BLOCK;
            let reference = Reference {
                file: self.file_of(block / STRIDE).id,
                offset: block % STRIDE * BLOCK,
                within: 0,
                len: extent.ram_bytes,
                kind: ReferenceKind::Data,
            };
            ExtentReferences {
                address: extent.address,
                references: vec![reference],
                is_complete: true,
            }
        };
        Ok(extents.iter().map(answer).collect())
    }

    fn checksums(
        &mut self,
        address: u64,
        len: u64,
        found: &mut Vec<Option<u64>>,
    ) -> Result<(), VolumeError> {
        let blocks = address / BLOCK..(address + len) / BLOCK;
        found.extend(blocks.map(|block| Some((self.checksum)(block % STRIDE))));
        Ok(())
    }
}

/// Finds and plans; returns what is predicted, and how long it took.
fn planned(mut volume: Described, rewrite: Rewrite) -> (Prediction, Duration) {
    let begin = Instant::now();
    let options = Options {
        rewrite,
        ..Options::default()
    };
    let (mut report, watch, scratch) = (Report::default(), &mut Unwatched, &mut InMemory);
    let found = dupes::find(&mut volume, &options, scratch, watch, &mut report);
    let plan = found
        .expect("nothing fails")
        .plan(&mut volume, &options, watch, &mut report);
    assert_eq!(report.read_bytes, 0, "neighbours were witness enough");
    assert_eq!(
        report.nr_files, volume.nr_files,
        "long files are counted once"
    );
    (plan.expect("nothing fails").prediction, begin.elapsed())
}

/// Checks that four times the data does not take much more than four times as long.
#[track_caller]
fn check(what: &str, volume: impl Fn(u64) -> (Described, u64), rewrite: Rewrite) {
    let times = [1, 2, 4].map(|quarters| {
        let (volume, freed_bytes) = volume(quarters);
        let (prediction, time) = planned(volume, rewrite);
        assert_eq!(
            prediction.freed_bytes - prediction.written_bytes,
            freed_bytes,
            "{what}"
        );
        time
    });
    println!("{what}, {rewrite:?}: {times:?} for 1/4, 1/2 and all");
    // Wide, for machines that are busy: quadratic would be sixteen times.
    assert!(
        times[2] < times[0] * 10 + Duration::from_millis(500),
        "{what}: {times:?}"
    );
}

#[test]
fn a_million_equal_blocks_take_linear_time() {
    let zeros = |quarters: u64| {
        let nr_blocks = quarters * 250_000;
        let volume = Described {
            nr_files: 1,
            nr_blocks,
            checksum: |_| 0x98f9_4189,
            inert: Inert,
        };
        (volume, nr_blocks)
    };
    // One block is enough, but without writing it is one extent: the smallest that there is.
    let smallest = |nr_blocks: u64| match nr_blocks % EXTENT_BLOCKS_MAX {
        0 => EXTENT_BLOCKS_MAX,
        rest => rest,
    };
    let never = |quarters| {
        let (volume, nr_blocks) = zeros(quarters);
        (volume, (nr_blocks - smallest(nr_blocks)) * BLOCK)
    };
    check("equal blocks", never, Rewrite::Never);
    // Once for so many references as an extent may have.
    let nr_references_max = Options::default().nr_references_max as u64;
    let max = |quarters| {
        let (volume, nr_blocks) = zeros(quarters);
        let nr_stored = nr_blocks.div_ceil(nr_references_max);
        (volume, (nr_blocks - nr_stored) * BLOCK)
    };
    check("equal blocks", max, Rewrite::Max);
}

#[test]
fn two_hundred_copies_of_a_file_take_linear_time() {
    let nr_blocks = (64 << 20) / BLOCK;
    let copies = |quarters: u64| {
        let volume = Described {
            nr_files: quarters * 50,
            nr_blocks,
            checksum: |block| block.wrapping_mul(0x9e37_79b9) & 0xffff_ffff,
            inert: Inert,
        };
        (volume, (quarters * 50 - 1) * nr_blocks * BLOCK)
    };
    check("copies", copies, Rewrite::Never);
    check("copies", copies, Rewrite::Max);
}

/// A watch that notes what it is told.
#[derive(Default)]
struct Noting(Vec<(Phase, u64, u64)>);

impl Watch for Noting {
    fn at(&mut self, phase: Phase, done: u64, total: Option<u64>) -> Result<(), Stopped> {
        self.0.push((phase, done, total.expect("it is known")));
        Ok(())
    }
}

#[test]
fn planning_tells_how_far_it_is_in_every_phase() {
    let nr_files = 3000;
    for rewrite in [Rewrite::Never, Rewrite::Auto, Rewrite::Max] {
        let mut volume = Described {
            nr_files,
            nr_blocks: 2,
            checksum: |block| 7 + block,
            inert: Inert,
        };
        let options = Options {
            rewrite,
            ..Options::default()
        };
        let (mut report, mut watch) = (Report::default(), Noting::default());
        let scratch = &mut InMemory;
        let found = dupes::find(&mut volume, &options, scratch, &mut Unwatched, &mut report);
        let plan =
            found
                .expect("nothing fails")
                .plan(&mut volume, &options, &mut watch, &mut report);
        assert_eq!(
            plan.expect("nothing fails").removed.len() as u64,
            nr_files - 1
        );
        let told = watch.0;
        let mut phases: Vec<Phase> = told.iter().map(|(phase, ..)| *phase).collect();
        phases.dedup();
        let expected = [
            Phase::Plan,
            Phase::Decide,
            Phase::Route,
            Phase::Weigh,
            Phase::Gather,
        ];
        assert_eq!(phases, expected, "{rewrite:?}");
        for phase in [Phase::Route, Phase::Weigh, Phase::Gather] {
            let of_phase = told.iter().filter(|(it, ..)| *it == phase);
            let (done, total): (Vec<u64>, Vec<u64>) =
                of_phase.map(|(_, done, total)| (*done, *total)).unzip();
            assert!(
                total.iter().all(|total| *total == nr_files - 1),
                "{total:?}"
            );
            assert!(done.is_sorted() && 10 < done.len(), "{phase:?}: {done:?}");
            assert_eq!(done[0], 0);
        }
        assert!(
            told.iter().all(|(_, done, total)| done <= total),
            "{told:?}"
        );
    }
}
