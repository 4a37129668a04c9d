//! The streams that decouple sources from sinks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stream that decouples sources from sinks. Holds exactly one of: `kinesis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.kinesis)].filter(x, x).size() == 1", "message": "a buffer holds exactly one of: kinesis", "reason": "FieldValueRequired"},
]))]
pub struct Buffer {
    /// The name, unique in the Pipeline.
    #[schemars(length(min = 1, max = 40), regex(pattern = crate::spec::NAME_PATTERN))]
    pub name: String,
    /// A Kinesis data stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinesis: Option<Kinesis>,
}

/// A Kinesis data stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.shards) == (!has(self.mode) || self.mode == 'Provisioned')",
     "message": "a Provisioned stream needs `shards`; an OnDemand stream must not have it"},
    {"rule": "has(self.streamName) == has(oldSelf.streamName) && (!has(self.streamName) || self.streamName == oldSelf.streamName)",
     "message": "the stream's name cannot change: add another buffer", "fieldPath": ".streamName"},
]))]
pub struct Kinesis {
    /// The stream's name in AWS. Default: `<namespace>.<pipeline>.<buffer>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[a-zA-Z0-9_.-]+$"))]
    pub stream_name: Option<String>,
    /// `Provisioned` (the default) has as many shards as `shards` says; `OnDemand` leaves it to AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<StreamMode>,
    /// The number of shards: each takes 1 MB/s and 1000 records/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub shards: Option<i32>,
    /// How long records stay readable: 24h (the default) to 8760h, in whole hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = "^([0-9]{1,4}h|[0-9]{1,3}d)$"))]
    pub retention: Option<String>,
    /// What happens to the stream when the Pipeline is deleted. Default `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// Who decides the number of shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamMode {
    /// The Pipeline.
    #[default]
    Provisioned,
    /// AWS.
    OnDemand,
}

/// What happens to something in AWS when the Pipeline is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted, when it is tagged as this Pipeline's.
    Delete,
}
