//! Whether sinks have stored everything that is in their stream: the checkpoint of every shard is at its tip.
//!
//! Asked only of a Pipeline that drains, whose sources have stopped. A range ends with a whole stream record, so what
//! is left is what comes after the checkpoint's sequence number.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::ShardIteratorType;
use penstock_api::plan::{SinkStage, StageKind};
use penstock_provision::Clients;
use tokio::time::timeout;

use crate::build::Drained;
use crate::validate::ValidatedPipeline;

/// Reads of one shard until its tip is reached: an empty answer may come before the tip.
const READS: usize = 10;
/// How long one call may take; a backstop.
const CALL_LIMIT: Duration = Duration::from_secs(90);

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
#[error(
    "{doing} failed, so it cannot be told whether the sink {sink:?} has stored everything: {source}. It is tried again"
)]
pub struct DrainError {
    doing: &'static str,
    sink: String,
    source: Box<dyn Error + Send + Sync>,
}

/// Which of the sinks have stored everything. I/O.
pub(super) async fn drained(
    pipeline: &ValidatedPipeline,
    sinks: &[&str],
    clients: &Clients,
) -> Result<Drained, DrainError> {
    let mut drained = Drained::new();
    for stage in pipeline.stages.iter().filter(|stage| sinks.contains(&stage.name.as_str())) {
        if let StageKind::Sink(sink) = &stage.config.kind
            && is_drained(&stage.name, sink, clients).await?
        {
            drained.insert(stage.name.clone());
        }
    }
    Ok(drained)
}

async fn is_drained(name: &str, sink: &SinkStage, clients: &Clients) -> Result<bool, DrainError> {
    let failed = |doing, source| DrainError { doing, sink: name.to_owned(), source };
    let checkpoints = checkpoints(sink, clients).await.map_err(|source| failed("reading the lease table", source))?;
    let shards = shards(sink, clients).await.map_err(|source| failed("listing the shards", source))?;
    for shard in shards {
        let at_tip = match rest(checkpoints.get(&shard).map(String::as_str)) {
            Rest::Nothing => true,
            Rest::After(start) => {
                at_tip(sink, &shard, start, clients).await.map_err(|source| failed("reading the stream", source))?
            }
        };
        if !at_tip {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is left of a shard.
#[derive(Debug, PartialEq, Eq)]
enum Rest<'a> {
    /// Nothing.
    Nothing,
    /// What comes after the sequence number; after the oldest record when there is none.
    After(Option<&'a str>),
}

fn rest(checkpoint: Option<&str>) -> Rest<'_> {
    match checkpoint {
        Some("SHARD_END") => Rest::Nothing,
        // No worker has committed anything, or even seen the shard: without a record nothing is left all the same.
        None | Some("TRIM_HORIZON") => Rest::After(None),
        // Nothing has been committed, and what came before the sink is not for it.
        Some("LATEST" | "AT_TIMESTAMP") => Rest::Nothing,
        Some(sequence) => Rest::After(Some(sequence)),
    }
}

/// The checkpoint of each shard. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html>, in pages.
async fn checkpoints(
    sink: &SinkStage,
    clients: &Clients,
) -> Result<HashMap<String, String>, Box<dyn Error + Send + Sync>> {
    let mut checkpoints = HashMap::new();
    let mut next = None;
    loop {
        let call =
            clients.dynamodb.scan().table_name(&sink.lease_table).consistent_read(true).set_exclusive_start_key(next);
        let answer = timeout(CALL_LIMIT, Box::pin(call.send())).await??;
        for item in answer.items.unwrap_or_default() {
            let text = |name: &str| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned();
            // Rows of workers and recipes have no checkpoint.
            if let (Some(shard), Some(checkpoint)) = (text("leaseKey"), text("checkpoint")) {
                checkpoints.insert(shard, checkpoint);
            }
        }
        next = answer.last_evaluated_key;
        if next.is_none() {
            return Ok(checkpoints);
        }
    }
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>, in pages.
async fn shards(sink: &SinkStage, clients: &Clients) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let mut shards = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let call = clients.kinesis.list_shards();
        let call = match next {
            Some(token) => call.next_token(token),
            None => call.stream_name(&sink.stream),
        };
        let answer = timeout(CALL_LIMIT, Box::pin(call.send())).await??;
        shards.extend(answer.shards.unwrap_or_default().into_iter().map(|shard| shard.shard_id));
        next = answer.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

/// Whether nothing comes after the checkpoint. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
async fn at_tip(
    sink: &SinkStage,
    shard: &str,
    after: Option<&str>,
    clients: &Clients,
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let kind = if after.is_some() { ShardIteratorType::AfterSequenceNumber } else { ShardIteratorType::TrimHorizon };
    let call = clients.kinesis.get_shard_iterator().stream_name(&sink.stream).shard_id(shard).shard_iterator_type(kind);
    let call = call.set_starting_sequence_number(after.map(str::to_owned)).send();
    let mut iterator = timeout(CALL_LIMIT, Box::pin(call)).await??.shard_iterator;
    for _ in 0..READS {
        let Some(at) = iterator else { return Ok(true) };
        let call = clients.kinesis.get_records().shard_iterator(at).limit(1).send();
        let answer = timeout(CALL_LIMIT, Box::pin(call)).await??;
        if !answer.records.is_empty() {
            return Ok(false);
        }
        if answer.millis_behind_latest == Some(0) {
            return Ok(true);
        }
        iterator = answer.next_shard_iterator;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_shard_follows_from_its_checkpoint() {
        assert_eq!(rest(None), Rest::After(None), "no worker has seen it");
        assert_eq!(rest(Some("SHARD_END")), Rest::Nothing);
        assert_eq!(rest(Some("TRIM_HORIZON")), Rest::After(None));
        assert_eq!(rest(Some("49590")), Rest::After(Some("49590")));
    }
}
