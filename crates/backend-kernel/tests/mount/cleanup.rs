//! What stays behind: nothing.
use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
