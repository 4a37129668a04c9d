//! Listing shards, and making other shards of them.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::streams::{shard_json, shard_parameter};
use super::{Answer, Service, json, millis};
use crate::kinesis::error::{ApiError, ErrorKind};
use crate::kinesis::model::filter::{ShardFilter, list};
use crate::kinesis::model::hash::HashKey;
use crate::kinesis::model::token::{LIFETIME, kind};
use crate::kinesis::model::{Millis, reshard};
use crate::kinesis::protocol::requests::{ListShards, MergeShards, ShardFilterRequest, SplitShard, UpdateShardCount};
use crate::kinesis::protocol::{parse, required, within};

/// Shards that an answer names, at most, whatever a request asks for.
const MAX_PAGE: u32 = 1000;

/// Where a list of shards goes on.
#[derive(Serialize, Deserialize)]
struct ShardsToken {
    stream: String,
    created_at: Millis,
    filter: ShardFilter,
    after: u32,
    issued_at: Millis,
}

/// A token that is older than five minutes.
pub(super) fn expired_token() -> ApiError {
    ApiError::new(
        ErrorKind::ExpiredNextToken,
        format!("NextToken expired: tokens live for {LIFETIME} milliseconds. Start the list again."),
    )
}

impl Service {
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>
    pub(super) fn list_shards(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: ListShards = parse(body)?;
        let limit = request.max_results.map_or(Ok(MAX_PAGE), |max| within(max, "maxResults", 1, 10_000))?.min(MAX_PAGE)
            as usize;
        let now = self.now();
        let mut place = self.place_in_list(&request, now)?;
        let live = self.catalog.get(&place.stream, now)?;
        if place.created_at != live.stream.created_at {
            return Err(ApiError::no_stream(&place.stream));
        }
        let mut page = list(&live.stream, place.filter, now);
        // `after` is one more than the last index that was listed.
        page.retain(|shard| shard.index >= place.after);
        let has_more = page.len() > limit;
        page.truncate(limit);
        let mut answer = json!({ "Shards": page.iter().map(|shard| shard_json(shard)).collect::<Vec<_>>() });
        if let Some(last) = page.last().filter(|_| has_more) {
            place.after = last.index + 1;
            place.issued_at = now;
            answer["NextToken"] = json!(self.seal.seal(kind::SHARDS, &place));
        }
        Ok(json(&answer))
    }

    fn place_in_list(&self, request: &ListShards, now: Millis) -> Result<ShardsToken, ApiError> {
        let Some(token) = &request.next_token else { return self.start_of_list(request, now) };
        let others = [
            ("StreamName", request.target.stream_name.is_some()),
            ("StreamARN", request.target.stream_arn.is_some()),
            ("ExclusiveStartShardId", request.exclusive_start_shard_id.is_some()),
            ("StreamCreationTimestamp", request.stream_creation_timestamp.is_some()),
            ("ShardFilter", request.shard_filter.is_some()),
        ];
        if let Some((other, _)) = others.iter().find(|(_, given)| *given) {
            return Err(ApiError::invalid_argument(format!("NextToken and {other} cannot be provided together.")));
        }
        let place: ShardsToken =
            self.seal.open(kind::SHARDS, token).map_err(|_| ApiError::invalid_argument("Invalid NextToken."))?;
        if now.saturating_sub(place.issued_at) > LIFETIME {
            return Err(expired_token());
        }
        Ok(place)
    }

