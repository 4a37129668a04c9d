//! Whether a sink has stored what is in its stream: from its lease table's checkpoints and a look at what follows them.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::time::SystemTime;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

use crate::Clients;
use crate::error::CallError;
use crate::pace::limited;

/// Reads of one shard until its tip is reached: an empty answer may come before the tip.
const READS: usize = 10;
/// The attribute of a lease that holds the time which belongs to the checkpoint `AT_TIMESTAMP`.
const START_AT_MILLIS: &str = "penstockStartAtMillis";

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
    let leases = leases(lease_table, clients).await.map_err(failed("reading the lease table"))?;
    let shards = shards(stream, clients).await.map_err(failed("listing the shards"))?;
    let passed = passed(&shards, &leases);
    for shard in &shards {
        let stored = match rest(leases.get(&shard.id), passed.contains(shard.id.as_str())) {
            Rest::Nothing => true,
            Rest::Begins(at) => {
                let next = next(stream, &shard.id, &at, clients).await.map_err(failed("reading the stream"))?;
                is_stored(&next, before)
            }
        };
        if !stored {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A shard of the stream.
#[derive(Debug)]
struct Shard {
    id: String,
    parents: Vec<String>,
}

/// What a lease says of how far its shard has been read.
#[derive(Debug)]
struct Lease {
    checkpoint: String,
    /// Where `AT_TIMESTAMP` is, in milliseconds since the Unix epoch.
    start_at: Option<i64>,
}

/// The leases, by shard.
type Leases = HashMap<String, Lease>;

/// The shards that have a descendant with a lease: a sink begins with a shard once it has read all of its parents, so without
/// a lease of their own its reading began after them.
fn passed<'a>(shards: &'a [Shard], leases: &Leases) -> HashSet<&'a str> {
    let parents: HashMap<_, _> = shards.iter().map(|shard| (shard.id.as_str(), &shard.parents)).collect();
    let mut passed = HashSet::new();
    let mut next: Vec<_> = shards.iter().map(|shard| shard.id.as_str()).filter(|id| leases.contains_key(*id)).collect();
    while let Some(shard) = next.pop() {
        for parent in parents.get(shard).into_iter().copied().flatten() {
            if passed.insert(parent.as_str()) {
                next.push(parent);
            }
        }
    }
    passed
}

/// What is left of a shard.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    Nothing,
    /// What there is from here on.
    Begins(At),
}

/// A place in a shard.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// The oldest record.
    Oldest,
    /// The first record that arrived at that time or later, in milliseconds since the Unix epoch.
    Time(i64),
    /// The record that follows the sequence number.
    After(String),
}

/// `passed`: a descendant of the shard has a lease.
fn rest(lease: Option<&Lease>, passed: bool) -> Rest {
    let Some(lease) = lease else {
        // Where no worker has even seen the shard, nothing is left only if it has no record.
        return if passed { Rest::Nothing } else { Rest::Begins(At::Oldest) };
    };
    match lease.checkpoint.as_str() {
        "SHARD_END" => Rest::Nothing,
        "TRIM_HORIZON" => Rest::Begins(At::Oldest),
        // A worker has yet to begin with it, with what comes then.
        "LATEST" => Rest::Nothing,
        // Without a time, which only a KCL application leaves out, the sink begins with the oldest record.
        "AT_TIMESTAMP" => Rest::Begins(lease.start_at.map_or(At::Oldest, At::Time)),
        sequence => Rest::Begins(At::After(sequence.to_owned())),
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

/// The lease of each shard. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html>, in pages.
/// A table that is not there holds none.
async fn leases(lease_table: &str, clients: &Clients) -> Result<Leases, Cause> {
    let mut leases = Leases::new();
    let mut next = None;
    loop {
        let call = clients.dynamodb.scan().table_name(lease_table).consistent_read(true).set_exclusive_start_key(next);
        let answer = match limited(call.send()).await.map_err(cause)? {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|said| said.is_resource_not_found_exception()) => {
                return Ok(leases);
            }
            Err(error) => return Err(Box::new(error)),
        };
        for item in answer.items.unwrap_or_default() {
            let text = |name: &str| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned();
            // Rows of workers and recipes have no checkpoint.
            if let (Some(shard), Some(checkpoint)) = (text("leaseKey"), text("checkpoint")) {
                let start_at = item.get(START_AT_MILLIS).and_then(|value| value.as_n().ok()?.parse().ok());
                leases.insert(shard, Lease { checkpoint, start_at });
            }
        }
        next = answer.last_evaluated_key;
        if next.is_none() {
            return Ok(leases);
        }
    }
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>, in pages.
async fn shards(stream: &str, clients: &Clients) -> Result<Vec<Shard>, Cause> {
    let mut shards = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let call = clients.kinesis.list_shards();
        let call = match next {
            Some(token) => call.next_token(token),
            None => call.stream_name(stream),
        };
        let answer = limited(call.send()).await.map_err(cause)??;
        shards.extend(answer.shards.unwrap_or_default().into_iter().map(|shard| Shard {
            id: shard.shard_id,
            parents: shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id).collect(),
        }));
        next = answer.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}

/// The first record from a place on. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
async fn next(stream: &str, shard: &str, at: &At, clients: &Clients) -> Result<Next, Cause> {
    let call = clients.kinesis.get_shard_iterator().stream_name(stream).shard_id(shard);
    let call = placed(call, at).send();
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

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
fn placed(call: GetShardIteratorFluentBuilder, at: &At) -> GetShardIteratorFluentBuilder {
    match at {
        At::Oldest => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
        At::Time(millis) => {
            call.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*millis))
        }
        At::After(sequence) => {
            call.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(sequence)
        }
    }
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

    fn lease(checkpoint: &str, start_at: Option<i64>) -> Lease {
        Lease { checkpoint: checkpoint.to_owned(), start_at }
    }

    #[test]
    fn what_is_left_of_a_shard_follows_from_its_checkpoint() {
        let rest = |checkpoint, start_at| rest(Some(&lease(checkpoint, start_at)), false);
        assert_eq!(rest("SHARD_END", None), Rest::Nothing);
        assert_eq!(rest("TRIM_HORIZON", None), Rest::Begins(At::Oldest));
        assert_eq!(rest("49590", None), Rest::Begins(At::After("49590".to_owned())));
        assert_eq!(rest("LATEST", None), Rest::Nothing);
        assert_eq!(rest("AT_TIMESTAMP", Some(7)), Rest::Begins(At::Time(7)), "a sink that began with what came next");
        assert_eq!(rest("AT_TIMESTAMP", None), Rest::Begins(At::Oldest));
    }

    #[test]
    fn a_shard_without_a_lease_is_left_whole_unless_reading_began_after_it() {
        assert_eq!(rest(None, false), Rest::Begins(At::Oldest), "no worker has seen it");
        assert_eq!(rest(None, true), Rest::Nothing);
    }

    #[test]
    fn reading_began_after_all_that_came_before_a_lease() {
        let shard = |id: &str, parents: &[&str]| Shard {
            id: id.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        };
        // `a` was split, one half was merged with `x`, and nobody has begun with the other one.
        let shards =
            [shard("a", &[]), shard("x", &[]), shard("b", &["a"]), shard("c", &["a"]), shard("d", &["b", "x"])];
        let leases = Leases::from([("d".to_owned(), lease("AT_TIMESTAMP", Some(7)))]);
        assert_eq!(passed(&shards, &leases), HashSet::from(["a", "b", "x"]));
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
