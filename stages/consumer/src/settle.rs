//! Making the effect of a pinned range: apply it until that succeeds, then write its dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use penstock_contract::{Applied, Batch, Position, Range, Rejection, ShardId, Sink, SinkError};
use penstock_runtime::Backoff;

use crate::dead_letters::Letters;
use crate::pin::Pin;
use crate::pinned_read::{PinnedRead, ReadFailed};
use crate::range::Filled;
use crate::refill::{Verdicts, refill};
use crate::repeats::Known;
use crate::shared::Shared;
use crate::trouble::Concern;

/// What a range came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    pub(crate) applied: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) repeats: u64,
}

/// Applies the range and writes its dead letters. Tries until it succeeds; whoever loses the lease meanwhile
/// drops this future, and who still runs does no harm: a range has the effect of being applied once.
pub(crate) async fn settle<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    pin: &Pin,
    mut filled: Filled<S::Batch>,
) -> Result<Settled, ReadFailed> {
    let range = pin.range(shard);
    let mut backoff = Concern::Sink.backoff();
    let (applied, filled) = loop {
        if filled.kept() == 0 {
            // All of it are repeats, or deleted from the stream: there is nothing that could be applied.
            return Ok(Settled { applied: 0, dead_lettered: 0, repeats: filled.repeats.len() as u64 });
        }
        match apply(shared, shard, &range, &mut filled.batch, &mut backoff).await {
            Ok(applied) => break (applied, filled),
            Err(Spoiled) => {
                let repeats = std::mem::take(&mut filled.repeats);
                // First the memory of the spoiled batch, then that of the next.
                drop(filled);
                filled = refill(shared, shard, pin, Verdicts::Known(Known::new(repeats))).await?;
            }
        }
    };
    let repeats = filled.repeats.len() as u64;
    let letters = filled.letters.merge(refused(shared, shard, pin, applied.rejected).await?);
    if !letters.is_empty() {
        shared.letters.write(&pin.range(shard), &letters, &shared.troubles).await;
        for reason in letters.reasons() {
            shared.metrics.dead_letter(reason);
        }
    }
    Ok(Settled { applied: applied.records, dead_lettered: letters.len(), repeats })
}

/// The batch is of no use any more.
struct Spoiled;

/// Applies a batch until that succeeds or the batch is spoiled.
async fn apply<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    range: &Range,
    batch: &mut S::Batch,
    backoff: &mut Backoff,
) -> Result<Applied, Spoiled> {
    loop {
        let error = match batch.apply(range).await {
            Ok(applied) => {
                shared.troubles.over(Concern::Sink, shard.as_str());
                return Ok(applied);
            }
            Err(error) => error,
        };
        let wait = backoff.next_wait();
        shared.troubles.note(Concern::Sink, shard.as_str(), &error, wait);
        tokio::time::sleep(wait).await;
        match &error {
            SinkError::Service { .. } => {}
            SinkError::Spoiled { .. } => return Err(Spoiled),
            SinkError::Fatal { reason, .. } => {
                tracing::error!(%shard, %range.end_inclusive, reason, %error, "a range waits for somebody to act");
            }
        }
    }
}

/// The dead letters of records that the service refused. Their bytes are not kept while a range is applied,
/// because that is rare and the range may be large: they are read again.
async fn refused<S: Sink>(
    shared: &Arc<Shared<S>>,
    shard: &ShardId,
    pin: &Pin,
    rejected: Vec<(Position, Rejection)>,
) -> Result<Letters, ReadFailed> {
    let mut letters = Letters::default();
    if rejected.is_empty() {
        return Ok(letters);
    }
    let mut rejected: BTreeMap<_, _> = rejected.into_iter().collect();
    let mut read = PinnedRead::start(shared, shard, pin);
    while !rejected.is_empty() {
        let Some(records) = read.next().await? else { break };
        for record in &records {
            if let Some(rejection) = rejected.remove(&record.position) {
                letters.add(&shared.letters.origin, shard, record, &rejection);
            }
        }
    }
    if !rejected.is_empty() {
        shared.metrics.lost_records(rejected.len() as u64);
        let first = rejected.keys().next().map(ToString::to_string);
        tracing::error!(
            %shard, records = rejected.len(), first,
            "records that the sink refused are gone from the stream; they are missing in the dead letters"
        );
    }
    Ok(letters)
}
