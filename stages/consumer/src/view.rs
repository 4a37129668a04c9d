//! A lease table for those who look on: how far each shard is, who has it, what is pinned, what was committed so far.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use penstock_contract::{ArrivalMillis, Position, Range, ShardId};

use crate::lease::{Checkpoint, Lease, Pending};
use crate::lease_table::{LeaseTable, LeaseTableError};
use crate::observe::Rows;

/// A lease table as it was when it was read.
#[derive(Debug, Clone, Default)]
pub struct LeaseTableView {
    /// Each shard's lease.
    pub leases: BTreeMap<ShardId, LeaseView>,
    /// Leases that cannot be read, with what is wrong.
    pub broken: BTreeMap<ShardId, String>,
    /// The workers with a heartbeat.
    pub workers: Vec<WorkerView>,
}

/// A worker's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// Its name.
    pub id: String,
    /// Moves while the worker lives; says nothing by itself.
    pub heartbeat: u64,
    /// It gives its leases back and takes no more.
    pub draining: bool,
}

/// How far a shard is processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointView {
    /// Nothing yet; begins with what arrived at that time or later.
    AtTimestamp(Option<ArrivalMillis>),
    /// Nothing yet; begins with the oldest record.
    TrimHorizon,
    /// Nothing yet; begins with the next record.
    Latest,
    /// Everything up to and with this position.
    At(Position),
    /// Everything, and the shard has ended.
    ShardEnd,
}

/// One shard's lease.
#[derive(Debug, Clone)]
pub struct LeaseView {
    /// The shard.
    pub shard: ShardId,
    /// Who has it.
    pub owner: Option<String>,
    /// Moves with every write to the row.
    pub counter: u64,
    /// How far it is.
    pub checkpoint: CheckpointView,
    /// How often it changed hands since the checkpoint moved.
    pub owner_switches_since_checkpoint: u64,
    /// The shards that it was made from.
    pub parents: Vec<ShardId>,
    /// The shards that it became.
    pub children: Vec<ShardId>,
    /// The range that is applied next, or was applied and not committed yet.
    pub pinned: Option<PinnedView>,
    /// What was prepared by something that this version knows nothing of.
    pub foreign_pin: bool,
    /// What was committed so far; unknown where something else than Penstock began with the shard.
    pub tally: Option<TallyView>,
}

/// A pinned range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedView {
    /// The range.
    pub range: Range,
    /// Its first position.
    pub first: Position,
    /// How many user records it has.
    pub records: u64,
}

/// What the committed ranges of a shard came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TallyView {
    /// How many there were.
    pub ranges: u64,
    /// User records in them, repeats included.
    pub records: u64,
    /// Of those, what the sink stored.
    pub stored: u64,
    /// What went to dead letters.
    pub dead_letters: u64,
    /// What was left out, since it had been in the stream before.
    pub repeats: u64,
    /// The checkpoint that all of it leads to. Where that is not the lease's, something else moved one of them.
    pub at: Position,
}

/// Nobody loses a lease over how long this look takes; a third of it is what one call may take.
const NO_HURRY: Duration = Duration::from_secs(90);

/// Reads a lease table.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn read_lease_table<'a>(
    client: &'a aws_sdk_dynamodb::Client,
    table: &'a str,
) -> BoxFuture<'a, Result<LeaseTableView, LeaseTableError>> {
    Box::pin(async move {
        Ok(LeaseTableView::of(LeaseTable::new(client.clone(), table.to_owned(), NO_HURRY).rows().await?))
    })
}

impl LeaseTableView {
    fn of(rows: Rows) -> Self {
        let workers = rows.workers.into_values().map(|worker| WorkerView {
            id: worker.id.to_string(),
            heartbeat: worker.heartbeat,
            draining: worker.draining,
        });
        Self {
            workers: workers.collect(),
            leases: rows.leases.into_iter().map(|(shard, lease)| (shard, LeaseView::of(lease))).collect(),
            broken: rows.broken,
        }
    }
}

impl LeaseView {
    fn of(lease: Lease) -> Self {
        let pinned = match &lease.pending {
            Some(Pending::Pin(pin)) => {
                Some(PinnedView { range: pin.range(&lease.shard), first: pin.first.clone(), records: pin.records })
            }
            _ => None,
        };
        Self {
            pinned,
            foreign_pin: matches!(lease.pending, Some(Pending::Foreign | Pending::Newer { .. })),
            owner: lease.owner.map(|owner| owner.to_string()),
            counter: lease.counter,
            checkpoint: match lease.checkpoint {
                Checkpoint::AtTimestamp(at) => CheckpointView::AtTimestamp(at),
                Checkpoint::TrimHorizon => CheckpointView::TrimHorizon,
                Checkpoint::Latest => CheckpointView::Latest,
                Checkpoint::At(position) => CheckpointView::At(position),
                Checkpoint::ShardEnd => CheckpointView::ShardEnd,
            },
            owner_switches_since_checkpoint: lease.owner_switches_since_checkpoint,
            parents: lease.parents.into_iter().collect(),
            children: lease.children.into_iter().collect(),
            tally: lease.tally.map(|tally| TallyView {
                ranges: tally.ranges,
                records: tally.records,
                stored: tally.stored,
                dead_letters: tally.dead_letters,
                repeats: tally.repeats,
                at: tally.at,
            }),
            shard: lease.shard,
        }
    }
}
