//! What comes before anything else on a shard: a range that an earlier owner pinned and did not commit.

use std::sync::Arc;

use penstock_contract::{ShardId, Sink};

use crate::pin::Pin;
use crate::pinned_read::ReadFailed;
use crate::refill::{Verdicts, refill};
use crate::repeats::Judge;
use crate::settle::{Settled, settle};
use crate::shared::Shared;

/// Applies the range again.
pub(crate) async fn replay<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    pin: &Pin,
    judge: &mut Judge,
) -> Result<Settled, ReadFailed> {
    tracing::info!(%shard, first = %pin.first, end = %pin.end, records = pin.records, "a pinned range is applied again");
    let filled = refill(shared, shard, pin, Verdicts::Judge(judge)).await?;
    settle(shared, shard, pin, filled).await
}
