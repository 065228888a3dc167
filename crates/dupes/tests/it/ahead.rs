//! Both sides of a request are asked for ahead of it: the kernel's compare reads page by page.

use dupes::{Options, Rewrite};
use model::ModelVolume;
use proptest::prelude::*;
use random_trees::{build, tree};
use rustc_hash::FxHashSet;
use volume::{DedupeStatus, DedupeTarget, FileId, FileRange, Volume, VolumeError};

use crate::check::run;
use crate::properties::config;

/// A volume that knows what was read ahead.
struct Listening {
    inner: ModelVolume,
    ahead: Vec<FileRange>,
    /// Files of the run's own: what was written into them is in the page cache.
    own: FxHashSet<FileId>,
    /// Ranges that were compared without having been asked for.
    missed: Vec<FileRange>,
    nr_compared: usize,
}

impl Listening {
    fn look(&mut self, range: FileRange) {
        let covers = |ahead: &FileRange| {
            ahead.file == range.file && ahead.offset <= range.offset && range.end() <= ahead.end()
        };
        self.nr_compared += 1;
        if !self.own.contains(&range.file) && !self.ahead.iter().any(covers) {
            self.missed.push(range);
        }
    }
}

impl Volume for Listening {
    volume::forward! { to (self.inner):
        block_bytes space_rule checksum_strength dedupe_len_max next_page file file_extents references
        checksums read write flush remove sync used_bytes path
    }

    fn read_ahead(&mut self, ranges: &[FileRange]) {
        self.ahead.extend(ranges);
    }

    fn create(&mut self, like: FileId) -> Result<FileId, VolumeError> {
        let own = self.inner.create(like)?;
        self.own.insert(own);
        Ok(own)
    }

    fn dedupe(
        &mut self,
        source: FileRange,
        targets: &[DedupeTarget],
    ) -> Result<Vec<DedupeStatus>, VolumeError> {
        self.look(source);
        for target in targets {
            self.look(FileRange {
                file: target.file,
                offset: target.offset,
                len: source.len,
            });
        }
        self.inner.dedupe(source, targets)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn both_sides_of_a_request_are_read_ahead(ops in tree(), is_max in any::<bool>()) {
        let rewrite = if is_max { Rewrite::Max } else { Rewrite::Never };
        let mut volume = Listening {
            inner: build(&ops),
            ahead: Vec::new(),
            own: FxHashSet::default(),
            missed: Vec::new(),
            nr_compared: 0,
        };
        let summary = run(&mut volume, &Options { rewrite, ..Options::default() });
        prop_assert_eq!(&volume.missed, &[]);
        let nr_requests = summary.rounds.iter().map(|round| round.done.nr_requests).sum::<u64>();
        prop_assert!(2 * nr_requests <= volume.nr_compared as u64);
    }
}
