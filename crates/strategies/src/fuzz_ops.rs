//! Lists of operations from the bytes that a fuzzer makes up.

use arbitrary::Unstructured;
use scenario::Op;

use crate::small::{self, Choices};

/// How many operations one input can be.
const NR_OPS_MAX: usize = 200;

/// Returns operations for any bytes: a prelude that creates the files `A` to `D`, then what the
/// bytes choose. Every input is a list, and most changes of a byte change one operation.
#[must_use]
pub fn ops_from_bytes(bytes: &[u8]) -> Vec<Op> {
    let mut choices = Fuzzed {
        bytes: Unstructured::new(bytes),
    };
    let mut ops = small::prelude();
    while !choices.bytes.is_empty() && ops.len() < NR_OPS_MAX {
        ops.push(small::op(&mut choices));
    }
    ops
}

/// Choices that come from a fuzzer.
struct Fuzzed<'a> {
    bytes: Unstructured<'a>,
}

impl Choices for Fuzzed<'_> {
    fn below(&mut self, end: u8) -> u8 {
        self.bytes.int_in_range(0..=end - 1).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_operations() {
        let nr_in_prelude = small::prelude().len();
        assert_eq!(ops_from_bytes(&[]).len(), nr_in_prelude);
        for seed in 0..50u64 {
            let bytes = data::Content::pattern(seed, 0, 300).to_vec();
            let nr_ops = ops_from_bytes(&bytes).len();
            assert!(
                nr_in_prelude + 10 < nr_ops && nr_ops <= NR_OPS_MAX,
                "{nr_ops}"
            );
        }
    }
}
