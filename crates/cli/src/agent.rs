//! `xsame agent`: the roles of this program around and inside a User Mode Linux kernel.

use std::process::ExitCode;

use crate::arguments::AgentArguments;

/// Runs a role. As init of a guest it does not return.
pub(crate) fn run(arguments: &AgentArguments) -> ExitCode {
    backend_uml::agent::run(&arguments.arguments)
}
