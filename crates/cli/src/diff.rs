//! `xsame diff`: two witnesses side by side.

use std::time::Duration;

use harness::report::Heading;
use harness::{Options, RunReport, Shares, Tally, Witnesses};
use miette::Report;
use scenario::{Backend, Capabilities, Geometry, Op};
use strategies::{Swarm, SwarmOptions};

use crate::arguments::DiffArguments;
use crate::exit::Exit;
use crate::freedoms::{self, Reach};
use crate::progress::Bar;
use crate::verdict::{self, Done, Gaps};
use crate::witness;

/// How many operations are run if nothing is said.
const STEPS: u64 = 2000;
/// The device of `--small`, bytes: `mkfs.btrfs` makes none smaller.
const SMALL_BYTES: u64 = 16 << 20;
/// No file is made larger there, bytes.
const SMALL_FILE_BYTES: u64 = 512 << 10;
/// From so many operations on a run must have exercised something.
const PROVING_STEPS: u64 = 1000;
/// From so many on it must have exercised everything: the rarest rule decides once in some thousand
/// operations.
const THOROUGH_STEPS: u64 = 20_000;
/// The most operations with a file of more than 1 MiB, as a share: they take the time of others.
const LARGE_SHARE_MAX: f64 = 0.02;

/// The two witnesses of a run with the names that reports print.
pub(crate) struct Pair {
    pub(crate) expected: Box<dyn Backend>,
    pub(crate) observed: Box<dyn Backend>,
    /// The rules that the observed witness can show, by id; none if no model is compared with it.
    pub(crate) rules: Vec<&'static str>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &DiffArguments) -> Result<Exit, Report> {
    let mut pair = open(arguments)?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let (expected, observed) = (pair.expected.name(), pair.observed.name());
    eprintln!("expected: {expected}, observed: {observed}, seed {seed}");

    let options = options(arguments);
    let capabilities = (pair.expected.capabilities(), pair.observed.capabilities());
    let mut source = Source::new(seed, capabilities, arguments);
    let bar = Bar::new(options.steps, arguments.time);
    let witnesses = Witnesses {
        expected: pair.expected.as_mut(),
        observed: pair.observed.as_mut(),
    };
    let report = harness::diff::run(witnesses, &mut source, &options, &mut |progress| {
        bar.show(progress);
    });
    bar.finish();
    let report = report.map_err(witness::report)?;
    let heading = Heading {
        seed,
        expected: &expected,
        observed: &observed,
    };
    let shown = report.divergence.as_ref().map(|divergence| {
        verdict::divergence(
            &mut pair,
            divergence,
            &options.geometry,
            heading,
            &arguments.out,
        )
    });
    let has_trees = capabilities.0.has_trees && capabilities.1.has_trees && 0 < options.deep_every;
    let within = Within {
        options: source.options,
        has_trees,
        rules: pair.rules,
    };
    let gaps = gaps(&report, &capabilities.0, within);
    let reach = Reach {
        expected: capabilities.0,
        observed: capabilities.1,
        geometry: options.geometry.clone(),
    };
    let done = Done {
        report: &report,
        gaps,
        freedoms: freedoms::used(&reach, &report.tally),
    };
    verdict::print(&done, shown.as_ref(), heading, arguments.json);
    let is_proof = done.gaps.proves_nothing.is_empty();
    Ok(match (&report.divergence, is_proof) {
        (Some(_), _) => Exit::Found,
        (None, _) if !report.damage.is_empty() => Exit::Found,
        (None, true) => Exit::Fine,
        (None, false) => Exit::Unusable,
    })
}

/// Opens both witnesses and says what has to be said about them.
fn open(arguments: &DiffArguments) -> Result<Pair, Report> {
    // A model that is compared has no mutants, and is of the profile asked for.
    let (own_profile, _) = witness::profile(&arguments.profile, None)?;
    let observed = witness::open(&arguments.backend, &own_profile, arguments.keep)?;
    let mut remarks = observed.remarks;
    let observed = observed.backend;
    let mut rules = Vec::new();
    let expected = match &arguments.against {
        Some(name) => {
            let witness = witness::open(name, &own_profile, arguments.keep)?;
            remarks.extend(witness.remarks);
            witness.backend
        }
        None => {
            let (profile, remark) = witness::profile(&arguments.profile, Some(observed.as_ref()))?;
            remarks.extend(remark);
            let in_reach = profile.rules_in_reach(observed.capabilities().is_real);
            rules.extend(in_reach.iter().map(|rule| rule.id));
            witness::model(witness::mutated(profile, &arguments.mutant)?)
        }
    };
    remarks.iter().for_each(|remark| eprintln!("{remark}"));
    Ok(Pair {
        expected,
        observed,
        rules,
    })
}

fn options(arguments: &DiffArguments) -> Options {
    let steps = match (arguments.steps, arguments.time) {
        (Some(steps), _) => steps,
        (None, Some(_)) => u64::MAX,
        (None, None) => STEPS,
    };
    let geometry = Geometry {
        node_bytes: arguments.nodesize,
        checksum: arguments.csum,
        data: arguments.data,
        compress: arguments.compress,
        has_quota: arguments.quota,
        ..Geometry::default()
    };
    let geometry = match arguments.small {
        true => Geometry {
            device_bytes: SMALL_BYTES,
            node_bytes: geometry.sector_bytes,
            is_mixed: true,
            ..geometry
        },
        false => geometry,
    };
    Options {
        steps,
        time: arguments.time,
        deep_every: arguments.deep_every,
        geometry,
        ..Options::default()
    }
}

