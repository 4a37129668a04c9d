//! Creating, deleting, describing and listing streams.

use serde_json::{Value, json};

use super::{Answer, Service, json, seconds};
use crate::kinesis::catalog::Live;
use crate::kinesis::error::ApiError;
use crate::kinesis::model::Millis;
use crate::kinesis::model::stream::{Mode, Shard, Status, Stream, parse_shard_id, shard_id};
use crate::kinesis::model::token::{LIFETIME, kind};
use crate::kinesis::protocol::requests::{
    CreateStream, DeleteStream, DescribeStream, ListStreams, ModeDetails, StreamOnly,
};
use crate::kinesis::protocol::{name, parse, required, within};
use crate::kinesis::service::settings::max_record_kib;
use crate::kinesis::service::tags::check_tags;
use crate::kinesis::writer::Change;

/// Shards that an account may have; the service's default in its largest regions.
const SHARD_LIMIT: u64 = 20_000;
/// On-demand streams that an account may have.
const ON_DEMAND_LIMIT: u64 = 50;

/// Streams or shards of one stream that an answer names, at most, whatever a request asks for.
const MAX_PAGE: usize = 100;

/// Where a list of streams goes on.
#[derive(serde::Serialize, serde::Deserialize)]
struct StreamsToken {
    after: String,
    issued_at: Millis,
}

/// The entries of a page: more may be asked for than are answered.
fn page_size(limit: Option<i64>) -> Result<usize, ApiError> {
    let asked = limit.map(|limit| within(limit, "limit", 1, 10_000)).transpose()?;
    Ok(asked.map_or(MAX_PAGE, |asked| MAX_PAGE.min(asked as usize)))
}

