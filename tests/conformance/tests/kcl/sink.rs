//! Our consumer with a sink in memory that can be held up, so that a test knows where it stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use penstock_api::plan::PipelineRef;
use penstock_api::plan::StartAt;
use penstock_consumer::{ConsumerConfig, ConsumerError, Summary, WorkerId};
use penstock_contract::{Applied, Batch, Position, Pushed, Range, Recipe, Record, ShardId, Sink, SinkError};
use penstock_runtime::{Health, Stop};
use tokio::task::JoinHandle;

use crate::world::{DEADLINE, STREAM, World, eventually};

/// What was applied, and how many shards are held up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    applied: Arc<Mutex<Vec<(ShardId, Record)>>>,
    ranges_per_shard: Option<usize>,
    held_up: Arc<AtomicUsize>,
}

impl Memory {
    /// Each shard's worker is held up for ever when it wants to apply more ranges than this.
    pub(crate) fn held_up_after(ranges_per_shard: usize) -> Self {
        Self { ranges_per_shard: Some(ranges_per_shard), ..Self::default() }
    }

    pub(crate) fn applied(&self) -> Vec<(ShardId, Record)> {
        self.applied.lock().clone()
    }

    pub(crate) async fn until_held_up(&self, shards: usize) {
        eventually("every shard's worker is held up", async || self.held_up.load(Ordering::SeqCst) == shards).await;
    }
}

/// A consumer of ours at work.
pub(crate) struct Ours {
    stop: Stop,
    task: JoinHandle<Result<Summary, ConsumerError>>,
}

impl Ours {
    /// Starts one on a KCL application's lease table.
    pub(crate) fn start(world: &World, lease_table: &str, worker: &str, memory: &Memory) -> Self {
        let config = ConsumerConfig {
            pipeline: PipelineRef { namespace: "shop".to_owned(), name: "ecommerce".to_owned() },
            sink: "tables".to_owned(),
            stream: STREAM.to_owned(),
            lease_table: lease_table.to_owned(),
            worker_id: WorkerId::new(worker),
            start_at: StartAt::TrimHorizon,
            fan_out: None,
            repeats: None,
            dead_letters_bucket: "letters".to_owned(),
            dead_letters_prefix: "dead/".to_owned(),
            failover: Duration::from_secs(3),
            least_imbalance: 64 << 10,
            shard_sync: Duration::from_secs(1),
            drain_limit: Duration::from_secs(20),
            read_bytes: 1 << 20,
            prefetch_bytes: 2 << 20,
            worker_prefetch_bytes: 32 << 20,
            dead_letter_bytes: 4 << 20,
        };
        let stop = Stop::new();
        let sink = MemorySink { memory: memory.clone(), applied_per_shard: Arc::default() };
        let run = penstock_consumer::run(config, world.clients.clone(), sink, stop.clone(), Health::new());
        Self { stop, task: tokio::spawn(run) }
    }

    /// Reads on until everything that is in the stream is applied, then gives its leases back.
    pub(crate) async fn at_tip(self) {
        self.stop.at_tip.cancel();
        let ended = tokio::time::timeout(DEADLINE, self.task).await.expect("our consumer ends");
        ended.unwrap().unwrap();
    }

    /// As `kill -9` does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

struct MemorySink {
    memory: Memory,
    applied_per_shard: Arc<Mutex<std::collections::HashMap<ShardId, usize>>>,
}

struct MemoryBatch {
    shard: ShardId,
    memory: Memory,
    applied_per_shard: Arc<Mutex<std::collections::HashMap<ShardId, usize>>>,
    records: Vec<Record>,
}

impl Sink for MemorySink {
    type Batch = MemoryBatch;

    fn recipe(&self) -> Recipe {
        Recipe(Bytes::from_static(b"memory"))
    }

    fn with_recipe(&self, _recipe: &Recipe) -> Result<Self, SinkError> {
        Ok(Self { memory: self.memory.clone(), applied_per_shard: Arc::clone(&self.applied_per_shard) })
    }

    fn open(&self, shard: &ShardId, _first: &Position) -> MemoryBatch {
        MemoryBatch {
            shard: shard.clone(),
            memory: self.memory.clone(),
            applied_per_shard: Arc::clone(&self.applied_per_shard),
            records: Vec::new(),
        }
    }

    fn max_age(&self) -> Duration {
        Duration::from_secs(1)
    }
}

impl Batch for MemoryBatch {
    async fn push(&mut self, records: &[Record]) -> Result<Pushed, SinkError> {
        self.records.extend_from_slice(records);
        Ok(Pushed { full: self.records.len() >= 20, rejected: Vec::new() })
    }

    async fn apply(&mut self, _range: &Range) -> Result<Applied, SinkError> {
        let applied = {
            let mut counts = self.applied_per_shard.lock();
            let count = counts.entry(self.shard.clone()).or_default();
            *count += 1;
            *count
        };
        if self.memory.ranges_per_shard.is_some_and(|most| applied > most) {
            self.memory.held_up.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        let records = self.records.iter().map(|record| (self.shard.clone(), record.clone()));
        self.memory.applied.lock().extend(records);
        Ok(Applied { records: self.records.len() as u64, rejected: Vec::new() })
    }
}
