//! Where records come in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StageTemplate, patterns};

/// Where records come in. Holds exactly one of: `http`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The name of the source and of its stage, unique in the Pipeline.
    #[schemars(length(min = 1, max = 40), regex(pattern = patterns::NAME_PATTERN))]
    pub name: String,
    /// The name of the buffer that takes the records.
    #[schemars(length(min = 1, max = 40), regex(pattern = patterns::NAME_PATTERN))]
    pub to: String,
    /// An HTTP endpoint: clients `POST` a JSON object, an array, NDJSON or CSV, plain or compressed with gzip or zstd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// A template that gives each record its partition key, such as `{InvoiceNo}`. Records of one key keep
    /// their order.
    #[schemars(length(min = 1, max = 256))]
    pub partition_key: String,
    /// The field that holds a record's own id. A record that comes without one is given one, so that a
    /// repeat can be recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = patterns::FIELD))]
    pub id_field: Option<String>,
    /// How records are put together into stream records. Default `KPL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<Aggregation>,
    /// How many pods the stage has. Default 1. An autoscaler that scales the stage's Deployment is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// `true` stops this source alone, at once: its endpoint does not answer. Without the field it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Settings of the stage's pods: resources, placement, labels, image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StageTemplate>,
}

/// How records are put together into stream records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Aggregation {
    /// Many records in one stream record, in the Kinesis Producer Library's format, which costs less.
    #[default]
    #[serde(rename = "KPL")]
    Kpl,
    /// Each record is a stream record, for readers that do not know that format.
    None,
}

/// An HTTP endpoint: `POST` takes a JSON object, an array, NDJSON or CSV, plain or compressed with gzip or zstd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// The path that clients post to, such as `/orders`.
    #[schemars(length(min = 2, max = 128), regex(pattern = patterns::HTTP_PATH))]
    pub path: String,
    /// Who may post. Without it, everybody who reaches the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// A JSON Schema (2020-12) that each row must satisfy; a row that does not is refused with the reason. It is served
    /// under the path of the endpoint with `/schema` behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = "object", "x-kubernetes-preserve-unknown-fields" = true, "x-kubernetes-map-type" = "atomic"))]
    pub schema: Option<serde_json::Map<String, serde_json::Value>>,
    /// Limits of the endpoint; a request beyond them is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<HttpLimits>,
}

/// Who may use an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Keys that clients send as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.
    pub api_keys: ApiKeys,
}

/// A Secret each of whose values is a key, under the name of who uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeys {
    /// The name of a Secret in the Pipeline's namespace. Each of its values is a key, under the name of who uses it.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SECRET_NAME))]
    pub secret_name: String,
}

/// Hard limits of an HTTP endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpLimits {
    /// The largest body as it comes over the wire. Default `16Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::SIZE_PATTERN))]
    pub body: Option<String>,
    /// The largest body after decompression. Default `64Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::SIZE_PATTERN))]
    pub decompressed: Option<String>,
    /// The largest number of rows in one request. Default 20000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rows: Option<i32>,
    /// The largest row. Default, and the most: the buffer's `maxRecordSize` (`1Mi` when it has none) less what the key takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::SIZE_PATTERN))]
    pub row: Option<String>,
    /// The largest number of connections at one time. Default 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub connections: Option<i32>,
    /// How much may wait for the stream at one time, over all requests. Default `32Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::SIZE_PATTERN))]
    pub queue: Option<String>,
    /// How long a client may take to send its headers, and then its body. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::DURATION_PATTERN))]
    pub body_timeout: Option<String>,
}
