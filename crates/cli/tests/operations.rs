//! Scenarios of operations that no rule speaks of, each on the model in the roles of real kernels
//! and on those kernels that are there.
//!
//! What the files expect was answered by kernels; nothing here writes them.

mod witnesses;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;
use scenario::text::Scenario;

use witnesses::{Check, Witnesses};

/// The roles that the model plays: those of kernels that can be asked.
const ROLES: [&str; 4] = ["linux-6.1", "linux-6.12", "linux-6.18", "linux-7.2"];
/// The User Mode Linux kernels that are asked, with exact profiles.
const UML_RELEASES: [&str; 3] = ["6.1", "6.12", "7.2"];
/// Where the scenarios are.
const FOLDER: &str = "operations";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let witnesses = Witnesses::find(arguments.list, &UML_RELEASES);
    let mut trials = Vec::new();
    for (name, scenario) in witnesses::scenarios(FOLDER) {
        let scenario = Arc::new(scenario);
        let title = format!("{name} is as its scenario says");
        for profile in ROLES {
            trials.push(witnesses::on_model(&title, profile, check(&scenario)));
        }
        for kernel in witnesses.kernels() {
            trials.push(kernel.trial(&title, check(&scenario)));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    witnesses.end();
    conclusion.exit_code()
}

fn check(scenario: &Arc<Scenario>) -> Check {
    let scenario = Arc::clone(scenario);
    Box::new(move |backend, profile| witnesses::play(backend, &scenario, profile).map(drop))
}
