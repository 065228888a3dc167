//! Seeded choice: [`Dice`]. One seed gives one stream of choices on every machine.
//!
//! Ranges are drawn here rather than by a library, whose way to draw them may change.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A source of choices.
#[derive(Debug)]
pub(crate) struct Dice {
    stream: ChaCha8Rng,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice {
            stream: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Returns any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// Returns a number below `end`; 0 if there is none.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.stream.next_u64()) * u128::from(end);
        (wide >> 64) as u64
    }

    /// Returns a number in `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below((to - from).saturating_add(1))
    }

    /// Returns an index below `len`; 0 if there is none.
    pub(crate) fn idx(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Returns true `percent` times of a hundred.
    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns one of `choices`, of which there is at least one.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.idx(choices.len())]
    }

    /// Returns the index of one of `weights`, each as likely as its weight says.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut left = self.below(sum);
        for (idx, &weight) in weights.iter().enumerate() {
            match left.checked_sub(u64::from(weight)) {
                Some(rest) => left = rest,
                None => return idx,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_is_the_same_everywhere() {
        let mut dice = Dice::new(1);
        let numbers = [dice.any(), dice.below(1000), dice.between(5, 9)];
        assert_eq!(numbers, [7_424_550_030_962_593_201, 80, 7]);
    }

    #[test]
    fn numbers_stay_in_their_ranges() {
        let mut dice = Dice::new(2);
        for _ in 0..1000 {
            assert!(dice.below(7) < 7);
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert_ne!(dice.weighted(&[1, 0, 3]), 1);
        }
        assert_eq!((dice.below(0), dice.below(1), dice.idx(0)), (0, 0, 0));
    }
}
