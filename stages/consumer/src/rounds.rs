//! When a worker looks at the lease table: pure.
//!
//! Each look reads the whole table. Workers that are started together, by a deployment or after an outage, would go on
//! looking together, and the table would have to bear all of it at once.

use std::time::Duration;

/// From the begin of a look to that of the next one, where nothing asks for one earlier. `luck` lies between 0 and 1.
///
/// The first look is made at once; after it each worker waits for a part of a round that is its own. The rounds after that
/// differ a little, so that workers that were brought into step by something else do not stay in it. No pause is longer than
/// a round: a failover is counted in rounds. It is whole milliseconds, as timers are.
pub(crate) fn pause(round: Duration, is_after_the_first: bool, luck: f64) -> Duration {
    let part = if is_after_the_first { luck } else { 1.0 - luck / 10.0 };
    Duration::from_millis(u64::try_from(round.mul_f64(part).as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;

    const ROUND: Duration = Duration::from_millis(2500);
    const WORKERS: usize = 100;
    /// A slice is a tenth of a round.
    const SLICES: usize = 10;
    const ROUNDS: usize = 40;

    /// How many workers look in each slice, after the first look of all.
    fn looks(seed: u64) -> Vec<usize> {
        let mut slices = vec![0; ROUNDS * SLICES];
        let mut luck = Rng::with_seed(seed);
        for _ in 0..WORKERS {
            let mut at = pause(ROUND, true, luck.f64());
            while let Some(slice) = slices.get_mut(at.div_duration_f64(ROUND / 10) as usize) {
                *slice += 1;
                at += pause(ROUND, false, luck.f64());
            }
        }
        slices
    }

    proptest! {
        #[test]
        fn workers_that_are_started_together_do_not_read_the_table_together(seed in any::<u64>()) {
            let looks = looks(seed);
            let even = WORKERS / SLICES;
            prop_assert!(looks.iter().all(|look| *look <= 4 * even), "{:?}", looks);
            let all: usize = looks.iter().sum();
            prop_assert!((WORKERS * ROUNDS..WORKERS * ROUNDS * 11 / 10).contains(&all), "{} looks", all);
        }

        #[test]
        fn no_pause_is_longer_than_a_round(is_after_the_first in any::<bool>(), luck in 0.0..1.0) {
            prop_assert!(pause(ROUND, is_after_the_first, luck) <= ROUND);
        }
    }
}
