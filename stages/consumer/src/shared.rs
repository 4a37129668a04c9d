//! What all the work of one consumer shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use penstock_contract::{Position, ShardId, Sink};
use penstock_runtime::{Health, Stop};
use penstock_stream::HashRange;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::{Clients, ConsumerConfig};
use crate::dead_letters::DeadLetterStore;
use crate::lag::Lags;
use crate::lease_table::LeaseTable;
use crate::load::Loads;
use crate::metrics::Metrics;
use crate::observe::Moment;
use crate::pin::RecipeHash;
use crate::reader::ahead::Ahead;
use crate::registration::Registration;
use crate::trouble::Troubles;

/// What was done for one shard by this worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// The last committed position.
    pub position: Option<Position>,
    /// Whether the shard is processed to its end.
    pub ended: bool,
    /// Ranges that were committed.
    pub ranges: u64,
    /// User records in them.
    pub records_read: u64,
    /// Records that the sink stored.
    pub records_applied: u64,
    /// Records that went to dead letters.
    pub dead_lettered: u64,
    /// Records that were left out, since they had been in the stream before.
    pub repeats: u64,
}

/// What was done, and how far it went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Each shard that this worker committed ranges of, or ended.
    pub shards: BTreeMap<ShardId, ShardSummary>,
}

impl Summary {
    /// User records in committed ranges.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.shards.values().map(|shard| shard.records_read).sum()
    }

    /// Records that the sink stored.
    #[must_use]
    pub fn records_applied(&self) -> u64 {
        self.shards.values().map(|shard| shard.records_applied).sum()
    }

    /// Records that went to dead letters.
    #[must_use]
    pub fn dead_lettered(&self) -> u64 {
        self.shards.values().map(|shard| shard.dead_lettered).sum()
    }

    /// Records that were left out, since they had been in the stream before.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        self.shards.values().map(|shard| shard.repeats).sum()
    }

    /// Ranges that were committed.
    #[must_use]
    pub fn ranges(&self) -> u64 {
        self.shards.values().map(|shard| shard.ranges).sum()
    }
}

/// What all the work of one consumer shares.
pub(crate) struct Shared<S> {
    pub(crate) config: ConsumerConfig,
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    /// Where records are pushed instead of asked for.
    pub(crate) registration: Option<Registration>,
    pub(crate) table: LeaseTable,
    pub(crate) letters: DeadLetterStore,
    pub(crate) sink: S,
    pub(crate) recipe: RecipeHash,
    pub(crate) stop: Stop,
    pub(crate) troubles: Troubles,
    pub(crate) metrics: Metrics,
    summary: Mutex<Summary>,
    /// Shards that are read to the tip after that was asked for.
    parked: Mutex<BTreeSet<ShardId>>,
    /// The hash keys of the shards that this worker has worked on.
    hash_ranges: Mutex<BTreeMap<ShardId, HashRange>>,
    /// What all shards have read ahead.
    pub(crate) ahead: Arc<Ahead>,
    /// What the leases weigh.
    pub(crate) loads: Loads,
    /// How far reading is behind.
    pub(crate) lags: Lags,
    /// Tells the worker that something happened that it should look at.
    pub(crate) wake: Notify,
    origin: Instant,
}

impl<S: Sink> Shared<S> {
    pub(crate) fn new(config: ConsumerConfig, clients: Clients, sink: S, stop: Stop, health: Health) -> Arc<Self> {
        let pipeline = format!("{}/{}", config.pipeline.namespace, config.pipeline.name);
        let metrics = Metrics::new(pipeline, config.sink.clone());
        Arc::new(Self {
            table: LeaseTable::new(clients.dynamodb, config.lease_table.clone(), config.failover),
            letters: DeadLetterStore::new(clients.s3, &config),
            kinesis: clients.kinesis,
            registration: config.fan_out.clone().map(Registration::new),
            recipe: RecipeHash::of(&sink.recipe()),
            sink,
            stop,
            troubles: Troubles::new(health, metrics.clone()),
            metrics,
            summary: Mutex::new(Summary::default()),
            parked: Mutex::new(BTreeSet::new()),
            hash_ranges: Mutex::new(BTreeMap::new()),
            ahead: Ahead::new(config.worker_prefetch_bytes),
            loads: Loads::new(config.failover),
            lags: Lags::default(),
            wake: Notify::new(),
            origin: Instant::now(),
            config,
        })
    }

    /// Notes what was done for a shard.
    pub(crate) fn record(&self, shard: &ShardId, note: impl FnOnce(&mut ShardSummary)) {
        note(self.summary.lock().shards.entry(shard.clone()).or_default());
    }

    pub(crate) fn summary(&self) -> Summary {
        self.summary.lock().clone()
    }

    /// A shard is read to the tip, or is not any more.
    pub(crate) fn set_parked(&self, shard: &ShardId, parked: bool) {
        if parked {
            self.parked.lock().insert(shard.clone());
            self.wake.notify_one();
        } else {
            self.parked.lock().remove(shard);
        }
    }

    pub(crate) fn is_parked(&self, shard: &ShardId) -> bool {
        self.parked.lock().contains(shard)
    }

    /// Takes in which hash keys a shard takes, before any of its records is read. That never changes for a shard.
    pub(crate) fn set_hash_range(&self, shard: &ShardId, range: HashRange) {
        self.hash_ranges.lock().insert(shard.clone(), range);
    }

    /// The hash keys that the shard takes; all where nobody knows.
    pub(crate) fn hash_range(&self, shard: &ShardId) -> HashRange {
        self.hash_ranges.lock().get(shard).copied().unwrap_or(HashRange::ALL)
    }

    /// The monotonic clock.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }
}
