//! A token bucket: how often a service of one account and region is asked.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A token bucket. Nobody waits in it: who gets nothing is told when to come again.
#[derive(Debug)]
pub struct Budget {
    a_second: f64,
    burst: f64,
    state: Mutex<(f64, Option<Instant>)>,
}

impl Budget {
    /// One that is full.
    #[must_use]
    pub fn new(a_second: f64, burst: f64) -> Self {
        Self { a_second, burst, state: Mutex::new((burst, None)) }
    }

    /// Takes tokens, more than there are if need be: the next one waits for it.
    ///
    /// # Errors
    /// When there is none: how long to wait.
    pub fn take(&self, tokens: usize, now: Instant) -> Result<(), Duration> {
        #[allow(clippy::cast_precision_loss, reason = "a Pipeline has some hundred resources")]
        let wanted = tokens as f64;
        let mut state = self.state.lock();
        let (left, last) = *state;
        let passed = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let left = (left + passed.as_secs_f64() * self.a_second).min(self.burst);
        let enough = wanted.min(self.burst);
        if left >= enough {
            *state = (left - wanted, Some(now));
            return Ok(());
        }
        *state = (left, Some(now));
        Err(Duration::from_secs_f64((enough - left) / self.a_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_the_steady_rate() {
        let budget = Budget::new(4.0, 8.0);
        let begin = Instant::now();
        assert_eq!((0..20).filter(|_| budget.take(1, begin).is_ok()).count(), 8);
        let wait = budget.take(1, begin).err();
        assert_eq!(wait, Some(Duration::from_millis(250)));
        let later = begin + Duration::from_secs(10);
        assert_eq!((0..100).filter(|_| budget.take(1, later).is_ok()).count(), 8, "it holds no more than the burst");
    }

    #[test]
    fn one_that_needs_more_than_the_burst_is_served_and_paid_for_by_the_next() {
        let budget = Budget::new(1.0, 4.0);
        let begin = Instant::now();
        assert!(budget.take(10, begin).is_ok());
        assert_eq!(budget.take(1, begin).err(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn over_a_minute_no_more_is_given_than_the_rate_and_the_burst() {
        let budget = Budget::new(4.0, 4.0);
        let begin = Instant::now();
        let given = (0..60_000).filter(|millis| budget.take(1, begin + Duration::from_millis(*millis)).is_ok()).count();
        assert!((238..=244).contains(&given), "{given}");
    }
}
