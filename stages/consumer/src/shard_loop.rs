//! The work on one shard from taking its lease to giving it back.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use penstock_contract::{ShardId, Sink};
use penstock_stream::{ShardFilter, StartingAt, list_shards, service_time};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::commit::{Stopped, commit_ranges, note};
use crate::fill::{Beginning, FillFailed, Filled, Filler, RANGES_IN_MEMORY};
use crate::lease::{Checkpoint, Lease, Pending, WorkerId};
use crate::repeats::Judge;
use crate::replay::replay;
use crate::shard_end::{self, Ending};
use crate::shared::Shared;
use crate::tenure::Tenure;
use crate::trouble::Concern;

/// How a worker talks to the work on one shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Close and commit the open range, give the lease back.
    pub(crate) finish: CancellationToken,
    /// Who is to have the lease then.
    pub(crate) intended: Arc<OnceLock<WorkerId>>,
    /// The lease is somebody else's: drop everything.
    pub(crate) lost: CancellationToken,
    /// The worker ends: what is to be finished has not for ever.
    pub(crate) ending: CancellationToken,
}

/// How the work on a shard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The shard is processed to its end.
    Ended,
    /// The lease was given back.
    Released,
    /// The stream is another: the lease was given back to be written anew.
    Replaced,
    /// The lease is somebody else's.
    Lost,
    /// Finishing took too long; the lease is still ours, perhaps with a pinned range.
    GaveUp,
    /// Something panicked.
    Panicked,
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Ended => Self::Ended,
            Ending::Replaced => Self::Replaced,
        }
    }
}

/// Works on a shard whose lease was just taken.
pub(crate) async fn run<S: Sink>(shared: Arc<Shared<S>>, lease: Lease, signals: Signals) -> Outcome {
    let shard = lease.shard.clone();
    let outcome = tokio::select! {
        biased;
        () = signals.lost.cancelled() => Outcome::Lost,
        // On the heap: it holds a reader, a range and a lease.
        outcome = Box::pin(work(&shared, lease, &signals)) => match outcome {
            Ok(outcome) => outcome,
            Err(Stopped::Lost(_)) => Outcome::Lost,
            Err(Stopped::Replaced) => Outcome::Replaced,
            Err(Stopped::Panicked) => Outcome::Panicked,
        },
        () = too_long(&signals, shared.config.drain_limit) => Outcome::GaveUp,
    };
    shared.set_parked(&shard, false);
    shared.troubles.forget(shard.as_str());
    match outcome {
        Outcome::Lost => tracing::warn!(%shard, "the lease is lost; its work is dropped"),
        Outcome::GaveUp => tracing::warn!(%shard, "a shard is given back before its range is committed"),
        Outcome::Ended | Outcome::Released | Outcome::Replaced | Outcome::Panicked => {
            tracing::info!(%shard, ?outcome, "work on a shard ended")
        }
    }
    outcome
}

/// Only at the end of the worker. A lease that another worker is to have is given back when its range is committed, however
/// long the sink takes: work that was dropped would have to be done again, most likely here.
async fn too_long(signals: &Signals, limit: Duration) {
    signals.ending.cancelled().await;
    tokio::time::sleep(limit).await;
}

async fn work<S: Sink>(shared: &Arc<Shared<S>>, lease: Lease, signals: &Signals) -> Result<Outcome, Stopped> {
    let mut tenure = Tenure::new(lease);
    let followed = shared.lags.follow(tenure.shard(), shared.metrics.behind(tenure.shard()));
    learn_hash_range(shared, tenure.lease()).await;
    keep_recipe(shared, tenure.shard()).await;
    let judge = finish_pending(shared, &mut tenure).await?;
    let beginning = Beginning {
        starting_at: starting_at(shared, &mut tenure).await?,
        start_exclusive: tenure.lease().checkpoint.position().cloned(),
        judge: judge.with_window(shared.config.repeats.as_ref()),
    };
    let (filled, tenure) = fill_and_commit(shared, tenure, beginning, &signals.finish).await?;
    drop(followed);
    match filled {
        Filled::Ended(children) => {
            return Ok(shard_end::end(shared, tenure, &children).await?.into());
        }
        Filled::Gone => return Ok(shard_end::end_gone(shared, tenure).await?.into()),
        Filled::AtTip => {
            shared.set_parked(tenure.shard(), true);
            signals.finish.cancelled().await;
        }
        Filled::Told => {}
    }
    tenure.release(&shared.table, &shared.troubles, signals.intended.get().cloned()).await?;
    Ok(Outcome::Released)
}

