//! How often a Pipeline may have an event. Pure.
//!
//! Events of one reason are a series, which is one object; but each of a series is a write, and a Pipeline that flips to and fro
//! would never cease. Its status says how it is in any case.

use std::time::{Duration, Instant};

/// At once. As many as Kubernetes' own controllers have for an object.
const BURST: u32 = 25;
/// And then one in so long.
const EVERY: Duration = Duration::from_secs(300);

/// The events that one Pipeline may still have.
#[derive(Debug, Clone)]
pub struct Allowance {
    left: u32,
    /// Since when the next one has been growing.
    since: Instant,
}

impl Allowance {
    /// A whole one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// Takes one; tells whether there was one.
    pub fn take(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.since).as_secs() / EVERY.as_secs();
        let grown = u32::try_from(grown).unwrap_or(BURST).min(BURST);
        self.since = if self.left.saturating_add(grown) >= BURST { now } else { self.since + EVERY * grown };
        self.left = self.left.saturating_add(grown).min(BURST);
        let there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &mut Allowance, times: u32, now: Instant) -> u32 {
        (0..times).map(|_| u32::from(allowance.take(now))).sum()
    }

    #[test]
    fn a_burst_is_told_and_then_one_every_five_minutes() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        assert_eq!(taken(&mut allowance, 100, begin), BURST);
        assert_eq!(taken(&mut allowance, 3, begin + EVERY / 2), 0);
        assert_eq!(taken(&mut allowance, 3, begin + EVERY), 1);
        assert_eq!(taken(&mut allowance, 3, begin + EVERY * 3 + EVERY / 2), 2);
        assert_eq!(taken(&mut allowance, 3, begin + EVERY * 4), 1, "half of it had grown before");
    }

    #[test]
    fn quiet_gives_the_whole_burst_back_and_no_more() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        assert_eq!(taken(&mut allowance, 100, begin), BURST);
        assert_eq!(taken(&mut allowance, 100, begin + EVERY * 1000), BURST);
    }
}
