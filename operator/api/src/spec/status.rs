//! What the operator reports of a Pipeline.
//!
//! Nothing in here changes while nothing changes: lag and rates are metrics, not status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeletionPolicy;

/// What the operator reports of a Pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling` and `Stalled` (as kstatus reads them), and one for each concern.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The stages, each with its pods and where it answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<StageStatus>,
    /// How many stages are ready, of how many, such as `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub stages_ready: Option<String>,
    /// The streams and tables of the Pipeline and the consumers of its sinks, each written down before it is made, and those of
    /// a former spec that are still to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub resources: Vec<ResourceStatus>,
    /// The value of the annotation `penstock.dev/requested-at` that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub observed_request: Option<String>,
}

/// Something that was observed of the Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about, such as `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub condition_type: String,
    /// Whether what the condition names is so.
    pub status: ConditionStatus,
    /// The generation of the spec that was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last became what it is.
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why the status is what it is, as one stable word.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// Why, for people: what was observed and what to do about it.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether what a condition names is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not.
    False,
    /// It could not be observed.
    Unknown,
}

/// A stage of the Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// The stage's name: that of the source or sink.
    #[schemars(length(max = 40))]
    pub name: String,
    /// How many pods the stage should have.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// How many of its pods are ready.
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// Where an HTTP source answers inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
}

/// A stream, a table or a registered consumer in AWS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// What it is.
    pub kind: ResourceKind,
    /// The name that the stream or table has in AWS. Of a consumer: its stream's and its own, with a slash between them.
    #[schemars(length(min = 1, max = 257))]
    pub name: String,
    /// What happens to it when the Pipeline is deleted or names it no more.
    pub deletion_policy: DeletionPolicy,
    /// For a table of leases: the stream that they point into. For a consumer: the stream that it is registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub stream: Option<String>,
}

/// What something in AWS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ResourceKind {
    /// A Kinesis data stream.
    Stream,
    /// A DynamoDB table.
    Table,
    /// A consumer that a sink is registered as with its stream.
    Consumer,
}
