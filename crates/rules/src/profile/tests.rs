//! Tests over the data: everything folds, everything applies, every name is unique.

use std::collections::HashSet;

use super::*;
use crate::document;
use crate::step::Stage;

fn named(name: &str) -> Profile {
    Profile::by_name(name).expect("folds")
}

#[test]
fn every_named_profile_folds() {
    for name in PROFILE_NAMES {
        assert_eq!(named(name).name, *name);
    }
}

#[test]
fn every_release_folds() {
    for (major, minors) in [(3, 12..20), (4, 0..21), (5, 0..20), (6, 0..20), (7, 0..5)] {
        for minor in minors {
            let profile = Profile::mainline(Release::new(major, minor, 7));
            assert!(profile.is_ok(), "{major}.{minor}: {profile:?}");
        }
    }
}

#[test]
fn the_series_is_in_release_order_and_has_only_released_patches() {
    assert!(series::SERIES.iter().all(|patch| patch.since.is_some()));
    assert!(
        series::SERIES
            .windows(2)
            .all(|pair| pair[0].since <= pair[1].since)
    );
}

#[test]
fn ids_of_rules_patches_and_mutants_are_unique() {
    let rules = document::all_rules();
    let ids: HashSet<_> = rules.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), rules.len());
    let patches = series::SERIES.iter().chain(mutants::MUTANTS);
    let patch_ids: HashSet<_> = patches.clone().map(|patch| patch.id).collect();
    assert_eq!(patch_ids.len(), patches.count());
}

#[test]
fn two_rules_of_one_id_are_the_same_rule() {
    for name in PROFILE_NAMES {
        let profile = named(name);
        for stage in [
            Stage::Entry,
            Stage::Call,
            Stage::Pair,
            Stage::Locked,
            Stage::Range,
        ] {
            for used in profile.tables.rules(stage) {
                assert_eq!(crate::rule(used.id), Some(used));
            }
        }
    }
}

#[test]
fn every_mutant_applies_to_the_living_kernels() {
    for name in ["linux-6.1", "linux-6.18"] {
        for mutant in mutants::MUTANTS {
            assert!(mutant.since.is_none(), "{}", mutant.id);
            let profile = named(name).with_mutant(mutant.id).expect("applies");
            assert_eq!(profile.name, format!("{name} + {}", mutant.id));
        }
    }
}

#[test]
fn a_hunk_without_its_anchor_fails_by_name() {
    let twice = named("linux-6.18")
        .with_mutant("nodatasum-mix")
        .expect("applies");
    let error = twice
        .with_mutant("nodatasum-mix")
        .expect_err("the check is gone");
    assert!(error.to_string().starts_with(
        "hunk 0 of patch nodatasum-mix does not apply to profile linux-6.18 + nodatasum-mix: \
         no check nodatasum-mismatch in stage Locked"
    ));
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    let error = Profile::by_name("linux-9").expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "unknown profile \"linux-9\"\n  remedy: one of v4, linux-3.13, linux-5.10, linux-6.1, \
         linux-6.12, linux-6.18, linux-7.2"
    );
}

#[test]
fn the_nearest_profile_is_exact_only_for_its_own_release() {
    let nearest = |text: &str| {
        let (profile, is_exact) = Profile::nearest(text.parse().expect("a release"));
        (profile.name, is_exact)
    };
    assert_eq!(nearest("6.18.44"), ("linux-6.18".to_owned(), true));
    assert_eq!(nearest("6.1.176"), ("linux-6.1".to_owned(), true));
    assert_eq!(nearest("5.10.46"), ("linux-5.10".to_owned(), true));
    assert_eq!(nearest("6.12.113"), ("linux-6.12".to_owned(), true));
    assert_eq!(nearest("7.2.7"), ("linux-7.2".to_owned(), true));
    assert_eq!(nearest("6.14.2"), ("linux-6.12".to_owned(), false));
    assert_eq!(nearest("7.3.1"), ("linux-7.2".to_owned(), false));
    assert_eq!(nearest("3.13.10"), ("linux-3.13".to_owned(), true));
    assert_eq!(nearest("4.4.236"), ("linux-3.13".to_owned(), false));
}

#[test]
fn the_area_is_verified_before_the_mount_since_6_8() {
    let position = |name: &str, id: &str| {
        let rules = named(name).tables.rules(Stage::Pair);
        rules
            .iter()
            .position(|rule| rule.id == id)
            .expect("is there")
    };
    let is_area_first =
        |name| position(name, "target-range-negative") < position(name, "target-mount-readonly");
    assert!(!is_area_first("linux-6.1"));
    assert!(is_area_first("linux-6.18"));
}

#[test]
fn plans_put_back_what_they_take() {
    for name in PROFILE_NAMES {
        let profile = named(name);
        for plan in [&profile.element_plan, &profile.clone_plan] {
            let last_lock = plan.iter().rposition(|step| matches!(step, Step::Lock(..)));
            let unlock = plan.iter().position(|step| *step == Step::Unlock);
            assert!(last_lock < unlock, "{name}");
        }
    }
}

#[test]
fn what_only_old_kernels_refuse_is_within_reach_of_those_and_hides_what_is_asked_later() {
    let ids = |name: &str, is_kernel| -> Vec<&str> {
        let rules = named(name).rules_in_reach(is_kernel);
        rules.iter().map(|rule| rule.id).collect()
    };
    let old = ids("linux-5.10", true);
    assert!(old.contains(&"clone-other-mount") && !old.contains(&"clone-other-superblock"));
    assert!(!ids("linux-5.10", false).contains(&"clone-other-mount"));
    for is_kernel in [true, false] {
        let new = ids("linux-6.18", is_kernel);
        assert!(!new.contains(&"clone-other-mount") && new.contains(&"clone-other-superblock"));
        assert!(!new.contains(&"no-space"));
    }
}
