//! How much longer a differential run takes than the observed witness alone: [`Sample`].

use std::time::{Duration, Instant};

use scenario::{Backend, BackendError, Exchange, Geometry};

/// The exchanges of the beginning of a run with the time that they took, in slices.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    slices: Vec<Slice>,
}

/// What went to the observed witness at once, or the start of an episode.
#[derive(Debug)]
struct Slice {
    exchanges: Vec<Exchange>,
    elapsed: Duration,
    /// Whether both filesystems were emptied before.
    is_fresh: bool,
}

impl Sample {
    /// Returns how many exchanges there are.
    pub(crate) fn nr_exchanges(&self) -> usize {
        self.slices.iter().map(|slice| slice.exchanges.len()).sum()
    }

    /// Adds what was asked at once and how long both witnesses and the comparison took.
    pub(crate) fn push(&mut self, exchanges: Vec<Exchange>, elapsed: Duration, is_fresh: bool) {
        self.slices.push(Slice {
            exchanges,
            elapsed,
            is_fresh,
        });
    }

    /// Replays the sample on the observed witness alone; returns the wall time of the run over
    /// that of the replay, or `None` if the sample is empty. The tenths of the slices whose ratio
    /// is the smallest and the largest do not count: commits of a real kernel fall anywhere.
    pub(crate) fn overhead(
        &self,
        observed: &mut dyn Backend,
        geometry: &Geometry,
    ) -> Result<Option<f64>, BackendError> {
        let mut times = Vec::with_capacity(self.slices.len());
        for slice in &self.slices {
            if slice.is_fresh {
                observed.reset(geometry)?;
            }
            let start = Instant::now();
            // The replies are dropped inside: a caller who only replays drops them too.
            drop(observed.run(&slice.exchanges)?);
            times.push((slice.elapsed.as_secs_f64(), start.elapsed().as_secs_f64()));
        }
        Ok(ratio(times))
    }
}

/// Returns the sum of the first numbers over that of the second ones, outliers left out.
fn ratio(mut times: Vec<(f64, f64)>) -> Option<f64> {
    let of = |(run, replay): &(f64, f64)| run / replay.max(f64::EPSILON);
    times.sort_by(|one, two| of(one).total_cmp(&of(two)));
    let nr_outliers = times.len() / 10;
    let kept = &times[nr_outliers..times.len() - nr_outliers];
    let (run, replay) = kept.iter().fold((0.0, 0.0), |(run, replay), (one, two)| {
        (run + one, replay + two)
    });
    (0.0 < replay).then_some(run / replay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_count() {
        let mut times = vec![(1.2, 1.0); 18];
        times.extend([(50.0, 1.0), (1.0, 50.0)]);
        let overhead = ratio(times).expect("there are times");
        assert!((overhead - 1.2).abs() < 1e-9, "{overhead}");
        assert_eq!(ratio(Vec::new()), None);
    }
}
