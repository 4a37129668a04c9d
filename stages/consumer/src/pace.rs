//! How fast a shard is read, and what follows from each kind of failure: pure.
//!
//! A shard answers five reads and 2 MB a second, shared by all its readers
//! (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>). A reader that is behind
//! reads on at once until it is throttled, then keeps a distance that shrinks again while all goes well.

use std::time::Duration;

use penstock_stream::{ErrorKind, MAX_RECORDS_PER_READ};

/// At least so long after the service throttled.
const AFTER_THROTTLING: Duration = Duration::from_secs(1);
/// The distance between reads that a first throttling sets: five a second.
const FIRST_SPACING: Duration = Duration::from_millis(200);
/// The greatest distance: with so many readers of one shard, a stream needs registered consumers.
const MAX_SPACING: Duration = Duration::from_secs(2);
/// A smaller distance is none.
const MIN_SPACING: Duration = Duration::from_millis(50);
/// The wait at the tip after an answer with records.
const MIN_IDLE: Duration = Duration::from_millis(250);
/// The longest wait at the tip: five readers of one shard stay below five reads a second.
const MAX_IDLE: Duration = Duration::from_secs(1);
/// What a record is taken to weigh before any was seen: an aggregate of the KPL's default size.
const FIRST_GUESS: usize = 50 * 1024;

/// The distance between reads of one shard, and how many records each of them asks for.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What a record weighed lately; `None` before any was seen.
    record_bytes: Option<usize>,
    spacing: Duration,
    idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { record_bytes: None, spacing: Duration::ZERO, idle: MIN_IDLE }
    }
}

impl Pace {
    /// How many stream records to ask for, so that an answer has about the wanted size.
    pub(crate) fn limit(&self, bytes: usize) -> i32 {
        let records = bytes / self.record_bytes.unwrap_or(FIRST_GUESS).max(1);
        i32::try_from(records).unwrap_or(MAX_RECORDS_PER_READ).clamp(1, MAX_RECORDS_PER_READ)
    }

    /// Takes an answer; says how long to wait before the next read.
    pub(crate) fn answered(&mut self, records: usize, bytes: usize, at_tip: bool) -> Duration {
        self.spacing = self.spacing.mul_f64(0.9);
        if self.spacing < MIN_SPACING {
            self.spacing = Duration::ZERO;
        }
        if let Some(mean) = bytes.checked_div(records) {
            self.record_bytes = Some(self.record_bytes.map_or(mean, |before| (before + mean) / 2));
        }
        if !at_tip {
            self.idle = MIN_IDLE;
            // An empty answer below the tip is normal, but a storm of them would only throttle the others.
            return if records == 0 { self.spacing.max(MIN_SPACING) } else { self.spacing };
        }
        self.idle = if records > 0 { MIN_IDLE } else { (self.idle * 2).min(MAX_IDLE) };
        self.idle.max(self.spacing)
    }

    /// Takes a throttling; says how long to wait before the next read. `jitter` lies between 0 and 1.
    pub(crate) fn throttled(&mut self, jitter: f64) -> Duration {
        self.spacing = (self.spacing * 2).clamp(FIRST_SPACING, MAX_SPACING);
        AFTER_THROTTLING.mul_f64(1.0 + jitter)
    }
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Take a new iterator after the last record received.
    NewIterator,
    /// Take a new iterator, unless the shard is not the one any more that it was.
    Doubt,
    /// The shard's throughput is used up.
    SlowDown,
    /// Try again soon, with growing waits.
    TryAgain,
    /// Somebody has to change something: try again now and then, visibly.
    Hold,
    /// The shard may be gone: look it up.
    LookUp,
}

impl Reaction {
    /// The reaction to a failed read.
    pub(crate) fn to(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ExpiredIterator => Self::NewIterator,
            ErrorKind::InvalidArgument => Self::Doubt,
            ErrorKind::Throttled => Self::SlowDown,
            ErrorKind::NotFound => Self::LookUp,
            ErrorKind::LimitExceeded
            | ErrorKind::ExpiredToken
            | ErrorKind::ResourceInUse
            | ErrorKind::Timeout
            | ErrorKind::Unreachable
            | ErrorKind::Internal => Self::TryAgain,
            ErrorKind::AccessDenied
            | ErrorKind::KmsAccessDenied
            | ErrorKind::KmsDisabled
            | ErrorKind::KmsInvalidState
            | ErrorKind::KmsNotFound
            | ErrorKind::KmsOptInRequired => Self::Hold,
        }
    }

    /// Whether the iterator is of no use any more. One of a stream that was deleted is not found, for ever.
    pub(crate) fn renews(self) -> bool {
        matches!(self, Self::NewIterator | Self::Doubt | Self::LookUp)
    }

    /// Whether the shard may be gone.
    pub(crate) fn looks_up(self) -> bool {
        matches!(self, Self::Doubt | Self::LookUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_reads_on_at_once_until_throttled() {
        let mut pace = Pace::default();
        assert_eq!(pace.answered(100, 25_000, false), Duration::ZERO);
        assert!(pace.throttled(0.5) >= AFTER_THROTTLING);
        let after = pace.answered(100, 25_000, false);
        assert!(after > MIN_SPACING && after <= FIRST_SPACING, "{after:?}");
        let last = (0..40).map(|_| pace.answered(100, 25_000, false)).last();
        assert_eq!(last, Some(Duration::ZERO));
    }

    #[test]
    fn at_the_tip_waits_grow_to_a_second_and_shrink_when_records_come() {
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..4).map(|_| pace.answered(0, 0, true)).collect();
        assert_eq!(waits, [500, 1000, 1000, 1000].map(Duration::from_millis));
        assert_eq!(pace.answered(1, 100, true), MIN_IDLE);
    }

    #[test]
    fn a_read_asks_for_as_many_records_as_make_the_wanted_size() {
        let mut pace = Pace::default();
        assert_eq!(pace.limit(1 << 20), 20);
        for _ in 0..30 {
            pace.answered(1000, 250_000, false);
        }
        assert!((4000..=4400).contains(&pace.limit(1 << 20)), "{}", pace.limit(1 << 20));
        for _ in 0..30 {
            pace.answered(1, 10 << 20, false);
        }
        assert_eq!(pace.limit(1 << 20), 1);
    }
}
