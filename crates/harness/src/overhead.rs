//! How much longer a differential run takes than the observed witness alone: [`Sample`].

use std::time::{Duration, Instant};

use scenario::{BackendError, Exchange, Op};

use crate::diff::Options;
use crate::duel::Witnesses;

/// How many exchanges are timed together.
const SLICE_LEN: usize = 100;
/// How often the sample is replayed, and run again.
const NR_ROUNDS: u32 = 2;

/// The exchanges of the beginning of a run with the time that they took, in slices.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    slices: Vec<Slice>,
    nr_exchanges: usize,
}

/// Some exchanges that followed each other.
#[derive(Debug, Default)]
struct Slice {
    exchanges: Vec<Exchange>,
    /// The best time of a run of both witnesses, drawing and comparing included.
    run: Duration,
    /// How much of it was drawing operations.
    drawn: Duration,
    /// The best time of the observed witness alone.
    replay: Option<Duration>,
    /// Whether an episode begins with it.
    is_fresh: bool,
}

impl Sample {
    /// Returns how many exchanges there are.
    pub(crate) fn nr_exchanges(&self) -> usize {
        self.nr_exchanges
    }

    /// Takes note that both filesystems were emptied.
    pub(crate) fn begin_episode(&mut self) {
        self.slices.push(Slice {
            is_fresh: true,
            ..Slice::default()
        });
    }

    /// Adds an exchange, how long both witnesses and the comparison took, and how much of that
    /// went into drawing it.
    pub(crate) fn push(&mut self, exchange: Exchange, elapsed: Duration, drawn: Duration) {
        let is_full = |slice: &Slice| SLICE_LEN <= slice.exchanges.len();
        if self.slices.last().is_none_or(is_full) {
            self.slices.push(Slice::default());
        }
        if let Some(slice) = self.slices.last_mut() {
            slice.exchanges.push(exchange);
            slice.run += elapsed;
            slice.drawn += drawn;
            self.nr_exchanges += 1;
        }
    }

    /// Returns the wall time of the run over that of the same exchanges on the observed witness
    /// alone, or `None` if the sample is empty.
    ///
    /// Both are repeated in turn and the best time of each slice counts: what else the machine is
    /// doing must not decide.
    pub(crate) fn overhead(
        mut self,
        witnesses: &mut Witnesses<'_>,
        options: &Options,
    ) -> Result<Option<f64>, BackendError> {
        self.slices.retain(|slice| !slice.exchanges.is_empty());
        for round in 0..NR_ROUNDS {
            if 0 < round {
                self.run_again(witnesses, options)?;
            }
            self.replay(witnesses, options)?;
        }
        let times = self
            .slices
            .iter()
            .filter_map(|slice| Some((slice.run.as_secs_f64(), slice.replay?.as_secs_f64())));
        Ok(ratio(times.collect()))
    }

    /// Times the observed witness alone.
    fn replay(
        &mut self,
        witnesses: &mut Witnesses<'_>,
        options: &Options,
    ) -> Result<(), BackendError> {
        for slice in &mut self.slices {
            if slice.is_fresh {
                witnesses.observed.reset(&options.geometry)?;
            }
            let start = Instant::now();
            for exchange in &slice.exchanges {
                drop(witnesses.observed.run(std::slice::from_ref(exchange))?);
            }
            let elapsed = start.elapsed();
            slice.replay = Some(slice.replay.map_or(elapsed, |best| best.min(elapsed)));
        }
        Ok(())
    }

    /// Times both witnesses again. Ends early if they disagree: time is all that is asked here.
    fn run_again(
        &mut self,
        witnesses: &mut Witnesses<'_>,
        options: &Options,
    ) -> Result<(), BackendError> {
        let mut duel = None;
        for slice in &mut self.slices {
            let mut duel_of_episode = match duel.take() {
                Some(duel) if !slice.is_fresh => duel,
                _ => witnesses.reset(&options.geometry, options.patience)?,
            };
            let ops: Vec<Op> = slice
                .exchanges
                .iter()
                .map(|asked| asked.op.clone())
                .collect();
            let start = Instant::now();
            for op in ops {
                let exchange = duel_of_episode.exchange(op);
                if !duel_of_episode
                    .play(witnesses, exchange)?
                    .differences
                    .is_empty()
                {
                    return Ok(());
                }
            }
            slice.run = slice.run.min(start.elapsed() + slice.drawn);
            duel = Some(duel_of_episode);
        }
        Ok(())
    }
}

/// Returns the sum of the first numbers over that of the second ones, without the tenths of the
/// pairs whose ratio is the smallest and the largest: commits of a real kernel fall anywhere.
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
