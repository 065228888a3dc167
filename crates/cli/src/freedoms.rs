//! How often a run used what is left to a kernel: [`used`], by the names that `docs/envelope.md`
//! has for the freedoms. One that could have been used and was not is there with 0.

use harness::Tally;
use scenario::{Capabilities, Compression, Geometry};

/// What of a run says whether a freedom is within reach.
pub(crate) struct Reach {
    pub(crate) expected: Capabilities,
    pub(crate) observed: Capabilities,
    pub(crate) geometry: Geometry,
}

impl Reach {
    /// A real kernel is compared whose maps are drawn from a cache.
    fn has_cached_maps(&self) -> bool {
        self.observed.is_real && !self.expected.has_exact_shares
    }

    fn compresses(&self) -> bool {
        self.geometry.compress != Compression::None
    }
}

/// A freedom of the envelope.
struct Freedom {
    name: &'static str,
    is_within: fn(&Reach) -> bool,
    nr_used: fn(&Tally, &str) -> u64,
}

/// Every freedom, in the order of the table there.
const FREEDOMS: [Freedom; 9] = [
    Freedom {
        name: "SHARED as the extent before it on disk",
        is_within: Reach::has_cached_maps,
        nr_used: |tally, _| tally.open_shares.nr_borrowed,
    },
    Freedom {
        name: "SHARED as what lies before a compressed extent",
        is_within: |reach| reach.has_cached_maps() && reach.compresses(),
        nr_used: |tally, _| tally.open_shares.nr_before_compressed,
    },
    Freedom {
        name: "SHARED by leaves",
        is_within: |reach| reach.observed.is_real && reach.observed.has_extents,
        nr_used: |tally, _| tally.open_shares.nr_by_leaves,
    },
    adopted("what compresses", Reach::compresses),
    adopted("compressed size", Reach::compresses),
    adopted("ENOSPC", |reach| reach.geometry.is_small()),
    adopted("short write", |reach| reach.geometry.is_small()),
    adopted("early writeback", |reach| reach.geometry.is_small()),
    adopted("extent cut", |reach| reach.geometry.is_small()),
];

/// Returns a freedom that the expected witness takes over, and counts.
const fn adopted(name: &'static str, is_within: fn(&Reach) -> bool) -> Freedom {
    Freedom {
        name,
        is_within,
        nr_used: |tally, name| tally.adopted.get(name).copied().unwrap_or(0),
    }
}

/// Returns the freedoms within reach with how often each was used. One out of reach that was used
/// in spite of that is there, too.
pub(crate) fn used(reach: &Reach, tally: &Tally) -> Vec<(&'static str, u64)> {
    let counts = FREEDOMS.iter().map(|freedom| {
        let nr_used = (freedom.nr_used)(tally, freedom.name);
        (freedom, nr_used)
    });
    counts
        .filter(|(freedom, nr_used)| 0 < *nr_used || (freedom.is_within)(reach))
        .map(|(freedom, nr_used)| (freedom.name, nr_used))
        .collect()
}

#[cfg(test)]
mod tests {
    use model::Sequential;
    use rules::Profile;
    use scenario::Backend;

    use super::*;

    /// What is used of a real kernel beside the model of a profile.
    fn names(profile: &str, geometry: &Geometry, tally: &Tally) -> String {
        let profile = Profile::by_name(profile).expect("a profile");
        let expected = Sequential::new(profile).capabilities();
        let reach = Reach {
            expected,
            observed: Capabilities {
                is_real: true,
                ..expected
            },
            geometry: geometry.clone(),
        };
        let used = used(&reach, tally);
        let words: Vec<String> = used
            .iter()
            .map(|(name, nr)| format!("{name} {nr}"))
            .collect();
        words.join(", ")
    }

    #[test]
    fn a_freedom_within_reach_that_was_never_used_is_told_with_0() {
        let compressed = Geometry {
            compress: Compression::Zstd,
            ..Geometry::default()
        };
        let mut tally = Tally::default();
        tally.open_shares.nr_borrowed = 3;
        tally.adopted.insert("compressed size".to_owned(), 7);
        assert_eq!(
            names("linux-6.18", &Geometry::default(), &Tally::default()),
            "SHARED by leaves 0"
        );
        assert_eq!(
            names("linux-5.10", &compressed, &tally),
            "SHARED as the extent before it on disk 3, SHARED as what lies before a compressed \
             extent 0, SHARED by leaves 0, what compresses 0, compressed size 7"
        );
    }

    #[test]
    fn every_freedom_has_its_row_in_the_envelope() {
        let envelope = include_str!("../../../docs/envelope.md").replace('`', "");
        for Freedom { name, .. } in &FREEDOMS {
            let row = format!("| {}:", name.to_lowercase());
            assert!(
                envelope
                    .lines()
                    .any(|line| line.to_lowercase().starts_with(&row)),
                "docs/envelope.md has no row {row}"
            );
        }
    }
}