    fn start_of_list(&self, request: &ListShards, now: Millis) -> Result<ShardsToken, ApiError> {
        let live = self.describe(&request.target)?;
        let created_at = request.stream_creation_timestamp.map_or(live.stream.created_at, millis);
        let after = request.exclusive_start_shard_id.as_deref().map(shard_parameter).transpose()?;
        if after.is_some() && request.shard_filter.is_some() {
            return Err(ApiError::invalid_argument(
                "ExclusiveStartShardId and ShardFilter cannot be provided together.",
            ));
        }
        let filter = request.shard_filter.as_ref().map_or(Ok(ShardFilter::FromTrimHorizon), shard_filter)?;
        Ok(ShardsToken {
            stream: live.stream.name.clone(),
            created_at,
            filter,
            after: after.map_or(0, |index| index + 1),
            issued_at: now,
        })
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SplitShard.html>
    pub(super) async fn split_shard(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: SplitShard = parse(body)?;
        let shard = required(request.shard_to_split, "shardToSplit")?;
        let at = required(request.new_starting_hash_key, "newStartingHashKey")?;
        let at = HashKey::parse(&at).ok_or_else(|| {
            let pattern = HashKey::PATTERN;
            let constraint = format_args!("Member must satisfy regular expression pattern: {pattern}");
            ApiError::validation("newStartingHashKey", &at, constraint)
        })?;
        let name = self.target(&request.target)?;
        self.alter(name, move |stream, moment| reshard::split(stream, &shard, at, moment)).await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_MergeShards.html>
    pub(super) async fn merge_shards(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: MergeShards = parse(body)?;
        let shard = required(request.shard_to_merge, "shardToMerge")?;
        let adjacent = required(request.adjacent_shard_to_merge, "adjacentShardToMerge")?;
        let name = self.target(&request.target)?;
        self.alter(name, move |stream, moment| reshard::merge(stream, &shard, &adjacent, moment)).await?;
        Ok(Answer::Empty)
    }

    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>
    pub(super) async fn update_shard_count(&self, body: &[u8]) -> Result<Answer, ApiError> {
        let request: UpdateShardCount = parse(body)?;
        let target = required(request.target_shard_count, "targetShardCount")?;
        let target = within(target, "targetShardCount", 1, u32::MAX)?;
        match required(request.scaling_type.as_deref(), "scalingType")? {
            "UNIFORM_SCALING" => {}
            other => {
                return Err(ApiError::validation(
                    "scalingType",
                    other,
                    "Member must satisfy enum value set: [UNIFORM_SCALING]",
                ));
            }
        }
        let name = self.target(&request.target)?;
        let current = self.catalog.get(name, self.now())?.stream.open_shards().count();
        let live = self.alter(name, move |stream, moment| reshard::update_count(stream, target, moment)).await?;
        Ok(json(&json!({
            "StreamName": live.stream.name,
            "StreamARN": self.stream_arn(&live.stream.name),
            "CurrentShardCount": current,
            "TargetShardCount": target,
        })))
    }
}

fn shard_filter(request: &ShardFilterRequest) -> Result<ShardFilter, ApiError> {
    let time = || {
        request
            .timestamp
            .map(millis)
            .ok_or_else(|| ApiError::invalid_argument("A ShardFilter of this type must have a Timestamp."))
    };
    match required(request.kind.as_deref(), "shardFilter.type")? {
        "AFTER_SHARD_ID" => {
            let id = request.shard_id.as_deref().ok_or_else(|| {
                ApiError::invalid_argument("A ShardFilter of type AFTER_SHARD_ID must have a ShardId.")
            })?;
            Ok(ShardFilter::AfterShardId(shard_parameter(id)?))
        }
        "AT_TRIM_HORIZON" => Ok(ShardFilter::AtTrimHorizon),
        "FROM_TRIM_HORIZON" => Ok(ShardFilter::FromTrimHorizon),
        "AT_LATEST" => Ok(ShardFilter::AtLatest),
        "AT_TIMESTAMP" => Ok(ShardFilter::AtTimestamp(time()?)),
        "FROM_TIMESTAMP" => Ok(ShardFilter::FromTimestamp(time()?)),
        other => Err(ApiError::validation(
            "shardFilter.type",
            other,
            "Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, \
             AT_TIMESTAMP, FROM_TIMESTAMP]",
        )),
    }
}
