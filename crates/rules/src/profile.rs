//! One kernel: an era with the patches of its release folded in.
//!
//! The only file that compares releases.

use fs_state::Behaviour;
use uapi::Release;

use crate::check::Check;
use crate::mutants;
use crate::patch::{HunkFailed, Limit, Patch};
use crate::step::{Plan, Step};
use crate::view::{CallView, CountView, EntryView, LockedView, PairView, RangeView};
use crate::{era, series};

/// The profiles that have names, oldest first.
pub const PROFILE_NAMES: &[&str] = &[
    "v4",
    "linux-3.13",
    "linux-5.10",
    "linux-6.1",
    "linux-6.12",
    "linux-6.18",
    "linux-7.2",
];

/// What filesystems did to extents before any patch of the series.
pub const OLDEST_BEHAVIOUR: Behaviour = Behaviour {
    inlines_nocow: true,
    cows_behind_gap: true,
    joins_ordered: true,
    cleans_at_sync: true,
    maps_from_cache: true,
    shares_by_delayed: true,
    fallocate_stamps_late: true,
    cuts_ram_bytes: true,
    releases_maps: false,
    inlines_first: false,
    keeps_mounted_nodatasum: false,
    writes_checked_directly: true,
    ..Behaviour::LATEST
};

/// The releases of the named profiles; the first one is that of the posted series.
const RELEASES: &[Release] = &[
    Release::new(3, 11, 0),
    Release::new(3, 13, 0),
    Release::new(5, 10, 0),
    Release::new(6, 1, 0),
    Release::new(6, 12, 0),
    Release::new(6, 18, 0),
    Release::new(7, 2, 0),
];

/// Everything that decides how one kernel answers.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name: one of [`PROFILE_NAMES`], with ` + mutant` for each mutant.
    pub name: String,
    /// The release that it stands for; for `v4` the one before its merge.
    pub release: Option<Release>,
    /// What a dedupe call does.
    pub call_plan: Vec<Step>,
    /// What each element does.
    pub element_plan: Vec<Step>,
    /// What a clone call does.
    pub clone_plan: Vec<Step>,
    /// The checks of each stage.
    pub tables: Tables,
    /// Bounds of a request.
    pub limits: Limits,
    /// What the filesystem does to extents.
    pub behaviour: Behaviour,
    /// The patches folded in, in order.
    pub patches: Vec<&'static str>,
}

/// The checks of each stage, in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// [`crate::Stage::Entry`].
    pub entry: Vec<Check<EntryView>>,
    /// [`crate::Stage::Count`].
    pub count: Vec<Check<CountView>>,
    /// [`crate::Stage::Call`].
    pub call: Vec<Check<CallView>>,
    /// [`crate::Stage::Pair`].
    pub pair: Vec<Check<PairView>>,
    /// [`crate::Stage::Unlocked`].
    pub unlocked: Vec<Check<RangeView>>,
    /// [`crate::Stage::Locked`].
    pub locked: Vec<Check<LockedView>>,
    /// [`crate::Stage::Range`].
    pub range: Vec<Check<RangeView>>,
    /// [`crate::Stage::Shortened`].
    pub shortened: Vec<Check<RangeView>>,
    /// [`crate::Stage::Remap`].
    pub remap: Vec<Check<RangeView>>,
    /// [`crate::Stage::CloneEntry`].
    pub clone_entry: Vec<Check<EntryView>>,
    /// [`crate::Stage::ClonePair`].
    pub clone_pair: Vec<Check<PairView>>,
    /// [`crate::Stage::CloneLocked`].
    pub clone_locked: Vec<Check<LockedView>>,
    /// [`crate::Stage::CloneKind`].
    pub clone_kind: Vec<Check<RangeView>>,
    /// [`crate::Stage::CloneRange`].
    pub clone_range: Vec<Check<RangeView>>,
}

/// Bounds of a request, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A longer request is cut to this length, and reported so.
    pub request_len: u64,
    /// No element remaps more than this, whatever is reported.
    pub element_len: u64,
    /// How much is remapped at once.
    pub chunk_len: u64,
}

impl Limits {
    /// No bounds.
    pub const NONE: Limits = Limits {
        request_len: u64::MAX,
        element_len: u64::MAX,
        chunk_len: u64::MAX,
    };

    /// Sets one limit.
    pub fn set(&mut self, limit: Limit, bytes: u64) {
        match limit {
            Limit::RequestLen => self.request_len = bytes,
            Limit::ElementLen => self.element_len = bytes,
            Limit::ChunkLen => self.chunk_len = bytes,
        }
    }
}

/// No profile has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile has this name.
    #[error("unknown profile {name:?}\n  remedy: one of {}", PROFILE_NAMES.join(", "))]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// No mutant has this id.
    #[error("unknown mutant {id:?}\n  remedy: one of {}", mutants::ids().join(", "))]
    UnknownMutant {
        /// The id as given.
        id: String,
    },
    /// The patch does not fit.
    #[error(transparent)]
    Hunk(#[from] HunkFailed),
}

