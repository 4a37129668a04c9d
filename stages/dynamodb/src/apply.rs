//! Makes the effect of a range: sends its writes, several at a time, and remembers what became of each.
//!
//! It may be stopped at any point and started again, here or elsewhere: every write is safe to repeat, and
//! those that are known to be done are not.

use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemError, BatchWriteItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, WriteRequest};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use penstock_contract::{Position, Range, Rejection, SinkError};
use penstock_runtime::Backoff;
use tokio::sync::Semaphore;

use crate::batch::{Entries, PutEntry, SumEntry, TableWrites, Writes};
use crate::config::{Config, Table, Write};
use crate::failure::{Failure, ServiceFailure, chain};
use crate::metrics::Meters;
use crate::request::{GUARD, LATER, item, update};
use crate::throttling::CountThrottling;
use crate::wire::Body;

/// Calls in flight at one time, over all shards of a sink.
pub(crate) const MAX_CALLS: usize = 16;
/// Items in one BatchWriteItem (API reference).
const MAX_CALL_ITEMS: usize = 25;
/// Bytes of items in one BatchWriteItem, which takes 16 MB: as JSON a byte may take six.
const MAX_CALL_BYTES: usize = 2 << 20;
/// Attempts at one write without any success, besides the SDK's own. Then the consumer waits, where it shows.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What became of an entry.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Pending,
    Done,
    Refused(Rejection),
}

/// What became of every entry, table by table.
pub(crate) type Progress = Vec<Vec<State>>;

/// What is needed to send: shared by all batches of a sink.
pub(crate) struct Service<'a> {
    pub(crate) client: &'a Client,
    pub(crate) slots: &'a Semaphore,
    pub(crate) meters: &'a [Meters],
}

/// One call and the entries that it writes.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// Items of their own, together.
    Batch { table: usize, entries: Vec<usize> },
    /// One item, if the record is later than what is there.
    Put { table: usize, entry: usize },
    /// One item's sums, if the range is not in it.
    Update { table: usize, entry: usize },
}

/// An entry and what became of it.
type Outcome = (usize, State);

/// Nothing was done yet.
pub(crate) fn no_progress(writes: &Writes) -> Progress {
    let entries = writes.tables.iter().map(|table| match table {
        TableWrites::Puts(puts) => puts.list.len(),
        TableWrites::Sums(sums) => sums.list.len(),
    });
    entries.map(|count| vec![State::Pending; count]).collect()
}

/// Sends everything that is pending. What was done before an error stays done.
pub(crate) async fn run(
    service: &Service<'_>,
    config: &Config,
    writes: &Writes,
    range: &Range,
    progress: &mut Progress,
) -> Result<(), SinkError> {
    let calls = plan(config, writes, progress).into_iter().map(|call| {
        let table = call.table();
        Box::pin(async move { (table, send(service, config, writes, range, call).await) })
    });
    let mut outcomes = stream::iter(calls).buffer_unordered(MAX_CALLS);
    while let Some((table, result)) = outcomes.next().await {
        for (entry, state) in result? {
            progress[table][entry] = state;
        }
    }
    Ok(())
}

/// The records of refused entries, each once, in the order of the log.
pub(crate) fn refused(writes: &Writes, progress: &Progress) -> Vec<(Position, Rejection)> {
    let mut refused: Vec<(Position, Rejection)> = Vec::new();
    for (table, states) in writes.tables.iter().zip(progress) {
        for (entry, state) in states.iter().enumerate() {
            let State::Refused(rejection) = state else { continue };
            let positions: Vec<&Position> = match table {
                TableWrites::Puts(puts) => {
                    let entry = &puts.list[entry];
                    entry.superseded.iter().chain(std::iter::once(&entry.position)).collect()
                }
                TableWrites::Sums(sums) => sums.list[entry].positions.iter().collect(),
            };
            refused.extend(positions.into_iter().map(|position| (position.clone(), rejection.clone())));
        }
    }
    // Stable: of two tables that refused a record, the first one's words stay.
    refused.sort_by(|left, right| left.0.cmp(&right.0));
    refused.dedup_by(|later, earlier| later.0 == earlier.0);
    refused
}

