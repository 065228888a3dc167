//! The machine asked in the language of scenarios: one table of rules for each era, and what the
//! tables do not show.

mod calls;
mod lock_order;
mod mutants;
mod old;
mod rules_fire;
mod shortage;

use std::collections::BTreeSet;

use model::Sequential;
use rules::Profile;
use scenario::{Backend, Scenario, render_answer, results_match};

/// Runs a scenario on a profile and compares what it answers with the results that stand in it.
#[track_caller]
fn check(profile: &str, text: &str) {
    let profile = Profile::by_name(profile).expect("a named profile");
    fired(profile, text);
}

/// Runs a scenario, compares, and returns the rules that decided anything.
#[track_caller]
fn fired(profile: Profile, text: &str) -> BTreeSet<String> {
    let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let name = profile.name.clone();
    let mut model = Sequential::new(profile);
    let mut rules = BTreeSet::new();
    for line in &scenario.lines {
        let answer = model
            .apply(&line.op)
            .expect("the model can always be asked");
        rules.extend(answer.rules.iter().flatten().map(ToString::to_string));
        let rendered = render_answer(&answer, &line.op);
        if let Some(expected) = line.expected_for(&name) {
            assert!(
                results_match(expected, &rendered, scenario::Notes::Compared),
                "{name}: {:?}\nexpected {expected:#?}\nanswered {rendered:#?}",
                line.op
            );
        }
        let violations = model.machine().fs().fsck();
        assert!(
            violations.is_empty(),
            "{name}: {:?}: {violations:?}",
            line.op
        );
    }
    rules
}
