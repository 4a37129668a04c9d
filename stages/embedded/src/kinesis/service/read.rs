//! Reading records: iterators and `GetRecords`.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::{Answer, Service, millis};
use crate::Limits;
use crate::kinesis::ACCOUNT;
use crate::kinesis::catalog::{Live, Log};
use crate::kinesis::error::{ApiError, ErrorKind};
use crate::kinesis::model::sequence::SequenceNumber;
use crate::kinesis::model::stream::{LogId, Shard, parse_shard_id, shard_id};
use crate::kinesis::model::token::{Iterator, LIFETIME, kind};
use crate::kinesis::model::{Millis, reshard};
use crate::kinesis::protocol::answers::Json;
use crate::kinesis::protocol::requests::{GetRecords, GetShardIterator};
use crate::kinesis::protocol::{parse, required, within};
use crate::kinesis::store::{Record, Store, StoreError};

/// Records per `GetRecords`. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
const MAX_RECORDS: u32 = 10_000;
/// Bytes per `GetRecords`, as the service has it.
const MAX_BYTES: usize = 10 * 1024 * 1024;
/// Bytes per `GetRecords` where rates are not enforced; see [`Limits::SizesOnly`].
const MAX_BYTES_SIZES_ONLY: usize = 2 * 1024 * 1024;

/// Where reading begins, as a request says it.
pub(super) enum Start {
    AtSequence(String),
    AfterSequence(String),
    TrimHorizon,
    Latest,
    AtTimestamp(Millis),
}

impl Start {
    /// Reads the three parameters that say it.
    pub(super) fn parse(
        kind: &str,
        sequence: Option<String>,
        timestamp: Option<f64>,
        parameter: &str,
    ) -> Result<Self, ApiError> {
        let sequence = || {
            sequence.ok_or_else(|| {
                ApiError::invalid_argument(format!("Must specify a StartingSequenceNumber for type {kind}."))
            })
        };
        match kind {
            "AT_SEQUENCE_NUMBER" => Ok(Self::AtSequence(sequence()?)),
            "AFTER_SEQUENCE_NUMBER" => Ok(Self::AfterSequence(sequence()?)),
            "TRIM_HORIZON" => Ok(Self::TrimHorizon),
            "LATEST" => Ok(Self::Latest),
            "AT_TIMESTAMP" => timestamp
                .map(|time| Self::AtTimestamp(millis(time)))
                .ok_or_else(|| ApiError::invalid_argument("Must specify a Timestamp for type AT_TIMESTAMP.")),
            other => Err(ApiError::validation(
                parameter,
                other,
                "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, \
                 TRIM_HORIZON]",
            )),
        }
    }
}

/// What one read needs to know; it owns everything, so that it can run on a thread that may block.
pub(super) struct ReadPlan {
    pub(super) live: Arc<Live>,
    pub(super) shard: Shard,
    pub(super) log: Arc<Log>,
    pub(super) from: u64,
    pub(super) max_records: u32,
    pub(super) max_bytes: usize,
    pub(super) now: Millis,
}

/// Where a read ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadEnd {
    /// The counter to go on with.
    pub(super) next: u64,
    pub(super) records: u32,
    pub(super) bytes: usize,
    pub(super) millis_behind: Millis,
    /// The shard is closed and was read to its end.
    pub(super) at_end: bool,
}

impl ReadPlan {
    /// Writes the records of an answer as the list `Records`.
    pub(super) fn run(&self, store: &Store, json: &mut Json) -> Result<ReadEnd, StoreError> {
        let extent = self.log.extent();
        let encrypted = self.live.stream.encryption_key.is_some();
        let horizon = self.live.stream.trim_horizon(self.now);
        let mut end =
            ReadEnd { next: self.from.max(extent.first), records: 0, bytes: 0, millis_behind: 0, at_end: false };
        let mut last_arrival = self.now;
        json.begin_list("Records");
        if end.next < extent.next {
            let snapshot = store.read()?;
            end.next = first_unexpired(&snapshot, self.shard.log, end.next, extent.next, horizon)?;
            snapshot.scan(self.shard.log, end.next, extent.next, |counter, bytes| {
                let Some(record) = Record::parse(bytes) else { return true };
                let size = record.data.len() + record.partition_key.len();
                if end.records >= self.max_records || (end.records > 0 && end.bytes + size > self.max_bytes) {
                    return false;
                }
                json.begin_item();
                json.sequence("SequenceNumber", self.shard.sequence(counter));
                json.time("ApproximateArrivalTimestamp", record.arrival);
                json.blob("Data", record.data);
                json.text("PartitionKey", record.partition_key);
                if encrypted {
                    json.text("EncryptionType", "KMS");
                }
                json.end_item();
                end.records += 1;
                end.bytes += size;
                end.next = counter + 1;
                last_arrival = record.arrival;
                true
            })?;
        }
        json.end_list();
        end.millis_behind = if end.next < extent.next { self.now.saturating_sub(last_arrival) } else { 0 };
        end.at_end = self.shard.closed.is_some_and(|closed| end.next >= closed.counter);
        Ok(end)
    }
}

