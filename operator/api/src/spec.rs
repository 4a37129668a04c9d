//! The types of the `Pipeline` custom resource (`penstock.dev/v1alpha1`).
//!
//! What a field means stands in its doc comment, which `kubectl explain` prints. Defaults live in the
//! accessors here, never in the schema: schema defaults inside lists keep Argo CD out of sync for ever.
//! Every string, list and map is bounded, so that the API server can bound the cost of the rules. The rules
//! that tie fields together stand in [`crate::rules`].

mod api;
mod buffer;
pub mod patterns;
mod sink;
mod source;
mod status;
mod template;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api::{
    Answer, Api, ApiLimits, Between, ChartKind, ConsistentReads, Cors, EmptyAnswer, Field, Filter, Operator, Order,
    Parameter, ParameterType, RateLimit, Route, RouteChart, RouteLimits, SortCondition, Total, TotalFunction,
};
pub use buffer::{
    Buffer, DeletionPolicy, DuplicatePolicy, Duplicates, Encryption, EncryptionType, Existing, Kinesis, StreamMode,
};
pub use patterns::NAME_PATTERN;
pub use sink::{
    Billing, BillingMode, Compression, DeadLetters, DynamoDb, FanOut, KeyField, KeyType, Number, ObjectFormat, Reading,
    Rotate, S3, Sink, StartAt, Table, Ttl, Write,
};
pub use source::{Aggregation, ApiKeys, Auth, Http, HttpLimits, Source};
pub use status::{Condition, ConditionStatus, PipelineStatus, ResourceKind, ResourceStatus, StageStatus};
pub use template::{StageResources, StageTemplate, Suspend, TaintEffect, Toleration, TolerationOperator};

/// The API group.
pub const GROUP: &str = "penstock.dev";
/// The only version that there is; it grows, and never changes what it means.
pub const VERSION: &str = "v1alpha1";
/// The kind.
pub const KIND: &str = "Pipeline";
/// A `Pipeline` as it stands in a file or in the API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// `penstock.dev/v1alpha1`.
    pub api_version: String,
    /// `Pipeline`.
    pub kind: String,
    /// Name, namespace, labels and annotations.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: PipelineSpec,
}

/// The part of Kubernetes' object metadata that decides what is deployed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The name of the Pipeline.
    pub name: String,
    /// Its namespace; `default` where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// The namespace, `default` where none is given.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// Where records come in, which streams buffer them, where they must end up, and what is asked about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// Where in AWS the streams, tables and buckets are.
    pub aws: Aws,
    /// Where records come in. Each source is a stage: a Deployment with a Service.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub sources: Vec<Source>,
    /// The streams that decouple sources from sinks.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub buffers: Vec<Buffer>,
    /// Where records end up. Each sink is a stage: a Deployment that reads a buffer at its own pace.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub sinks: Vec<Sink>,
    /// What is asked about the records that ended up in tables. Each API is a stage: a Deployment with a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub apis: Option<Vec<Api>>,
    /// Lets the whole Pipeline rest. Nothing is deleted; take the field away and it goes on where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
}

/// Where the streams, tables and buckets are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Aws {
    /// The AWS region, such as `eu-west-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = patterns::REGION))]
    pub region: String,
    /// Another endpoint than AWS's own, for all services; for emulators only.
    #[serde(default, rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = patterns::ENDPOINT))]
    pub endpoint_url: Option<String>,
}
