//! The operations, one function each, grouped by what they act on.

mod consumers;
mod control;
mod put;
mod read;
mod settings;
mod shards;
mod streams;
mod subscribe;
mod tags;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::control::ControlRates;
pub(crate) use self::subscribe::Subscription;
use self::subscribe::Subscriptions;
use super::ACCOUNT;
use super::catalog::{Catalog, Live};
use super::clock::Clock;
use super::error::{ApiError, ErrorKind};
use super::model::stream::Stream;
use super::model::token::Seal;
use super::model::{Millis, Moment};
use super::protocol::requests::Target;
use super::protocol::{name, required};
use super::store::Store;
use super::writer::{Change, WriterHandle};
use crate::Limits;

/// Reads of the store that run at the same time, and answers with records that wait to be sent. Each holds at most
/// one answer, so this bounds what readers take of the memory.
const READS: usize = 4;

/// What an operation answers.
pub(crate) enum Answer {
    /// A JSON object.
    Json(Vec<u8>),
    /// Nothing.
    Empty,
    /// Records. The permit is given back when the answer has been sent.
    Records(Vec<u8>, OwnedSemaphorePermit),
    /// Events until the subscription ends.
    Events(Subscription),
}

/// The operations and what they need.
pub(crate) struct Service {
    catalog: Arc<Catalog>,
    store: Arc<Store>,
    writer: WriterHandle,
    seal: Seal,
    clock: Clock,
    limits: Limits,
    region: String,
    reads: Arc<Semaphore>,
    control: ControlRates,
    subscriptions: Subscriptions,
}

impl Service {
    pub(super) fn new(
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        writer: WriterHandle,
        seal: Seal,
        clock: Clock,
        limits: Limits,
        region: String,
    ) -> Self {
        Self {
            catalog,
            store,
            writer,
            seal,
            clock,
            limits,
            region,
            reads: Arc::new(Semaphore::new(READS)),
            control: ControlRates::default(),
            subscriptions: Subscriptions::default(),
        }
    }

    /// Runs one operation by its name in the API.
    pub(crate) async fn call(self: &Arc<Self>, operation: &str, body: Bytes) -> Result<Answer, ApiError> {
        if self.limits == Limits::Enforced {
            self.control.take(operation, self.clock.now())?;
        }
        match operation {
            "PutRecords" => self.put_records(body).await,
            "PutRecord" => self.put_record(body).await,
            "GetRecords" => self.get_records(&body).await,
            "GetShardIterator" => self.get_shard_iterator(&body).await,
            "ListShards" => self.list_shards(&body),
            "CreateStream" => self.create_stream(&body).await,
            "DeleteStream" => self.delete_stream(&body).await,
            "DescribeStream" => self.describe_stream(&body),
            "DescribeStreamSummary" => self.describe_stream_summary(&body),
            "ListStreams" => self.list_streams(&body),
            "DescribeLimits" => Ok(self.describe_limits()),
            "SplitShard" => self.split_shard(&body).await,
            "MergeShards" => self.merge_shards(&body).await,
            "UpdateShardCount" => self.update_shard_count(&body).await,
            "IncreaseStreamRetentionPeriod" => self.increase_retention(&body).await,
            "DecreaseStreamRetentionPeriod" => self.decrease_retention(&body).await,
            "UpdateMaxRecordSize" => self.update_max_record_size(&body).await,
            "UpdateStreamMode" => self.update_stream_mode(&body).await,
            "StartStreamEncryption" => self.start_encryption(&body).await,
            "StopStreamEncryption" => self.stop_encryption(&body).await,
            "EnableEnhancedMonitoring" => self.enable_monitoring(&body).await,
            "DisableEnhancedMonitoring" => self.disable_monitoring(&body).await,
            "AddTagsToStream" => self.add_tags(&body).await,
            "RemoveTagsFromStream" => self.remove_tags(&body).await,
            "ListTagsForStream" => self.list_tags(&body),
            "TagResource" => self.tag_resource(&body).await,
            "UntagResource" => self.untag_resource(&body).await,
            "ListTagsForResource" => self.list_tags_for_resource(&body),
            "RegisterStreamConsumer" => self.register_consumer(&body).await,
            "DeregisterStreamConsumer" => self.deregister_consumer(&body).await,
            "DescribeStreamConsumer" => self.describe_consumer(&body),
            "ListStreamConsumers" => self.list_consumers(&body),
            "SubscribeToShard" => self.subscribe_to_shard(&body).await,
            other => Err(ApiError::new(
                ErrorKind::UnknownOperation,
                format!("{other} is not an operation of the embedded Kinesis engine."),
            )),
        }
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn stream_arn(&self, name: &str) -> String {
        format!("arn:aws:kinesis:{}:{ACCOUNT}:stream/{name}", self.region)
    }

    /// The name of the stream that a request is about.
    fn stream_name<'a>(&self, stream_name: Option<&'a str>, arn: Option<&'a str>) -> Result<&'a str, ApiError> {
        let from_arn = arn.map(stream_of_arn).transpose()?;
        match (stream_name, from_arn) {
            (Some(given), Some(of_arn)) if given != of_arn => Err(ApiError::invalid_argument(format!(
                "StreamName {given} and StreamARN {} name different streams.",
                arn.unwrap_or_default()
            ))),
            (_, Some(of_arn)) => Ok(of_arn),
            (given, None) => name(required(given, "streamName")?, "streamName"),
        }
    }

    fn target<'a>(&self, target: &'a Target) -> Result<&'a str, ApiError> {
        self.stream_name(target.stream_name.as_deref(), target.stream_arn.as_deref())
    }

    /// The stream that a request is about, in whatever state.
    fn describe(&self, target: &Target) -> Result<Arc<Live>, ApiError> {
        self.catalog.get(self.target(target)?, self.now())
    }

    /// Changes a stream; the change is on disk when this returns.
    async fn alter(
        &self,
        name: &str,
        alter: impl FnOnce(&mut Stream, &mut Moment<'_>) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Arc<Live>, ApiError> {
        self.writer.change(Change::Alter { name: name.to_owned(), alter: Box::new(alter) }).await
    }
}

/// The stream's name in `arn:aws:kinesis:<region>:<account>:stream/<name>`.
fn stream_of_arn(arn: &str) -> Result<&str, ApiError> {
    let invalid = || {
        ApiError::validation(
            "streamARN",
            arn,
            "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+",
        )
    };
    let mut parts = arn.splitn(6, ':');
    let head = [parts.next(), parts.next(), parts.next()];
    let is_kinesis = matches!(head, [Some("arn"), Some(partition), Some("kinesis")] if partition.starts_with("aws"));
    let resource = parts.nth(2).filter(|_| is_kinesis).ok_or_else(invalid)?;
    name(resource.strip_prefix("stream/").ok_or_else(invalid)?, "streamARN")
}

/// A JSON answer from a value.
fn json(value: &serde_json::Value) -> Answer {
    Answer::Json(value.to_string().into_bytes())
}

/// Seconds, as the protocol has times.
fn seconds(time: Millis) -> f64 {
    time as f64 / 1000.0
}

/// Milliseconds of a time on the wire.
fn millis(seconds: f64) -> Millis {
    (seconds * 1000.0).round().max(0.0) as Millis
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
impl Service {
    /// One step of the background work; true when there is more.
    pub(super) async fn maintain(&self) -> Result<bool, ApiError> {
        self.writer.maintain().await
    }

    /// Records on disk, of whatever log.
    pub(super) fn stored_records(&self) -> usize {
        self.store.read().unwrap().count().unwrap()
    }
}
