//! How far the client is: counters that anybody may look at while it works.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// What the client is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It reads the file for its hash, its character set and its dates, and asks the endpoint for the schema.
    Looking,
    /// It sends.
    Sending,
    /// Nothing any more.
    Done,
}

/// Counters of one run. Share it with the run and look at [`Progress::snapshot`].
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    bytes_total: AtomicU64,
    bytes_read: AtomicU64,
    counts: [AtomicU64; Count::ALL],
    trouble: Mutex<Option<String>>,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Read,
    Selected,
    SettledBefore,
    Sent,
    Accepted,
    Refused,
    Bad,
    SentAgain,
    Doubtful,
    Requests,
    BytesSent,
}

impl Count {
    const ALL: usize = Self::BytesSent as usize + 1;
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// What the client is doing.
    pub phase: Phase,
    /// The size of the unpacked input, where it is known.
    pub bytes_total: Option<u64>,
    /// How much of it was read in this phase.
    pub bytes_read: u64,
    /// Rows that were read.
    pub rows_read: u64,
    /// Rows of them that were chosen.
    pub rows_selected: u64,
    /// Rows of those that an earlier run had settled, by the journal.
    pub rows_settled_before: u64,
    /// Rows that were posted at least once; in a dry run, rows that were printed.
    pub rows_sent: u64,
    /// Rows that the endpoint took.
    pub rows_accepted: u64,
    /// Rows that it refused.
    pub rows_refused: u64,
    /// Rows that could not be read or converted, and were not sent.
    pub rows_bad: u64,
    /// How often a row was sent again.
    pub rows_sent_again: u64,
    /// How often of those it is unknown whether the endpoint had taken it, because its answer got lost: so many
    /// rows at most are twice in the stream.
    pub rows_doubtful: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes_sent: u64,
    /// Why requests fail at the moment.
    pub trouble: Option<String>,
}

impl Snapshot {
    /// How much of the input was read, from 0 to 1, where that is known.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn share(&self) -> Option<f64> {
        let total = self.bytes_total.filter(|total| *total > 0)?;
        Some((self.bytes_read as f64 / total as f64).min(1.0))
    }

    /// How long it will go on as it went so far, where that is known.
    #[must_use]
    pub fn time_left(&self, elapsed: Duration) -> Option<Duration> {
        let share = self.share().filter(|share| *share > 0.0)?;
        Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - share) / share).ok()
    }
}

impl Progress {
    /// Counters that stand at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let total = self.bytes_total.load(Ordering::Relaxed);
        Snapshot {
            phase: match self.phase.load(Ordering::Relaxed) {
                0 => Phase::Looking,
                1 => Phase::Sending,
                _ => Phase::Done,
            },
            bytes_total: (total > 0).then_some(total),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            rows_read: self.get(Count::Read),
            rows_selected: self.get(Count::Selected),
            rows_settled_before: self.get(Count::SettledBefore),
            rows_sent: self.get(Count::Sent),
            rows_accepted: self.get(Count::Accepted),
            rows_refused: self.get(Count::Refused),
            rows_bad: self.get(Count::Bad),
            rows_sent_again: self.get(Count::SentAgain),
            rows_doubtful: self.get(Count::Doubtful),
            requests: self.get(Count::Requests),
            bytes_sent: self.get(Count::BytesSent),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: Count, more: u64) {
        self.counts[count as usize].fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.bytes_read.store(0, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_total_bytes(&self, bytes: u64) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read_bytes(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_from_what_was_read() {
        let progress = Progress::new();
        assert_eq!(progress.snapshot().time_left(Duration::from_secs(1)), None);
        progress.enter(Phase::Sending);
        progress.set_total_bytes(400);
        progress.read_bytes(100);
        assert_eq!(progress.snapshot().time_left(Duration::from_secs(2)), Some(Duration::from_secs(6)));
    }
}
