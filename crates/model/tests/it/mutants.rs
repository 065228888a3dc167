//! Every mutant answers, or shares, otherwise than the kernel that it is a mutant of.

use model::Sequential;
use rules::{Profile, mutants};
use scenario::{Backend, Name, Probe, Scenario, render_answer};

/// What a run shows: every answer and every map.
fn shown(profile: Profile, text: &str) -> Vec<String> {
    let scenario = Scenario::parse(text).expect("a scenario");
    let mut model = Sequential::new(profile);
    model.reset(&scenario.geometry).expect("an empty model");
    let mut shown = Vec::new();
    for op in scenario.ops() {
        let answer = model.apply(op).expect("asked");
        shown.extend(render_answer(&answer, op));
        for name in ["A", "B"] {
            let name = Name::new(name).expect("a name");
            let probe = Probe {
                name: name.clone(),
                expected_shape: None,
            };
            let observation = model.observe(&probe).expect("asked");
            shown.push(format!("{:?}", (&name, observation)));
        }
    }
    shown
}

#[track_caller]
fn check(mutant: &str, text: &str) {
    for name in ["linux-6.1", "linux-6.18"] {
        let profile = Profile::by_name(name).expect("folds");
        let mutated = profile.with_mutant(mutant).expect("applies");
        assert_ne!(
            shown(profile, text),
            shown(mutated, text),
            "{mutant} lives on {name}"
        );
    }
}

/// The mutants and what kills them.
const KILLERS: &[(&str, &str)] = &[
    (
        "dedupe-dst-past-eof-self",
        "file A\ntruncate A 64k\ndedupe A 0 4k => A 64k\n",
    ),
    (
        "dedupe-16m-silent-short",
        "file A\nfile B\npwrite A 0 20m 0x61\npwrite B 0 20m 0x61\ndedupe A 0 20m => B 0\n",
    ),
    (
        "dedupe-eof-block-into-middle",
        "file A\nfile B\npwrite A 0 5000 0x61\npwrite B 0 5000 0x61\npwrite B 5000 9000 0x62\n\
         dedupe A 0 5000 => B 0\n",
    ),
    (
        "dedupe-bytes-true",
        "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\ndedupe A 0 100 => B 0\n",
    ),
    (
        "nodatasum-mix",
        "file A\nfile B nocow\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\ndedupe A 0 4k => B 0\n",
    ),
    (
        "dedupe-updates-mtime",
        "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\ndedupe A 0 4k => B 0\n",
    ),
    (
        "immutable-einval",
        "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x61\nchattr B +i\n\
         dedupe A 0 4k => B 0\n",
    ),
    (
        "split-not-counted",
        "file A\npwrite A 0 64k seed=1@0\nsync\npwrite A 16k 4k 0x62\ntree\n",
    ),
    (
        "backref-underflow-offset",
        "file A\nfile B\npwrite A 0 64k seed=1@0\nsync\nclone A 32k 16k => B 0\ntree\n",
    ),
    (
        "clone-inline-nonzero-off",
        "file A\nfile B\npwrite A 0 100 0x61\nclone A 0 0 => B 4k\ntree\n",
    ),
    (
        "clone-truncated-inline-leak",
        "mkfs compress=zstd\nfile A\nfile B\npwrite A 0 4k 0x61\nsync\ntruncate A 100\n\
         clone A 0 0 => B 0\ntruncate B 200\ntree\n",
    ),
    (
        "clone-qgroup-excl",
        "mkfs quota=on\nsubvol V\nfile A\nfile V/B\npwrite A 0 64k seed=1@0\nsync\n\
         clone A 0 64k => V/B 0\ntree\n",
    ),
    (
        "canary",
        "file A\nfile B\npwrite A 0 8k 0x61\npwrite B 0 8k 0x62\ndedupe A 0 4k => B 0\n",
    ),
];

#[test]
fn every_mutant_shows() {
    for (mutant, text) in KILLERS {
        check(mutant, text);
    }
}

#[test]
fn every_mutant_has_a_killer() {
    let known: Vec<&str> = KILLERS.iter().map(|(mutant, _)| *mutant).collect();
    assert_eq!(known, mutants::ids());
}
