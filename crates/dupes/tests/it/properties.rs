//! Properties of runs that nothing disturbs.

use dupes::{Options, Rewrite, ScanMode};
use proptest::prelude::*;
use random_trees::{build, tree};

use crate::brute_force;
use crate::check::{check, predict};

/// Returns how many trees each property draws.
pub(crate) fn nr_trees() -> u32 {
    let asked = std::env::var("XSAME_TREES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(1000)
}

/// Returns how properties are tried.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: nr_trees(),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn options(rewrite: Rewrite) -> Options {
    Options {
        rewrite,
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn without_rewriting_what_is_predicted_is_freed_and_nobody_frees_more(ops in tree()) {
        let mut volume = build(&ops);
        let least = brute_force::least_used_never(&mut volume);
        let used = check(&mut volume, &options(Rewrite::Never));
        if let Some(least) = least {
            prop_assert_eq!(used, least);
        }
    }

    #[test]
    fn with_rewriting_every_distinct_block_is_stored_once(ops in tree()) {
        let mut volume = build(&ops);
        let least = brute_force::least_used_max(&mut volume);
        let used = check(&mut volume, &options(Rewrite::Max));
        prop_assert_eq!(used, least);
    }

    #[test]
    fn bargains_free_twice_what_is_written(ops in tree()) {
        let mut volume = build(&ops);
        let least = brute_force::least_used_never(&mut volume);
        let used = check(&mut volume, &options(Rewrite::Auto));
        prop_assert!(least.is_none_or(|least| used <= least));
        let [auto, never] = [Rewrite::Auto, Rewrite::Never]
            .map(|rewrite| predict(&mut build(&ops), &options(rewrite)));
        // What goes without writing is no merit of what is written.
        let more = auto.freed_bytes.checked_sub(never.freed_bytes);
        prop_assert!(more.is_some_and(|more| 2 * auto.written_bytes <= more), "{auto:?} {never:?}");
    }

    #[test]
    fn reading_finds_what_checksums_find_and_more_in_last_blocks(ops in tree()) {
        let used = [ScanMode::Checksums, ScanMode::Read].map(|scan| {
            let options = Options { scan, ..options(Rewrite::Max) };
            check(&mut build(&ops), &options)
        });
        // What a truncated file has behind its end counts for its checksum.
        prop_assert!(used[1] <= used[0]);
    }

    #[test]
    fn with_hardly_any_memory_the_same_is_found(ops in tree()) {
        let used = [1, Options::default().sort_bytes_max].map(|sort_bytes_max| {
            let options = Options { sort_bytes_max, ..options(Rewrite::Max) };
            check(&mut build(&ops), &options)
        });
        prop_assert_eq!(used[0], used[1]);
    }
}
