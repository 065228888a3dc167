//! A bit for each of many: [`Bits`], and [`Ranked`] that can say how many are set before one.

/// Words that are counted together.
const WORDS: usize = 8;

/// Bits by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

/// Bits with how many are set before each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranked {
    bits: Bits,
    /// By each [`WORDS`], how many are set before them.
    before: Vec<u64>,
}

impl Bits {
    /// Returns so many bits that are not set.
    pub(crate) fn new(nr_bits: u64) -> Bits {
        Bits(vec![0; nr_bits.div_ceil(64) as usize])
    }

    #[inline]
    pub(crate) fn set(&mut self, bit: u64) {
        self.0[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    #[inline]
    pub(crate) fn has(&self, bit: u64) -> bool {
        self.0[(bit / 64) as usize] & 1 << (bit % 64) != 0
    }

    /// Counts them.
    pub(crate) fn ranked(self) -> Ranked {
        let mut nr_before = 0;
        let mut before = Vec::with_capacity(self.0.len().div_ceil(WORDS));
        for words in self.0.chunks(WORDS) {
            before.push(nr_before);
            nr_before += count(words);
        }
        Ranked { bits: self, before }
    }
}

impl Ranked {
    #[inline]
    pub(crate) fn has(&self, bit: u64) -> bool {
        self.bits.has(bit)
    }

    /// Returns how many bits are set before one.
    #[inline]
    pub(crate) fn rank(&self, bit: u64) -> u64 {
        let word = (bit / 64) as usize;
        let first = word / WORDS * WORDS;
        let words = &self.bits.0;
        let below = words[word] & ((1 << (bit % 64)) - 1);
        self.before[word / WORDS] + count(&words[first..word]) + u64::from(below.count_ones())
    }

    /// Returns how many bits are set.
    pub(crate) fn nr_set(&self) -> u64 {
        let first = self.before.len().saturating_sub(1) * WORDS;
        self.before.last().copied().unwrap_or(0) + count(&self.bits.0[first..])
    }
}

fn count(words: &[u64]) -> u64 {
    words.iter().map(|word| u64::from(word.count_ones())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_know_how_many_are_set_before_them() {
        for nr_bits in [0, 1, 63, 64, 65, 512, 513, 5000] {
            let is_set = |bit: u64| bit.is_multiple_of(3) || bit % 7 == 2;
            let mut bits = Bits::new(nr_bits);
            (0..nr_bits)
                .filter(|bit| is_set(*bit))
                .for_each(|bit| bits.set(bit));
            let ranked = bits.ranked();
            let mut nr_before = 0;
            for bit in 0..nr_bits {
                assert_eq!(
                    (ranked.has(bit), ranked.rank(bit)),
                    (is_set(bit), nr_before)
                );
                nr_before += u64::from(is_set(bit));
            }
            assert_eq!(ranked.nr_set(), nr_before);
        }
    }
}
