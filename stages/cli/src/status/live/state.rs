//! How a running Pipeline is: from its lease tables and the numbers of its stages. Pure; times are given.

use std::collections::BTreeMap;

use penstock_api::plan::StageConfig;
use penstock_consumer::{CheckpointView, LeaseTableView, LeaseView};
use serde::Serialize;

use super::metrics::{Samples, whole};
use crate::audit::shown;

/// A running Pipeline.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    pub(super) pipeline: String,
    pub(super) sinks: Vec<SinkState>,
    /// What could not be asked, and so is missing.
    pub(super) missing: Vec<String>,
}

/// One sink.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SinkState {
    pub(super) sink: String,
    pub(super) lease_table: String,
    /// Since the shards' beginning, as the leases say.
    pub(super) applied_ranges: u64,
    pub(super) stored_records: u64,
    pub(super) dead_letters: u64,
    pub(super) duplicates_removed: u64,
    /// Since the stages started, as their metrics say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throttled_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease_moves: Option<Moves>,
    pub(super) workers: Vec<WorkerState>,
    pub(super) shards: Vec<ShardState>,
}

/// How leases moved, over all workers that were asked.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moves {
    pub(super) taken: u64,
    pub(super) given_back: u64,
    pub(super) lost: u64,
}

/// One worker.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkerState {
    pub(super) worker: String,
    pub(super) leases: u64,
    pub(super) draining: bool,
    /// As the worker's own metrics say, or for as long as it has stood still while this command looked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heartbeat_age_seconds: Option<f64>,
}

/// One shard.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShardState {
    pub(super) shard: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    pub(super) checkpoint: String,
    pub(super) ended: bool,
    pub(super) pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) behind_latest_millis: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oldest_unapplied_seconds: Option<f64>,
    /// Read since the stages started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_bytes: Option<u64>,
    /// Committed since the shard's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ranges: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<u64>,
    /// Attempts that did not succeed since the stages started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retries: Option<u64>,
}

/// What is known beside a lease table.
pub(super) struct Known<'a> {
    /// Absent where no stage could be asked.
    pub(super) samples: Option<&'a Samples>,
    /// For how long each worker's heartbeat has stood still while this command looked on, in seconds.
    pub(super) still: &'a BTreeMap<String, f64>,
    /// Now, in seconds since the Unix epoch.
    pub(super) now: f64,
}

impl SinkState {
    pub(super) fn new(config: &StageConfig, lease_table: &str, table: &LeaseTableView, known: &Known<'_>) -> Self {
        let pipeline = format!("{}/{}", config.pipeline.namespace, config.pipeline.name);
        let labels = [("pipeline", pipeline.as_str()), ("sink", config.name.as_str())];
        let tallies = || table.leases.values().filter_map(|lease| lease.tally.as_ref());
        let retries = "penstock_consumer_retries_total";
        let samples = known.samples;
        let moved = |how: &str| {
            samples.map_or(0, |samples| {
                samples.sum_where("penstock_consumer_lease_moves_total", &labels, "how", |found| found == how)
            })
        };
        let throttled = |samples: &Samples| {
            let waited_for = samples.sum_where(retries, &labels, "reason", |reason| reason.ends_with("throttled"));
            // What the SDK has tried again by itself is no retry of the consumer's.
            waited_for + samples.sum("penstock_sink_calls_throttled_total", &labels).unwrap_or(0)
        };
        Self {
            sink: config.name.clone(),
            lease_table: lease_table.to_owned(),
            applied_ranges: tallies().map(|tally| tally.ranges).sum(),
            stored_records: tallies().map(|tally| tally.stored).sum(),
            dead_letters: tallies().map(|tally| tally.dead_letters).sum(),
            duplicates_removed: tallies().map(|tally| tally.repeats).sum(),
            retries: samples.map(|samples| samples.sum(retries, &labels).unwrap_or(0)),
            throttled_calls: samples.map(throttled),
            lease_moves: samples.map(|_| Moves {
                taken: moved("taken"),
                given_back: moved("given_back"),
                lost: moved("lost"),
            }),
            workers: workers(table, &labels, known),
            shards: table.leases.values().map(|lease| ShardState::new(lease, &labels, known)).collect(),
        }
    }
}

fn workers(table: &LeaseTableView, labels: &[(&str, &str); 2], known: &Known<'_>) -> Vec<WorkerState> {
    let mut leases: BTreeMap<&str, u64> = BTreeMap::new();
    for owner in table.leases.values().filter_map(|lease| lease.owner.as_deref()) {
        *leases.entry(owner).or_default() += 1;
    }
    let beating = table.workers.iter().map(|worker| (worker.id.as_str(), worker.draining));
    let mut all: BTreeMap<&str, bool> = beating.collect();
    // One without a heartbeat still owns its leases until somebody takes them.
    for owner in leases.keys() {
        all.entry(owner).or_insert(false);
    }
    all.into_iter()
        .map(|(worker, draining)| {
            let [pipeline, sink] = *labels;
            let labels = [pipeline, sink, ("worker", worker)];
            let beats = known.samples.map(|samples| {
                samples.values("penstock_consumer_heartbeat_timestamp_seconds", &labels).fold(0.0, f64::max)
            });
            let own = beats.filter(|beat| *beat > 0.0).map(|beat| (known.now - beat).max(0.0));
            WorkerState {
                worker: worker.to_owned(),
                leases: leases.get(worker).copied().unwrap_or(0),
                draining,
                heartbeat_age_seconds: own.or_else(|| known.still.get(worker).copied()),
            }
        })
        .collect()
}

impl ShardState {
    fn new(lease: &LeaseView, labels: &[(&str, &str); 2], known: &Known<'_>) -> Self {
        let [pipeline, sink] = *labels;
        let shard = lease.shard.as_str();
        let labels = [pipeline, sink, ("shard", shard)];
        let ended = lease.checkpoint == CheckpointView::ShardEnd;
        // Of a shard that moved, who had it before shows 0.
        let greatest = |name: &str| {
            let found = known
                .samples?
                .values(name, &labels)
                .fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))));
            found.filter(|_| !ended)
        };
        let oldest = greatest("penstock_consumer_oldest_unapplied_timestamp_seconds");
        let sum = |name: &str| known.samples.and_then(|samples| samples.sum(name, &labels));
        Self {
            shard: shard.to_owned(),
            owner: lease.owner.clone(),
            checkpoint: shown(&lease.checkpoint),
            ended,
            pinned: lease.pinned.is_some(),
            behind_latest_millis: greatest("penstock_consumer_behind_latest_milliseconds").map(whole),
            oldest_unapplied_seconds: oldest.map(|at| if at > 0.0 { (known.now - at).max(0.0) } else { 0.0 }),
            read_records: sum("penstock_consumer_read_records_total"),
            read_bytes: sum("penstock_consumer_read_bytes_total"),
            ranges: lease.tally.as_ref().map(|tally| tally.ranges),
            records: lease.tally.as_ref().map(|tally| tally.records),
            retries: sum("penstock_consumer_shard_retries_total"),
        }
    }
}
