//! From closed ranges to commits: pin, settle, commit, strictly one after the other.
//!
//! A commit waits for the next range, so that it and the next pin are one write. Until it is made the range stays pinned: a
//! crash meanwhile has it made once more, to the same effect.

use std::sync::Arc;
use std::time::Duration;

use penstock_contract::{ShardId, Sink};
use penstock_stream::{ShardFilter, list_shards};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::lease::Lease;
use crate::metrics::ShardMetrics;
use crate::pin::Pin;
use crate::pinned_read::ReadFailed;
use crate::range::Closed;
use crate::recreated::is_behind;
use crate::settle::{Settled, settle};
use crate::shard_end;
use crate::shared::Shared;
use crate::tenure::{LeaseLost, Tenure};
use crate::trouble::Concern;

/// A range closes when the sink's longest age is over. The next record may come so much later for its range to be waited for.
const NEXT_RECORD: Duration = Duration::from_secs(1);
/// No commit waits for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why the work on a shard broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// Somebody else has the lease.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    /// What was read is of another stream than the lease, which was given back.
    #[error("the stream was deleted and created again")]
    Replaced,
    /// Something panicked: the stage ends as by a crash.
    #[error("a task panicked")]
    Panicked,
}

impl From<ReadFailed> for Stopped {
    fn from(_: ReadFailed) -> Self {
        Self::Panicked
    }
}

/// Commits ranges until no more come; gives the lease back to whoever goes on with it.
pub(crate) async fn commit_ranges<S: Sink>(
    shared: Arc<Shared<S>>,
    mut tenure: Tenure,
    mut closed: mpsc::Receiver<Closed<S::Batch>>,
) -> Result<Tenure, Stopped> {
    let metrics = shared.metrics.shard(tenure.shard());
    let (table, troubles) = (&shared.table, &shared.troubles);
    let wait = (shared.sink.max_age().saturating_add(NEXT_RECORD)).min(LONGEST_WAIT);
    let mut pinned: Option<Closed<S::Batch>> = None;
    loop {
        let Closed { filled, pin, room, waiting } = match pinned.take() {
            Some(range) => range,
            None => {
                let Some(range) = closed.recv().await else { return Ok(tenure) };
                if tenure.lease().is_unread() && is_of_another_stream(&shared, tenure.lease(), &range.pin).await {
                    shard_end::replaced(&shared, tenure).await?;
                    return Err(Stopped::Replaced);
                }
                tenure.pin(table, troubles, &range.pin).await?;
                range
            }
        };
        let settled = settle(&shared, tenure.shard(), &pin, filled).await?;
        waiting.stored();
        // Its memory is free for the range that is waited for.
        drop(room);
        // None when there is none in that time, or none to come.
        pinned = timeout(wait, closed.recv()).await.ok().flatten();
        tenure.commit(table, troubles, &pin, settled, pinned.as_ref().map(|next| &next.pin)).await?;
        note(&shared, &metrics, tenure.shard(), &pin, settled);
    }
}

/// Whether the stream was deleted and created again before the first record was read. The lease then says when the shard
/// that had the name before may be read, and what it takes.
async fn is_of_another_stream<S: Sink>(shared: &Shared<S>, lease: &Lease, first: &Pin) -> bool {
    let list = || list_shards(&shared.kinesis, &shared.config.stream, &ShardFilter::FromTrimHorizon);
    let listed = shared.troubles.insist(Concern::Stream, lease.shard.as_str(), list).await;
    is_behind(lease, &first.first, &listed)
}

/// Notes a committed range.
pub(crate) fn note<S: Sink>(shared: &Shared<S>, metrics: &ShardMetrics, shard: &ShardId, pin: &Pin, settled: Settled) {
    metrics.ranges.increment(1);
    metrics.applied.increment(settled.applied);
    shared.metrics.repeats(settled.repeats);
    shared.record(shard, |summary| {
        summary.position = Some(pin.end.clone());
        summary.ranges += 1;
        summary.records_read += pin.records;
        summary.records_applied += settled.applied;
        summary.dead_lettered += settled.dead_lettered;
        summary.repeats += settled.repeats;
    });
    tracing::debug!(
        %shard, end = %pin.end, records = pin.records, applied = settled.applied,
        dead_lettered = settled.dead_lettered, repeats = settled.repeats, "a range is committed"
    );
}