/// What a run can do.
struct Within {
    options: SwarmOptions,
    has_trees: bool,
    /// The rules that the observed witness can show.
    rules: Vec<&'static str>,
}

/// Returns what a run did not do of what it can.
fn gaps(report: &RunReport, expected: &Capabilities, within: Within) -> Gaps {
    let Within {
        options,
        has_trees,
        rules,
    } = within;
    let tally = &report.tally;
    let mut gaps = Gaps {
        missing_kinds: tally.missing_kinds(),
        missing_rules: rules,
        proves_nothing: Vec::new(),
    };
    gaps.missing_kinds
        .retain(|kind| options.can_draw(kind) && (has_trees || *kind != "tree"));
    gaps.missing_rules
        .retain(|rule| options.can_meet(rule) && !tally.refusals.contains_key(*rule));
    gaps.proves_nothing = lacking(report, expected);
    if THOROUGH_STEPS <= report.steps && report.divergence.is_none() {
        gaps.proves_nothing.extend(gaps.words());
        let large = verdict::share(tally.nr_large, report.steps);
        if LARGE_SHARE_MAX < large {
            gaps.proves_nothing.push(format!(
                "{:.1} % of the operations are with a file of more than 1 MiB, at most {:.0} %",
                large * 100.0,
                LARGE_SHARE_MAX * 100.0
            ));
        }
    }
    gaps
}

/// Returns what a run of enough operations did too little of to prove anything. Only a model
/// with extents can tell.
fn lacking(report: &RunReport, expected: &Capabilities) -> Vec<String> {
    let can_tell = expected.has_extents && !expected.is_real;
    if !can_tell || report.steps < PROVING_STEPS || report.divergence.is_some() {
        return Vec::new();
    }
    let shares: Shares = report.tally.shares();
    let mut lacking = shares.lacking();
    let Tally {
        nr_writes,
        nr_writes_done,
        ..
    } = report.tally;
    // A full filesystem refuses everything alike.
    if nr_writes_done * 2 < nr_writes {
        let share = nr_writes_done * 100 / nr_writes;
        lacking.push(format!("{share} % of the writes succeed, needed 50 %"));
    }
    lacking
}

/// The operations of a seed: a swarm with weights of its own for each episode.
struct Source {
    seed: u64,
    options: SwarmOptions,
    swarm: Swarm,
}

impl Source {
    fn new(
        seed: u64,
        (one, two): (Capabilities, Capabilities),
        arguments: &DiffArguments,
    ) -> Source {
        let options = SwarmOptions {
            data: arguments.data,
            snapshots: arguments.snapshots.map(usize::from),
            ..SwarmOptions::for_both(one, two)
        };
        let options = match arguments.small {
            true => SwarmOptions {
                is_small: true,
                max_file_bytes: SMALL_FILE_BYTES,
                ..options
            },
            false => options,
        };
        let swarm = Swarm::new(seed, options);
        Source {
            seed,
            options,
            swarm,
        }
    }
}

impl harness::OpSource for Source {
    fn restart(&mut self, episode: u64) {
        // Wrapping: seeds are any numbers. An odd factor keeps the episodes of a seed apart.
        let seed = self
            .seed
            .wrapping_add(episode.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.swarm = Swarm::new(seed, self.options);
    }

    fn next_op(&mut self) -> Op {
        self.swarm.next()
    }

    fn added(&mut self, op: &Op) {
        self.swarm.added(op);
    }
}

/// How long shrinking may take.
pub(crate) const SHRINK_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use scenario::Backend;

    use super::*;

    /// A run in which every kind of operation and the rule `zero-length` came.
    fn report(steps: u64) -> RunReport {
        let mut tally = Tally::default();
        let kinds = Op::KINDS.into_iter().map(|kind| (kind.to_owned(), 1));
        tally.kinds = kinds.collect();
        tally.refusals.insert("zero-length".to_owned(), 1);
        RunReport {
            steps,
            divergence: None,
            damage: Vec::new(),
            unchecked: Vec::new(),
            overhead: None,
            tally,
            elapsed: Duration::ZERO,
        }
    }

    /// Returns what keeps a run beside the flat reference, which tells no shares of dedupes, from
    /// proving anything.
    fn proves_nothing(report: &RunReport, rules: &[&'static str]) -> String {
        let expected = reference::Reference::new().capabilities();
        let within = Within {
            options: SwarmOptions::default(),
            has_trees: true,
            rules: rules.to_vec(),
        };
        gaps(report, &expected, within).proves_nothing.join("; ")
    }

    #[test]
    fn a_long_run_has_to_exercise_every_kind_and_every_rule_within_reach() {
        assert_eq!(
            proves_nothing(&report(THOROUGH_STEPS), &["zero-length"]),
            ""
        );
        assert_eq!(
            proves_nothing(&report(THOROUGH_STEPS), &["zero-length", "overlap"]),
            "rules never exercised: overlap"
        );
        let mut lacking = report(THOROUGH_STEPS);
        lacking.tally.kinds.remove("fzero");
        assert_eq!(
            proves_nothing(&lacking, &[]),
            "operations never exercised: fzero"
        );
        lacking.steps -= 1;
        assert_eq!(proves_nothing(&lacking, &["overlap"]), "");
    }

    #[test]
    fn a_long_run_has_at_most_2_percent_of_large_operations() {
        let mut large = report(THOROUGH_STEPS);
        large.tally.nr_large = THOROUGH_STEPS / 50;
        assert_eq!(proves_nothing(&large, &[]), "");
        large.tally.nr_large += 200;
        let told = proves_nothing(&large, &[]);
        assert!(told.starts_with("3.0 % of the operations"), "{told}");
    }
}
