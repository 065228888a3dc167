//! How a command ended: [`Exit`].

use std::process::ExitCode;

use uapi::Errno;

/// What a command's exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all is well.
    Fine,
    /// 1: a divergence, a difference, an expectation that was not met.
    Found,
    /// 2: wrong use, something missing, or a run that proves nothing.
    Unusable,
    /// 256 less the errno: how a program ends that returns a negated errno from `main`.
    Negated(Errno),
    /// 128 and the number of a signal that asked for an end: what was done until then is told.
    Asked(i32),
}

impl Exit {
    /// Returns the number. Under `git bisect run` what proves nothing skips the commit: 125.
    pub(crate) fn code(self, is_bisecting: bool) -> ExitCode {
        match self {
            Exit::Fine => ExitCode::SUCCESS,
            Exit::Found => ExitCode::from(1),
            Exit::Unusable if is_bisecting => ExitCode::from(125),
            Exit::Unusable => ExitCode::from(2),
            // The low byte is all that a parent sees.
            Exit::Negated(errno) => ExitCode::from((errno.raw() as u8).wrapping_neg()),
            Exit::Asked(signal) => ExitCode::from(128_u8.wrapping_add(signal as u8)),
        }
    }
}
