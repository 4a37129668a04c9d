//! What comes before anything else on a shard: a range that an earlier owner pinned and did not commit.

use std::sync::Arc;

use penstock_contract::{ShardId, Sink, SinkError};

use crate::dead_letters::Letters;
use crate::pin::Pin;
use crate::pinned_read::{PinnedRead, ReadFailed};
use crate::range::Filling;
use crate::settle::{Settled, settle};
use crate::shared::Shared;
use crate::trouble::Concern;

/// Applies the range again: the same records, with the recipe that it was pinned with.
pub(crate) async fn replay<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    pin: &Pin,
) -> Result<Settled, ReadFailed> {
    tracing::info!(%shard, first = %pin.first, end = %pin.end, records = pin.records, "a pinned range is applied again");
    let sink = sink_of(shared, shard, pin).await;
    let sink = sink.as_ref().unwrap_or(&shared.sink);
    let (mut batch, letters, found) = fill(shared, sink, shard, pin).await?;
    report_missing(shared, shard, pin, found);
    if found == 0 {
        return Ok(Settled { applied: 0, dead_lettered: 0 });
    }
    settle(shared, shard, pin, &mut batch, letters).await
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

/// Reads and pushes until that succeeds. Says how many records were found.
async fn fill<S: Sink>(
    shared: &Arc<Shared<S>>,
    sink: &S,
    shard: &ShardId,
    pin: &Pin,
) -> Result<(S::Batch, Letters, u64), ReadFailed> {
    let mut backoff = Concern::Sink.backoff();
    loop {
        let mut filling = Filling::new(sink.open(shard));
        match fill_once(shared, &mut filling, shard, pin).await? {
            Ok(()) => {
                shared.troubles.over(Concern::Sink, shard.as_str());
                let found = filling.records();
                let (batch, letters) = filling.into_parts();
                return Ok((batch, letters, found));
            }
            Err(error) => {
                let wait = backoff.next_wait();
                shared.troubles.note(Concern::Sink, shard.as_str(), &error, wait);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The range's end is known, so whether the sink would like to close it earlier does not matter here.
async fn fill_once<S: Sink>(
    shared: &Arc<Shared<S>>,
    filling: &mut Filling<S::Batch>,
    shard: &ShardId,
    pin: &Pin,
) -> Result<Result<(), SinkError>, ReadFailed> {
    let mut read = PinnedRead::start(shared, shard, pin);
    while let Some(records) = read.next().await? {
        if let Err(error) = filling.push(&shared.letters.origin, shard, &records).await {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
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
