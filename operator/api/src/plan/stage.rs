//! The full configuration of one stage: what `penstock stage` reads from its file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ApiStage, PlanError, StreamPlan, millis_or, of_sink, of_source, resource_name, size_or};
use crate::spec::{
    Aggregation, Compression, DuplicatePolicy, KeyField, KeyType, Number, ObjectFormat, Pipeline, Sink, Source, Table,
    Write,
};
use crate::{spec, units};

/// The configuration of one stage, complete: every default is filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageConfig {
    /// Whose stage it is.
    pub pipeline: PipelineRef,
    /// The stage's name: that of the source, sink or api.
    pub name: String,
    /// Where AWS is.
    pub aws: AwsTarget,
    /// What the stage does.
    #[serde(flatten)]
    pub kind: StageKind,
}

/// Whose stage it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineRef {
    /// The Pipeline's namespace.
    pub namespace: String,
    /// The Pipeline's name.
    pub name: String,
}

/// Where AWS is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsTarget {
    /// The region.
    pub region: String,
    /// Another endpoint than AWS's own.
    #[serde(default, rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StageKind {
    /// Takes records over HTTP and puts them into a stream.
    Http(HttpStage),
    /// Reads a stream and stores its records.
    Sink(SinkStage),
    /// Answers questions about what was stored.
    Api(ApiStage),
}

/// An HTTP endpoint in front of a stream. Sizes are in bytes, times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpStage {
    /// The stream that takes the records.
    pub stream: String,
    /// The path of the route.
    pub path: String,
    /// The Secret that holds the API keys; everybody may post when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys_secret: Option<String>,
    /// The JSON Schema of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Map<String, serde_json::Value>>,
    /// The template of the partition key.
    pub partition_key: String,
    /// The field that holds a record's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_field: Option<String>,
    /// How records are put together into stream records.
    pub aggregation: Aggregation,
    /// The largest body as it comes over the wire.
    pub max_body_bytes: u64,
    /// The largest body after decompression.
    pub max_decompressed_bytes: u64,
    /// The largest number of rows in one request.
    pub max_rows: u32,
    /// The largest row.
    pub max_row_bytes: u64,
    /// The largest number of connections at one time.
    pub max_connections: u32,
    /// How much may wait for the stream at one time.
    pub max_queued_bytes: u64,
    /// How long a client may take to send its headers, and then its body.
    pub body_timeout_millis: u64,
}

/// Where in a new stream the reading begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartAt {
    /// With the oldest record that is kept.
    #[default]
    TrimHorizon,
    /// With the first record that comes after the sink has begun.
    Latest,
    /// With the first record that came at this time or later, in milliseconds since 1970 in UTC.
    Millis(i64),
}

/// A consumer of a stream with one sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SinkStage {
    /// The stream that is read.
    pub stream: String,
    /// The lease table, which is also the name of the consumer application.
    pub lease_table: String,
    /// Where in a new stream the reading begins.
    pub start_at: StartAt,
    /// The consumer that the sink is registered as with the stream (enhanced fan-out); the stream is polled when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan_out_consumer: Option<String>,
    /// The field that holds a record's id, as the sources of the stream declare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_field: Option<String>,
    /// Which records are left out, since their id was in the stream before; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<DuplicateWindow>,
    /// The VRL program that each record passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Where records end up.
    pub target: SinkTarget,
    /// Where records go that cannot be handled: bucket and prefix.
    pub dead_letters_bucket: String,
    /// The first part of the keys of dead letters; ends with a slash.
    pub dead_letters_prefix: String,
}

/// How far back a record with the same id makes a record a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DuplicateWindow {
    /// The longest time between the arrivals of the two.
    pub millis: u64,
    /// The greatest number of records with ids from one to the other.
    pub records: u64,
}

/// Where records end up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SinkTarget {
    /// Objects in S3.
    S3(ObjectStoreTarget),
    /// Items in DynamoDB.
    DynamoDb(DynamoDbTarget),
}

/// Objects in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectStoreTarget {
    /// The bucket.
    pub bucket: String,
    /// The template of the first part of the keys.
    pub key: String,
    /// The format of the objects.
    pub format: ObjectFormat,
    /// How they are compressed.
    pub compression: Compression,
    /// An object is closed at this size before compression.
    pub rotate_bytes: u64,
    /// An object is closed at this age.
    pub rotate_age_millis: u64,
}

/// Items in DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamoDbTarget {
    /// The tables; each record is offered to every one of them.
    pub tables: Vec<TableTarget>,
}

