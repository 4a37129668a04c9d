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
    /// What happens with records whose id was in the buffer before: a client that got no answer sends them again.
    /// Needs `idField` in the sources. Sinks leave them out by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
}

/// Records whose id was in the buffer before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Duplicates {
    /// `Remove` (the default): every sink stores an id once within the window. `Keep`: every record is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<DuplicatePolicy>,
    /// How long after a record another one with its id is a duplicate. Default `10m`. Whoever takes over a shard
    /// reads so much of it again first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5), regex(pattern = patterns::DUPLICATE_WINDOW))]
    pub window: Option<String>,
    /// And within how many records of its shard. Default 250000. Each takes some 25 bytes of memory, for each sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub records: Option<i32>,
}

/// What happens with duplicates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DuplicatePolicy {
    /// Sinks leave them out.
    #[default]
    Remove,
    /// Sinks store them like any record.
    Keep,
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
    /// How long records stay in the stream: `24h` (the default) to `8760h`, in whole hours or days. A stream that keeps
    /// them longer is shortened only when this is written down, and once no sink would miss a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = patterns::RETENTION))]
    pub retention: Option<String>,
    /// The largest record, its partition key included: `1Mi` (AWS's default) to `10Mi`. Absent: left as it is. Never
    /// lowered in a stream that is there, since records on their way could then be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = patterns::RECORD_SIZE))]
    pub max_record_size: Option<String>,
    /// How records are encrypted where they rest. Absent: left as it is; a new stream is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What to do with a stream of that name that is there and is not tagged as this Pipeline's. The operator
    /// refuses it by default, `penstock run` uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
    /// What happens to the stream and the leases of its sinks when the Pipeline is deleted or names it no more.
    /// Default `Retain`.
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

/// How records are encrypted where they rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// `KMS` encrypts with a key of KMS, `None` does not.
    #[serde(rename = "type")]
    pub encryption_type: EncryptionType,
    /// The key: its id, its ARN or an alias. Default `alias/aws/kinesis`, the key that AWS manages. Whoever writes or
    /// reads the stream needs rights to a key of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320), regex(pattern = patterns::KMS_KEY))]
    pub key_id: Option<String>,
}

/// With what records are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EncryptionType {
    /// Not at all.
    None,
    /// With a key of KMS.
    #[serde(rename = "KMS")]
    Kms,
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

/// What happens to something in AWS when the Pipeline is deleted or names it no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted, when it is tagged as this Pipeline's.
    Delete,
}
