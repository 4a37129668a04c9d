//! Requests of the control plane and of readers. Everything is optional here: what must be there is checked where it is
//! used, so that the refusal can name the parameter.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How a request names its stream.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct Target {
    pub(in super::super) stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub(in super::super) stream_arn: Option<String>,
}

/// `StreamModeDetails`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct ModeDetails {
    pub(in super::super) stream_mode: Option<String>,
}

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub(in super::super) struct $name {
            $($(#[$meta])* pub(in super::super) $field: $type),*
        }
    };
}

request!(/// `CreateStream`.
CreateStream {
    stream_name: Option<String>,
    shard_count: Option<i64>,
    stream_mode_details: Option<ModeDetails>,
    tags: Option<BTreeMap<String, String>>,
    #[serde(rename = "MaxRecordSizeInKiB")] max_record_size: Option<i64>,
});
request!(/// `DeleteStream`.
DeleteStream {
    #[serde(flatten)] target: Target,
    enforce_consumer_deletion: Option<bool>,
});
request!(/// `DescribeStream`.
DescribeStream {
    #[serde(flatten)] target: Target,
    limit: Option<i64>,
    exclusive_start_shard_id: Option<String>,
});
request!(/// A request that names a stream only.
StreamOnly {
    #[serde(flatten)] target: Target,
});
request!(/// `ListStreams`.
ListStreams {
    limit: Option<i64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
});
request!(/// `ShardFilter`.
ShardFilterRequest {
    #[serde(rename = "Type")] kind: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<f64>,
});
request!(/// `ListShards`.
ListShards {
    #[serde(flatten)] target: Target,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<f64>,
    shard_filter: Option<ShardFilterRequest>,
});
request!(/// `GetShardIterator`.
GetShardIterator {
    #[serde(flatten)] target: Target,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<f64>,
});
request!(/// `GetRecords`.
GetRecords {
    shard_iterator: Option<String>,
    limit: Option<i64>,
});
request!(/// `SplitShard`.
SplitShard {
    #[serde(flatten)] target: Target,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
});
request!(/// `MergeShards`.
MergeShards {
    #[serde(flatten)] target: Target,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
});
request!(/// `UpdateShardCount`.
UpdateShardCount {
    #[serde(flatten)] target: Target,
    target_shard_count: Option<i64>,
    scaling_type: Option<String>,
});
request!(/// `IncreaseStreamRetentionPeriod` and `DecreaseStreamRetentionPeriod`.
RetentionPeriod {
    #[serde(flatten)] target: Target,
    retention_period_hours: Option<i64>,
});
request!(/// `UpdateMaxRecordSize`.
UpdateMaxRecordSize {
    #[serde(flatten)] target: Target,
    #[serde(rename = "MaxRecordSizeInKiB")] max_record_size: Option<i64>,
});
request!(/// `UpdateStreamMode`.
UpdateStreamMode {
    #[serde(flatten)] target: Target,
    stream_mode_details: Option<ModeDetails>,
});
request!(/// `StartStreamEncryption` and `StopStreamEncryption`.
Encryption {
    #[serde(flatten)] target: Target,
    encryption_type: Option<String>,
    key_id: Option<String>,
});
request!(/// `EnableEnhancedMonitoring` and `DisableEnhancedMonitoring`.
Monitoring {
    #[serde(flatten)] target: Target,
    shard_level_metrics: Option<Vec<String>>,
});
request!(/// `AddTagsToStream`.
AddTags {
    #[serde(flatten)] target: Target,
    tags: Option<BTreeMap<String, String>>,
});
request!(/// `RemoveTagsFromStream`.
RemoveTags {
    #[serde(flatten)] target: Target,
    tag_keys: Option<Vec<String>>,
});
request!(/// `ListTagsForStream`.
ListTags {
    #[serde(flatten)] target: Target,
    exclusive_start_tag_key: Option<String>,
    limit: Option<i64>,
});
request!(/// `TagResource`, `UntagResource` and `ListTagsForResource`.
ResourceTags {
    #[serde(rename = "ResourceARN")] resource_arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    tag_keys: Option<Vec<String>>,
});
request!(/// `RegisterStreamConsumer`.
RegisterConsumer {
    #[serde(rename = "StreamARN")] stream_arn: Option<String>,
    consumer_name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
});
request!(/// `DescribeStreamConsumer` and `DeregisterStreamConsumer`.
ConsumerTarget {
    #[serde(rename = "StreamARN")] stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")] consumer_arn: Option<String>,
});
request!(/// `ListStreamConsumers`.
ListConsumers {
    #[serde(rename = "StreamARN")] stream_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
});
request!(/// Where a subscription starts.
StartingPosition {
    #[serde(rename = "Type")] kind: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<f64>,
});
request!(/// `SubscribeToShard`.
SubscribeToShard {
    #[serde(rename = "ConsumerARN")] consumer_arn: Option<String>,
    shard_id: Option<String>,
    starting_position: Option<StartingPosition>,
});
