//! Rates: when a shard, or a call of the control plane, has been used enough.

use super::Millis;

/// A budget that refills with time. It may be overdrawn by one request, which then blocks the next ones until the
/// debt is paid: so a `GetRecords` answer of 10 MiB blocks a shard of 2 MiB/s for five seconds, as the service does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// What a full second gives, and the most that is saved up.
    per_second: u64,
    /// Thousandths of a unit; negative while in debt.
    balance: i64,
    updated: Millis,
}

impl Budget {
    /// A full budget.
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { per_second, balance: (per_second * 1000) as i64, updated: 0 }
    }

    fn refill(&mut self, now: Millis) {
        let full = (self.per_second * 1000) as i64;
        let elapsed = now.saturating_sub(self.updated).min(60_000);
        self.balance = full.min(self.balance + (elapsed * self.per_second) as i64);
        self.updated = self.updated.max(now);
    }

    /// Whether `amount` is there. More than a second's worth is allowed when the budget is full.
    pub(crate) fn allows(&mut self, now: Millis, amount: u64) -> bool {
        self.refill(now);
        self.balance >= (amount.min(self.per_second) * 1000) as i64
    }

    /// Whether there is anything left at all.
    pub(crate) fn has_some(&mut self, now: Millis) -> bool {
        self.refill(now);
        self.balance > 0
    }

    /// Takes `amount`, into debt if need be.
    pub(crate) fn spend(&mut self, amount: u64) {
        self.balance = self.balance.saturating_sub((amount * 1000) as i64);
    }
}

/// What a shard takes in: 1 MiB/s and 1,000 records/s.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
#[derive(Debug)]
pub(crate) struct WriteRate {
    bytes: Budget,
    records: Budget,
}

impl WriteRate {
    pub(crate) const fn new() -> Self {
        Self { bytes: Budget::new(1024 * 1024), records: Budget::new(1000) }
    }

    /// Takes one record if the shard has room for it now.
    pub(crate) fn take(&mut self, now: Millis, bytes: u64) -> bool {
        let allowed = self.bytes.allows(now, bytes) && self.records.allows(now, 1);
        if allowed {
            self.bytes.spend(bytes);
            self.records.spend(1);
        }
        allowed
    }
}

/// What a shard gives out to all `GetRecords` callers: 2 MiB/s and five calls/s; and five new iterators/s.
#[derive(Debug)]
pub(crate) struct ReadRate {
    bytes: Budget,
    calls: Budget,
    iterators: Budget,
}

impl ReadRate {
    pub(crate) const fn new() -> Self {
        Self { bytes: Budget::new(2 * 1024 * 1024), calls: Budget::new(5), iterators: Budget::new(5) }
    }

    /// Takes one call; false when the calls or the bytes of this second are used up.
    pub(crate) fn take_call(&mut self, now: Millis) -> bool {
        let allowed = self.calls.allows(now, 1) && self.bytes.has_some(now);
        if allowed {
            self.calls.spend(1);
        }
        allowed
    }

    /// Books what an answer held.
    pub(crate) fn book_bytes(&mut self, bytes: u64) {
        self.bytes.spend(bytes);
    }

    /// Takes one new iterator.
    pub(crate) fn take_iterator(&mut self, now: Millis) -> bool {
        let allowed = self.iterators.allows(now, 1);
        if allowed {
            self.iterators.spend(1);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_takes_a_thousand_records_in_a_second_and_no_more() {
        let mut rate = WriteRate::new();
        let taken = (0..1500).filter(|_| rate.take(1_000, 10)).count();
        assert_eq!(taken, 1000);
        assert!(!rate.take(1_000, 10));
        let after_half_a_second = (0..1500).filter(|_| rate.take(1_500, 10)).count();
        assert_eq!(after_half_a_second, 500);
    }

    #[test]
    fn a_shard_takes_one_mebibyte_in_a_second() {
        let mut rate = WriteRate::new();
        let taken = (0..100).filter(|_| rate.take(1_000, 64 * 1024)).count();
        assert_eq!(taken, 16);
    }

    #[test]
    fn a_record_above_a_second_is_taken_when_the_shard_is_rested_and_then_paid_for() {
        let mut rate = WriteRate::new();
        assert!(rate.take(1_000, 5 * 1024 * 1024));
        assert!(!rate.take(4_000, 1024));
        assert!(rate.take(6_000, 1024));
    }

    #[test]
    fn five_reads_a_second_are_answered() {
        let mut rate = ReadRate::new();
        assert_eq!((0..9).filter(|_| rate.take_call(1_000)).count(), 5);
        assert_eq!((0..9).filter(|_| rate.take_call(2_000)).count(), 5);
    }

    #[test]
    fn ten_mebibytes_block_reads_for_about_five_seconds() {
        let mut rate = ReadRate::new();
        assert!(rate.take_call(1_000));
        rate.book_bytes(10 * 1024 * 1024);
        assert!(!rate.take_call(4_900));
        assert!(rate.take_call(5_100));
    }
}