/// A table and how records become its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableTarget {
    /// The table's name.
    pub name: String,
    /// A VRL expression that chooses the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The partition key; its attribute is filled in.
    pub partition: KeyField,
    /// The sort key; its attribute is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<KeyField>,
    /// How records become items.
    pub write: WriteTarget,
    /// When DynamoDB may delete an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TtlTarget>,
}

/// How records become items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteTarget {
    /// Each record is an item with all its fields.
    Put,
    /// One item a key.
    Aggregate {
        /// Attributes that take the latest value of a field (attribute: field).
        set: BTreeMap<String, String>,
        /// Attributes that sum a field or a number (attribute: field or number).
        add: BTreeMap<String, Number>,
    },
}

/// When DynamoDB may delete an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TtlTarget {
    /// The field, which is also the attribute.
    pub field: String,
}

const MEBI: u64 = 1 << 20;
/// What aggregation and the key add to a row in a stream's record stays below this.
const RESERVED_BYTES: u64 = 1024;

pub(super) fn http(pipeline: &Pipeline, source: &Source, stream: &StreamPlan) -> Result<StageConfig, PlanError> {
    let http = source
        .http
        .as_ref()
        .ok_or_else(|| PlanError::NothingChosen { part: of_source(source, "kind"), members: "http" })?;
    let limits = http.limits.clone().unwrap_or_default();
    let size = |text: &Option<String>, default, field| size_or(text.as_ref(), default, || of_source(source, field));
    let stage = HttpStage {
        stream: stream.name.clone(),
        path: http.path.clone(),
        api_keys_secret: http.auth.as_ref().map(|auth| auth.api_keys.secret_name.clone()),
        schema: http.schema.clone(),
        partition_key: source.partition_key.clone(),
        id_field: source.id_field.clone(),
        aggregation: source.aggregation.unwrap_or_default(),
        max_body_bytes: size(&limits.body, 16 * MEBI, "limits.body")?,
        max_decompressed_bytes: size(&limits.decompressed, 64 * MEBI, "limits.decompressed")?,
        max_rows: limits.rows.and_then(|rows| u32::try_from(rows).ok()).unwrap_or(20_000),
        max_row_bytes: size(&limits.row, u64::from(stream.record_kib()) * 1024 - RESERVED_BYTES, "limits.row")?,
        max_connections: limits.connections.and_then(|count| u32::try_from(count).ok()).unwrap_or(1_024),
        max_queued_bytes: size(&limits.queue, 32 * MEBI, "limits.queue")?,
        body_timeout_millis: millis_or(limits.body_timeout.as_ref(), 30_000, || {
            of_source(source, "limits.bodyTimeout")
        })?,
    };
    Ok(config(pipeline, &source.name, StageKind::Http(stage)))
}

pub(super) fn sink(pipeline: &Pipeline, sink: &Sink, stream: &str) -> Result<StageConfig, PlanError> {
    let target = match (&sink.s3, &sink.dynamodb) {
        (Some(s3), _) => {
            let rotate = s3.rotate.clone().unwrap_or_default();
            SinkTarget::S3(ObjectStoreTarget {
                bucket: s3.bucket.clone(),
                key: s3.key.clone(),
                format: s3.format.unwrap_or_default(),
                compression: s3.compression.unwrap_or_default(),
                rotate_bytes: size_or(rotate.bytes.as_ref(), 64 * MEBI, || of_sink(sink, "s3.rotate.bytes"))?,
                rotate_age_millis: millis_or(rotate.age.as_ref(), 300_000, || of_sink(sink, "s3.rotate.age"))?,
            })
        }
        (None, Some(dynamodb)) => {
            let tables = dynamodb.tables.iter().map(|table| table_target(sink, table)).collect::<Result<_, _>>()?;
            SinkTarget::DynamoDb(DynamoDbTarget { tables })
        }
        (None, None) => {
            return Err(PlanError::NothingChosen { part: of_sink(sink, "kind"), members: "s3, dynamodb" });
        }
    };
    let (dead_letters_bucket, prefix) = match (&sink.dead_letters, &sink.s3) {
        (Some(dead), _) => (dead.bucket.clone(), dead.prefix.clone()),
        (None, Some(s3)) => (s3.bucket.clone(), None),
        (None, None) => {
            return Err(PlanError::NothingChosen { part: of_sink(sink, "dead letters"), members: "deadLetters" });
        }
    };
    let mut dead_letters_prefix = prefix.unwrap_or_else(|| "dead-letters/".to_owned());
    if !dead_letters_prefix.ends_with('/') {
        dead_letters_prefix.push('/');
    }
    let stage = SinkStage {
        stream: stream.to_owned(),
        lease_table: lease_table(pipeline, sink),
        start_at: start_at(sink)?,
        fan_out_consumer: fan_out_consumer(pipeline, sink),
        id_field: id_field(pipeline, &sink.from),
        duplicates: duplicates(pipeline, &sink.from)?,
        process: sink.process.clone(),
        target,
        dead_letters_bucket,
        dead_letters_prefix,
    };
    Ok(config(pipeline, &sink.name, StageKind::Sink(stage)))
}

