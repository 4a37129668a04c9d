//! Where records end up.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::units;

use super::{DeletionPolicy, Existing, StageTemplate, patterns};

/// How many attributes `set` or `add` may name.
const MAX_ATTRIBUTES: u32 = 64;

/// Where records end up. Holds exactly one of: `s3`, `dynamodb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sink {
    /// The name of the sink and of its stage, unique in the Pipeline.
    #[schemars(length(min = 1, max = 40), regex(pattern = patterns::NAME_PATTERN))]
    pub name: String,
    /// The name of the buffer that is read.
    #[schemars(length(min = 1, max = 40), regex(pattern = patterns::NAME_PATTERN))]
    pub from: String,
    /// Where the sink begins to read when it is new. Default `TrimHorizon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<StartAt>,
    /// When the first record came that the sink reads when it is new, in place of `startAt`: a time such as
    /// `2026-11-01T00:00:00Z`. It is waited for if it is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 29), regex(pattern = units::TIME_PATTERN), extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// How the stream is read. Without it the sink asks for records, and shares what a shard answers (2 MB a second) with all
    /// others that ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// A VRL program (https://vector.dev/docs/reference/vrl/) that each record passes before it is stored, such as
    /// `.Country = upcase!(.Country)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub process: Option<String>,
    /// Stores records as objects in S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Stores records as items in DynamoDB tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamodb: Option<DynamoDb>,
    /// Where records go that cannot be stored, with the reason and their bytes. Default for `s3`: its own bucket, below
    /// `dead-letters/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLetters>,
    /// How many pods the stage has. Default 1. An autoscaler that scales the stage's Deployment is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// `true` stops this sink alone, at once: records wait in the stream. Without the field it goes on where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Settings of the stage's pods: resources, placement, labels, image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StageTemplate>,
}

/// Where in a new stream the reading begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StartAt {
    /// With the oldest record that is kept.
    #[default]
    TrimHorizon,
    /// With the first record that comes after the sink has begun.
    Latest,
}

/// How a sink reads its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// Enhanced fan-out: the stream pushes records to the sink as they come, with 2 MB a second of each shard for it alone. AWS
    /// takes money for it, and a stream has at most 20 such readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<FanOut>,
}

/// Reading by enhanced fan-out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct FanOut {
    /// The name of the consumer that the sink is registered as with the stream. Default
    /// `<namespace>.<pipeline>.<sink>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = patterns::AWS_NAME))]
    pub consumer: Option<String>,
}

/// Objects in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// The bucket that the objects go into. It must be there: Penstock makes no buckets in AWS.
    #[schemars(length(min = 3, max = 63), regex(pattern = patterns::BUCKET))]
    pub bucket: String,
    /// A template for the first part of the objects' keys, such as `raw/{$arrival:%Y/%m/%d}/`. Fields of the record
    /// (`{Country}`) sort records into objects. The rest of a key is made from the shard and the range.
    #[schemars(length(min = 1, max = 512))]
    pub key: String,
    /// The format of the objects. Default `jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ObjectFormat>,
    /// How objects are compressed. Default `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// When an object is closed: at the size or at the age, whichever comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Rotate>,
}

/// The format of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// A JSON document a line.
    #[default]
    Jsonl,
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
    /// With zstd.
    Zstd,
}

/// When an object is closed: at the size before compression or at the age, whichever comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotate {
    /// The size at which an object is closed, before compression. Default `64Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::SIZE_PATTERN))]
    pub bytes: Option<String>,
    /// The age at which an object is closed, counted from when its first record was read. Default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = crate::units::DURATION_PATTERN))]
    pub age: Option<String>,
}

/// Where records go that cannot be handled: as JSON lines with reason, field, position and raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// The bucket that dead letters go into. It must be there: Penstock makes no buckets in AWS.
    #[schemars(length(min = 3, max = 63), regex(pattern = patterns::BUCKET))]
    pub bucket: String,
    /// The first part of the keys of dead letters. Default `dead-letters/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = patterns::KEY_PREFIX))]
    pub prefix: Option<String>,
}

