//! One call to the stream, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use penstock_contract::ShardId;
use penstock_stream::{ErrorKind, PutAck, PutEntry, StreamError, put_records};
use tokio::time::{Instant, timeout};

use super::lanes::{Call, CallEntry};
use super::pending::{Row, Trouble};
use crate::telemetry::Telemetry;

/// How long one call may take before it counts as failed. The rows are put again then.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A call that came back.
pub(super) struct Ended {
    pub(super) shard: ShardId,
    pub(super) seconds: f64,
    pub(super) result: Result<Vec<(Result<PutAck, Failure>, Vec<Row>)>, FailedCall>,
}

/// A call that failed as a whole.
pub(super) struct FailedCall {
    pub(super) failure: Failure,
    pub(super) message: String,
    pub(super) rows: Vec<Row>,
}

/// Why the stream did not take records: for the answer, and for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    pub(super) reason: &'static str,
}

/// Makes the call, once: what failed goes back to its lane.
pub(super) async fn make(client: Client, stream: Arc<str>, call: Call, telemetry: Telemetry) -> Ended {
    let started = Instant::now();
    let Call { shard, entries } = call;
    let (entries, rows): (Vec<PutEntry>, Vec<Vec<Row>>) = entries.into_iter().filter_map(finish).unzip();
    telemetry.put_started(&entries);
    let (failure, message) = match timeout(CALL_LIMIT, put_records(&client, &stream, &entries)).await {
        Ok(Ok(outcomes)) => {
            let outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(|error| entry_failure(error.throttled)));
            let result = Ok(outcomes.zip(rows).collect());
            return Ended { shard, seconds: started.elapsed().as_secs_f64(), result };
        }
        Ok(Err(error)) => (call_failure(&error), full(&error)),
        Err(_) => {
            let failure = Failure { trouble: Trouble::Unavailable, reason: ErrorKind::Timeout.reason() };
            (failure, format!("no answer within {} s", CALL_LIMIT.as_secs()))
        }
    };
    let rows = rows.into_iter().flatten().collect();
    Ended { shard, seconds: started.elapsed().as_secs_f64(), result: Err(FailedCall { failure, message, rows }) }
}

fn finish(entry: CallEntry) -> Option<(PutEntry, Vec<Row>)> {
    let CallEntry { aggregator, rows } = entry;
    aggregator.finish().map(|aggregate| (aggregate.entry, rows))
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