/// The calls for everything that is pending.
fn plan(config: &Config, writes: &Writes, progress: &Progress) -> Vec<Call> {
    let mut calls = Vec::new();
    for (table, entries) in writes.tables.iter().enumerate() {
        let states = &progress[table];
        let pending = (0..states.len()).filter(|entry| matches!(states[*entry], State::Pending));
        match entries {
            TableWrites::Puts(puts) if matches!(config.tables[table].write, Write::PutOwn) => {
                calls.extend(chunks(puts, pending).map(|entries| Call::Batch { table, entries }));
            }
            TableWrites::Puts(_) => calls.extend(pending.map(|entry| Call::Put { table, entry })),
            TableWrites::Sums(_) => calls.extend(pending.map(|entry| Call::Update { table, entry })),
        }
    }
    calls
}

/// Entries in groups that one call may carry.
fn chunks(puts: &Entries<PutEntry>, pending: impl Iterator<Item = usize>) -> impl Iterator<Item = Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for entry in pending {
        let size = puts.list[entry].bytes;
        match groups.last_mut() {
            Some(group) if group.len() < MAX_CALL_ITEMS && bytes + size <= MAX_CALL_BYTES => {
                group.push(entry);
                bytes += size;
            }
            _ => {
                groups.push(vec![entry]);
                bytes = size;
            }
        }
    }
    groups.into_iter()
}

async fn send(
    service: &Service<'_>,
    config: &Config,
    writes: &Writes,
    range: &Range,
    call: Call,
) -> Result<Vec<Outcome>, SinkError> {
    let table = &config.tables[call.table()];
    let sender = Sender { service, table, meters: &service.meters[call.table()] };
    let entries = &writes.tables[call.table()];
    match (call, entries) {
        (Call::Batch { entries, .. }, TableWrites::Puts(puts)) => sender.batch(puts, &entries).await,
        (Call::Put { entry, .. }, TableWrites::Puts(puts)) => sender.put(&puts.list[entry], entry).await,
        (Call::Update { entry, .. }, TableWrites::Sums(sums)) => {
            sender.update(config, &sums.list[entry], entry, range).await
        }
        // `plan` makes the calls that the table's writes ask for.
        _ => Ok(Vec::new()),
    }
}

impl Call {
    fn table(&self) -> usize {
        match self {
            Self::Batch { table, .. } | Self::Put { table, .. } | Self::Update { table, .. } => *table,
        }
    }
}

/// Sends to one table.
struct Sender<'a> {
    service: &'a Service<'a>,
    table: &'a Table,
    meters: &'a Meters,
}

