//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter: each wait is chosen evenly between half of the current bound and
/// the bound, and the bound doubles up to the cap. Half is kept so that a throttled service gets a rest.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// Begins with waits of at most `base`, and never waits longer than `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempts: 0 }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Begins again with short waits: something succeeded.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How many waits there were since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    fn bound(&self) -> Duration {
        self.base.saturating_mul(1_u32.checked_shl(self.attempts.min(30)).unwrap_or(u32::MAX)).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..40).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[4..].iter().all(|wait| *wait >= Duration::from_millis(500) && *wait <= Duration::from_secs(1)));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