/// The mode that a request asks for.
pub(super) fn mode(details: Option<&ModeDetails>) -> Result<Option<Mode>, ApiError> {
    let Some(details) = details else { return Ok(None) };
    match required(details.stream_mode.as_deref(), "streamModeDetails.streamMode")? {
        "PROVISIONED" => Ok(Some(Mode::Provisioned)),
        "ON_DEMAND" => Ok(Some(Mode::OnDemand)),
        other => Err(ApiError::validation(
            "streamModeDetails.streamMode",
            other,
            "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]",
        )),
    }
}

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>
    pub(super) async fn create_stream(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: CreateStream = parse(body)?;
        let name = name(&required(request.stream_name, "streamName")?, "streamName")?.to_owned();
        let mode = mode(request.stream_mode_details.as_ref())?.unwrap_or(Mode::Provisioned);
        let shard_count = match (mode, request.shard_count) {
            (Mode::Provisioned, count) => within(required(count, "shardCount")?, "shardCount", 1, 100_000)?,
            (Mode::OnDemand, None) => Stream::ON_DEMAND_SHARDS,
            (Mode::OnDemand, Some(_)) => {
                return Err(ApiError::invalid_argument("ShardCount must not be given for a stream in ON_DEMAND mode."));
            }
        };
        let tags = request.tags.unwrap_or_default();
        check_tags(&tags)?;
        let record_kib = request.max_record_size.map(max_record_kib).transpose()?.unwrap_or(Stream::MAX_RECORD_KIB);
        self.room_for_shards(u64::from(shard_count))?;
        let new_name = name.clone();
        let create = move |moment: &mut crate::kinesis::model::Moment<'_>| {
            let mut stream = Stream::create(&new_name, mode, shard_count, moment);
            stream.tags = tags;
            stream.max_record_kib = record_kib;
            stream
        };
        self.writer.change(Change::Create { name, create: Box::new(create) }).await?;
        Ok(Answer::Empty)
    }

    fn room_for_shards(&self, wanted: u64) -> Result<(), ApiError> {
        let open = self.open_shards();
        if open + wanted > SHARD_LIMIT {
            return Err(ApiError::limit(format!(
                "This request would exceed the shard limit for the account {}. Current shard count for the account: \
                 {open}. Limit: {SHARD_LIMIT}. Number of additional shards that would have resulted from this request: \
                 {wanted}.",
                crate::kinesis::ACCOUNT
            )));
        }
        Ok(())
    }

    fn open_shards(&self) -> u64 {
        self.catalog.all().iter().map(|live| live.stream.open_shards().count() as u64).sum()
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteStream.html>
    pub(super) async fn delete_stream(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: DeleteStream = parse(body)?;
        let name = self.target(&request.target)?;
        let enforce = request.enforce_consumer_deletion.unwrap_or(false);
        self.alter(name, move |stream, moment| {
            if stream.status(moment.now) == Some(Status::Deleting) {
                return Err(ApiError::in_use(format!("Stream {} is being deleted.", stream.name)));
            }
            if !stream.consumers.is_empty() && !enforce {
                return Err(ApiError::in_use(format!(
                    "Stream {} has registered consumers: deregister them, or set EnforceConsumerDeletion.",
                    stream.name
                )));
            }
            stream.consumers.clear();
            stream.begin(Status::Deleting, moment.now);
            Ok(())
        })
        .await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStream.html>
    pub(super) fn describe_stream(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: DescribeStream = parse(body)?;
        let limit = page_size(request.limit)?;
        let after = request.exclusive_start_shard_id.as_deref().map(shard_parameter).transpose()?;
        let live = self.describe(&request.target)?;
        let now = self.now();
        let mut page: Vec<&Shard> = live
            .stream
            .visible_shards(now)
            .filter(|shard| after.is_none_or(|index| shard.index > index))
            .take(limit + 1)
            .collect();
        let has_more = page.len() > limit;
        page.truncate(limit);
        let mut description = self.common_description(&live, now);
        description["Shards"] = page.into_iter().map(shard_json).collect();
        description["HasMoreShards"] = json!(has_more);
        Ok(json(&json!({ "StreamDescription": description })))
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html>
    pub(super) fn describe_stream_summary(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: StreamOnly = parse(body)?;
        let live = self.describe(&request.target)?;
        let mut summary = self.common_description(&live, self.now());
        summary["OpenShardCount"] = json!(live.stream.open_shards().count());
        summary["ConsumerCount"] = json!(live.stream.consumers.len());
        summary["MaxRecordSizeInKiB"] = json!(live.stream.max_record_kib);
        Ok(json(&json!({ "StreamDescriptionSummary": summary })))
    }

    fn common_description(&self, live: &Live, now: Millis) -> Value {
        let stream = &live.stream;
        let mut description = json!({
            "StreamName": stream.name,
            "StreamARN": self.stream_arn(&stream.name),
            "StreamStatus": stream.status(now).unwrap_or(Status::Deleting).name(),
            "StreamModeDetails": { "StreamMode": stream.mode.name() },
            "RetentionPeriodHours": stream.retention_hours,
            "StreamCreationTimestamp": seconds(stream.created_at),
            "EnhancedMonitoring": [{ "ShardLevelMetrics": stream.shard_metrics }],
            "EncryptionType": if stream.encryption_key.is_some() { "KMS" } else { "NONE" },
        });
        if let Some(key) = &stream.encryption_key {
            description["KeyId"] = json!(key);
        }
        description
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html>
    pub(super) fn list_streams(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ListStreams = parse(body)?;
        let limit = page_size(request.limit)?;
        let now = self.now();
        let after = match request.next_token {
            Some(token) => Some(self.streams_token(&token, now)?),
            None => request.exclusive_start_stream_name,
        };
        let mut page = self.catalog.names_after(after.as_deref(), now, limit + 1);
        let has_more = page.len() > limit;
        page.truncate(limit);
        let names: Vec<&str> = page.iter().map(|live| live.stream.name.as_str()).collect();
        let summaries: Vec<Value> = page.iter().map(|live| self.stream_summary(live, now)).collect();
        let mut answer = json!({ "StreamNames": names, "StreamSummaries": summaries, "HasMoreStreams": has_more });
        if let Some(last) = names.last().filter(|_| has_more) {
            let token = StreamsToken { after: (*last).to_owned(), issued_at: now };
            answer["NextToken"] = json!(self.seal.seal(kind::STREAMS, &token));
        }
        Ok(json(&answer))
    }

    fn stream_summary(&self, live: &Live, now: Millis) -> Value {
        json!({
            "StreamName": live.stream.name,
            "StreamARN": self.stream_arn(&live.stream.name),
            "StreamStatus": live.stream.status(now).unwrap_or(Status::Deleting).name(),
            "StreamModeDetails": { "StreamMode": live.stream.mode.name() },
            "StreamCreationTimestamp": seconds(live.stream.created_at),
        })
    }

    fn streams_token(&self, token: &str, now: Millis) -> Result<String, ApiError> {
        let token: StreamsToken =
            self.seal.open(kind::STREAMS, token).map_err(|_| ApiError::invalid_argument("Invalid NextToken."))?;
        if now.saturating_sub(token.issued_at) > LIFETIME {
            return Err(super::shards::expired_token());
        }
        Ok(token.after)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeLimits.html>
    pub(super) fn describe_limits(&self) -> Answer {
        let on_demand = self.catalog.all().iter().filter(|live| live.stream.mode == Mode::OnDemand).count();
        json(&json!({
            "ShardLimit": SHARD_LIMIT,
            "OpenShardCount": self.open_shards(),
            "OnDemandStreamCount": on_demand,
            "OnDemandStreamCountLimit": ON_DEMAND_LIMIT,
        }))
    }
}

/// A shard as answers describe it.
pub(super) fn shard_json(shard: &Shard) -> Value {
    let mut sequences = json!({ "StartingSequenceNumber": shard.sequence(0).to_string() });
    if let Some(closed) = shard.closed {
        sequences["EndingSequenceNumber"] = json!(shard.sequence(closed.counter).to_string());
    }
    let mut value = json!({
        "ShardId": shard_id(shard.index),
        "HashKeyRange": { "StartingHashKey": shard.hashes.start, "EndingHashKey": shard.hashes.end },
        "SequenceNumberRange": sequences,
    });
    if let Some(parent) = shard.parent {
        value["ParentShardId"] = json!(shard_id(parent));
    }
    if let Some(parent) = shard.adjacent_parent {
        value["AdjacentParentShardId"] = json!(shard_id(parent));
    }
    value
}

/// The index in a shard's name that a request gives as a place to go on from.
pub(super) fn shard_parameter(id: &str) -> Result<u32, ApiError> {
    parse_shard_id(id).ok_or_else(|| {
        ApiError::invalid_argument(format!(
            "ExclusiveStartShardId {id} is not the name of a shard (shardId-000000000000)."
        ))
    })
}
