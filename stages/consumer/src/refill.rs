//! Filling a pinned range again: the same records, with the recipe that it was pinned with.

use std::sync::Arc;

use penstock_contract::{ShardId, Sink, SinkError};

use crate::dead_letters::Letters;
use crate::pin::Pin;
use crate::pinned_read::{PinnedRead, ReadFailed};
use crate::range::Filling;
use crate::shared::Shared;
use crate::trouble::Concern;

/// A pinned range with everything pushed that the stream still holds of it.
pub(crate) struct Refilled<B> {
    pub(crate) batch: B,
    pub(crate) letters: Letters,
    /// How many of the range's records were found.
    pub(crate) found: u64,
}

/// Reads and pushes until that succeeds, and tells what is missing.
pub(crate) async fn refill<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    pin: &Pin,
) -> Result<Refilled<S::Batch>, ReadFailed> {
    let sink = sink_of(shared, shard, pin).await;
    let sink = sink.as_ref().unwrap_or(&shared.sink);
    let mut backoff = Concern::Sink.backoff();
    loop {
        let mut filling = Filling::new(sink.open(shard, &pin.first));
        match fill_once(shared, &mut filling, shard, pin).await? {
            Ok(()) => {
                shared.troubles.over(Concern::Sink, shard.as_str());
                let found = filling.records();
                report_missing(shared, shard, pin, found);
                let (batch, letters) = filling.into_parts();
                return Ok(Refilled { batch, letters, found });
            }
            Err(error) => {
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
