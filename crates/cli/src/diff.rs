//! `xsame diff`: two witnesses side by side.

use std::time::Duration;

use harness::report::Heading;
use harness::{Options, RunReport, Shares, Tally, Witnesses};
use miette::Report;
use rules::Profile;
use scenario::{Backend, Capabilities, Geometry, Op};
use strategies::{Swarm, SwarmOptions};

use crate::arguments::DiffArguments;
use crate::exit::Exit;
use crate::progress::Bar;
use crate::verdict::{self, Gaps};
use crate::witness;

/// How many operations are run if nothing is said.
const STEPS: u64 = 2000;
/// The device of `--small`, bytes: `mkfs.btrfs` makes none smaller.
const SMALL_BYTES: u64 = 16 << 20;
/// No file is made larger there, bytes.
const SMALL_FILE_BYTES: u64 = 512 << 10;
/// From so many operations on a run must have exercised something.
const PROVING_STEPS: u64 = 1000;

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
    let lacking = lacking(&report, &capabilities.0);
    let mut missing_kinds = report.tally.missing_kinds();
    missing_kinds.retain(|kind| source.options.can_draw(kind));
    let gaps = Gaps {
        missing_kinds,
        missing_rules: pair.rules,
        proves_nothing: lacking,
    };
    let gaps = gaps.of_tally(&report.tally);
    verdict::print(&report, shown.as_ref(), &gaps, heading, arguments.json);
    Ok(match (&report.divergence, gaps.proves_nothing.is_empty()) {
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
            let in_reach = profile.rules_in_reach();
            rules.extend(in_reach.iter().map(|rule| rule.id));
            witness::model(mutated(profile, &arguments.mutant)?)
        }
    };
    remarks.iter().for_each(|remark| eprintln!("{remark}"));
    Ok(Pair {
        expected,
        observed,
        rules,
    })
}

fn mutated(profile: Profile, mutants: &[String]) -> Result<Profile, Report> {
    mutants.iter().try_fold(profile, |profile, id| {
        profile
            .with_mutant(id)
            .map_err(|error| miette::miette!("{error}"))
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
