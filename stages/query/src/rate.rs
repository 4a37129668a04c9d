//! How often each API key may ask: a bucket that fills at a steady rate.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use penstock_api::plan::RatePlan;

/// The buckets of all keys. There are as many as keys that have asked, each of which is in the Secret.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Rates {
    pub(crate) fn new(plan: RatePlan) -> Self {
        let (per_second, burst) = (f64::from(plan.requests_per_second), f64::from(plan.burst));
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// Takes one request of a key, or says after how long there is another.
    pub(crate) fn take(&self, key: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: self.burst, filled: now });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.burst);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_ask_a_burst_and_then_at_its_rate_and_keys_do_not_share() {
        let rates = Rates::new(RatePlan { requests_per_second: 2, burst: 3 });
        let start = Instant::now();
        assert!((0..3).all(|_| rates.take("shop", start).is_ok()));
        assert_eq!(rates.take("shop", start).unwrap_err(), Duration::from_millis(500));
        assert!(rates.take("till", start).is_ok());
        assert!(rates.take("shop", start + Duration::from_millis(500)).is_ok());
        assert!(rates.take("shop", start + Duration::from_millis(500)).is_err());
        let much_later = start + Duration::from_secs(3600);
        assert!((0..3).all(|_| rates.take("shop", much_later).is_ok()));
        assert!(rates.take("shop", much_later).is_err(), "a pause saves up no more than a burst");
    }
}
