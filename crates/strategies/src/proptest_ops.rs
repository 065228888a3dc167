//! Strategies for proptest over a small domain of files and blocks.
//!
//! Operations are total, so every sub-list is a list: proptest shrinks by deleting operations and
//! by making their choices smaller.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use scenario::Op;

use crate::small::{self, Choices};

/// How many choices an operation may make.
const NR_CHOICES: usize = 24;

/// Returns a strategy for lists of up to `nr_ops_max` operations after a prelude that creates the
/// files `A` to `D`.
pub fn ops(nr_ops_max: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 0..=nr_ops_max).prop_map(|tail| {
        let mut ops = small::prelude();
        ops.extend(tail);
        ops
    })
}

/// Returns a strategy for one operation.
pub fn op() -> impl Strategy<Value = Op> {
    any::<[u8; NR_CHOICES]>().prop_map(|choices| {
        small::op(&mut Bytes {
            left: choices.iter(),
        })
    })
}

/// Choices that are the remainders of bytes.
struct Bytes<'a> {
    left: std::slice::Iter<'a, u8>,
}

impl Choices for Bytes<'_> {
    fn below(&mut self, end: u8) -> u8 {
        self.left.next().map_or(0, |byte| byte % end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use reference::Reference;
    use scenario::Outcome;

    #[test]
    fn many_dedupes_of_the_small_domain_succeed() {
        let mut runner = TestRunner::deterministic();
        let (mut nr_dedupes, mut nr_same) = (0, 0);
        for _ in 0..50 {
            let tree = ops(40).new_tree(&mut runner).expect("nothing is filtered");
            let mut fs = Reference::new();
            for op in tree.current() {
                if let Outcome::Dedupe { elements, .. } = fs.act(&op) {
                    nr_dedupes += 1;
                    let is_same = |element: &scenario::ElementAnswer| {
                        element.status == 0 && 0 < element.bytes_deduped
                    };
                    nr_same += u32::from(elements.iter().any(is_same));
                }
            }
        }
        assert!(nr_dedupes < nr_same * 5, "{nr_same} of {nr_dedupes}");
    }
}
