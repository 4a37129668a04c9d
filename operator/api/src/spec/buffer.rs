//! The streams that decouple sources from sinks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;

/// A stream that decouples sources from sinks. Holds exactly one of: `kinesis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Buffer {
    /// The name that sources and sinks refer to, unique in the Pipeline.
    #[schemars(length(min = 1, max = 40), regex(pattern = patterns::NAME_PATTERN))]
    pub name: String,
    /// A Kinesis data stream, which Penstock makes and keeps as it says here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinesis: Option<Kinesis>,
}

/// A Kinesis data stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kinesis {
    /// The stream's name in AWS. Default: `<namespace>.<pipeline>.<buffer>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = patterns::AWS_NAME))]
    pub stream_name: Option<String>,
    /// Who decides the number of shards. Default `Provisioned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<StreamMode>,
    /// The number of shards, for `Provisioned`: each takes 1 MB/s and 1000 records/s. It is changed in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub shards: Option<i32>,
    /// How long records stay in the stream: `24h` (the default) to `8760h`, in whole hours or days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = patterns::RETENTION))]
    pub retention: Option<String>,
    /// What to do with a stream of that name that is there and is not tagged as this Pipeline's. The operator
    /// refuses it by default, `penstock run` uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
    /// What happens to the stream when the Pipeline is deleted. Default `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// Who decides the number of shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamMode {
    /// The Pipeline, by `shards`.
    #[default]
    Provisioned,
    /// AWS, by what comes in.
    OnDemand,
}

/// What to do with something in AWS that is there and is not tagged as this Pipeline's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Existing {
    /// Do not touch it and do not start.
    Refuse,
    /// Use it as it is when its shape fits, and never change or delete it.
    #[default]
    Use,
    /// Tag it as this Pipeline's, and treat it as such from then on; unless it is another Pipeline's.
    Adopt,
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
