//! What a consumer is told: whose it is, what it reads, where it writes, how patient it is.

use std::time::Duration;

use penstock_api::plan::StartAt;
use penstock_api::plan::{PipelineRef, SinkStage, StageConfig};

use crate::error::ConsumerError;
use crate::lease::WorkerId;
use crate::repeats::RepeatWindow;

/// The configuration of one consumer.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Whose it is.
    pub pipeline: PipelineRef,
    /// The sink's name.
    pub sink: String,
    /// The stream that is read.
    pub stream: String,
    /// The lease table: one a sink. It must exist.
    pub lease_table: String,
    /// Who this process is. No two processes that read for one sink may have the same at the same time; one
    /// that is started again in another's place should, because it then goes on at once with the other's
    /// leases instead of waiting for `failover`.
    pub worker_id: WorkerId,
    /// Where in a new stream the reading begins.
    pub start_at: StartAt,
    /// How to read as a registered consumer; `None` when the stream is polled.
    pub fan_out: Option<FanOut>,
    /// Which records count as repeats and are left out; `None` when none do.
    pub repeats: Option<RepeatWindow>,
    /// Where dead letters go: the bucket.
    pub dead_letters_bucket: String,
    /// Where dead letters go: the first part of the keys, with its slash.
    pub dead_letters_prefix: String,
    /// A worker whose heartbeat has stood still for longer has stopped, and its leases are taken. All workers
    /// of a sink must have the same.
    pub failover: Duration,
    /// A difference in what two workers do, in bytes a second, that is not worth to hand over a lease. Each record counts as
    /// 1,024 bytes more.
    pub least_imbalance: u64,
    /// How often the stream's list of shards is compared with the leases.
    pub shard_sync: Duration,
    /// After being asked to drain, a shard whose sink keeps failing is given back with its range pinned.
    pub drain_limit: Duration,
    /// How much one read of a shard should bring, in bytes.
    pub read_bytes: usize,
    /// How much may be read ahead per shard, in bytes; up to one more answer is held.
    pub prefetch_bytes: usize,
    /// How much all shards of this worker may have read ahead together, in bytes, what is being read among it. Beyond that
    /// each may have one small read, of an eighth of `read_bytes`.
    pub worker_prefetch_bytes: usize,
    /// A range with so many bytes of dead letters is closed.
    pub dead_letter_bytes: usize,
}

/// How a sink reads as a registered consumer (enhanced fan-out).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOut {
    /// The consumer's name. It is registered when it is not.
    pub consumer: String,
    /// When a subscription is renewed: before the service ends it, which it does after five minutes.
    pub renew_after: Duration,
    /// Whether a registration that this process made is taken away when it ends: no other process needs it.
    pub deregister: bool,
}

impl FanOut {
    /// As the consumer of this name, which stays registered.
    #[must_use]
    pub fn new(consumer: String) -> Self {
        Self { consumer, renew_after: Duration::from_secs(290), deregister: false }
    }
}

impl ConsumerConfig {
    /// What a stage's configuration says, with the defaults for what it does not say.
    #[must_use]
    pub fn new(stage: &StageConfig, sink: &SinkStage, worker_id: WorkerId) -> Self {
        Self {
            pipeline: stage.pipeline.clone(),
            sink: stage.name.clone(),
            stream: sink.stream.clone(),
            lease_table: sink.lease_table.clone(),
            worker_id,
            start_at: sink.start_at,
            fan_out: sink.fan_out_consumer.clone().map(FanOut::new),
            repeats: RepeatWindow::of(sink),
            dead_letters_bucket: sink.dead_letters_bucket.clone(),
            dead_letters_prefix: sink.dead_letters_prefix.clone(),
            failover: Duration::from_secs(10),
            least_imbalance: 64 << 10,
            shard_sync: Duration::from_secs(60),
            drain_limit: Duration::from_secs(25),
            read_bytes: 1 << 20,
            prefetch_bytes: 1 << 20,
            worker_prefetch_bytes: 16 << 20,
            dead_letter_bytes: 4 << 20,
        }
    }

    /// Whether it makes sense.
    pub(crate) fn check(&self) -> Result<(), ConsumerError> {
        let wrong = |message: &str| Err(ConsumerError::Config { message: message.to_owned() });
        if self.failover.is_zero() {
            return wrong("`failover` must be more than nothing: with zero, every worker counts as stopped");
        }
        if self.worker_id.as_str().is_empty() {
            return wrong("the worker's id is empty");
        }
        if [self.read_bytes, self.prefetch_bytes, self.worker_prefetch_bytes, self.dead_letter_bytes].contains(&0) {
            return wrong("every size must be more than nothing");
        }
        Ok(())
    }

    /// How often a worker moves its heartbeat and looks at the lease table. Six looks fit into a failover, so that a slow
    /// answer does not cost a worker its leases, and leases that are given back are with others in less than two
    /// seconds of a failover of ten.
    pub(crate) fn round(&self) -> Duration {
        (self.failover / 6).max(Duration::from_millis(20))
    }
}

/// The ways to the services.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The stream.
    pub kinesis: aws_sdk_kinesis::Client,
    /// The lease table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Dead letters.
    pub s3: aws_sdk_s3::Client,
}
