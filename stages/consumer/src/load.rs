//! What each lease of a worker weighs: its throughput, smoothed. What was measured on one worker is not asked of another, so
//! a lease that has just changed hands weighs nothing known for a while, and nothing is moved by its weight.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use penstock_contract::ShardId;

use crate::observe::Moment;

/// A stream record weighs as much as so many bytes more: much of the work is done for each record.
const RECORD: u64 = 1024;
/// Throughput is smoothed over so many times the failover.
const SMOOTHED_OVER: u32 = 2;
/// A lease is measured when it was held for so many times the failover: what is smoothed has forgotten its beginning then.
const MEASURED_AFTER: u32 = 6;

/// What all leases of a worker weigh, in bytes a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) all: u64,
    /// The one that weighs least.
    pub(crate) lightest: u64,
}

/// The weights of a worker's leases.
#[derive(Debug)]
pub(crate) struct Loads {
    failover: Duration,
    meters: Mutex<BTreeMap<ShardId, Meter>>,
}

impl Loads {
    pub(crate) fn new(failover: Duration) -> Self {
        Self { failover, meters: Mutex::default() }
    }

    /// Work on a shard begins.
    pub(crate) fn begin(&self, shard: &ShardId, now: Moment) {
        self.meters.lock().insert(shard.clone(), Meter::new(now));
    }

    /// What is read of the shard until work on it begins anew was read before, and says nothing about its weight.
    pub(crate) fn catches_up(&self, shard: &ShardId) {
        if let Some(meter) = self.meters.lock().get_mut(shard) {
            meter.begun = None;
        }
    }

    /// Work on a shard ended.
    pub(crate) fn end(&self, shard: &ShardId) {
        self.meters.lock().remove(shard);
    }

    /// So much was read of a shard.
    pub(crate) fn add(&self, shard: &ShardId, records: usize, bytes: usize) {
        if let Some(meter) = self.meters.lock().get_mut(shard) {
            meter.add(records, bytes);
        }
    }

    /// The leases that are measured, with their weights.
    pub(crate) fn measured(&self, now: Moment) -> BTreeMap<ShardId, u64> {
        let mut meters = self.meters.lock();
        let weigh = |(shard, meter): (&ShardId, &mut Meter)| Some((shard.clone(), meter.weigh(now, self.failover)?));
        meters.iter_mut().filter_map(weigh).collect()
    }

    /// What all leases weigh; `None` until all are measured.
    pub(crate) fn load(&self, now: Moment) -> Option<Load> {
        let measured = self.measured(now);
        let is_complete = measured.len() == self.meters.lock().len();
        is_complete.then(|| Load::of(measured.values().copied()))
    }
}

impl Load {
    pub(crate) fn of(weights: impl Iterator<Item = u64> + Clone) -> Self {
        Self { all: weights.clone().sum(), lightest: weights.min().unwrap_or(0) }
    }
}

/// The smoothed throughput of one lease.
#[derive(Debug)]
struct Meter {
    /// `None` while it catches up.
    begun: Option<Moment>,
    weighed: Moment,
    /// What came since then.
    bytes: u64,
    a_second: f64,
}

impl Meter {
    fn new(now: Moment) -> Self {
        Self { begun: Some(now), weighed: now, bytes: 0, a_second: 0.0 }
    }

    fn add(&mut self, records: usize, bytes: usize) {
        self.bytes += bytes as u64 + records as u64 * RECORD;
    }

    /// `None` as long as it is not measured.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a throughput"
    )]
    fn weigh(&mut self, now: Moment, failover: Duration) -> Option<u64> {
        let passed = now.since(self.weighed).as_secs_f64();
        if passed > 0.0 {
            let share = 1.0 - (-passed / (failover * SMOOTHED_OVER).as_secs_f64()).exp();
            self.a_second += share * (self.bytes as f64 / passed - self.a_second);
            (self.weighed, self.bytes) = (now, 0);
        }
        let begun = self.begun?;
        (now.since(begun) >= failover * MEASURED_AFTER).then_some(self.a_second as u64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const FAILOVER: Duration = Duration::from_secs(10);

    fn at(tenths: u64) -> Moment {
        Moment(Duration::from_millis(100 * tenths))
    }

    #[test]
    fn a_lease_weighs_its_bytes_and_records_a_second_once_it_was_held_for_a_while() {
        let (loads, shard) = (Loads::new(FAILOVER), ShardId::new("s"));
        loads.begin(&shard, at(0));
        for tenth in 1..600 {
            loads.add(&shard, 1, 976);
            assert_eq!(loads.load(at(tenth)), None);
        }
        loads.add(&shard, 1, 976);
        let weight = loads.measured(at(600))[&shard];
        assert!((18_900..=20_000).contains(&weight), "{weight} instead of 20,000 bytes a second");
        let load = loads.load(at(600)).unwrap();
        assert_eq!((load.all, load.lightest), (weight, weight));
        let idle = loads.measured(at(1_600))[&shard];
        assert!(idle < weight / 100, "{idle} after a time in which nothing came");
    }

    #[test]
    fn a_lease_whose_shard_is_read_again_is_measured_from_when_that_is_over() {
        let (loads, shard) = (Loads::new(FAILOVER), ShardId::new("s"));
        loads.begin(&shard, at(0));
        loads.catches_up(&shard);
        assert_eq!(loads.load(at(5_000)), None);
        loads.begin(&shard, at(5_000));
        assert_eq!(loads.load(at(5_599)), None);
        assert_eq!(loads.load(at(5_600)), Some(Load { all: 0, lightest: 0 }));
    }

    #[test]
    fn a_worker_is_measured_when_all_its_leases_are() {
        let loads = Loads::new(FAILOVER);
        assert_eq!(loads.load(at(0)), Some(Load::default()));
        loads.begin(&ShardId::new("old"), at(0));
        loads.begin(&ShardId::new("new"), at(100));
        assert_eq!(loads.measured(at(600)).len(), 1);
        assert_eq!(loads.load(at(600)), None);
        assert!(loads.load(at(700)).is_some());
        loads.end(&ShardId::new("new"));
        assert!(loads.load(at(650)).is_some());
    }
}
