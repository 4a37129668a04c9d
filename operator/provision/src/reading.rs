//! Whether a sink has stored what is in its stream: from its lease table's checkpoints and a look at what follows them.

use std::collections::HashMap;
use std::error::Error;
use std::time::SystemTime;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::ShardIteratorType;

use crate::Clients;
use crate::error::CallError;
use crate::pace::limited;

/// Reads of one shard until its tip is reached: an empty answer may come before the tip.
const READS: usize = 10;

type Cause = Box<dyn Error + Send + Sync>;

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
pub struct ReadingError {
    doing: &'static str,
    #[source]
    source: Cause,
}

/// Whether the sink whose leases are in the table has stored everything that is in its stream; with `before`, everything
/// that came before that moment. I/O: two or three calls a shard.
///
/// # Errors
/// When AWS cannot say.
pub async fn has_stored(
    stream: &str,
    lease_table: &str,
    before: Option<SystemTime>,
    clients: &Clients,
) -> Result<bool, ReadingError> {
    let failed = |doing| move |source| ReadingError { doing, source };
    let checkpoints = checkpoints(lease_table, clients).await.map_err(failed("reading the lease table"))?;
    let shards = shards(stream, clients).await.map_err(failed("listing the shards"))?;
    for shard in shards {
        let stored = match rest(checkpoints.get(&shard).map(String::as_str)) {
            Rest::Nothing => true,
            Rest::After(start) => {
                let next = next(stream, &shard, start, clients).await.map_err(failed("reading the stream"))?;
                is_stored(&next, before)
            }
        };
        if !stored {
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

/// What comes after a checkpoint.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Nothing,
    /// A record that arrived then, where that is said.
    Record(Option<SystemTime>),
    /// It has not been found within some reads.
    Unknown,
}

fn is_stored(next: &Next, before: Option<SystemTime>) -> bool {
    match (next, before) {
        (Next::Nothing, _) => true,
        (Next::Record(Some(arrived)), Some(before)) => *arrived >= before,
        (Next::Record(_) | Next::Unknown, _) => false,
    }
}

/// The checkpoint of each shard. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html>, in pages.
/// A table that is not there holds none.
async fn checkpoints(lease_table: &str, clients: &Clients) -> Result<HashMap<String, String>, Cause> {
    let mut checkpoints = HashMap::new();
    let mut next = None;
    loop {
        let call = clients.dynamodb.scan().table_name(lease_table).consistent_read(true).set_exclusive_start_key(next);
        let answer = match limited(call.send()).await.map_err(cause)? {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|said| said.is_resource_not_found_exception()) => {
                return Ok(checkpoints);
            }
            Err(error) => return Err(Box::new(error)),
        };
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
async fn shards(stream: &str, clients: &Clients) -> Result<Vec<String>, Cause> {
    let mut shards = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let call = clients.kinesis.list_shards();
        let call = match next {
            Some(token) => call.next_token(token),
            None => call.stream_name(stream),
        };
        let answer = limited(call.send()).await.map_err(cause)??;
        shards.extend(answer.shards.unwrap_or_default().into_iter().map(|shard| shard.shard_id));
        next = answer.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

/// What comes after the checkpoint. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
async fn next(stream: &str, shard: &str, after: Option<&str>, clients: &Clients) -> Result<Next, Cause> {
    let kind = if after.is_some() { ShardIteratorType::AfterSequenceNumber } else { ShardIteratorType::TrimHorizon };
    let call = clients.kinesis.get_shard_iterator().stream_name(stream).shard_id(shard).shard_iterator_type(kind);
    let call = call.set_starting_sequence_number(after.map(str::to_owned)).send();
    let mut iterator = limited(call).await.map_err(cause)??.shard_iterator;
    for _ in 0..READS {
        let Some(at) = iterator else { return Ok(Next::Nothing) };
        let call = clients.kinesis.get_records().shard_iterator(at).limit(1).send();
        let answer = limited(call).await.map_err(cause)??;
        if let Some(record) = answer.records.first() {
            let arrived = record.approximate_arrival_timestamp.and_then(|at| SystemTime::try_from(at).ok());
            return Ok(Next::Record(arrived));
        }
        if answer.millis_behind_latest == Some(0) {
            return Ok(Next::Nothing);
        }
        iterator = answer.next_shard_iterator;
    }
    Ok(Next::Unknown)
}

/// A call that took too long.
fn cause(error: CallError) -> Cause {
    match error {
        CallError::Passing(cause) | CallError::InUse(cause) | CallError::Limited(cause) => cause,
        CallError::NotFound => "it is not there".into(),
        CallError::Lasting(error) => Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_left_of_a_shard_follows_from_its_checkpoint() {
        assert_eq!(rest(None), Rest::After(None), "no worker has seen it");
        assert_eq!(rest(Some("SHARD_END")), Rest::Nothing);
        assert_eq!(rest(Some("TRIM_HORIZON")), Rest::After(None));
        assert_eq!(rest(Some("49590")), Rest::After(Some("49590")));
    }

    #[test]
    fn a_record_that_comes_next_is_missing_unless_it_came_later_than_what_is_asked_for() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
        let hour = Duration::from_secs(3600);
        assert!(is_stored(&Next::Nothing, None) && is_stored(&Next::Nothing, Some(noon)));
        assert!(!is_stored(&Next::Record(Some(noon + hour)), None));
        assert!(is_stored(&Next::Record(Some(noon + hour)), Some(noon)));
        assert!(!is_stored(&Next::Record(Some(noon - hour)), Some(noon)));
        assert!(!is_stored(&Next::Record(None), Some(noon)), "it is not said when it arrived");
        assert!(!is_stored(&Next::Unknown, Some(noon)));
    }
}