/// Items in DynamoDB tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamoDb {
    /// The tables; each record is offered to every one of them.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub tables: Vec<Table>,
}

/// A DynamoDB table and how records become its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// The table's name in AWS.
    #[schemars(length(min = 3, max = 255), regex(pattern = patterns::AWS_NAME))]
    pub name: String,
    /// A VRL expression, such as `exists(.CustomerID)`: only records for which it is true go into this table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub when: Option<String>,
    /// The partition key, such as `{ field: InvoiceNo, type: S }`.
    pub partition: KeyField,
    /// The sort key, such as `{ template: "{StockCode}#{$id}", type: S }`; without it the table has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<KeyField>,
    /// How records become items of the table.
    pub write: Write,
    /// For `aggregate`: attributes that take the latest value of a field, such as `{ Date: InvoiceDate }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "field_names")]
    pub set: Option<BTreeMap<String, String>>,
    /// For `aggregate`: attributes that sum a field, or a whole number for each record, such as
    /// `{ Amount: Amount, Lines: 1 }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "sums")]
    pub add: Option<BTreeMap<String, Number>>,
    /// DynamoDB deletes items some time after a moment that stands in them. Without it they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
    /// How throughput is paid for. Absent: left as it is; a new table is on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Billing>,
    /// Whether the table can be restored to any second of the last 35 days. Absent: left as it is; in a new table it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time_recovery: Option<bool>,
    /// Whether DynamoDB refuses to delete the table, whoever asks. Absent: left as it is; in a new table it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// What to do with a table of that name that is there and is not tagged as this Pipeline's. The operator
    /// refuses it by default, `penstock run` uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
    /// What happens to the table when the Pipeline is deleted or names it no more. Default `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// A key attribute: a field of the record, or a template over its fields. Exactly one of `field` and `template`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyField {
    /// The field whose value is the key; it is also the attribute's name unless `attribute` says another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub field: Option<String>,
    /// A template that makes the key, such as `{StockCode}#{$id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub template: Option<String>,
    /// The attribute's name. Default: the field's name; for a template `pk` in a partition key, `sk` in a sort key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub attribute: Option<String>,
    /// The type of the key in DynamoDB: `S` string, `N` number, `B` binary (base64 text in the record).
    #[serde(rename = "type")]
    pub key_type: KeyType,
}

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyType {
    /// A text.
    S,
    /// A number.
    N,
    /// Bytes, which stand in the record as base64.
    B,
}

/// How records become items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Write {
    /// Each record is an item with all its fields.
    Put,
    /// One item for each key, with sums (`add`) and latest values (`set`).
    Aggregate,
}

/// What is summed: a field of the record, or a whole number for each record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// The same number for each record.
    Constant(i64),
    /// A field.
    Field(String),
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A field of the record, or a whole number.",
            "x-kubernetes-int-or-string": true,
            "minLength": 1,
            "maxLength": 255,
        })
    }
}

/// Bounds that the derive has no words for: the size of a map and of its values.
fn field_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_ATTRIBUTES,
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

fn sums(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_ATTRIBUTES,
        "additionalProperties": Number::json_schema(generator),
    })
}

/// How throughput is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Billing {
    /// `OnDemand` pays for each request, `Provisioned` for a capacity. A capacity that somebody else has changed is
    /// changed back, so a table whose capacity is scaled by AWS is better off without `billing`.
    pub mode: BillingMode,
    /// How many reads of 4 KB a second, for `Provisioned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub read_capacity_units: Option<i32>,
    /// How many writes of 1 KB a second, for `Provisioned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub write_capacity_units: Option<i32>,
}

/// How throughput is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BillingMode {
    /// For each request.
    OnDemand,
    /// For a capacity, used or not.
    Provisioned,
}

/// When DynamoDB may delete an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ttl {
    /// The field that holds the moment, in seconds since the Unix epoch; also the attribute's name.
    #[schemars(length(min = 1, max = 255))]
    pub field: String,
}
