//! The end of a shard: the leases of its children are written before its own says that it has ended, so that
//! no crash in between can lose a child.

use std::sync::Arc;
use std::time::Duration;

use penstock_contract::{Sequence, ShardId, Sink};
use penstock_stream::{ChildShard, Shard, ShardFilter, list_shards};

use crate::commit::Stopped;
use crate::lease::{Checkpoint, Lease};
use crate::recreated::is_earlier;
use crate::shard_sync;
use crate::shared::Shared;
use crate::tenure::Tenure;
use crate::trouble::Concern;

/// How often to look whether the other parent of a merged child has a lease.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So often a listing is asked for that shows a shard as it must be by now.
const LISTINGS: u32 = 10;

/// What became of a lease whose shard was read to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It says that the shard is processed to its end.
    Ended,
    /// The stream was deleted and created again, and has another shard of the name. The lease is given back, so that
    /// it can be written anew.
    Replaced,
}

/// Ends a shard whose last record is committed.
pub(crate) async fn end<S: Sink>(
    shared: &Arc<Shared<S>>,
    tenure: Tenure,
    children: &[ChildShard],
) -> Result<Ending, Stopped> {
    let shard = tenure.shard().clone();
    let mut listings = 0;
    let leases = loop {
        let listed = listing(shared, &shard).await;
        listings += 1;
        let is_listed = |id: &ShardId| listed.iter().any(|listed| listed.id == *id);
        let is_earlier = is_earlier(tenure.lease(), &listed);
        if is_earlier && is_listed(&shard) {
            return replaced(shared, tenure).await;
        }
        // Children that went with their stream are not listed. Others are, soon: by that they know which stream they are of.
        let wanted: Vec<_> = children.iter().filter(|child| !is_earlier || is_listed(&child.id)).collect();
        let lags_behind = listings < LISTINGS && !wanted.iter().all(|child| is_listed(&child.id));
        let leases: Vec<_> = wanted.into_iter().map(|child| lease(child, &listed)).collect();
        match missing_parent(shared, &shard, &leases, &listed).await {
            None if !lags_behind => break leases,
            None => {}
            // A child whose row is there while a parent's row is not would start before that parent.
            Some(parent) => {
                tracing::info!(%shard, %parent, "the end of a shard waits for the lease of a child's other parent");
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    for lease in &leases {
        shared.troubles.insist(Concern::Leases, shard.as_str(), || shared.table.create(lease)).await;
    }
    let names: Vec<_> = leases.into_iter().map(|lease| lease.shard).collect();
    tracing::info!(%shard, children = ?names, "a shard is processed to its end");
    let begin = if tenure.lease().reached().is_none() { begin(shared, &shard).await } else { None };
    tenure.end(&shared.table, &shared.troubles, names, begin).await?;
    shared.record(&shard, |summary| summary.ended = true);
    Ok(Ending::Ended)
}

/// Ends a shard that is gone from the stream before it was processed to its end.
pub(crate) async fn end_gone<S: Sink>(shared: &Arc<Shared<S>>, tenure: Tenure) -> Result<Ending, Stopped> {
    let shard = tenure.shard().clone();
    let listed = listing(shared, &shard).await;
    if listed.iter().any(|listed| listed.id == shard) {
        return replaced(shared, tenure).await;
    }
    shared.metrics.trimmed_checkpoint();
    tracing::error!(
        %shard, checkpoint = ?tenure.lease().checkpoint,
        "a shard is gone from the stream before it was processed to its end: its last records may be lost unread"
    );
    let children: Vec<_> = listed
        .into_iter()
        .filter(|candidate| candidate.parents.contains(&shard))
        .map(|child| ChildShard { id: child.id, parents: child.parents })
        .collect();
    end(shared, tenure, &children).await
}

/// Gives the lease of a shard of an earlier stream back.
pub(crate) async fn replaced<S: Sink>(shared: &Arc<Shared<S>>, tenure: Tenure) -> Result<Ending, Stopped> {
    shared.metrics.trimmed_checkpoint();
    tracing::error!(
        shard = %tenure.shard(), checkpoint = ?tenure.lease().checkpoint,
        "the stream was deleted and created again: what was not read of the old shard is lost"
    );
    tenure.release(&shared.table, &shared.troubles, None).await?;
    Ok(Ending::Replaced)
}

/// Where a shard that has ended begins. An open one of its name is not it, or a listing that lags behind.
async fn begin<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId) -> Option<Sequence> {
    for _ in 0..LISTINGS {
        let listed = listing(shared, shard).await;
        let listed = listed.into_iter().find(|listed| listed.id == *shard)?;
        if !listed.is_open() {
            return Some(listed.starting_sequence);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    None
}

async fn listing<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId) -> Vec<Shard> {
    let list = || list_shards(&shared.kinesis, &shared.config.stream, &ShardFilter::FromTrimHorizon);
    shared.troubles.insist(Concern::Stream, shard.as_str(), list).await
}

/// The row of a child, as the listing describes it where it does already.
fn lease(child: &ChildShard, listed: &[Shard]) -> Lease {
    let mut lease = match listed.iter().find(|shard| shard.id == child.id) {
        Some(shard) => shard_sync::lease(shard, Checkpoint::TrimHorizon),
        None => Lease::new(child.id.clone(), Checkpoint::TrimHorizon),
    };
    lease.parents.extend(child.parents.iter().cloned());
    lease
}

/// A parent that the stream still has and that has no lease yet: its own parent will write one. One of an earlier stream
/// is none. A child whose own lease is there has nothing to wait for: reading began after that parent, or its lease was
/// lost, and nobody will write one.
async fn missing_parent<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    children: &[Lease],
    listed: &[Shard],
) -> Option<ShardId> {
    let is_listed = |parent: &&ShardId| listed.iter().any(|shard| shard.id == **parent);
    let has_lease = async |of: &ShardId| {
        let row = shared.troubles.insist(Concern::Leases, shard.as_str(), || shared.table.lease(of)).await;
        row.is_some_and(|row| !is_earlier(&row, listed))
    };
    for child in children {
        for parent in child.parents.iter().filter(|parent| *parent != shard).filter(is_listed) {
            if !has_lease(parent).await && !has_lease(&child.shard).await {
                return Some(parent.clone());
            }
        }
    }
    None
}