/// The first record that has not expired; only when the first one has is it searched for.
fn first_unexpired(
    snapshot: &crate::kinesis::store::Snapshot,
    log: LogId,
    from: u64,
    until: u64,
    horizon: Millis,
) -> Result<u64, StoreError> {
    let mut expired = false;
    snapshot.scan(log, from, from + 1, |_, bytes| {
        expired = Record::arrival_of(bytes) < horizon;
        false
    })?;
    if expired { snapshot.first_arrived_at_or_after(log, from, until, horizon) } else { Ok(from) }
}

/// The children of a shard, as answers name them.
pub(super) fn write_children(json: &mut Json, live: &Live, shard: &Shard) {
    json.list("ChildShards", reshard::children(&live.stream, shard.index), |json, (child, parents)| {
        json.text("ShardId", &shard_id(child.index));
        json.value("ParentShards", &serde_json::json!(parents));
        json.value(
            "HashKeyRange",
            &serde_json::json!({ "StartingHashKey": child.hashes.start, "EndingHashKey": child.hashes.end }),
        );
    });
}

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
    pub(super) async fn get_shard_iterator(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: GetShardIterator = parse(body)?;
        let name = self.target(&request.target)?;
        let shard_id = required(request.shard_id, "shardId")?;
        let kind = required(request.shard_iterator_type, "shardIteratorType")?;
        let start = Start::parse(&kind, request.starting_sequence_number, request.timestamp, "shardIteratorType")?;
        let now = self.now();
        let live = self.catalog.get_usable(name, now)?;
        let (shard, log) = self.readable_shard(&live, &shard_id, now)?;
        if self.limits == Limits::Enforced && !log.reads.lock().take_iterator(now) {
            return Err(ApiError::throttled(format!(
                "Rate exceeded for shard {shard_id} in stream {name} under account {ACCOUNT}."
            )));
        }
        let counter = self.resolve(&live, &shard, &log, start, now).await?;
        let mut json = Json::object();
        json.text("ShardIterator", &self.iterator(&live, &shard, counter, now));
        Ok(Answer::Json(json.finish()))
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
    pub(super) async fn get_records(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: GetRecords = parse(body)?;
        let token = required(request.shard_iterator, "shardIterator")?;
        let max_records = request.limit.map_or(Ok(MAX_RECORDS), |limit| within(limit, "limit", 1, MAX_RECORDS))?;
        let now = self.now();
        let iterator = self.open_iterator(&token, now)?;
        let live = self.catalog.get_usable(&iterator.stream, now)?;
        let (shard, log) = self.readable_shard(&live, &shard_id(iterator.shard), now)?;
        if shard.stamp != iterator.stamp {
            return Err(ApiError::no_stream(&iterator.stream));
        }
        self.book_call(&log, &live, &shard, now)?;
        let max_bytes = if self.limits == Limits::Enforced { MAX_BYTES } else { MAX_BYTES_SIZES_ONLY };
        let plan = ReadPlan { live, shard, log, from: iterator.counter, max_records, max_bytes, now };
        let (plan, mut json, end, permit) = self.run(plan).await?;
        if self.limits == Limits::Enforced {
            plan.log.reads.lock().book_bytes(end.bytes as u64);
        }
        if end.at_end {
            json.null("NextShardIterator");
            write_children(&mut json, &plan.live, &plan.shard);
        } else {
            json.text("NextShardIterator", &self.iterator(&plan.live, &plan.shard, end.next, now));
        }
        json.number("MillisBehindLatest", end.millis_behind);
        Ok(match permit {
            Some(permit) => Answer::Records(json.finish(), permit),
            None => Answer::Json(json.finish()),
        })
    }

    fn open_iterator(&self, token: &str, now: Millis) -> Result<Iterator, ApiError> {
        let iterator: Iterator =
            self.seal.open(kind::ITERATOR, token).map_err(|_| ApiError::invalid_argument("Invalid ShardIterator."))?;
        let age = now.saturating_sub(iterator.issued_at);
        if age > LIFETIME {
            return Err(ApiError::new(
                ErrorKind::ExpiredIterator,
                format!(
                    "Iterator expired. The iterator was created {age} milliseconds ago, and lives for {LIFETIME} \
                     milliseconds."
                ),
            ));
        }
        Ok(iterator)
    }

    fn book_call(&self, log: &Log, live: &Live, shard: &Shard, now: Millis) -> Result<(), ApiError> {
        if self.limits == Limits::Enforced && !log.reads.lock().take_call(now) {
            return Err(ApiError::throttled(format!(
                "Rate exceeded for shard {} in stream {} under account {ACCOUNT}.",
                shard_id(shard.index),
                live.stream.name
            )));
        }
        Ok(())
    }

    /// Reads, on a thread that may block when there is something to read.
    pub(super) async fn run(
        &self,
        plan: ReadPlan,
    ) -> Result<(ReadPlan, Json, ReadEnd, Option<OwnedSemaphorePermit>), ApiError> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error, "reading records failed");
            ApiError::internal("Reading failed; see the engine's log.")
        };
        if plan.from >= plan.log.extent().next {
            let mut json = Json::object();
            let end = plan.run(&self.store, &mut json).map_err(|error| failed(&error))?;
            return Ok((plan, json, end, None));
        }
        let permit =
            Arc::clone(&self.reads).acquire_owned().await.map_err(|_| ApiError::internal("The engine is stopping."))?;
        let store = Arc::clone(&self.store);
        let task = tokio::task::spawn_blocking(move || {
            let mut json = Json::with_capacity(16 * 1024);
            let end = plan.run(&store, &mut json)?;
            Ok::<_, StoreError>((plan, json, end))
        });
        let (plan, json, end) = task.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        Ok((plan, json, end, Some(permit)))
    }

    /// A shard by its name, with its log, as long as it has not expired.
    pub(super) fn readable_shard(
        &self,
        live: &Arc<Live>,
        id: &str,
        now: Millis,
    ) -> Result<(Shard, Arc<Log>), ApiError> {
        parse_shard_id(id)
            .and_then(|index| live.shard(index))
            .filter(|(shard, _)| !live.stream.has_expired(shard, now))
            .map(|(shard, log)| (shard.clone(), Arc::clone(log)))
            .ok_or_else(|| {
                ApiError::not_found(format!(
                    "Shard {id} in stream {} under account {ACCOUNT} does not exist",
                    live.stream.name
                ))
            })
    }

    fn iterator(&self, live: &Live, shard: &Shard, counter: u64, now: Millis) -> String {
        let iterator = Iterator {
            stream: live.stream.name.clone(),
            shard: shard.index,
            stamp: shard.stamp,
            counter,
            issued_at: now,
        };
        self.seal.seal(kind::ITERATOR, &iterator)
    }

    /// The counter where reading begins.
    pub(super) async fn resolve(
        &self,
        live: &Live,
        shard: &Shard,
        log: &Log,
        start: Start,
        now: Millis,
    ) -> Result<u64, ApiError> {
        let extent = log.extent();
        match start {
            Start::TrimHorizon => Ok(extent.first),
            Start::Latest => Ok(extent.next),
            Start::AtSequence(text) => Ok(self.own_sequence(live, shard, log, &text)?.counter.max(1)),
            Start::AfterSequence(text) => Ok(self.own_sequence(live, shard, log, &text)?.counter + 1),
            Start::AtTimestamp(time) if time > now => Err(ApiError::invalid_argument(format!(
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
                 timestampInMillis: {time}, currentTimestampInMillis: {now}"
            ))),
            Start::AtTimestamp(time) => {
                let (store, id) = (Arc::clone(&self.store), shard.log);
                let found = tokio::task::spawn_blocking(move || {
                    store.read()?.first_arrived_at_or_after(id, extent.first, extent.next, time)
                });
                found.await.map_err(|_| ApiError::internal("Reading failed."))?.map_err(|error| {
                    tracing::error!(error = &error as &dyn std::error::Error, "searching for a time failed");
                    ApiError::internal("Reading failed; see the engine's log.")
                })
            }
        }
    }

    fn own_sequence(&self, live: &Live, shard: &Shard, log: &Log, text: &str) -> Result<SequenceNumber, ApiError> {
        SequenceNumber::parse(text)
            .filter(|sequence| {
                let end = shard.closed.map_or_else(|| log.extent().next - 1, |closed| closed.counter);
                (sequence.stamp, sequence.shard) == (shard.stamp, shard.index) && sequence.counter <= end
            })
            .ok_or_else(|| {
                ApiError::invalid_argument(format!(
                    "StartingSequenceNumber {text} used in GetShardIterator on shard {} in stream {} under account \
                     {ACCOUNT} is invalid because it did not come from this stream.",
                    shard_id(shard.index),
                    live.stream.name
                ))
            })
    }
}
