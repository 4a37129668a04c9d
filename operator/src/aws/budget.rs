//! A token bucket: how often a service of one account and region is asked.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A token bucket that takes orders. Nobody waits in it: who orders is told when to come, and then is served.
#[derive(Debug)]
pub struct Budget {
    a_second: f64,
    burst: f64,
    /// What is left, less than nothing when orders are open, and when that was so.
    state: Mutex<(f64, Option<Instant>)>,
}

impl Budget {
    /// One that is full.
    #[must_use]
    pub fn new(a_second: f64, burst: f64) -> Self {
        Self { a_second, burst, state: Mutex::new((burst, None)) }
    }

    /// Orders tokens; gives how long it takes until they are there.
    #[must_use]
    pub fn order(&self, tokens: usize, now: Instant) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "a Pipeline has some hundred resources")]
        let wanted = tokens as f64;
        let mut state = self.state.lock();
        let (left, last) = *state;
        let passed = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let left = (left + passed.as_secs_f64() * self.a_second).min(self.burst) - wanted;
        *state = (left, Some(now));
        Duration::from_secs_f64((-left).max(0.0) / self.a_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_served_at_once_and_the_rest_at_the_steady_rate() {
        let budget = Budget::new(4.0, 8.0);
        let begin = Instant::now();
        let waits: Vec<_> = (0..16).map(|_| budget.order(1, begin).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]);
    }

    #[test]
    fn who_comes_later_queues_behind_those_who_ordered() {
        let budget = Budget::new(1.0, 1.0);
        let begin = Instant::now();
        assert_eq!(budget.order(11, begin), Duration::from_secs(10));
        assert_eq!(budget.order(1, begin + Duration::from_secs(4)), Duration::from_secs(7));
    }

    #[test]
    fn a_thousand_that_come_at_once_are_spread_over_the_time_that_they_need() {
        let budget = Budget::new(4.0, 4.0);
        let begin = Instant::now();
        let last = (0..1000).map(|_| budget.order(1, begin)).max();
        assert_eq!(last, Some(Duration::from_secs(249)));
    }

    #[test]
    fn it_holds_no_more_than_the_burst() {
        let budget = Budget::new(4.0, 4.0);
        let begin = Instant::now();
        assert!(budget.order(4, begin).is_zero());
        let later = begin + Duration::from_secs(3600);
        assert!(budget.order(4, later).is_zero());
        assert_eq!(budget.order(1, later), Duration::from_millis(250));
    }
}
