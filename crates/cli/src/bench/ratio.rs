//! What rounds come to: [`Measured`], a ratio for each thing timed, and its [`Target`].

use std::time::Duration;

/// What a ratio must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least so many calls of the model for one of the kernel.
    AtLeast(f64),
    /// At most so much time for what memcmp does in 1.
    AtMost(f64),
}

/// One thing that is timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) title: &'static str,
    pub(crate) target: Target,
}

/// Its rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// The ratio of each round.
    pub(crate) ratios: Vec<f64>,
    /// Calls per second of the model and of what it is held against, by round.
    pub(crate) rates: Vec<(f64, f64)>,
}

/// The slices of one round: seconds of a call, the model's first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices(Vec<(f64, f64)>);

impl Target {
    pub(crate) fn is_met_by(self, ratio: f64) -> bool {
        match self {
            Target::AtLeast(bound) => bound <= ratio,
            Target::AtMost(bound) => ratio <= bound,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::AtLeast(bound) => write!(f, "≥ {bound}×"),
            Target::AtMost(bound) => write!(f, "≤ {bound}×"),
        }
    }
}

impl Measured {
    /// Adds a round: its ratio, and the seconds of a call, the model's first.
    pub(crate) fn push(&mut self, ratio: f64, seconds: (f64, f64)) {
        self.ratios.push(ratio);
        self.rates.push((seconds.0.recip(), seconds.1.recip()));
    }

    pub(crate) fn ratio(&self) -> f64 {
        median(self.ratios.iter().copied())
    }

    pub(crate) fn min(&self) -> f64 {
        self.ratios.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.ratios.iter().copied().fold(0.0, f64::max)
    }

    /// Returns the median rates, calls per second, model first.
    pub(crate) fn rates(&self) -> (f64, f64) {
        let one = median(self.rates.iter().map(|rates| rates.0));
        let two = median(self.rates.iter().map(|rates| rates.1));
        (one, two)
    }
}

impl Slices {
    /// Adds a slice of `nr_calls` calls: how long both took, the model first.
    pub(crate) fn push(&mut self, nr_calls: usize, (one, two): (Duration, Duration)) {
        let per_call = |elapsed: Duration| elapsed.as_secs_f64() / nr_calls as f64;
        self.0.push((per_call(one), per_call(two)));
    }

    /// Returns the median seconds of a call, the model's first.
    pub(crate) fn seconds(&self) -> (f64, f64) {
        let one = median(self.0.iter().map(|seconds| seconds.0));
        let two = median(self.0.iter().map(|seconds| seconds.1));
        (one, two)
    }

    /// Returns how many calls of the model there are for one of the other.
    pub(crate) fn ratio(&self) -> f64 {
        let (one, two) = self.seconds();
        two / one
    }
}

/// Returns the median; the lower of both if the number is even, 0 of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0].into_iter()), 1.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }

    #[test]
    fn bounds_themselves_are_met() {
        assert!(Target::AtLeast(10.0).is_met_by(10.0));
        assert!(!Target::AtLeast(10.0).is_met_by(9.9));
        assert!(Target::AtMost(1.3).is_met_by(1.3));
        assert!(!Target::AtMost(1.3).is_met_by(1.4));
    }
}
