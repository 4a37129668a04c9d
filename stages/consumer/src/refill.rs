//! Filling a pinned range again: the same records, with the recipe that it was pinned with.

use std::sync::Arc;

use penstock_contract::{Record, ShardId, Sink, SinkError};

use crate::pin::Pin;
use crate::pinned_read::{PinnedRead, ReadFailed};
use crate::range::{Filled, Filling, Part};
use crate::repeats::{Judge, Known};
use crate::shared::Shared;
use crate::trouble::Concern;

/// How the repeats in a range are told.
pub(crate) enum Verdicts<'a> {
    /// The range comes next in the log.
    Judge(&'a mut Judge),
    /// They were told before.
    Known(Known),
}

/// Reads and pushes what the stream still holds of the range until that succeeds, and tells what is missing.
pub(crate) async fn refill<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    pin: &Pin,
    mut verdicts: Verdicts<'_>,
) -> Result<Filled<S::Batch>, ReadFailed> {
    let sink = sink_of(shared, shard, pin).await;
    let sink = sink.as_ref().unwrap_or(&shared.sink);
    let mut backoff = Concern::Sink.backoff();
    loop {
        let mut filling = Filling::new(sink.open(shard, &pin.first));
        match fill_once(shared, &mut filling, shard, pin, &mut verdicts).await? {
            Ok(()) => {
                shared.troubles.over(Concern::Sink, shard.as_str());
                let filled = filling.into_filled();
                report_missing(shared, shard, pin, filled.records);
                verdicts.settle();
                return Ok(filled);
            }
            Err(error) => {
                verdicts.rewind();
                let wait = backoff.next_wait();
                shared.troubles.note(Concern::Sink, shard.as_str(), &error, wait);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The sink as it was when the range was pinned; `None` when that is as it is now.
async fn sink_of<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId, pin: &Pin) -> Option<S> {
    if pin.recipe == shared.recipe {
        return None;
    }
    let recipe = shared.troubles.insist(Concern::Leases, shard.as_str(), || shared.table.recipe(&pin.recipe)).await;
    let sink = || std::future::ready(shared.sink.with_recipe(&recipe));
    Some(shared.troubles.insist(Concern::Sink, shard.as_str(), sink).await)
}

/// The range's end is known, so whether the sink would like to close it earlier does not matter here.
async fn fill_once<S: Sink>(
    shared: &Arc<Shared<S>>,
    filling: &mut Filling<S::Batch>,
    shard: &ShardId,
    pin: &Pin,
    verdicts: &mut Verdicts<'_>,
) -> Result<Result<(), SinkError>, ReadFailed> {
    let mut read = PinnedRead::start(shared, shard, pin);
    while let Some(records) = read.next().await? {
        let Some(part) = verdicts.judge(shared, shard, records).await? else { continue };
        if let Err(error) = filling.push(&shared.letters.origin, shard, part).await {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

impl Verdicts<'_> {
    async fn judge<S: Sink>(
        &mut self,
        shared: &Arc<Shared<S>>,
        shard: &ShardId,
        records: Vec<Record>,
    ) -> Result<Option<Part>, ReadFailed> {
        match self {
            Self::Judge(judge) => judge.judge(shared, shard, records).await,
            Self::Known(known) => Ok(known.judge(records)),
        }
    }

    fn settle(&mut self) {
        if let Self::Judge(judge) = self {
            judge.settle();
        }
    }

    fn rewind(&mut self) {
        if let Self::Judge(judge) = self {
            judge.rewind();
        }
    }
}

/// Records that retention deleted while the range waited. What is left is applied; what is not is told.
fn report_missing<S: Sink>(shared: &Arc<Shared<S>>, shard: &ShardId, pin: &Pin, found: u64) {
    let Some(missing) = pin.records.checked_sub(found).filter(|missing| *missing > 0) else { return };
    shared.metrics.lost_records(missing);
    tracing::error!(
        %shard, missing, found, first = %pin.first, end = %pin.end,
        "the stream has deleted records of a range that was not committed; unless an earlier worker stored them \
         they are lost"
    );
}