impl Profile {
    /// Returns the profile with one of the [`PROFILE_NAMES`].
    pub fn by_name(name: &str) -> Result<Profile, ProfileError> {
        let profile_idx = PROFILE_NAMES
            .iter()
            .position(|known| *known == name)
            .ok_or_else(|| ProfileError::Unknown {
                name: name.to_owned(),
            })?;
        let folded = Profile::mainline(RELEASES[profile_idx])?;
        Ok(Profile {
            name: name.to_owned(),
            ..folded
        })
    }

    /// Returns the profile of the newest kernel that is known.
    pub fn latest() -> Result<Profile, ProfileError> {
        Profile::by_name(PROFILE_NAMES[PROFILE_NAMES.len() - 1])
    }

    /// Returns the named profile nearest to a release, and whether it is of that very release
    /// (patch levels aside). `v4` is near to nothing: it was never released.
    #[must_use]
    pub fn nearest(release: Release) -> (Profile, bool) {
        let age = |release: Release| i64::from(release.major) * 20 + i64::from(release.minor);
        let nearest_idx = (1..RELEASES.len())
            .min_by_key(|&profile_idx| {
                let other = RELEASES[profile_idx];
                let is_other_era = is_remap_era(other) != is_remap_era(release);
                (is_other_era, (age(other) - age(release)).abs())
            })
            .unwrap_or(RELEASES.len() - 1);
        let nearest = RELEASES[nearest_idx];
        let is_exact = (nearest.major, nearest.minor) == (release.major, release.minor);
        let profile = Profile::by_name(PROFILE_NAMES[nearest_idx])
            .expect("every named profile folds, as a test proves");
        (profile, is_exact)
    }

    /// Returns the fold of the era of `release` with every patch that it has.
    pub fn mainline(release: Release) -> Result<Profile, ProfileError> {
        Profile::fold(release, series::SERIES)
    }

    /// Returns the two sides of a patch of the series: the fold of its era with every patch before
    /// it, and with it too. `None` if the series does not have it.
    pub fn around(id: &str) -> Option<Result<(Profile, Profile), ProfileError>> {
        let patch_idx = series::SERIES.iter().position(|patch| patch.id == id)?;
        let release = series::SERIES[patch_idx].since?;
        let before = Profile::fold(release, &series::SERIES[..patch_idx]);
        let after = Profile::fold(release, &series::SERIES[..=patch_idx]);
        Some(before.and_then(|before| Ok((before, after?))))
    }

    /// Returns the fold of the era of `release` with those of the patches that it has.
    fn fold(release: Release, patches: &[Patch]) -> Result<Profile, ProfileError> {
        let mut profile = if is_remap_era(release) {
            era::remap::profile()
        } else {
            era::btrfs_ioctl::profile()
        };
        let first = profile.release;
        for patch in patches {
            let is_later = first < patch.since;
            let is_in = patch.since.is_some_and(|since| since <= release)
                || series::BACKPORTS.contains(&(patch.id, release));
            if is_later
                && is_in
                && is_remap_era(patch.since.unwrap_or(release)) == is_remap_era(release)
            {
                profile = patch.apply(&profile)?;
            }
        }
        Ok(Profile {
            name: format!("linux-{release}"),
            release: Some(release),
            ..profile
        })
    }

    /// Returns this profile with a mutant folded in.
    pub fn with_mutant(&self, id: &str) -> Result<Profile, ProfileError> {
        let mutant = mutants::MUTANTS
            .iter()
            .find(|mutant| mutant.id == id)
            .ok_or_else(|| ProfileError::UnknownMutant { id: id.to_owned() })?;
        self.with_patch(mutant)
    }

    /// Returns this profile with any patch folded in.
    pub fn with_patch(&self, patch: &Patch) -> Result<Profile, ProfileError> {
        let patched = patch.apply(self)?;
        Ok(Profile {
            name: format!("{} + {}", self.name, patch.id),
            ..patched
        })
    }

    /// Returns the steps of a plan.
    #[must_use]
    pub fn plan(&self, plan: Plan) -> &[Step] {
        match plan {
            Plan::Call => &self.call_plan,
            Plan::Element => &self.element_plan,
            Plan::Clone => &self.clone_plan,
        }
    }

    /// Returns the steps of a plan, to be changed.
    pub(crate) fn plan_mut(&mut self, plan: Plan) -> &mut Vec<Step> {
        match plan {
            Plan::Call => &mut self.call_plan,
            Plan::Element => &mut self.element_plan,
            Plan::Clone => &mut self.clone_plan,
        }
    }
}

/// Returns whether the release has `remap_file_range`.
fn is_remap_era(release: Release) -> bool {
    Release::new(5, 0, 0) <= release
}

mod rules;
#[cfg(test)]
mod tests;
