//! How far reading of each shard is behind, also while nothing can be read.
//!
//! The service says with each answer how far that was behind the newest record. While there are no answers, since reading
//! fails or the sink does not get on, the place where reading is grows older with time, and that is what is shown.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use parking_lot::Mutex;
use penstock_contract::ShardId;
use tokio::time::{Instant, sleep};

/// Answers come more often when all is well: what is asked for at the tip each second, what is pushed each five seconds.
const FRESH_FOR: Duration = Duration::from_secs(15);
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// The lags of a worker's shards.
#[derive(Clone, Default)]
pub(crate) struct Lags(Arc<Mutex<BTreeMap<ShardId, Lag>>>);

/// What was known last of one shard, and since when.
struct Lag {
    gauge: Gauge,
    behind: Duration,
    known_at: Instant,
}

/// A shard whose lag is shown until this is dropped. Then it is not behind as far as this worker is concerned: the next
/// owner says how it stands.
pub(crate) struct Followed {
    lags: Lags,
    shard: ShardId,
}

impl Lags {
    /// Work on a shard begins. Nothing is known of it yet, but that it is not read before it is.
    pub(crate) fn follow(&self, shard: &ShardId, gauge: Gauge) -> Followed {
        let lag = Lag { gauge, behind: Duration::ZERO, known_at: Instant::now() };
        lag.show(lag.known_at);
        self.0.lock().insert(shard.clone(), lag);
        Followed { lags: self.clone(), shard: shard.clone() }
    }

    /// An answer said how far it was behind.
    pub(crate) fn read(&self, shard: &ShardId, behind: Duration) {
        if let Some(lag) = self.0.lock().get_mut(shard) {
            lag.behind = behind;
            lag.known_at = Instant::now();
            lag.show(lag.known_at);
        }
    }

    /// Shows all of them, for as long as anybody waits for it.
    pub(crate) async fn keep_showing(&self) -> Infallible {
        loop {
            sleep(SHOW_EVERY).await;
            let now = Instant::now();
            self.0.lock().values().for_each(|lag| lag.show(now));
        }
    }
}

impl Lag {
    fn show(&self, now: Instant) {
        self.gauge.set(at(self.behind, now.saturating_duration_since(self.known_at)).as_secs_f64() * 1000.0);
    }
}

/// How far reading is behind, so long after an answer that said so.
fn at(behind: Duration, since: Duration) -> Duration {
    if since <= FRESH_FOR { behind } else { behind.saturating_add(since) }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(lag) = self.lags.0.lock().remove(&self.shard) {
            lag.gauge.set(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A gauge and what it shows, in milliseconds.
    fn gauge() -> (Gauge, impl Fn() -> f64) {
        let cell = Arc::new(AtomicU64::new(0));
        (Gauge::from_arc(Arc::clone(&cell)), move || f64::from_bits(cell.load(Ordering::SeqCst)))
    }

    /// Shows for so many seconds.
    async fn pass(lags: &Lags, seconds: u64) {
        let _ = tokio::time::timeout(Duration::from_secs(seconds), lags.keep_showing()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lag_grows_while_there_are_no_answers_and_is_as_told_when_there_are() {
        let (lags, shard, (gauge, shown)) = (Lags::default(), ShardId::new("s"), gauge());
        let followed = lags.follow(&shard, gauge);
        lags.read(&shard, Duration::from_millis(1_500));
        pass(&lags, 10).await;
        assert_eq!(shown(), 1_500.0, "answers may take that long");
        pass(&lags, 50).await;
        assert!((58_000.0..=62_000.0).contains(&shown()), "{}", shown());
        pass(&lags, 3_600).await;
        assert!(shown() > 3_650_000.0, "{}", shown());
        lags.read(&shard, Duration::ZERO);
        assert_eq!(shown(), 0.0);
        pass(&lags, 100).await;
        assert!(shown() > 90_000.0, "{}", shown());
        drop(followed);
        assert_eq!(shown(), 0.0);
        pass(&lags, 100).await;
        assert_eq!(shown(), 0.0, "it is the next owner's");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_was_never_read_is_behind_since_it_was_taken() {
        let (lags, (gauge, shown)) = (Lags::default(), gauge());
        let _followed = lags.follow(&ShardId::new("s"), gauge);
        pass(&lags, 60).await;
        assert!(shown() > 50_000.0, "{}", shown());
    }
}