/// From the lease; from the stream where the lease was written by something that does not note it.
async fn learn_hash_range<S: Sink>(shared: &Arc<Shared<S>>, lease: &Lease) {
    let range = match lease.hash_range() {
        Some(range) => Some(range),
        None => {
            let filter = ShardFilter::FromTrimHorizon;
            let list = || list_shards(&shared.kinesis, &shared.config.stream, &filter);
            let listed = shared.troubles.insist(Concern::Stream, lease.shard.as_str(), list).await;
            listed.into_iter().find(|shard| shard.id == lease.shard).map(|shard| shard.hash_range)
        }
    };
    // A shard that is in neither is gone with its records.
    if let Some(range) = range {
        shared.set_hash_range(&lease.shard, range);
    }
}

/// Before the first pin that names it, and again with each lease, so that nobody deletes it meanwhile.
async fn keep_recipe<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId) {
    let recipe = shared.sink.recipe();
    let keep = || shared.table.keep_recipe(&shared.recipe, &recipe);
    shared.troubles.insist(Concern::Leases, shard.as_str(), keep).await;
}

/// A range that is pinned comes before anything else.
async fn finish_pending<S: Sink>(shared: &Arc<Shared<S>>, tenure: &mut Tenure) -> Result<Judge, Stopped> {
    let mut judge = Judge::new(shared.config.repeats.clone());
    match tenure.lease().pending.clone() {
        Some(Pending::Pin(pin)) => {
            // With the window that it was pinned with, which an edited Pipeline may have changed.
            judge = judge.with_window(pin.repeats.as_ref());
            let settled = replay(shared, tenure.shard(), &pin, &mut judge).await?;
            tenure.commit(&shared.table, &shared.troubles, &pin, settled, None).await?;
            note(shared, &shared.metrics.shard(tenure.shard()), tenure.shard(), &pin, settled);
        }
        Some(Pending::Foreign) => tracing::warn!(
            shard = %tenure.shard(),
            "a KCL application prepared a checkpoint that it did not make; reading goes on from its last checkpoint"
        ),
        // Decisions leave such a lease alone.
        Some(Pending::Newer { .. }) | None => {}
    }
    Ok(judge)
}

/// Where reading begins when there is no position yet.
async fn starting_at<S: Sink>(shared: &Arc<Shared<S>>, tenure: &mut Tenure) -> Result<StartingAt, Stopped> {
    Ok(match &tenure.lease().checkpoint {
        Checkpoint::At(position) => StartingAt::At(position.sequence.clone()),
        Checkpoint::AtTimestamp(Some(at)) => StartingAt::AtTimestamp(*at),
        Checkpoint::AtTimestamp(None) => {
            tracing::warn!(
                shard = %tenure.shard(),
                "the lease begins at a time that only a KCL application's configuration knows; the oldest record is \
                 taken, so that none is missed"
            );
            StartingAt::TrimHorizon
        }
        Checkpoint::Latest => {
            // Written down, because the same word means another record each time that it is used.
            let ask = || service_time(&shared.kinesis, &shared.config.stream);
            let now = shared.troubles.insist(Concern::Stream, tenure.shard().as_str(), ask).await;
            tenure.start_at(&shared.table, &shared.troubles, now).await?;
            StartingAt::AtTimestamp(now)
        }
        Checkpoint::TrimHorizon | Checkpoint::ShardEnd => StartingAt::TrimHorizon,
    })
}

/// Fills ranges and commits them beside each other until there are no more to come and all are committed.
async fn fill_and_commit<S: Sink>(
    shared: &Arc<Shared<S>>,
    tenure: Tenure,
    beginning: Beginning,
    finish: &CancellationToken,
) -> Result<(Filled, Tenure), Stopped> {
    let shard = tenure.shard().clone();
    let (closed, to_commit) = mpsc::channel(RANGES_IN_MEMORY);
    let filler = Filler::new(Arc::clone(shared), shard, finish.clone(), closed, beginning);
    // Tasks of their own, so that reading, filling and applying one shard use more than one core.
    let committer = tokio::spawn(commit_ranges(Arc::clone(shared), tenure, to_commit).in_current_span());
    let mut committer = AbortOnDropHandle::new(committer);
    let filled = tokio::select! {
        biased;
        ended = &mut committer => {
            // It goes on for as long as it can be filled, so it was stopped.
            return Err(ended.map_or(Stopped::Panicked, |ended| ended.err().unwrap_or(Stopped::Panicked)));
        }
        filled = filler.run() => filled,
    };
    let tenure = committer.await.map_err(|_| Stopped::Panicked)??;
    match filled {
        Ok(filled) => Ok((filled, tenure)),
        Err(FillFailed::Reader | FillFailed::Committer) => Err(Stopped::Panicked),
    }
}