fn start_at(sink: &Sink) -> Result<StartAt, PlanError> {
    if let Some(time) = &sink.start_time {
        let millis = units::time(time).map(StartAt::Millis);
        return millis.map_err(|source| PlanError::Unit { part: of_sink(sink, "startTime"), source });
    }
    Ok(match sink.start_at.unwrap_or_default() {
        spec::StartAt::TrimHorizon => StartAt::TrimHorizon,
        spec::StartAt::Latest => StartAt::Latest,
    })
}

pub(super) fn lease_table(pipeline: &Pipeline, sink: &Sink) -> String {
    format!("{}.leases", resource_name(pipeline, &sink.name))
}

fn fan_out_consumer(pipeline: &Pipeline, sink: &Sink) -> Option<String> {
    let fan_out = sink.reading.as_ref()?.fan_out.as_ref()?;
    Some(fan_out.consumer.clone().unwrap_or_else(|| resource_name(pipeline, &sink.name)))
}

/// The id field of the records in a buffer: validation sees to it that its sources agree.
fn id_field(pipeline: &Pipeline, buffer: &str) -> Option<String> {
    pipeline.spec.sources.iter().filter(|source| source.to == buffer).find_map(|source| source.id_field.clone())
}

/// Duplicates are left out wherever records have ids, unless the buffer says otherwise.
fn duplicates(pipeline: &Pipeline, buffer: &str) -> Result<Option<DuplicateWindow>, PlanError> {
    let declared = pipeline.spec.buffers.iter().find(|declared| declared.name == buffer);
    let duplicates = declared.and_then(|declared| declared.duplicates.clone()).unwrap_or_default();
    if id_field(pipeline, buffer).is_none() || duplicates.policy == Some(DuplicatePolicy::Keep) {
        return Ok(None);
    }
    let part = || format!("buffer {buffer:?}: duplicates.window");
    let millis = millis_or(duplicates.window.as_ref(), 600_000, part)?;
    let records = duplicates.records.and_then(|records| u64::try_from(records).ok()).unwrap_or(250_000);
    Ok(Some(DuplicateWindow { millis, records }))
}

fn table_target(sink: &Sink, table: &Table) -> Result<TableTarget, PlanError> {
    let key = |key: &KeyField, default: &str| {
        let attribute = key.attribute.clone().or_else(|| key.field.clone()).unwrap_or_else(|| default.to_owned());
        if key.field.is_none() && key.template.is_none() {
            let part = of_sink(sink, &format!("table {:?}: key", table.name));
            return Err(PlanError::NothingChosen { part, members: "field, template" });
        }
        Ok(KeyField { attribute: Some(attribute), ..key.clone() })
    };
    Ok(TableTarget {
        name: table.name.clone(),
        when: table.when.clone(),
        partition: key(&table.partition, "pk")?,
        sort: table.sort.as_ref().map(|sort| key(sort, "sk")).transpose()?,
        write: match table.write {
            Write::Put => WriteTarget::Put,
            Write::Aggregate => WriteTarget::Aggregate {
                set: table.set.clone().unwrap_or_default(),
                add: table.add.clone().unwrap_or_default(),
            },
        },
        ttl: table.ttl.as_ref().map(|ttl| TtlTarget { field: ttl.field.clone() }),
    })
}

pub(super) fn config(pipeline: &Pipeline, name: &str, kind: StageKind) -> StageConfig {
    StageConfig {
        pipeline: PipelineRef {
            namespace: pipeline.metadata.namespace().to_owned(),
            name: pipeline.metadata.name.clone(),
        },
        name: name.to_owned(),
        aws: AwsTarget {
            region: pipeline.spec.aws.region.clone(),
            endpoint_url: pipeline.spec.aws.endpoint_url.clone(),
        },
        kind,
    }
}

impl KeyField {
    /// The attribute's name, which a plan always fills in.
    #[must_use]
    pub fn attribute_name(&self) -> &str {
        self.attribute.as_deref().or(self.field.as_deref()).unwrap_or("pk")
    }
}

impl KeyType {
    /// As DynamoDB writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}
