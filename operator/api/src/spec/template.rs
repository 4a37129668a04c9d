//! What a stage's pods may be told beside what the stage does.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::patterns;

/// What a stage's pods may be told. Everything else about them is Penstock's business.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageTemplate {
    /// What each pod asks for and may use. Default: `100m` of a processor and `192Mi`, at most `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<StageResources>,
    /// Labels that a node must have to run the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_map")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints of nodes that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub tolerations: Option<Vec<Toleration>>,
    /// The pods' affinity, as in a pod's `spec.affinity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = "object", "x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-map-type" = "atomic"))]
    pub affinity: Option<serde_json::Map<String, serde_json::Value>>,
    /// Labels of the pods, beside Penstock's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_map")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the pods, beside Penstock's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "annotation_map")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The name of the pods' PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SECRET_NAME))]
    pub priority_class_name: Option<String>,
    /// A ServiceAccount of yours, in the Pipeline's namespace. Default: one that Penstock makes for the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SECRET_NAME))]
    pub service_account_name: Option<String>,
    /// The image of the pods. Default: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::IMAGE))]
    pub image: Option<String>,
}

/// What each pod asks for and may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageResources {
    /// What is set aside for the pod, such as `{ cpu: 500m, memory: 512Mi }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantities")]
    pub requests: Option<BTreeMap<String, String>>,
    /// What the pod may use at most, such as `{ memory: 1Gi }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantities")]
    pub limits: Option<BTreeMap<String, String>>,
}

/// A taint that the pods tolerate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// The taint's key; all taints, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = patterns::LABEL_KEY))]
    pub key: Option<String>,
    /// How the toleration is compared with a taint. Default `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// The value that the taint must have, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = patterns::LABEL_VALUE))]
    pub value: Option<String>,
    /// The taint's effect; all effects, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// For `NoExecute`: how long the pods stay once the taint is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration is compared with a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// The key is there.
    Exists,
    /// Key and value are equal.
    Equal,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// No pod is put there.
    NoSchedule,
    /// A pod is put elsewhere if that is possible.
    PreferNoSchedule,
    /// Pods that are there are evicted.
    NoExecute,
}

/// How a whole Pipeline rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Suspend {
    /// Sources stop at once; sinks go on until everything in the streams is stored, and then stop.
    Drain,
    /// Everything stops at once. What is in the streams stays there as long as they keep it.
    Now,
}

/// How many entries a map of labels or annotations may have.
const MAX_ENTRIES: u32 = 16;

fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_ENTRIES,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": patterns::LABEL_VALUE },
    })
}

fn annotation_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_ENTRIES,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
    })
}

fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8,
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": 32, "pattern": patterns::QUANTITY },
    })
}
