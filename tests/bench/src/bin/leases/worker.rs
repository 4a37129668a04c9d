//! A worker in a process of its own, with a sink that takes everything and does nothing.

use std::time::Duration;

use bytes::Bytes;
use penstock_api::plan::PipelineRef;
use penstock_api::plan::StartAt;
use penstock_consumer::{ConsumerConfig, WorkerId};
use penstock_contract::{Applied, Batch, Position, Pushed, Range, Recipe, Record, ShardId, Sink, SinkError};
use penstock_runtime::{Health, Stop};
use tokio::signal::unix::{SignalKind, signal};

use crate::world::{self, BUCKET};

/// A range is closed after this time, or once it is full.
const RANGE_AGE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the engines are.
    #[arg(long)]
    pub(crate) endpoint: String,
    /// The stream.
    #[arg(long)]
    pub(crate) stream: String,
    /// The lease table, where it has another name than the stream.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// Who it is.
    #[arg(long)]
    pub(crate) id: String,
    /// Reads each shard to its tip, and then only keeps its lease.
    #[arg(long)]
    pub(crate) parked: bool,
    /// How many records make a range full.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) range_records: usize,
}

/// Works until SIGTERM; then prints how many records it read and stored.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let clients = world::clients(&args.endpoint).await;
    let stop = Stop::new();
    if args.parked {
        stop.at_tip.cancel();
    }
    let (mut told, drain) = (signal(SignalKind::terminate())?, stop.drain.clone());
    tokio::spawn(async move {
        told.recv().await;
        drain.cancel();
    });
    let table = args.table.unwrap_or_else(|| args.stream.clone());
    let config = config(args.stream, table, args.id);
    let summary =
        penstock_consumer::run(config, clients, Nothing { range_records: args.range_records }, stop, Health::new())
            .await?;
    println!("{} {}", summary.records_read(), summary.records_applied());
    Ok(())
}

/// The settings of a stage in a pod.
fn config(stream: String, lease_table: String, id: String) -> ConsumerConfig {
    ConsumerConfig {
        pipeline: PipelineRef { namespace: "bench".to_owned(), name: "leases".to_owned() },
        sink: "nothing".to_owned(),
        lease_table,
        stream,
        worker_id: WorkerId::new(id),
        start_at: StartAt::TrimHorizon,
        fan_out: None,
        repeats: None,
        dead_letters_bucket: BUCKET.to_owned(),
        dead_letters_prefix: "dead/".to_owned(),
        failover: Duration::from_secs(10),
        least_imbalance: 64 << 10,
        shard_sync: Duration::from_secs(60),
        drain_limit: Duration::from_secs(25),
        read_bytes: 1 << 20,
        prefetch_bytes: 2 << 20,
        worker_prefetch_bytes: 32 << 20,
        dead_letter_bytes: 4 << 20,
    }
}

#[derive(Clone)]
struct Nothing {
    range_records: usize,
}

struct Count {
    records: usize,
    full: usize,
}

impl Sink for Nothing {
    type Batch = Count;

    fn recipe(&self) -> Recipe {
        Recipe(Bytes::from_static(b"nothing"))
    }

    fn with_recipe(&self, _recipe: &Recipe) -> Result<Self, SinkError> {
        Ok(self.clone())
    }

    fn open(&self, _shard: &ShardId, _first: &Position) -> Count {
        Count { records: 0, full: self.range_records }
    }

    fn max_age(&self) -> Duration {
        RANGE_AGE
    }
}

impl Batch for Count {
    async fn push(&mut self, records: &[Record]) -> Result<Pushed, SinkError> {
        self.records += records.len();
        Ok(Pushed { full: self.records >= self.full, rejected: Vec::new() })
    }

    async fn apply(&mut self, _range: &Range) -> Result<Applied, SinkError> {
        Ok(Applied { records: self.records as u64, rejected: Vec::new() })
    }
}
