//! Making visible what is tried again: a metric for each attempt, a log line now and then, the stage's health.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;
use penstock_contract::SinkError;
use penstock_runtime::{Backoff, Health};
use penstock_stream::StreamError;
use tokio::time::Instant;

use crate::lease_table::LeaseTableError;
use crate::metrics::Metrics;

/// A trouble that lasts is logged again after this time.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// What the names of all shards begin with; other subjects are the table, the heartbeat and the stream.
const SHARD: &str = "shardId-";

/// What is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Concern {
    Leases,
    Stream,
    Sink,
    DeadLetters,
}

impl Concern {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Leases => "leases",
            Self::Stream => "stream",
            Self::Sink => "sink",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// Short waits first, then longer ones.
    pub(crate) fn backoff(self) -> Backoff {
        let (base, cap) = match self {
            // Everything waits for the lease table.
            Self::Leases => (100, 5_000),
            Self::Stream => (200, 10_000),
            Self::Sink | Self::DeadLetters => (200, 20_000),
        };
        Backoff::new(Duration::from_millis(base), Duration::from_millis(cap))
    }
}

/// An error with a stable code.
pub(crate) trait Reason: Error {
    fn reason(&self) -> &'static str;
}

impl Reason for LeaseTableError {
    fn reason(&self) -> &'static str {
        self.reason()
    }
}

impl Reason for StreamError {
    fn reason(&self) -> &'static str {
        self.reason()
    }
}

impl Reason for SinkError {
    fn reason(&self) -> &'static str {
        self.reason()
    }
}

/// The troubles of one consumer.
#[derive(Debug)]
pub(crate) struct Troubles {
    health: Health,
    metrics: Metrics,
    /// What is not over yet, by concern and subject (a shard, mostly), with the time of the last log line.
    open: Mutex<BTreeMap<(Concern, String), Instant>>,
}

impl Troubles {
    pub(crate) fn new(health: Health, metrics: Metrics) -> Self {
        Self { health, metrics, open: Mutex::new(BTreeMap::new()) }
    }

    /// Something did not succeed and is tried again after the wait.
    pub(crate) fn note<E: Reason>(&self, concern: Concern, subject: &str, error: &E, wait: Duration) {
        let reason = error.reason();
        self.metrics.retry(concern.as_str(), reason);
        if subject.starts_with(SHARD) {
            self.metrics.shard_retry(subject);
        }
        self.health.waits(concern.as_str(), format!("{subject}: {error}"));
        let now = Instant::now();
        let mut open = self.open.lock();
        let logged = open.get(&(concern, subject.to_owned()));
        if logged.is_some_and(|logged| now.duration_since(*logged) < LOG_EVERY) {
            return;
        }
        open.insert((concern, subject.to_owned()), now);
        drop(open);
        let wait_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            concern = concern.as_str(),
            subject,
            reason,
            error = chain(error),
            wait_millis,
            "something did not succeed; it is tried again until it does"
        );
    }

    /// The concern is fine, unless something is in trouble.
    pub(crate) fn fine(&self, concern: Concern) {
        if !self.open.lock().keys().any(|(other, _)| *other == concern) {
            self.health.fine(concern.as_str());
        }
    }

    /// It succeeded, or nobody tries any more.
    pub(crate) fn over(&self, concern: Concern, subject: &str) {
        let mut open = self.open.lock();
        if open.is_empty() {
            return;
        }
        let was_open = open.remove(&(concern, subject.to_owned())).is_some();
        if was_open && !open.keys().any(|(other, _)| *other == concern) {
            self.health.fine(concern.as_str());
        }
    }

    /// Nobody works on the subject any more.
    pub(crate) fn forget(&self, subject: &str) {
        for concern in [Concern::Leases, Concern::Stream, Concern::Sink, Concern::DeadLetters] {
            self.over(concern, subject);
        }
    }

    /// Tries until it succeeds.
    pub(crate) async fn insist<T, E, F>(&self, concern: Concern, subject: &str, mut attempt: impl FnMut() -> F) -> T
    where
        E: Reason,
        F: Future<Output = Result<T, E>>,
    {
        let mut backoff = concern.backoff();
        loop {
            match attempt().await {
                Ok(done) => {
                    self.over(concern, subject);
                    return done;
                }
                Err(error) => {
                    let wait = backoff.next_wait();
                    self.note(concern, subject, &error, wait);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing into a string does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn missing() -> LeaseTableError {
        LeaseTableError::MissingTable { doing: "reading".to_owned() }
    }

    #[test]
    fn a_concern_is_fine_again_when_its_last_trouble_is_over() {
        let health = Health::new();
        let troubles = Troubles::new(health.clone(), Metrics::new("ns/p".into(), "s".into()));
        troubles.note(Concern::Leases, "a", &missing(), Duration::ZERO);
        troubles.note(Concern::Leases, "b", &missing(), Duration::ZERO);
        troubles.over(Concern::Leases, "a");
        assert_eq!(health.not_ready()[0].concern, "leases");
        troubles.forget("b");
        assert!(health.is_ready());
    }

    #[tokio::test]
    async fn what_fails_is_tried_until_it_succeeds() {
        let troubles = Troubles::new(Health::new(), Metrics::new("ns/p".into(), "s".into()));
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            std::future::ready(if attempts < 4 { Err(missing()) } else { Ok(attempts) })
        };
        assert_eq!(troubles.insist(Concern::Leases, "a", attempt).await, 4);
    }
}
