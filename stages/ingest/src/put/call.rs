//! One call to the stream, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use penstock_contract::ShardId;
use penstock_stream::aggregate::Aggregator;
use penstock_stream::{EntryError, ErrorKind, MAX_ENTRIES_PER_PUT, PutAck, PutEntry, StreamError, put_records};
use tokio::time::{Instant, timeout};

use super::lanes::{Batch, CallEntry};
use super::pending::{Row, Trouble};
use crate::telemetry::Telemetry;

/// How long one call may take before it counts as failed. The rows are put again then.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of a call: a large one takes memory three times over, as records, as JSON and as what is sent.
const MAX_CALL_BYTES: usize = 512 << 10;

/// A call that came back.
pub(super) struct Ended {
    pub(super) seconds: f64,
    /// What came of each of its batches, or why nothing did.
    pub(super) result: Result<Vec<Answered>, FailedCall>,
}

/// What the stream said about each record of a batch.
pub(super) struct Answered {
    pub(super) shard: ShardId,
    pub(super) entries: Vec<(Result<PutAck, Failure>, Vec<Row>)>,
}

/// A call that failed as a whole.
pub(super) struct FailedCall {
    pub(super) failure: Failure,
    pub(super) message: String,
    /// The rows of each batch, with its shard.
    pub(super) batches: Vec<(ShardId, Vec<Row>)>,
}

/// Why the stream did not take records: for the answer, and for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    pub(super) reason: &'static str,
}

/// Shares batches out among calls: the fewer calls, the less a row costs.
pub(super) fn calls_of(batches: Vec<Batch>) -> Vec<Vec<Batch>> {
    let mut calls: Vec<Vec<Batch>> = Vec::new();
    let (mut bytes, mut entries) = (0, 0);
    for batch in batches {
        bytes += batch.bytes();
        entries += batch.entries.len();
        match calls.last_mut() {
            Some(call) if bytes <= MAX_CALL_BYTES && entries <= MAX_ENTRIES_PER_PUT => call.push(batch),
            _ => {
                (bytes, entries) = (batch.bytes(), batch.entries.len());
                calls.push(vec![batch]);
            }
        }
    }
    calls
}

/// Makes the call, once: what failed goes back to its lane.
pub(super) async fn make(client: Client, stream: Arc<str>, batches: Vec<Batch>, telemetry: Telemetry) -> Ended {
    let started = Instant::now();
    let (entries, sent) = finish(batches);
    telemetry.put_started(&entries);
    let result = match timeout(CALL_LIMIT, put_records(&client, &stream, &entries)).await {
        Ok(Ok(outcomes)) => Ok(by_batch(sent, outcomes)),
        Ok(Err(error)) => Err(failed(sent, call_failure(&error), full(&error))),
        Err(_) => {
            let failure = Failure { trouble: Trouble::Unavailable, reason: ErrorKind::Timeout.reason() };
            Err(failed(sent, failure, format!("no answer within {} s", CALL_LIMIT.as_secs())))
        }
    };
    Ended { seconds: started.elapsed().as_secs_f64(), result }
}

/// Each outcome to its rows: outcomes stand in the order of the entries, one for each.
fn by_batch(sent: Vec<(ShardId, Vec<Vec<Row>>)>, outcomes: Vec<Result<PutAck, EntryError>>) -> Vec<Answered> {
    let mut outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(|error| entry_failure(error.throttled)));
    let answered = sent.into_iter().map(|(shard, rows)| {
        let entries = outcomes.by_ref().take(rows.len()).collect::<Vec<_>>().into_iter().zip(rows).collect();
        Answered { shard, entries }
    });
    answered.collect()
}

fn failed(sent: Vec<(ShardId, Vec<Vec<Row>>)>, failure: Failure, message: String) -> FailedCall {
    let batches = sent.into_iter().map(|(shard, rows)| (shard, rows.into_iter().flatten().collect())).collect();
    FailedCall { failure, message, batches }
}

/// What is put, all batches together, and the rows of each record.
fn finish(batches: Vec<Batch>) -> (Vec<PutEntry>, Vec<(ShardId, Vec<Vec<Row>>)>) {
    let (mut aggregators, mut rows_by_shard) = (Vec::new(), Vec::new());
    for Batch { shard, entries } in batches {
        let (of_batch, rows): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|CallEntry { aggregator, rows }| (aggregator, rows)).unzip();
        aggregators.extend(of_batch);
        rows_by_shard.push((shard, rows));
    }
    let mut finished = Aggregator::finish_all(aggregators).into_iter();
    let mut entries = Vec::new();
    for (_, rows) in &mut rows_by_shard {
        // What holds nothing is not put.
        rows.retain(|_| finished.next().flatten().map(|aggregate| entries.push(aggregate.entry)).is_some());
    }
    (entries, rows_by_shard)
}

fn entry_failure(throttled: bool) -> Failure {
    if throttled {
        Failure { trouble: Trouble::Throttled, reason: ErrorKind::Throttled.reason() }
    } else {
        Failure { trouble: Trouble::Unavailable, reason: ErrorKind::Internal.reason() }
    }
}

fn call_failure(error: &StreamError) -> Failure {
    let trouble = match error.kind() {
        ErrorKind::Throttled | ErrorKind::LimitExceeded => Trouble::Throttled,
        ErrorKind::InvalidArgument => Trouble::Invalid,
        _ => Trouble::Unavailable,
    };
    Failure { trouble, reason: error.reason() }
}

/// An error with its causes, on one line.
fn full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(shard: &str, entries: usize, bytes: usize) -> Batch {
        let entry = || {
            let mut aggregator = Aggregator::new(usize::MAX);
            aggregator.push(&"k".into(), None, vec![b' '; bytes].into()).ok();
            CallEntry { aggregator, rows: Vec::new() }
        };
        Batch { shard: ShardId::new(shard), entries: (0..entries).map(|_| entry()).collect() }
    }

    fn shards(calls: &[Vec<Batch>]) -> Vec<Vec<&str>> {
        calls.iter().map(|call| call.iter().map(|batch| batch.shard.as_str()).collect()).collect()
    }

    #[test]
    fn batches_share_calls_within_the_limits_of_the_service_and_of_memory() {
        let calls = calls_of(vec![batch("a", 1, 9), batch("b", 1, 9), batch("c", 1, 9)]);
        assert_eq!(shards(&calls), [["a", "b", "c"]]);
        let large = MAX_CALL_BYTES / 2;
        let calls = calls_of(vec![batch("a", 1, large), batch("b", 1, large), batch("c", 1, 9), batch("d", 1, 9)]);
        assert_eq!(shards(&calls), [vec!["a"], vec!["b", "c", "d"]]);
        let calls = calls_of(vec![batch("a", 300, 9), batch("b", 200, 9), batch("c", 1, 9)]);
        assert_eq!(shards(&calls), [vec!["a", "b"], vec!["c"]]);
        let calls = calls_of(vec![batch("a", 1, 9), batch("b", 1, 2 * MAX_CALL_BYTES), batch("c", 1, 9)]);
        assert_eq!(shards(&calls), [["a"], ["b"], ["c"]]);
        assert!(calls_of(Vec::new()).is_empty());
    }
}