impl Sender<'_> {
    /// BatchWriteItem: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>.
    /// It refuses all items for one that it does not take; then each is sent by itself.
    async fn batch(&self, puts: &Entries<PutEntry>, entries: &[usize]) -> Result<Vec<Outcome>, SinkError> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut sent = Vec::with_capacity(entries.len());
        let mut body = Body::new(&self.table.name, entries.iter().map(|entry| 2 * puts.list[*entry].bytes + 100).sum());
        for entry in entries {
            match body.put(self.table, &puts.list[*entry]) {
                Ok(()) => sent.push(*entry),
                Err(rejection) => outcomes.push((*entry, State::Refused(rejection))),
            }
        }
        match self.write_all(body).await {
            Ok(()) => {
                self.meters.written.increment(sent.len() as u64);
                outcomes.extend(sent.into_iter().map(|entry| (entry, State::Done)));
            }
            Err(Failure::Service(failure)) => return Err(self.error(failure, entries.len())),
            Err(Failure::Refused(_) | Failure::Kept) => {
                for entry in sent {
                    outcomes.extend(self.put(&puts.list[entry], entry).await?);
                }
            }
        }
        Ok(outcomes)
    }

    /// Sends items until none comes back unprocessed.
    async fn write_all(&self, body: Body) -> Result<(), Failure> {
        let mut count = body.items();
        if count == 0 {
            return Ok(());
        }
        let body = body.finish();
        let first = |client: &Client| batch_write(client.clone(), body.clone(), self.count_throttling());
        let mut left = unprocessed(self.attempt(first).await?);
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while !left.is_empty() {
            self.meters.retried.increment(left.len() as u64);
            self.meters.throttled.increment(1);
            if left.len() < count {
                backoff.reset();
            } else if backoff.attempts() >= ATTEMPTS {
                return Err(Failure::Service(ServiceFailure::unprocessed()));
            }
            tokio::time::sleep(backoff.next_wait()).await;
            count = left.len();
            let again = |client: &Client| {
                let call = client.batch_write_item().request_items(&self.table.name, left.clone());
                call.customize().interceptor(self.count_throttling()).send()
            };
            left = unprocessed(self.attempt(again).await?);
        }
        Ok(())
    }

    /// PutItem: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html>.
    async fn put(&self, entry: &PutEntry, index: usize) -> Result<Vec<Outcome>, SinkError> {
        let item = match item(self.table, entry) {
            Ok(item) => item,
            Err(rejection) => return Ok(vec![(index, State::Refused(rejection))]),
        };
        let guarded = matches!(self.table.write, Write::PutLatest);
        let result = self
            .attempt(|client| {
                let put = client.put_item().table_name(&self.table.name).set_item(Some(item.clone()));
                let put = if guarded {
                    put.condition_expression(LATER)
                        .expression_attribute_names("#guard", GUARD)
                        .expression_attribute_values(":guard", AttributeValue::S(entry.position.sortable()))
                } else {
                    put
                };
                put.customize().interceptor(self.count_throttling()).send()
            })
            .await;
        self.outcome(index, result.map(|_| ()))
    }

    /// UpdateItem: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html>.
    async fn update(
        &self,
        config: &Config,
        entry: &SumEntry,
        index: usize,
        range: &Range,
    ) -> Result<Vec<Outcome>, SinkError> {
        let update = update(config, self.table, entry, range);
        let result = self
            .attempt(|client| {
                client
                    .update_item()
                    .table_name(&self.table.name)
                    .set_key(Some(update.key.clone()))
                    .update_expression(&update.update)
                    .condition_expression(update.condition)
                    .set_expression_attribute_names(Some(update.names.clone()))
                    .set_expression_attribute_values(Some(update.values.clone()))
                    .customize()
                    .interceptor(self.count_throttling())
                    .send()
            })
            .await;
        self.outcome(index, result.map(|_| ()))
    }

    fn outcome(&self, entry: usize, result: Result<(), Failure>) -> Result<Vec<Outcome>, SinkError> {
        let state = match result {
            Ok(()) => {
                self.meters.written.increment(1);
                State::Done
            }
            Err(Failure::Kept) => {
                self.meters.kept.increment(1);
                State::Done
            }
            Err(Failure::Refused(rejection)) => {
                self.meters.refused.increment(1);
                tracing::warn!(table = %self.table.name, message = %rejection.message, "an item was refused");
                State::Refused(rejection)
            }
            Err(Failure::Service(failure)) => return Err(self.error(failure, 1)),
        };
        Ok(vec![(entry, state)])
    }

    /// One call with a few attempts, as long as waiting may help.
    async fn attempt<T, E, R, F, C>(&self, mut call: C) -> Result<T, Failure>
    where
        C: FnMut(&Client) -> F,
        F: Future<Output = Result<T, SdkError<E, R>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let result = {
                // The semaphore is never closed, so there is always a permit in it.
                let _slot = self.service.slots.acquire().await;
                Box::pin(call(self.service.client)).await
            };
            let failure = match result.map_err(|error| Failure::of(&self.table.name, error)) {
                Ok(output) => return Ok(output),
                Err(Failure::Service(failure)) => failure,
                Err(other) => return Err(other),
            };
            if !failure.passing || backoff.attempts() + 1 >= ATTEMPTS {
                return Err(Failure::Service(failure));
            }
            self.meters.retried.increment(1);
            tracing::debug!(
                table = %self.table.name,
                reason = failure.reason,
                error = %chain(&failure),
                "a write did not succeed and is tried again"
            );
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    fn count_throttling(&self) -> CountThrottling {
        CountThrottling(self.meters.throttled.clone())
    }

    fn error(&self, failure: ServiceFailure, items: usize) -> SinkError {
        failure.into_sink_error(format!("writing {items} items to the table {}", self.table.name))
    }
}

/// The call with a body of our own instead of what the SDK writes for a call without items.
async fn batch_write(
    client: Client,
    body: Bytes,
    count_throttling: CountThrottling,
) -> Result<BatchWriteItemOutput, SdkError<BatchWriteItemError, HttpResponse>> {
    let set_body = move |request: &mut HttpRequest| {
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = body.clone().into();
    };
    let call = client.batch_write_item().customize().mutate_request(set_body);
    call.interceptor(count_throttling).send().await
}

fn unprocessed(output: BatchWriteItemOutput) -> Vec<WriteRequest> {
    output.unprocessed_items.unwrap_or_default().into_values().next().unwrap_or_default()
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
